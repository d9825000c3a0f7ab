"""What flows through the program: video → frames → proposals → scores.

`VideoIndex` (`index/video_index.py`) and `Selection` (`selection.py`) are made of these types. All are frozen
and checked once, when they are made. A frame is named by its presentation time in seconds, never by an index
that only one decoder would understand. Times count from the first frame shown.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Literal

import numpy as np
from numpy.typing import NDArray

__all__ = [
    "STAGES",
    "CaptionSource",
    "Components",
    "Frames",
    "Progress",
    "Proposals",
    "Scores",
    "VideoInfo",
]

CaptionSource = Literal["given", "generated", "none"]

Progress = Callable[[str, float], None]
"""Called with a stage's name and how much of it is done, 0–1."""

STAGES: Mapping[str, str] = {
    "download": "downloading the video",
    "decode": "reading the video",
    "convert": "converting the encoder for this processor, once; it is kept in the cache folder",
    "listen": "recognising speech",
    "propose": "proposing frames",
    "screen": "reading text in the picture",
    "caption": "writing the caption",
    "embed": "comparing frames with the text",
    "score": "choosing frames",
    "answer": "answering",
    "classify": "comparing labels",
}
"""The stages that a progress callback hears of, in their order, and the words a person reads for each."""


@dataclass(frozen=True, slots=True)
class VideoInfo:
    """What is known of a video once it has been opened."""

    path: str
    duration_seconds: float | None
    """Length of what is shown, in seconds; None where neither the container says nor anything was decoded."""
    average_fps: float | None
    """Frames per second on average; None where the container does not say."""
    width: int
    """Pixels, upright: after the rotation the file asks for."""
    height: int
    codec: str
    """The name FFmpeg gives it: `h264`, `hevc`, `vp9`, …"""


@dataclass(frozen=True, slots=True, eq=False)
class Frames:
    """N pictures of one video, in time order."""

    images: NDArray[np.uint8]
    """(N, H, W, 3) RGB, 0–255, upright."""
    seconds: NDArray[np.float64]
    """(N,) presentation times, strictly ascending."""

    def __post_init__(self) -> None:
        if self.images.ndim != 4 or self.images.shape[3] != 3 or self.images.dtype != np.uint8:
            raise ValueError(
                f"images must be (N, H, W, 3) uint8, not {self.images.shape} {self.images.dtype}"
            )
        if self.seconds.shape != (len(self.images),):
            raise ValueError(f"seconds must be ({len(self.images)},), not {self.seconds.shape}")
        if np.any(np.diff(self.seconds) <= 0):
            raise ValueError("seconds must be strictly ascending")

    def __len__(self) -> int:
        return len(self.seconds)


@dataclass(frozen=True, slots=True, eq=False)
class Proposals:
    """K candidate frames out of N sampled ones."""

    sampled_seconds: NDArray[np.float64]
    """(N,) times of all sampled frames, ascending."""
    labels: NDArray[np.intp]
    """(N,) cluster of each sampled frame, 0 … K-1, numbered in time order of the representatives."""
    indices: NDArray[np.intp]
    """(K,) the representative of each cluster, as an index into `sampled_seconds`; ascending."""
    silhouettes: Mapping[int, float] = field(default_factory=dict)
    """Mean silhouette, -1 … 1, of every k that was tried; empty where nothing was clustered."""

    def __post_init__(self) -> None:
        if self.labels.shape != self.sampled_seconds.shape:
            raise ValueError(f"labels must be {self.sampled_seconds.shape}, not {self.labels.shape}")
        if len(self.indices) == 0 or np.any(np.diff(self.indices) <= 0):
            raise ValueError("indices must be strictly ascending and not empty")

    def __len__(self) -> int:
        return len(self.indices)

    @property
    def seconds(self) -> NDArray[np.float64]:
        """(K,) times of the proposals, ascending."""
        return self.sampled_seconds[self.indices]


@dataclass(frozen=True, slots=True, eq=False)
class Components:
    """The three parts of a KeyScore, each (K,) over the proposals."""

    semantic: NDArray[np.float64]
    temporal: NDArray[np.float64]
    drop: NDArray[np.float64]


@dataclass(frozen=True, slots=True, eq=False)
class Scores:
    """What chose among K candidates: KeyScore (equation 1) with everything it was made of.

    Where no text was given there is nothing to align with: all parts are NaN, and `total` is the share of the
    video that each key frame stands for (0 for candidates that were not chosen).
    """

    total: NDArray[np.float64]
    """(K,) the weighted sum, 0 … 1; with no text a share of the video, 0 … 1, together 1."""
    normalised: Components
    """The parts after min–max normalisation, 0 … 1."""
    raw: Components
    """Equations 2–4 as they stand: cosines -1 … 1, and a difference of cosines -2 … 2."""
    weights: tuple[float, float, float]
    """α, β, γ of equation 1: semantic, temporal, drop. They sum to 1; all are 0 where `total` is a share."""

    @property
    def name(self) -> str:
        """What `total` is: `KeyScore`, `similarity` (to the text) or `share of the video`."""
        if not any(self.weights):
            return "share of the video"
        return "similarity" if self.weights == (1.0, 0.0, 0.0) else "KeyScore"

    @property
    def are_shares(self) -> bool:
        """Whether `total` is the share of the video that each key frame stands for."""
        return not any(self.weights)

    @property
    def semantic(self) -> NDArray[np.float64]:
        """(K,) S_sem after min–max normalisation, 0 … 1."""
        return self.normalised.semantic

    @property
    def temporal(self) -> NDArray[np.float64]:
        """(K,) S_temp after min–max normalisation, 0 … 1."""
        return self.normalised.temporal

    @property
    def drop(self) -> NDArray[np.float64]:
        """(K,) S_drop after min–max normalisation, 0 … 1."""
        return self.normalised.drop

    @property
    def weighted(self) -> Components:
        """The normalised parts times their weights; they add up to `total`."""
        parts = (self.semantic, self.temporal, self.drop)
        return Components(*(w * part for w, part in zip(self.weights, parts, strict=True)))
