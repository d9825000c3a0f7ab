"""Which samples are kept where a video gives more than allowed."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from keyframe_llm.data import VideoInfo
from keyframe_llm.options import DecodeOptions
from keyframe_llm.proposals.sample import sample_video
from keyframe_llm.video import DecodePlan, SimpleDecoder, open_video

LONG_SECONDS, EVENT = 400.0, (303.0, 304.6)


@pytest.fixture(scope="module")
def long_video(videos: Any, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Nearly seven minutes of grey noise, green during `EVENT`."""
    path: Path = videos.long_video(tmp_path_factory.mktemp("long") / "long.mp4", LONG_SECONDS, EVENT)
    return path


class Recurring(SimpleDecoder):
    """Five pictures that return for hours, and one picture that is shown once."""

    def __init__(self, once: int) -> None:
        super().__init__()
        self.once = once
        self.info = VideoInfo("recurring", 15_000.0, 0.2, 16, 16, "none")

    def read(self, from_seconds: float) -> Iterator[tuple[float, np.ndarray]]:
        colours = np.random.default_rng(0).integers(0, 255, (6, 16, 16, 3)).astype(np.uint8)
        for i in range(3000):
            yield 5.0 * i, colours[5 if i == self.once else i % 5]

    def plan(self, stride_seconds: float, **_window: Any) -> DecodePlan:
        return DecodePlan("sparse", "a few frames")

    def sample(self, stride_seconds: float, **_window: Any) -> Any:
        return ((second, image) for second, image in self.read(0.0))


def sampled(video: Any, **options: Any) -> Any:
    return sample_video(
        video, DecodeOptions(**options), picture_side=None, progress=lambda stage, share: None
    )


def test_a_picture_shown_once_outlives_those_that_return_for_hours() -> None:
    samples = sampled(Recurring(once=1234), max_samples=100)
    assert len(samples.seconds) <= 100 and 5.0 * 1234 in samples.seconds
    assert np.diff(samples.seconds).max() < 3000  # of 15,000; which of equals stays is up to rounding


def test_an_exhaustive_sampling_is_dense_everywhere(long_video: Path) -> None:
    with open_video(long_video) as video:
        samples = sampled(video, exhaustive=True)
    assert np.diff(samples.seconds).max() <= 0.8
    assert not samples.plan.startswith("sparse")


def test_repetitions_are_dropped_first_where_there_are_too_many_samples(long_video: Path) -> None:
    with open_video(long_video) as video:
        samples = sampled(video, max_samples=60)
    assert len(samples.seconds) <= 60
    assert any(EVENT[0] <= second < EVENT[1] for second in samples.seconds)
    assert samples.seconds[0] < 30 and samples.seconds[-1] > LONG_SECONDS - 60
