"""A second selection: within a window of time, and without the frames already seen."""

from __future__ import annotations

from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest

from keyframe_llm import KeyframeLLM, OptionsError, SelectOptions
from keyframe_llm.scoring.choose import select
from keyframe_llm.scoring.cover import cover

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
    features = np.array([[1, 0, 0]] * 4 + [[0, 1, 0]] * 4 + [[0, 0, 1]] * 2, float)
    covered, _ = cover(SECONDS, features, np.ones(10), max_frames=2, gap_seconds=1.0, exclude_seconds=[1.0])
    assert [int(features[i].argmax()) for i in covered] == [1, 2]


def test_excluding_everything_says_what_to_do_instead() -> None:
    with pytest.raises(OptionsError, match="narrower or another window"):
        select(SCORES, SECONDS, max_frames=3, duration_seconds=10.0, exclude_seconds=SECONDS)


def test_excluded_times_are_checked() -> None:
    with pytest.raises(OptionsError, match="exclude_seconds is -1"):
        SelectOptions(exclude_seconds=(-1.0,))


@pytest.mark.parametrize("text", [{}, {"caption": "red"}, {"question": "Is it green?"}])
def test_a_short_window_is_looked_at_more_and_more_closely_until_every_frame_was_seen(
    videos: ModuleType, tmp_path: Path, text: dict[str, str]
) -> None:
    """A second and a half of 10 frames a second: fifteen frames, far more than are proposed at first."""
    video = videos.draw(tmp_path / "numbers.mp4", [i / 10 for i in range(40)], rate=10)
    llm = KeyframeLLM(encoder=videos.ColourEncoder())
    window: dict[str, Any] = {"start_seconds": 1.0, "end_seconds": 2.45, "max_frames": 2}
    seen: list[float] = []
    for _ in range(20):
        try:
            found = llm.select(video, exclude_seconds=tuple(seen), **window, **text)
        except OptionsError as error:
            assert "nothing more to see from 1.0 to 2.4 s" in str(error)
            break
        assert 1 <= len(found.seconds) <= 2
        assert all(1.0 <= second <= 2.45 for second in found.seconds)
        assert all(abs(second - known) > 0.05 for second in found.seconds for known in seen)
        shown = [videos.number(image) for image in found.frames.images]
        assert shown == [round(second * 10) for second in found.seconds]
        seen += found.seconds.tolist()
    assert sorted(round(second * 10) for second in seen) == list(range(10, 25))


def test_the_frames_between_those_seen_come_before_their_neighbours(
    videos: ModuleType, tmp_path: Path
) -> None:
    video = videos.draw(tmp_path / "numbers.mp4", [i / 25 for i in range(100)], rate=25)
    seen = tuple(np.arange(0.0, 4.0, 0.25).tolist())  # all frames of the first sampling
    found = KeyframeLLM().select(video, exclude_seconds=seen, max_frames=1)
    assert min(abs(found.seconds[0] - known) for known in seen) >= 0.1


def test_a_gap_that_was_asked_for_is_kept_where_it_leaves_nothing(videos: ModuleType, tmp_path: Path) -> None:
    video = videos.draw(tmp_path / "numbers.mp4", [i / 10 for i in range(40)], rate=10)
    with pytest.raises(OptionsError, match=r"nothing more to see .* within 3 s of exclude_seconds"):
        KeyframeLLM().select(video, exclude_seconds=(1.5,), min_gap_seconds=3.0)
