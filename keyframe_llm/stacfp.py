"""STACFP (Algorithm 1): propose frames by clustering colour and time together, k chosen by the silhouette."""

from __future__ import annotations

from functools import cache

import numpy as np
from numpy.typing import ArrayLike, NDArray

from keyframe_llm.data import Proposals
from keyframe_llm.errors import OptionsError

__all__ = ["color_histogram", "scfp", "silhouette", "stacfp", "ufp"]

Array = NDArray[np.float64]
HUES, SATURATIONS, VALUES = 16, 4, 4
_STATIC = 0.05


def color_histogram(images: NDArray[np.uint8]) -> NDArray[np.float32]:
    """HSV histograms, 16 × 4 × 4 = 256 bins, each row of length 1 (L2): (N, H, W, 3) RGB uint8 → (N, 256).

    One picture (H, W, 3) gives (1, 256). Colours are binned through a table of 64 levels a channel.
    """
    pictures = np.asarray(images)
    if pictures.ndim == 3:
        pictures = pictures[None]
    if pictures.ndim != 4 or pictures.shape[3] != 3 or pictures.dtype != np.uint8 or 0 in pictures.shape[1:3]:
        raise OptionsError(f"images are {pictures.shape} {pictures.dtype}; give (N, H, W, 3) uint8 RGB")
    table = _bin_of_color()
    rows = np.empty((len(pictures), HUES * SATURATIONS * VALUES), np.float32)
    for row, picture in zip(rows, pictures, strict=True):
        level = (picture >> 2).astype(np.int32)
        color = (level[..., 0] << 12) | (level[..., 1] << 6) | level[..., 2]
        counts = np.bincount(table[color.ravel()], minlength=len(row))
        row[:] = counts / np.linalg.norm(counts)
    return rows


@cache
def _bin_of_color() -> NDArray[np.uint8]:
    from PIL import Image

    levels = np.arange(64, dtype=np.uint8) * 4 + 2
    colors = np.stack(np.meshgrid(levels, levels, levels, indexing="ij"), axis=-1)
    hsv = np.asarray(Image.fromarray(colors.reshape(512, 512, 3)).convert("HSV"))
    hue, saturation, value = (hsv[..., i].ravel() for i in range(3))
    return np.asarray((hue >> 4 << 4) | (saturation >> 6 << 2) | (value >> 6), np.uint8)


def silhouette(distances: Array, labels: ArrayLike) -> float:
    """Mean silhouette, -1 … 1, of a clustering, from an (N, N) distance matrix and (N,) labels."""
    _, label = np.unique(np.asarray(labels), return_inverse=True)
    n, k = len(label), int(label.max()) + 1
    if k < 2 or k >= n:
        raise OptionsError(f"{k} clusters of {n} points have no silhouette; give 2 to {n - 1}")
    member = np.zeros((n, k), distances.dtype)
    member[np.arange(n), label] = 1
    size = member.sum(0)
    to_cluster = distances @ member
    own = to_cluster[np.arange(n), label]
    alone = size[label] == 1
    inside = own / np.maximum(size[label] - 1, 1)
    means = to_cluster / size
    means[np.arange(n), label] = np.inf
    outside = means.min(1)
    larger = np.maximum(inside, outside)
    value = np.divide(outside - inside, larger, out=np.zeros_like(larger), where=larger > 0)
    value[alone] = 0
    return float(value.mean(dtype=np.float64))


def stacfp(
    histograms: ArrayLike,
    seconds: ArrayLike,
    *,
    gamma_time: float = 5.0,
    k_max: int | None = None,
    seed: int = 0,
) -> Proposals:
    """Algorithm 1 on (N, d) histograms and their (N,) ascending seconds."""
    rows, times = np.asarray(histograms, np.float64), np.asarray(seconds, np.float64)
    span = times[-1] - times[0]
    t = (times - times[0]) / (span or 1.0)
    return _cluster(rows, times, np.column_stack([rows, gamma_time * t]), k_max, seed)


def scfp(histograms: ArrayLike, seconds: ArrayLike, *, k_max: int | None = None, seed: int = 0) -> Proposals:
    """SCFP: as `stacfp`, on colour alone."""
    rows, times = np.asarray(histograms, np.float64), np.asarray(seconds, np.float64)
    return _cluster(rows, times, rows, k_max, seed)


def ufp(seconds: ArrayLike, count: int = 8) -> Proposals:
    """UFP: `count` frames at equal distances, each standing for the sampled frames nearest to it."""
    times = np.asarray(seconds, np.float64)
    indices = np.unique(np.linspace(0, len(times) - 1, min(count, len(times))).round().astype(np.intp))
    labels = np.abs(times[:, None] - times[indices]).argmin(1)
    return Proposals(times, labels, indices)


def _cluster(rows: Array, times: Array, x: Array, k_max: int | None, seed: int) -> Proposals:
    n = len(times)
    spread = np.linalg.norm(rows - rows.mean(0), axis=1).max()
    if n < 4 or spread < _STATIC:
        return Proposals(times, np.zeros(n, np.intp), np.array([n // 2], np.intp))
    limit = k_max or max(10, int((times[-1] - times[0]) / 4))
    tried = {}
    best = None
    distances = np.sqrt(np.maximum(((x**2).sum(1)[:, None] + (x**2).sum(1) - 2 * x @ x.T), 0))
    for k in sorted({int(v) for v in np.geomspace(2, min(limit, n // 2), 24)}):
        labels, centers = _kmeans(x, k, seed)
        tried[k] = silhouette(distances, labels)
        if tried[k] >= max(tried.values()):
            best = labels, centers
    assert best is not None
    labels, centers = best
    away = np.linalg.norm(x - centers[labels], axis=1)
    picks = np.array([min(np.flatnonzero(labels == c), key=lambda i: away[i]) for c in np.unique(labels)])
    order = np.argsort(picks)
    rank = np.empty(len(picks), np.intp)
    rank[order] = np.arange(len(picks))
    return Proposals(
        times, rank[np.unique(labels, return_inverse=True)[1]], picks[order].astype(np.intp), tried
    )


def _kmeans(x: Array, k: int, seed: int) -> tuple[NDArray[np.intp], Array]:
    from sklearn.cluster import KMeans
    from threadpoolctl import threadpool_limits

    with threadpool_limits(limits=1):
        fit = KMeans(k, n_init=1, random_state=seed).fit(x)
    return fit.labels_.astype(np.intp), fit.cluster_centers_
