"""Key frames against annotated scenes (KFS-Bench) and frames (LV-Haystack); moments against moments."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from keyframe_llm.errors import OptionsError

__all__ = [
    "FrameMatch",
    "MomentMatch",
    "SceneScores",
    "geometric_mean",
    "match_frames",
    "match_moment",
    "near_in_time",
    "score_scenes",
]

Floats = NDArray[np.float64]
Scene = Sequence[tuple[float, float]]
"""The moments (start, end) of one scene, in seconds; ends count as inside."""

_LEAST = 0.01  # so that a question without a hit does not make the geometric mean of all questions 0
_EXPONENTS = np.arange(11) / 10


@dataclass(frozen=True, slots=True)
class SceneScores:
    """How well the key frames of one question cover its scenes, each 0–1."""

    key_frame_rate: float
    """KFR: the share of frames inside any scene."""
    scene_hit_rate: float
    """SHR: the share of scenes with a frame inside."""
    balanced_scene_recall: float
    """BSR: the share of scenes with as many frames as their length, or an equal share, asks for."""
    balanced_distribution: float
    """BDS: how like the frames per scene are to the scenes' lengths, or to equal shares; a cosine."""

    @property
    def unified(self) -> float:
        """UKSS of one question: the geometric mean of KFR, BSR and BDS."""
        return float(
            (self.key_frame_rate * self.balanced_scene_recall * self.balanced_distribution) ** (1 / 3)
        )


@dataclass(frozen=True, slots=True)
class FrameMatch:
    """How well frames match annotated ones, each 0–1 (LV-Haystack)."""

    precision: float
    """The mean over the frames of their likeness with the nearest true one."""
    recall: float
    """The mean over the true frames of their likeness with the nearest frame."""

    @property
    def f1(self) -> float:
        """The harmonic mean of both; 0 where both are 0."""
        total = self.precision + self.recall
        return 2 * self.precision * self.recall / total if total else 0.0


@dataclass(frozen=True, slots=True)
class MomentMatch:
    """How well a moment that was found matches the annotated ones, each 0–1 (NExT-GQA)."""

    iou: float
    """IoU: the greatest share of both together that they have in common."""
    iop: float
    """IoP: the greatest share of the found moment inside a true one."""


def score_scenes(seconds: ArrayLike, scenes: Sequence[Scene]) -> SceneScores:
    """Score frames at these times (k,) against the scenes of a question; no frame at all scores 0.

    Raises `OptionsError` where there is no scene, or a scene has no moment.
    """
    times = np.asarray(seconds, np.float64).reshape(-1)
    if not scenes or not all(scenes):
        raise OptionsError("there are no scenes to score frames against; give each scene a moment")
    inside = np.stack([_inside(times, scene) for scene in scenes])
    counts, lengths = inside.sum(axis=1), np.array([sum(end - start for start, end in s) for s in scenes])
    found = int(inside.any(axis=0).sum())
    if found == 0:
        return SceneScores(0.0, 0.0, 0.0, 0.0)
    wanted = found * np.minimum(lengths / lengths.sum(), 1 / len(scenes))
    return SceneScores(
        key_frame_rate=found / len(times),
        scene_hit_rate=float((counts > 0).mean()),
        balanced_scene_recall=float((counts >= np.maximum(np.floor(wanted), 1)).mean()),
        balanced_distribution=_best_cosine(counts.astype(np.float64), lengths),
    )


def geometric_mean(values: ArrayLike) -> float:
    """UKSS of a benchmark: the geometric mean over its questions, each counted as 0.01 at least."""
    return float(np.exp(np.log(np.maximum(np.asarray(values, np.float64), _LEAST)).mean()))


def near_in_time(seconds: ArrayLike, truth: ArrayLike, tolerance_seconds: float) -> NDArray[np.bool_]:
    """Whether each frame (P,) lies at most that far from each true one (G,), in seconds: (P, G)."""
    found, true = (np.asarray(times, np.float64).reshape(-1) for times in (seconds, truth))
    return np.asarray(np.abs(found[:, None] - true) <= tolerance_seconds)


def match_frames(likeness: ArrayLike) -> FrameMatch:
    """Precision and recall of frames by their likeness with the true ones, (P, G) of 0–1; none scores 0."""
    rows = np.asarray(likeness, np.float64)
    if not rows.size:
        return FrameMatch(0.0, 0.0)
    return FrameMatch(float(rows.max(axis=1).mean()), float(rows.max(axis=0).mean()))


def match_moment(found: tuple[float, float], truth: Sequence[tuple[float, float]]) -> MomentMatch:
    """Match a moment (start, end) with the true ones, in seconds; a single time inside one has IoP 1."""
    start, end = found
    if start == end:
        return MomentMatch(0.0, float(any(low <= start <= high for low, high in truth)))
    common = [max(0.0, min(end, high) - max(start, low)) for low, high in truth]
    union = [max(end, high) - min(start, low) for low, high in truth]
    shares = [part / whole for part, whole in zip(common, union, strict=True)]
    return MomentMatch(max(shares, default=0.0), max(common, default=0.0) / (end - start))


def _inside(times: Floats, scene: Scene) -> NDArray[np.bool_]:
    spans = np.asarray(scene, np.float64)
    return np.asarray(((times[:, None] >= spans[:, 0]) & (times[:, None] <= spans[:, 1])).any(axis=1))


def _best_cosine(counts: Floats, lengths: Floats) -> float:
    """The greatest cosine of the frames per scene with the lengths to a power from 0 (equal) to 1."""
    shapes = lengths[:, None] ** _EXPONENTS
    cosines = counts @ shapes / (np.linalg.norm(counts) * np.linalg.norm(shapes, axis=0))
    return float(cosines.max())
