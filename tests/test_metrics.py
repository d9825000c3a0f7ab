"""Metrics: every figure against a case worked by hand, or against scikit-learn's."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest

from keyframe_llm import OptionsError
from keyframe_llm.evaluation import metrics
from keyframe_llm.evaluation.bootstrap import Interval, bootstrap
from keyframe_llm.evaluation.keyframes import KeyframeMatch, bgr_histogram, match_keyframes

TVSUM20 = Path(os.environ.get("KEYFRAME_LLM_TEST_DATA", "")) / "annotations" / "tvsum20" / "Keyframe"

# Three videos; texts 0 and 1 belong to video 0, text 2 to video 1, text 3 to video 2.
SIMILARITY = np.array([[0.9, 0.1, 0.2], [0.3, 0.5, 0.4], [0.2, 0.6, 0.7], [0.1, 0.2, 0.8]])
OWNER = np.array([0, 0, 1, 2])


def test_the_rank_of_every_text_counts_the_videos_that_score_higher() -> None:
    # text 1 prefers videos 1 and 2 to its own, text 2 prefers video 2
    assert metrics.ranks(SIMILARITY, OWNER[:, None] == np.arange(3)).tolist() == [1, 3, 2, 1]


def test_any_of_a_videos_texts_may_be_found_and_the_others_are_not_in_the_way() -> None:
    relevant = np.arange(3)[:, None] == OWNER
    # video 0's best text is text 0; video 2 finds text 3 (0.8) before text 2 (0.7)
    assert metrics.ranks(SIMILARITY.T, relevant).tolist() == [1, 1, 1]
    worse = SIMILARITY.copy()
    worse[0, 0], worse[2, 0] = 0.25, 0.35  # text 2, a stranger's, beats the best of video 0's
    assert metrics.ranks(worse.T, relevant).tolist() == [2, 1, 1]


def test_an_encoder_that_gives_all_the_same_finds_nothing_for_ties_come_last() -> None:
    assert metrics.ranks(np.ones((20, 20)), np.eye(20, dtype=bool)).tolist() == [20] * 20


def test_macro_f1_counts_a_class_that_is_only_predicted() -> None:
    # run: 1 right of 2 true and 1 predicted, F1 2/3; walk: 0; jump: 1
    assert metrics.macro_f1(["run", "run", "jump"], ["run", "walk", "jump"]) == pytest.approx(
        (2 / 3 + 0 + 1) / 3
    )


def test_a_grey_ramp_fills_the_diagonal_bins_and_255_is_left_out() -> None:
    ramp = np.repeat(np.arange(256, dtype=np.uint8)[None, :, None], 3, axis=2)
    histogram = bgr_histogram(ramp).reshape(8, 8, 8)
    # OpenCV's calcHist counts 32 levels in every bin and 31 in the last; min–max divides by 32
    assert histogram[np.arange(8), np.arange(8), np.arange(8)].tolist() == [1.0] * 7 + [31 / 32]
    assert np.count_nonzero(histogram) == 8


def test_bins_are_counted_in_the_order_blue_green_red() -> None:
    red = np.zeros((2, 2, 3), np.uint8)
    red[..., 0] = 254
    assert bgr_histogram(red).reshape(8, 8, 8)[0, 0, 7] == 1.0


def test_a_white_picture_has_an_empty_histogram_and_matches_nothing() -> None:
    white = bgr_histogram(np.full((4, 4, 3), 255, np.uint8))
    assert not white.any()
    assert match_keyframes([white], [white]).f1 == 0.0


def test_key_frames_are_matched_greedily_each_once_worked_by_hand() -> None:
    def at(degrees: float) -> list[float]:
        return [np.cos(np.radians(degrees)), np.sin(np.radians(degrees))]

    # Cosines above 0.9 are angles below 25.8°. 20° goes to 15° (5° apart) although 0° wants it too; 0° then
    # has 15° struck out and 30° too far away; 60° is 30° from everything.
    matched = match_keyframes([at(0), at(20), at(60)], [at(15), at(30)])
    assert matched == KeyframeMatch(matched=1, predicted=3, truth=2)
    assert (matched.matched, matched.f1) == (1, 2 / 5)


def test_the_threshold_itself_does_not_match() -> None:
    assert match_keyframes([[1.0, 0.0]], [[1.0, 0.0]], threshold=1.0).matched == 0


def test_no_predicted_key_frame_gives_zero() -> None:
    matched = match_keyframes(np.zeros((0, 512)), np.ones((3, 512)))
    assert (matched.matched, matched.f1) == (0, 0.0)


@pytest.mark.skipif(not TVSUM20.is_dir(), reason="KEYFRAME_LLM_TEST_DATA holds no annotations/tvsum20")
def test_perfect_picks_of_tvsum20_reach_the_known_ceiling() -> None:
    from PIL import Image

    videos = []
    for folder in sorted(TVSUM20.iterdir()):
        pictures = sorted(folder.glob("*.jpg"), key=lambda path: int(path.stem))
        videos.append(np.stack([bgr_histogram(np.asarray(Image.open(path))) for path in pictures]))
    assert len(videos) == 20
    for k, ceiling in {2: 0.228, 3: 0.323, 5: 0.484, 8: 0.674}.items():
        spread = [truth[np.linspace(0, len(truth) - 1, k).astype(int)] for truth in videos]
        f1 = [match_keyframes(picks, truth).f1 for picks, truth in zip(spread, videos, strict=True)]
        assert np.mean(f1) == pytest.approx(ceiling, abs=5e-4)


def test_a_hit_needs_one_frame_inside_a_moment_ends_included() -> None:
    picks = [[1.0, 5.0, 9.0], [4.0], [2.0, 7.9], []]
    moments = [[(4.0, 6.0)], [(4.0, 6.0)], [(0.0, 1.0), (8.0, 9.0)], [(0.0, 9.0)]]
    assert metrics.hit_at_k(picks, moments, 3) == [True, True, False, False]


def test_hit_at_k_refuses_a_selection_of_more_than_k_frames() -> None:
    with pytest.raises(OptionsError, match="has 3 frames; hit@2 allows 2"):
        metrics.hit_at_k([[1.0], [1.0, 2.0, 3.0]], [[(0.0, 1.0)], [(0.0, 1.0)]], 2)


@pytest.mark.parametrize(
    ("reply", "chosen"),
    [
        ("red", 0),
        ("The dark red.", 1),
        ("C", 2),
        ("(b)", 1),
        ("B. dark red", 1),
        ("c) blue", 2),
        ("The answer is C because it is.", 2),
        ("It is a blue one", 2),
        ("It is dark red", 1),  # `red` lies within it
        ("red or blue", None),
        ("green", None),
        ("D", None),
        ("", None),
    ],
)
def test_a_reply_means_an_option_by_its_text_or_letter(reply: str, chosen: int | None) -> None:
    assert metrics.chosen_option(reply, ["red", "dark red", "blue"]) == chosen


def test_question_accuracy_takes_options_or_plain_words() -> None:
    options = [["A cat", "A dog"], ["A cat", "A dog"], []]
    right = metrics.question_accuracy(["B", "a cat", "The kitchen!"], ["A dog", "A dog", "kitchen"], options)
    assert right == [True, False, True]
    assert metrics.question_accuracy(["Kitchen", "in the garden"], ["the kitchen", "garden"]) == [True, False]
    with pytest.raises(OptionsError, match="not among its options"):
        metrics.question_accuracy(["B"], ["A fox"], [["A cat", "A dog"]])


def test_the_bootstrap_interval_of_a_coin_is_that_of_the_binomial() -> None:
    from scipy.stats import binom

    tosses = np.repeat([0.0, 1.0], [40, 60])
    interval = bootstrap(tosses, resamples=4000)
    assert interval.value == 0.6
    assert interval.low == pytest.approx(binom.ppf(0.025, 100, 0.6) / 100, abs=0.011)
    assert interval.high == pytest.approx(binom.ppf(0.975, 100, 0.6) / 100, abs=0.011)


def test_the_same_seed_gives_the_same_interval() -> None:
    values = np.random.default_rng(3).normal(size=50)
    assert bootstrap(values, seed=1) == bootstrap(values, seed=1)
    assert bootstrap(values, seed=1) != bootstrap(values, seed=2)


def test_samples_of_one_group_are_drawn_together_and_widen_the_interval() -> None:
    values = np.repeat(np.tile([0.0, 1.0], 50), 8)
    alone, grouped = (
        bootstrap(values),
        bootstrap(values, groups=list(np.repeat(range(100), 8))),
    )
    assert (grouped.value, grouped.count) == (0.5, 100)
    # eight equal answers are one: √8 times as wide
    assert (grouped.high - grouped.low) / (alone.high - alone.low) == pytest.approx(np.sqrt(8), rel=0.15)


def test_any_statistic_of_several_columns_can_be_bootstrapped() -> None:
    truth, predicted = np.array(["a", "b"] * 20), np.array(["a", "b"] * 15 + ["b", "a"] * 5)
    interval = bootstrap(
        truth, predicted, statistic=lambda t, p: metrics.macro_f1(t.tolist(), p.tolist()), resamples=200
    )
    assert interval.value == pytest.approx(0.75)
    assert 0.55 < interval.low < 0.75 < interval.high < 0.95
    assert str(Interval(0.75, 0.6, 0.9, 40)) == "0.750 [0.600, 0.900]"


def test_columns_of_different_length_are_refused() -> None:
    with pytest.raises(OptionsError, match="same number"):
        bootstrap([1.0, 2.0], [1.0])
    with pytest.raises(OptionsError, match="as many of both"):
        metrics.macro_f1(["a"], [])
