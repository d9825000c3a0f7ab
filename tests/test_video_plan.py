"""The planner chooses by cost, and the sampler by distance: both checked by hand."""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
import pytest

from keyframe_llm.video.costs import Survey
from keyframe_llm.video.plan import choose_plan
from keyframe_llm.video.sampling import sample_times


def survey(
    *, gop: float, anchor_gap: float | None = None, seconds: float = 600.0, fps: float = 25.0
) -> Survey:
    return Survey(round(seconds * fps), seconds, np.arange(0, seconds, gop), anchor_gap)


@pytest.mark.parametrize(
    ("video", "stride", "mode"),
    [
        (survey(gop=10.0, anchor_gap=0.16), 0.5, "reference"),
        (survey(gop=10.0), 0.5, "all"),
        (survey(gop=10.0, anchor_gap=0.16), 0.1, "all"),  # B-frames reach further than the stride
        (survey(gop=0.5), 0.5, "key"),
        (survey(gop=2.0, anchor_gap=0.16), 2.0, "key"),
        (survey(gop=2.0, anchor_gap=0.16), 20.0, "seek"),
        (survey(gop=0.04), 10.0, "seek"),
        (survey(gop=500.0), 30.0, "all"),
        (Survey(1000, math.inf, None, 0.1), 1.0, "reference"),
        (Survey(1000, math.inf, None, None), 1.0, "all"),
    ],
)
def test_the_cheapest_mode_is_chosen(video: Survey, stride: float, mode: str) -> None:
    plan = choose_plan(video, stride, 0.0, math.inf)
    assert plan.mode == mode
    assert "\n" not in plan.reason


def test_a_window_is_planned_by_its_own_key_frames() -> None:
    sparse_then_dense = np.concatenate([np.arange(0, 500, 50.0), np.arange(500, 600, 1.0)])
    video = Survey(15_000, 600.0, sparse_then_dense, None)
    assert choose_plan(video, 1.0, 0.0, 400.0).mode == "all"
    assert choose_plan(video, 1.0, 510.0, 590.0).mode in ("key", "seek")


class Tick(NamedTuple):
    seconds: float


class Ticks:
    """Frames at known times."""

    def __init__(self, *seconds: float) -> None:
        self.ticks = [Tick(s) for s in seconds]

    def around(self, seconds: float) -> tuple[Tick | None, Tick | None]:
        before = [t for t in self.ticks if t.seconds <= seconds]
        after = [t for t in self.ticks if t.seconds > seconds]
        return (before[-1] if before else None), (after[0] if after else None)


def sampled(
    *sources: Ticks, stride: float, start: float = 0.0, end: float = math.inf, duration: float = 10.0
) -> list[float]:
    return [t.seconds for t in sample_times(sources, stride, start, end, duration)]


def test_the_nearest_frame_is_taken() -> None:
    assert sampled(Ticks(0, 0.9, 1.2, 1.9, 3.2), stride=1.0, duration=3.3) == [0, 0.9, 1.9, 3.2]


def test_a_sparse_source_is_completed_from_the_next_one() -> None:
    every = Ticks(*np.arange(0, 6, 0.25))
    assert sampled(Ticks(0, 4.0), every, stride=1.0, duration=6.0) == [0, 1, 2, 3, 4, 5]


def test_a_gap_of_the_video_itself_shows_what_is_on_screen() -> None:
    assert sampled(Ticks(0, 0.2, 5.0), stride=1.0, duration=6.0) == [0, 0.2, 5.0]


def test_no_frame_is_given_twice_when_the_stride_is_shorter_than_a_frame() -> None:
    assert sampled(Ticks(0, 1, 2), stride=0.1, duration=3.0) == [0, 1, 2]


def test_the_window_holds() -> None:
    assert sampled(Ticks(*range(10)), stride=2.0, start=2.4, end=7.0) == [3, 4, 6]
    assert sampled(Ticks(*range(10)), stride=1.0, start=2.4, end=2.6) == [2]


def test_a_stated_length_that_is_too_short_loses_no_frames() -> None:
    assert sampled(Ticks(0, 1, 2, 3), stride=1.0, duration=1.5) == [0, 1, 2, 3]


def test_an_unknown_length_ends_with_the_frames() -> None:
    assert sampled(Ticks(0, 1, 2), stride=1.0, duration=math.inf) == [0, 1, 2]
