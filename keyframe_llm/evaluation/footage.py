"""What every selector is given: the same dense samples of one video, so that only the rule differs."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from keyframe_llm.errors import OptionsError

__all__ = ["Array", "Footage", "Picks", "Told", "min_max", "sharpness"]

Array = NDArray[np.float64]
Picks = NDArray[np.intp]


@dataclass(frozen=True, slots=True, eq=False)
class Told:
    """A caption of several parts: its embedding as a whole, for whoever asks for an array, and theirs."""

    whole: Array
    """(D,)"""
    parts: Array
    """(P, D) as `guiding.told_parts` takes it apart"""

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> NDArray[Any]:
        return np.array(self.whole, dtype)


@dataclass(frozen=True, slots=True, eq=False)
class Footage:
    """N frames of one video, sampled densely. Raises `OptionsError` on shapes that do not match."""

    embeddings: Array
    """(N, D) of the dual encoder; brought to length 1 here."""
    seconds: Array
    """(N,) presentation times, strictly ascending."""
    histograms: NDArray[np.floating]
    """(N, d) colours as `stacfp.color_histogram` counts them, rows of length 1."""
    sharpness: Array | None = None
    """(N,) as `sharpness` measures it; only the Katna row asks for it."""
    plain: Array | None = None
    """(D,) as `plain_embedding` makes it; only this package's own rows use it, and only where it is given."""

    def __post_init__(self) -> None:
        rows = np.asarray(self.embeddings, np.float64)
        times = np.asarray(self.seconds, np.float64)
        if rows.ndim != 2 or 0 in rows.shape or not np.all(np.isfinite(rows)):
            raise OptionsError(f"embeddings are {rows.shape}; give (N, D) finite numbers, at least one row")
        if times.shape != rows.shape[:1] or np.any(np.diff(times) <= 0):
            raise OptionsError(f"seconds are {times.shape}; give ({len(rows)},) ascending times")
        colours = np.asarray(self.histograms)
        if colours.ndim != 2 or len(colours) != len(rows) or not np.all(np.isfinite(colours)):
            raise OptionsError(f"histograms are {colours.shape}; give ({len(rows)}, d) finite numbers")
        if self.sharpness is not None and np.shape(self.sharpness) != times.shape:
            raise OptionsError(f"sharpness is {np.shape(self.sharpness)}; give ({len(rows)},)")
        length = np.maximum(np.linalg.norm(rows, axis=1, keepdims=True), 1e-12)
        object.__setattr__(self, "embeddings", rows / length)
        object.__setattr__(self, "seconds", times)
        object.__setattr__(self, "histograms", colours)

    def __len__(self) -> int:
        return len(self.seconds)

    def query(self, text: ArrayLike | None) -> Array:
        """The text embedding (D,) at length 1, or all zeros as it was; `OptionsError` where there is none."""
        if text is None:
            raise OptionsError("this selector is guided by a text and got none; give the text's embedding")
        vector = np.asarray(text, np.float64)
        if vector.shape != self.embeddings.shape[1:] or not np.all(np.isfinite(vector)):
            raise OptionsError(
                f"the text embedding is {vector.shape}; give {self.embeddings.shape[1:]} finite numbers"
            )
        return np.asarray(vector / max(float(np.linalg.norm(vector)), 1e-12))

    def similarity(self, text: ArrayLike | None) -> Array:
        """(N,) cosines of all frames with the text, -1 … 1."""
        return np.asarray(self.embeddings @ self.query(text))


def sharpness(images: NDArray[np.uint8]) -> Array:
    """Variance of the Laplacian of grey (N, H, W, 3) RGB uint8 pictures: (N,), higher is sharper."""
    grey = np.asarray(images) @ np.array([0.299, 0.587, 0.114])
    sides = grey[:, :-2, 1:-1] + grey[:, 2:, 1:-1] + grey[:, 1:-1, :-2] + grey[:, 1:-1, 2:]
    return np.asarray((sides - 4 * grey[:, 1:-1, 1:-1]).var(axis=(1, 2)))


def min_max(values: Array) -> Array:
    """Spread values over 0 … 1; all 0 where they are alike."""
    span = float(values.max() - values.min())
    return np.asarray((values - values.min()) / span if span > 1e-9 else np.zeros_like(values))
