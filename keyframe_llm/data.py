"""What flows through the program: video → frames → proposals → scores → selection.

All types are frozen and checked once, when they are made. A frame is named by its presentation time in
seconds, never by an index that only one decoder would understand. Times count from the first frame shown.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from pathlib import Path

    from keyframe_llm.messages.formats import Format

__all__ = ["CaptionSource", "Components", "Frames", "Proposals", "Scores", "Selection", "VideoInfo"]

CaptionSource = Literal["given", "generated", "none"]


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
    """(N,) times of all frames looked at, ascending."""
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
    """KeyScore (equation 1) of K proposals, with everything it was made of.

    Where no text was given there is nothing to align with: `semantic` and `drop` are NaN and `total` is the
    temporal part alone.
    """

    total: NDArray[np.float64]
    """(K,) the weighted sum, 0 … 1."""
    normalised: Components
    """The parts after min–max normalisation, 0 … 1."""
    raw: Components
    """Equations 2–4 as they stand: cosines -1 … 1, and a difference of cosines -2 … 2."""
    weights: tuple[float, float, float]
    """α, β, γ of equation 1: semantic, temporal, drop. They sum to 1."""

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


@dataclass(frozen=True, slots=True, eq=False)
class Selection:
    """The key frames of a video, and how they came to be chosen."""

    video: VideoInfo
    frames: Frames
    """The k key frames, full size, upright, in time order."""
    proposals: Proposals
    scores: Scores
    """KeyScore of every proposal."""
    chosen: NDArray[np.intp]
    """(k,) the key frames as indices into `proposals`, ascending."""
    caption: str | None = None
    """The text that guided the scores, given or generated."""
    caption_source: CaptionSource = "none"
    question: str | None = None
    """The question that guided the scores beside the caption, if one did."""
    timings: Mapping[str, float] = field(default_factory=dict)
    """Seconds spent in `decode`, `propose`, `caption`, `embed`, `score` and in `total`.

    An encoder is at work already while the video is decoded: `embed` is how long its loading and its
    embeddings were waited for, no more."""
    plan: str = ""
    """How the sampled frames were decoded, and why."""
    warnings: tuple[str, ...] = ()
    """What the caller should know: a damaged file, a model used outside its world."""

    @property
    def seconds(self) -> NDArray[np.float64]:
        """(k,) times of the key frames, ascending."""
        return self.frames.seconds

    @property
    def sampled_frames(self) -> int:
        """How many frames the proposals were drawn from."""
        return len(self.proposals.sampled_seconds)

    def frame_reduction(self) -> dict[str, float | None]:
        """The share of frames saved: FRR-UFP against 8 uniform frames, FRR-Avg against every frame."""
        from keyframe_llm.scoring.choose import frame_reduction_rate

        total = None
        if self.video.duration_seconds and self.video.average_fps:
            total = max(1, round(self.video.duration_seconds * self.video.average_fps))
        return {
            "versus_uniform8": frame_reduction_rate(len(self.frames), 8),
            "versus_all": None if total is None else frame_reduction_rate(len(self.frames), total),
        }

    def to_messages(
        self,
        question: str | None = None,
        format: Format = "hf",
        *,
        max_image_bytes: int | None = None,
    ) -> list[dict[str, Any]]:
        """Chat messages: `[12.3s]`, picture, `[15.0s]`, picture, …, then the question.

        `format`: `hf` for `processor.apply_chat_template`, with PIL images; `openai` for chat completions,
        `openai-responses`, `anthropic`, with JPEG of at most `max_image_bytes` (a million by default) each.
        """
        from keyframe_llm.messages.formats import MAX_IMAGE_BYTES, to_format
        from keyframe_llm.messages.prompts import frame_messages

        messages = frame_messages(self.frames, question or self.question)
        return to_format(messages, format, max_image_bytes=max_image_bytes or MAX_IMAGE_BYTES)

    def to_dict(self) -> dict[str, Any]:
        """What `select --json` prints: plain numbers, texts and lists."""
        from keyframe_llm.report.files import selection_dict

        return selection_dict(self)

    def save(self, folder: str | Path) -> dict[str, Path]:
        """Write the key frames, `selection.json`, contact sheet and score plot; return their paths."""
        from keyframe_llm.report.files import save_selection

        return save_selection(self, folder)
