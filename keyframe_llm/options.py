"""The options of a selection, with defaults and ranges, checked once.

The defaults are the ones measurements speak for; docs say where they came from.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, Literal, get_args

from keyframe_llm.errors import OptionsError

__all__ = ["Backend", "Guide", "Method", "Pooling", "Proposer", "SelectOptions", "Task"]

Backend = Literal["pyav", "decord"]
Guide = Literal["auto", "caption", "question", "both"]
Method = Literal["moments", "paper"]
Pooling = Literal["mean", "text"]
Proposer = Literal["stacfp", "ufp", "scfp"]
Task = Literal["retrieval", "classification", "summary", "question"]


@dataclass(frozen=True, slots=True, kw_only=True)
class SelectOptions:
    """How key frames are found. Raises `OptionsError` on a value out of range."""

    max_frames: int = 3
    """At most this many key frames, 1–64."""
    fps: float = 2.0
    """Frames looked at per second of video, above 0 and up to 60; long videos are sampled more thinly."""
    max_samples: int = 2000
    """At most this many frames looked at, 2–20,000, however long the video; a longer stride follows."""
    exhaustive: bool = False
    """Look as densely at every part of a long video, also where little seems to change between key frames."""
    start_seconds: float | None = None
    """Look at nothing before this second."""
    end_seconds: float | None = None
    """Look at nothing after this second."""
    exclude_seconds: tuple[float, ...] = ()
    """Choose no frame as near to these times as key frames may lie to each other: frames already seen. Where
    that leaves none, the window is looked at more closely, for frames in between."""
    proposer: Proposer = "stacfp"
    """`stacfp`; or the paper's baselines `ufp` (uniform, 8 frames) and `scfp` (colour alone)."""
    gamma_time: float = 5.0
    """γ_time of STACFP, 0–50: the weight of time against colour; the paper's range is 5–20."""
    k_max: int | None = None
    """At most this many proposals, at least 2; None follows the video's length."""
    method: Method = "moments"
    """`moments`: up to `max_images` frames are proposed, scored by how much better the text fits them than
    plain texts do, and looks already chosen wait; `paper`: one frame for each cluster, as published."""
    max_images: int = 128
    """With a text, propose and embed about this many frames, 1–20,000; more only where `k_max` is larger."""
    weights: tuple[float, float, float] = (0.5, 0.0, 0.5)
    """α, β, γ of equation 1 (semantic, temporal, drop): each 0–1, together 1."""
    pooling: Pooling = "mean"
    """How frames make the video embedding: their `mean`, or `text`-guided attention."""
    guide: Guide = "auto"
    """The text that scores: `caption`, `question` or `both`; `auto` takes what is given."""
    task: Task | None = None
    """Whose adaptive threshold to use; None follows what is asked: question, else retrieval."""
    threshold: float | None = None
    """Keep proposals scoring at least this, 0–1; None adapts to the task and the scores."""
    min_gap_seconds: float | None = None
    """Key frames lie at least this far apart, in seconds; None follows the video's length."""
    max_picture_pixels: int | None = None
    """Decode no picture of more pixels, width times height: for files of strangers. None takes any."""
    backend: Backend = "pyav"
    """Which library decodes: `pyav`, or `decord` where it is installed."""
    hardware: str | None = None
    """Kind of device that decodes: `cuda`, `vaapi`, `qsv`, `videotoolbox`, …; None: the processor."""
    seed: int = 0
    """Seed of the clustering; the same seed gives the same frames."""

    @classmethod
    def paper(cls, **changes: Any) -> SelectOptions:
        """The method as published: one frame for each cluster, S + T + D in equal parts, no gap."""
        published: dict[str, Any] = {
            "method": "paper",
            "weights": (1 / 3, 1 / 3, 1 / 3),
            "min_gap_seconds": 0.0,
        }
        return cls(**(published | changes))

    def __post_init__(self) -> None:
        _whole("max_frames", self.max_frames, 1, 64)
        _within("fps", self.fps, 0.0, 60.0, above=True)
        _whole("max_samples", self.max_samples, 2, 20_000)
        _within("gamma_time", self.gamma_time, 0.0, 50.0)
        _whole("max_images", self.max_images, 1, 20_000)
        if self.k_max is not None:
            _whole("k_max", self.k_max, 2, 10_000)
        if self.max_picture_pixels is not None:
            _whole("max_picture_pixels", self.max_picture_pixels, 1, 1 << 31)
        if self.threshold is not None:
            _within("threshold", self.threshold, 0.0, 1.0)
        if self.min_gap_seconds is not None:
            _within("min_gap_seconds", self.min_gap_seconds, 0.0, math.inf)
        _one_of("proposer", self.proposer, get_args(Proposer))
        _one_of("method", self.method, get_args(Method))
        _one_of("pooling", self.pooling, get_args(Pooling))
        _one_of("guide", self.guide, get_args(Guide))
        _one_of("backend", self.backend, get_args(Backend))
        if self.task is not None:
            _one_of("task", self.task, get_args(Task))
        _check_weights(self.weights)
        _check_window(self.start_seconds, self.end_seconds)
        for second in self.exclude_seconds:
            _within("exclude_seconds", second, 0.0, math.inf)


def _whole(name: str, value: object, low: int, high: int) -> None:
    if isinstance(value, bool) or not isinstance(value, int) or not low <= value <= high:
        raise OptionsError(f"{name} is {value!r}; give a whole number from {low} to {high}")


def _within(name: str, value: float, low: float, high: float, *, above: bool = False) -> None:
    in_range = isinstance(value, (int, float)) and low <= value <= high and math.isfinite(value)
    if not in_range or (above and value == low):
        span = f"above {low:g} and up to {high:g}" if above else f"from {low:g} to {high:g}"
        raise OptionsError(f"{name} is {value!r}; give a number {span}")


def _one_of(name: str, value: object, allowed: tuple[str, ...]) -> None:
    if value not in allowed:
        raise OptionsError(f"{name} is {value!r}; choose one of {', '.join(allowed)}")


def _check_weights(weights: tuple[float, float, float]) -> None:
    if (
        len(weights) != 3
        or any(not 0 <= w <= 1 for w in weights)
        or not math.isclose(sum(weights), 1.0, abs_tol=1e-6)
    ):
        raise OptionsError(
            f"weights are {tuple(weights)!r}; give three numbers from 0 to 1 that sum to 1 "
            "(semantic, temporal, drop)"
        )


def _check_window(start: float | None, end: float | None) -> None:
    for name, value in (("start_seconds", start), ("end_seconds", end)):
        if value is not None:
            _within(name, value, 0.0, math.inf)
    if start is not None and end is not None and end <= start:
        raise OptionsError(f"end_seconds is {end!r}, not after start_seconds {start!r}; give a later end")
