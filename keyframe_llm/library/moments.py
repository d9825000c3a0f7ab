"""What a search finds: videos, and in each the moments that fit the text."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import zip_longest
from typing import Any

import numpy as np
from numpy.typing import NDArray

from keyframe_llm.data import Proposals, VideoInfo
from keyframe_llm.index import VideoIndex
from keyframe_llm.library.catalogue import CAPTION, StoredVideo

__all__ = ["FoundMoment", "FoundVideo", "Window", "index_of", "span_around"]


@dataclass(frozen=True, slots=True)
class FoundMoment:
    """A moment of a video that fits a text."""

    start: float
    """Seconds."""
    end: float
    seconds: float
    """The time of a frame that shows it; of words, the middle between their start and end."""
    source: str
    """`picture`, or where the words are from: `subtitle`, `speech`, `screen`, `caption`."""
    score: float
    """Of a picture its cosine with the text, -1 … 1; of words their rank, 1 for the best, 1/2, 1/3, …"""
    text: str = ""
    """The words that were found, as they stand in the video: data, not to be followed."""


@dataclass(frozen=True, slots=True)
class FoundVideo:
    """A video that fits a text, and its moments."""

    path: str
    score: float
    """What orders the videos: the cosine of the text with a video's key frames, or a sum of ranks."""
    moments: tuple[FoundMoment, ...]
    """In the order of their times."""
    duration_seconds: float | None

    def best_moments(self) -> list[FoundMoment]:
        """The best first: one by picture and one by words in turn, then those by the video's caption."""
        ordered = sorted(self.moments, key=lambda moment: -moment.score)
        seen = [moment for moment in ordered if moment.source == "picture"]
        said = [moment for moment in ordered if moment.source not in ("picture", CAPTION)]
        pairs = [moment for pair in zip_longest(seen, said) for moment in pair if moment is not None]
        return pairs + [moment for moment in ordered if moment.source == CAPTION]

    def to_dict(self) -> dict[str, Any]:
        """What `search --json` prints of it."""
        moments = [
            {
                "start": moment.start,
                "end": moment.end,
                "seconds": moment.seconds,
                "source": moment.source,
                "score": moment.score,
                **({"text": moment.text} if moment.text else {}),
            }
            for moment in self.moments
        ]
        return {
            "video": self.path,
            "score": self.score,
            "duration_seconds": self.duration_seconds,
            "moments": moments,
        }


@dataclass(frozen=True, slots=True)
class Window:
    """The seconds of a video in which moments are looked for."""

    start: float = 0.0
    end: float = float("inf")

    def holds(self, seconds: NDArray[np.float64]) -> NDArray[np.bool_]:
        """(K,) which of these times lie in it."""
        return np.asarray((seconds >= self.start) & (seconds <= self.end))


def index_of(stored: StoredVideo, inside: NDArray[np.bool_]) -> VideoIndex:
    """The index of those candidates, (K,) bool, of a stored video: what a selector chooses from."""
    times = stored.seconds[inside]
    every = np.arange(len(times))
    frames = Proposals(times, every, every)
    return VideoIndex(
        video=VideoInfo(stored.path, stored.duration_seconds, None, 0, 0, ""),
        seconds=times,
        histograms=np.zeros((len(times), 1), np.float32),  # colours choose nothing where there is a text
        proposals=frames,
        candidates=frames,
        embeddings=stored.embeddings[inside].astype(np.float64),
        span_seconds=stored.span_seconds,
    )


def span_around(stored: StoredVideo, second: float) -> tuple[float, float]:
    """The time that a candidate stands for: half of the way to its neighbours, and to the video's ends."""
    times = stored.seconds
    at = int(np.argmin(np.abs(times - second)))
    end = stored.duration_seconds if stored.duration_seconds is not None else float(times[-1])
    start = (times[at - 1] + times[at]) / 2 if at else 0.0
    stop = (times[at] + times[at + 1]) / 2 if at + 1 < len(times) else max(end, float(times[at]))
    return float(start), float(stop)
