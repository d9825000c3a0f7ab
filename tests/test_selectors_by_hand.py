"""WFS-SB, DIG, TASS, AdaRD-Key, HiMu and ToolMerge: cases worked by hand; PyWavelets' own values."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import ArrayLike, NDArray

from keyframe_llm import OptionsError, SelectOptions, VideoIndex, select_keyframes
from keyframe_llm.demos.videos import demo_video
from keyframe_llm.evaluation.dense import dense_index
from keyframe_llm.scoring.queries import Query
from keyframe_llm.scoring.selectors import choose_frames
from keyframe_llm.scoring.selectors.wavelets import coarse_detail, levels


def frames_with(
    similarities: ArrayLike, stride_seconds: float = 1.0
) -> tuple[VideoIndex, NDArray[np.float64]]:
    """Frames with these cosines (P, N) to P orthogonal texts, otherwise unlike each other; and the texts."""
    s = np.atleast_2d(np.asarray(similarities, np.float64))
    rest = np.sqrt(1 - (s**2).sum(axis=0))
    rows = np.column_stack([s.T, np.diag(rest)])
    seconds = np.arange(s.shape[1]) * stride_seconds
    return dense_index(rows, seconds, np.ones((len(seconds), 1))), np.eye(len(s), rows.shape[1])


def picked(name: str, index: VideoIndex, texts: NDArray[np.float64], k: int) -> list[int]:
    choice = choose_frames(index, Query(texts), SelectOptions(method=name, max_frames=k))
    return [int(i) for i in choice.chosen]


def test_the_coarsest_detail_is_that_of_pywavelets() -> None:
    curve = np.array([0, 0, 0, 1, 3, 2, 1, 0, 0, 4, 4, 4, 1, 0, 0, 0, 2, 0], np.float64)
    # pywt 1.9: waverec of wavedec(curve, "db4", level=1 or 2)[1] alone
    one = [-0.019703, 0.384055, -0.209947, -0.674793, 0.75609, -0.037579, -0.31042, 0.344535, -0.394484]
    two = [-0.2098, -1.1929, -0.8524, 0.8023, 1.4448, 1.3652, 0.4475, -1.8086, -1.7707, 0.6304]
    assert coarse_detail(curve, 1)[:9] == pytest.approx(one, abs=1e-6)
    assert coarse_detail(curve, 2)[:10] == pytest.approx(two, abs=1e-4)


def test_a_cubic_curve_has_no_detail_away_from_its_ends() -> None:
    t = np.linspace(-1, 1, 100)
    assert np.abs(coarse_detail(4 * t**3 - t + 2, 1)[10:-10]).max() < 1e-12
    # ⌊log₂ 280⌋ − 3 = 5, and db4 allows ⌊log₂ (280 / 7)⌋ = 5; of 100 frames 3 of 3, of 20 frames 1
    assert [levels(280), levels(100), levels(20), levels(1)] == [5, 3, 1, 1]


def test_wfs_sb_divides_the_budget_between_both_sides_of_a_step() -> None:
    index, texts = frames_with([0.2] * 4 + [0.7] * 4)
    # Spread: 0 0 0 0 1 1 1 1, one boundary, at frame 4. Importance: 0.4 · ½ = 0.2, 0.4 · ½ + 0.2 + 0.3 = 0.7;
    # of three frames the softmax gives 1.13 and 1.87: one and two. The first of equals is taken.
    assert picked("wfs-sb", index, texts, 3) == [0, 4, 5]
    # of four 1.51 and 2.49: the larger remainder is the first one's
    assert picked("wfs-sb", index, texts, 4) == [0, 1, 4, 5]


def test_wfs_sb_without_a_boundary_takes_half_uniform_and_half_best_frames() -> None:
    index, texts = frames_with(np.full(9, 0.3))
    assert picked("wfs-sb", index, texts, 4) == [0, 1, 2, 8]  # uniform 0 and 8, then the first of equals


def test_dig_spreads_frames_over_the_segments_around_the_best_one() -> None:
    looks = np.repeat(np.eye(8), 5, axis=0)  # eight segments of five frames
    index = dense_index(looks, np.arange(40), np.ones((40, 1)))
    text = np.array([[0.0, 0.2, 0.1, 0.3, 0.0, 1.0, 0.2, 0.0]])
    # Boundaries: 0 4 9 14 19 24 29 34 39. Off the mean once, 0.36, only segment 5 is left, as with half the
    # best; two boundaries more on both sides: from boundary 3, frame 14, to boundary 7, frame 34.
    assert picked("dig", index, text, 3) == [14, 24, 34]
    assert picked("dig", index, np.ones((1, 8)), 3) == [0, 19, 39]  # no segment stands out: the whole video


def test_tass_keeps_twenty_seconds_and_halves_the_gap_until_the_budget_is_full() -> None:
    profile = np.full(60, 0.1)
    profile[[5, 6, 12, 30, 32, 45]] = [0.9, 0.8, 0.7, 0.6, 0.5, 0.4]
    index, texts = frames_with(profile)
    assert picked("tass", index, texts, 2) == [5, 30]  # 6 and 12 lie nearer than 20 s to 5
    # then none is 20 s from both; at 10 s comes 45 (6, 12 and 32 are too near), at 5 s comes 12
    assert picked("tass", index, texts, 3) == [5, 30, 45]
    assert picked("tass", index, texts, 4) == [5, 12, 30, 45]
    assert picked("tass", index, texts, 6) == [5, 6, 12, 30, 32, 45]  # all that are above the mean
    assert picked("tass", index, texts, 9) == [5, 6, 12, 30, 32, 45]  # never more


def test_adard_key_weighs_relevance_against_what_a_frame_adds() -> None:
    rows = [[1.0, 0.0, 0.0], [1.0, 0.0, 0.0], [0.9, 0.0, np.sqrt(0.19)], [0.6, 0.8, 0.0]]
    index = dense_index(rows, np.arange(4), np.ones((4, 1)))
    text = np.array([[1.0, 0.0, 0.0]])
    # Relevance 1, 1, 0.75, 0. Second choice: the double 1 + ½ log 2e-6 = −5.6; the third frame
    # 0.75 + ½ log 0.19 = −0.08; the last 0 + ½ log 0.64 = −0.22.
    assert picked("adard-key", index, text, 2) == [0, 2]
    # all as relevant: the determinant alone, the frame least like the first
    assert picked("adard-key", index, np.array([[0.0, 0.0, 0.0]]), 2) == [0, 3]


def test_himu_seq_leaves_out_what_does_not_come_in_order() -> None:
    # The first part is shown at 0 and 4, the second at 2: at 4 nothing follows.
    index, texts = frames_with([[0.9, 0, 0, 0, 0.9], [0, 0, 0.9, 0, 0]], stride_seconds=10)
    assert picked("himu-seq", index, texts, 2) == [0, 2]
    assert picked("himu-seq", index, texts[::-1], 2) == [2, 4]


def test_himu_right_after_takes_the_pair_that_follows_at_once() -> None:
    cause, effect = np.zeros(30), np.zeros(30)
    cause[[0, 14]], effect[[15, 29]] = 0.9, 0.9
    index, texts = frames_with([cause, effect])
    assert picked("himu-right-after", index, texts, 2) == [14, 15]


def test_himu_with_eight_frames_or_more_takes_a_peak_of_each_height_first() -> None:
    profile = np.full(90, 0.1)
    profile[40:50] = np.linspace(0.8, 0.9, 10)
    profile[[10, 75]] = 0.5
    index, texts = frames_with(profile)
    nine = picked("himu-seq", index, texts, 9)  # √9 = 3 peaks, then the best frames of all
    assert {10, 75} < set(nine) and len(set(nine) & set(range(40, 50))) >= 6
    assert picked("top-k", index, texts, 9) == list(range(41, 50))


def test_toolmerge_merges_percentile_ranks_by_their_maximum_or_minimum() -> None:
    index, texts = frames_with([[0.7, 0.1, 0.5, 0.2, 0.3], [0.1, 0.7, 0.6, 0.2, 0.3]])
    # Ranks 1 0 ¾ ¼ ½ and 0 1 ¾ ¼ ½. Or: 1 1 ¾ ¼ ½; the gap of 5 / 4 s keeps frame 1 from frame 0.
    assert picked("toolmerge-or", index, texts, 2) == [0, 2]
    # And: 0 0 ¾ ¼ ½
    assert picked("toolmerge-and", index, texts, 2) == [2, 4]


def test_the_sides_of_a_question_are_parts_for_the_methods_that_use_logic() -> None:
    question = "Who is seen first, the woman in red or the robot in purple?"
    chosen = select_keyframes(demo_video(), question=question, encoder="cartoon", method="toolmerge-or")
    assert chosen.method == "toolmerge-or" and 1 <= len(chosen.seconds) <= 3
    with pytest.raises(OptionsError, match="guided by a text"):
        select_keyframes(demo_video(), method="himu-seq")
