"""Which frames are kept by their scores: threshold, budget, gap, and look-alikes that wait."""

from __future__ import annotations

import numpy as np
import pytest

from keyframe_llm.errors import OptionsError
from keyframe_llm.proposals.spacing import SAME_SECONDS, default_gap
from keyframe_llm.scoring.choose import adaptive_threshold, select

TASKS = ["retrieval", "classification", "summary", "question"]


@pytest.mark.parametrize("task", TASKS)
def test_the_choice_is_within_the_budget_not_empty_in_time_order_and_apart(task):
    rng = np.random.default_rng(0)
    for _ in range(200):
        count, budget = int(rng.integers(1, 40)), int(rng.integers(1, 6))
        seconds = np.cumsum(rng.uniform(0.1, 4, count))
        features = rng.random((count, 5)) if rng.random() < 0.5 else None
        chosen = select(
            rng.random(count),
            seconds,
            max_frames=budget,
            task=task,
            duration_seconds=seconds[-1],
            features=features,
        )
        assert 1 <= len(chosen) <= budget
        assert np.all(np.diff(chosen) > 0)
        more_of_a_moment = features is not None and task != "summary"
        gap = SAME_SECONDS if more_of_a_moment else default_gap(seconds[-1])
        assert np.all(np.diff(seconds[chosen]) >= gap)


def test_the_best_frame_is_always_kept():
    scores = [0.2, 0.1, 0.9, 0.3]
    chosen = select(scores, [0, 1, 2, 3], max_frames=3, duration_seconds=4, threshold=1.0)
    np.testing.assert_array_equal(chosen, [2])


def test_neighbours_of_the_best_do_not_fill_the_budget():
    seconds = np.arange(100.0)
    scores = np.zeros(100)
    scores[[50, 51, 52, 49]] = [1.0, 0.98, 0.97, 0.96]
    scores[[10, 90]] = [0.8, 0.7]
    chosen = select(scores, seconds, max_frames=3, duration_seconds=100)
    np.testing.assert_array_equal(chosen, [10, 50, 90])


def test_one_event_is_answered_with_one_frame():
    scores = np.full(30, 0.1)
    scores[12] = 1.0
    for task in ("question", "retrieval", "classification"):
        chosen = select(scores, np.arange(30.0), max_frames=3, task=task, duration_seconds=30)
        np.testing.assert_array_equal(chosen, [12])


def test_what_other_moments_leave_shows_the_moment_from_its_first_to_its_last_frame():
    rows = np.eye(4)[[0] * 10 + [1] * 5 + [2] * 10 + [3] * 5]
    scores = np.full(30, 0.1)
    scores[11] = 1.0
    for task in ("question", "retrieval"):
        chosen = select(scores, np.arange(30.0), max_frames=3, task=task, duration_seconds=30, features=rows)
        np.testing.assert_array_equal(chosen, [10, 11, 14])
    chosen = select(
        scores, np.arange(30.0), max_frames=3, duration_seconds=30, features=rows, min_gap_seconds=3
    )
    np.testing.assert_array_equal(chosen, [11, 14])
    chosen = select(scores, np.arange(30.0), max_frames=3, duration_seconds=30, features=rows, threshold=0.5)
    np.testing.assert_array_equal(chosen, [11])


def test_a_question_keeps_a_third_of_its_frames_for_more_of_the_best_moment():
    rows = np.eye(5)[[0] * 4 + [1] * 4 + [2] * 4 + [3] * 4 + [4] * 4]
    scores = np.repeat([0.0, 1.0, 0.9, 0.8, 0.1], 4)
    seconds = 3 * np.arange(20.0)
    arguments = {"max_frames": 3, "duration_seconds": 60, "features": rows}
    np.testing.assert_array_equal(select(scores, seconds, task="retrieval", **arguments), [4, 8, 12])
    np.testing.assert_array_equal(select(scores, seconds, task="question", **arguments), [4, 7, 8])


def test_a_moment_ends_where_something_else_comes_between():
    rows = np.eye(3)[[0, 1, 1, 2, 1, 1, 0]]
    scores = [0.0, 1.0, 0.0, 0.0, 0.0, 0.0, 0.0]
    chosen = select(scores, np.arange(7.0), max_frames=3, duration_seconds=7, task="question", features=rows)
    np.testing.assert_array_equal(chosen, [1, 2])


def test_a_repeat_has_the_looks_and_the_colours_of_a_chosen_frame():
    """Two dogs (0 and 1) look alike to the encoder; frame 2 repeats frame 0 in colours too; 3 is a car."""
    features = np.array([[1.0, 0.0], [1.0, 0.0], [1.0, 0.0], [0.0, 1.0]])
    colours = np.array([[1.0, 0.0, 0.0], [0.0, 1.0, 0.0], [1.0, 0.0, 0.0], [0.0, 0.0, 1.0]])
    scores, seconds = [1.0, 0.8, 0.9, 0.5], np.arange(4.0)
    options = {"duration_seconds": 4.0, "threshold": 0.0, "features": features, "min_gap_seconds": 0.0}
    kept = select(scores, seconds, max_frames=2, histograms=colours, **options)
    np.testing.assert_array_equal(kept, [0, 1])
    np.testing.assert_array_equal(select(scores, seconds, max_frames=2, **options), [0, 3])
    # Before a fixed camera all frames have the same colours: there the encoder alone tells repeats.
    kept = select(scores, seconds, max_frames=2, histograms=np.ones((4, 3)), **options)
    np.testing.assert_array_equal(kept, [0, 3])


def test_the_same_colours_are_a_cosine_of_seven_tenths():
    features = np.array([[1.0, 0.0], [1.0, 0.0], [-1.0, 0.0]])
    options = {"duration_seconds": 3.0, "threshold": 0.0, "features": features, "min_gap_seconds": 0.0}
    for cosine, expected in ((0.71, [0, 2]), (0.69, [0, 1])):
        colours = np.array([[1.0, 0.0], [cosine, np.sqrt(1 - cosine**2)], [0.0, 1.0]])
        kept = select([1.0, 0.9, 0.1], np.arange(3.0), max_frames=2, histograms=colours, **options)
        np.testing.assert_array_equal(kept, expected)


def test_histograms_of_another_length_are_refused():
    with pytest.raises(OptionsError, match="histograms are"):
        select([1.0, 0.5], [0, 1], max_frames=1, duration_seconds=2, features=np.eye(2), histograms=np.eye(3))


def test_equal_scores_fill_the_budget():
    chosen = select(np.full(10, 0.3), 3 * np.arange(10.0), max_frames=3, duration_seconds=30)
    assert len(chosen) == 3


def test_a_given_threshold_and_gap_hold_exactly():
    scores, seconds = [0.9, 0.8, 0.7, 0.6], [0.0, 1.0, 2.0, 3.0]
    kept = select(scores, seconds, max_frames=4, duration_seconds=3, threshold=0.7, min_gap_seconds=0)
    np.testing.assert_array_equal(kept, [0, 1, 2])
    kept = select(scores, seconds, max_frames=4, duration_seconds=3, threshold=0.0, min_gap_seconds=2)
    np.testing.assert_array_equal(kept, [0, 2])


def test_a_question_is_stricter_than_retrieval_than_a_class_than_a_summary():
    scores = np.random.default_rng(3).random(50)
    levels = [adaptive_threshold(scores, t) for t in ("summary", "classification", "retrieval", "question")]
    assert levels == sorted(levels) and len(set(levels)) == 4
    assert scores.mean() == pytest.approx(levels[0]) and levels[-1] < scores.max()


def test_the_gap_follows_the_video_up_to_eight_seconds():
    assert default_gap(20) == 1
    assert default_gap(3600) == 8
    assert default_gap(None) == 0


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"scores": []}, "at least one"),
        ({"scores": [0.1, np.nan]}, "finite"),
        ({"seconds": [1.0, 1.0]}, "ascending"),
        ({"seconds": [1.0]}, "one per score"),
        ({"max_frames": 0}, "max_frames is 0"),
        ({"task": "chess"}, "choose one of retrieval"),
        ({"threshold": np.nan}, "threshold is nan"),
        ({"min_gap_seconds": -1.0}, "min_gap_seconds is -1.0"),
        ({"task": "summary", "features": np.ones((3, 2))}, r"give \(2, D\)"),
    ],
)
def test_wrong_input_is_named(change, message):
    options = {"scores": [0.1, 0.2], "seconds": [0.0, 1.0], "max_frames": 2, "duration_seconds": 2.0} | change
    with pytest.raises(OptionsError, match=message):
        select(options.pop("scores"), options.pop("seconds"), **options)


@pytest.mark.parametrize("rounding", [-3e-8, 0.0, 3e-8])
def test_of_two_frames_that_differ_by_rounding_the_earlier_is_chosen(rounding: float) -> None:
    chosen = select(
        [0.2, 0.9, 0.3, 0.9 + rounding], [0.0, 10.0, 20.0, 30.0], max_frames=1, duration_seconds=31
    )
    assert chosen.tolist() == [1]
