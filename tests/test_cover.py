"""Choosing with no text: the frames that together stand for the video, and the share each stands for."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from keyframe_llm.errors import OptionsError
from keyframe_llm.scoring.cover import cover, likeness, share_scores


def chosen_of(seconds: object, histograms: object, sizes: object, **options: object) -> list[int]:
    """The indices that `cover` chooses; three frames and no gap where nothing else is given."""
    defaults = {"max_frames": 3, "gap_seconds": 0.0}
    return cover(seconds, histograms, sizes, **(defaults | options))[0].tolist()  # type: ignore[arg-type]  # any option


def test_one_frame_of_each_colour_comes_before_a_second_of_any() -> None:
    rows = np.repeat(np.eye(3), [5, 2, 1], axis=0)
    chosen = chosen_of(np.arange(8.0), rows, np.ones(8))
    assert sorted(rows[chosen].argmax(axis=1)) == [0, 1, 2]


def test_an_unbroken_shot_is_spread_over_time() -> None:
    first, second, third = chosen_of(np.arange(31.0), np.ones((31, 2)), np.ones(31))
    assert first <= 10 <= second <= 20 <= third


def test_the_choice_is_as_good_as_greedy_choice_promises() -> None:
    rng = np.random.default_rng(5)
    rows, sizes, seconds = rng.random((9, 4)) ** 3, rng.integers(1, 9, 9), np.cumsum(rng.uniform(1, 5, 9))
    near = likeness(rows, seconds)

    def covered(kept: tuple[int, ...] | list[int]) -> float:
        return float(near[list(kept)].max(axis=0) @ sizes)

    best = max(covered(kept) for kept in itertools.combinations(range(9), 3))
    assert covered(chosen_of(seconds, rows, sizes)) >= (1 - 1 / np.e) * best


def test_a_score_is_the_share_of_the_video_that_a_key_frame_stands_for() -> None:
    rows = np.repeat(np.eye(2), [3, 1], axis=0)
    chosen, scores = cover(np.arange(4.0), rows, [2.0, 2.0, 2.0, 4.0], max_frames=2, gap_seconds=0.0)
    assert scores.total[chosen].tolist() == pytest.approx([0.6, 0.4])
    assert scores.total.sum() == pytest.approx(1.0) and scores.weights == (0.0, 0.0, 0.0)
    assert np.isnan(scores.semantic).all() and np.isnan(scores.temporal).all() and np.isnan(scores.drop).all()
    assert scores.name == "share of the video" and scores.are_shares
    again = share_scores(chosen.tolist(), np.arange(4.0), rows, [2.0, 2.0, 2.0, 4.0])
    np.testing.assert_array_equal(again.total, scores.total)


def test_frames_that_stand_for_too_little_are_dropped_but_one_always_stays() -> None:
    rows, sizes = np.repeat(np.eye(3), [5, 4, 1], axis=0), np.ones(10)
    assert len(chosen_of(np.arange(10.0), rows, sizes)) == 3
    assert len(chosen_of(np.arange(10.0), rows, sizes, least_share=0.3)) == 2
    assert len(chosen_of(np.arange(10.0), rows, sizes, least_share=1.0)) == 1


@given(
    st.integers(0, 2**32 - 1),
    st.integers(1, 25),
    st.integers(1, 6),
    st.sampled_from([0.0, 0.5, 3.0]),
)
def test_the_promises_of_cover_hold_for_any_video(seed: int, count: int, budget: int, gap: float) -> None:
    rng = np.random.default_rng(seed)
    seconds, sizes = np.cumsum(rng.uniform(0.1, 4, count)), rng.uniform(0.1, 5, count)
    rows = rng.random((count, 4)) * (rng.random((count, 4)) < 0.7) + 1e-9
    chosen, scores = cover(seconds, rows, sizes, max_frames=budget, gap_seconds=gap)
    assert 1 <= len(chosen) <= budget
    assert np.all(np.diff(chosen) > 0) and np.all(np.diff(seconds[chosen]) >= gap)
    assert scores.total.sum() == pytest.approx(1.0)
    assert not np.delete(scores.total, chosen).any() and np.all(scores.total[chosen] > 0)
    again, same = cover(seconds, rows, sizes, max_frames=budget, gap_seconds=gap)
    np.testing.assert_array_equal(again, chosen)
    np.testing.assert_array_equal(same.total, scores.total)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"histograms": np.ones((3, 2))}, r"give \(2, D\)"),
        ({"sizes": [1]}, "give 2 numbers"),
        ({"sizes": [0, 0]}, "not all 0"),
        ({"max_frames": 0}, "max_frames is 0"),
        ({"exclude_seconds": [0.0, 1.0]}, "exclude_seconds"),
    ],
)
def test_wrong_input_is_named(change: dict[str, object], message: str) -> None:
    arguments = {"seconds": [0.0, 1.0], "histograms": np.ones((2, 2)), "sizes": [1, 1]} | change
    with pytest.raises(OptionsError, match=message):
        chosen_of(**arguments)
