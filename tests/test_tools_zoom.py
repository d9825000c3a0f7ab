"""Looking again, closer: a window of time, and frames already seen left out."""

from __future__ import annotations

import numpy as np
import pytest

from keyframe_llm import OptionsError, SelectOptions
from keyframe_llm.selection import select

SECONDS = np.arange(10.0)
SCORES = np.array([0.1, 0.2, 0.9, 0.3, 0.1, 0.8, 0.2, 0.1, 0.7, 0.1])


def test_the_next_best_frame_is_chosen_instead_of_one_already_seen() -> None:
    best = select(SCORES, SECONDS, max_frames=1, duration_seconds=10.0)
    again = select(SCORES, SECONDS, max_frames=1, duration_seconds=10.0, exclude_seconds=SECONDS[best])
    assert (SECONDS[best], SECONDS[again]) == (2.0, 5.0)


def test_a_rounded_time_still_names_the_frame_seen_even_without_a_gap() -> None:
    found = select(
        SCORES,
        SECONDS + 0.04,
        max_frames=10,
        duration_seconds=None,
        threshold=0.0,
        min_gap_seconds=0.0,
        exclude_seconds=[2.0, 5.09],
    )
    assert found.tolist() == [0, 1, 3, 4, 6, 7, 8, 9]


def test_excluding_widens_to_the_gap_between_key_frames() -> None:
    found = select(
        SCORES, SECONDS, max_frames=10, duration_seconds=10.0, min_gap_seconds=2.5, exclude_seconds=[2.0]
    )
    assert SECONDS[found].min() >= 4.5


def test_what_was_seen_counts_as_covered_in_a_summary() -> None:
    looks = np.array([[1, 0, 0]] * 4 + [[0, 1, 0]] * 4 + [[0, 0, 1]] * 2, float)
    covered = select(
        np.full(10, 0.5),
        SECONDS,
        max_frames=2,
        duration_seconds=10.0,
        task="summary",
        features=looks,
        exclude_seconds=[1.0],
    )
    assert [int(looks[i].argmax()) for i in covered] == [1, 2]


def test_excluding_everything_says_what_to_do_instead() -> None:
    with pytest.raises(OptionsError, match="narrower or another window"):
        select(SCORES, SECONDS, max_frames=3, duration_seconds=10.0, exclude_seconds=SECONDS)


def test_excluded_times_are_checked() -> None:
    with pytest.raises(OptionsError, match="exclude_seconds is -1"):
        SelectOptions(exclude_seconds=(-1.0,))
