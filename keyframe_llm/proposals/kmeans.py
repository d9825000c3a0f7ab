"""k-means with k chosen by the silhouette, made fast: distances and starting points serve every k."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
from numpy.typing import ArrayLike, NDArray

from keyframe_llm.errors import OptionsError

__all__ = ["best_clustering", "kmeans", "representatives", "silhouette"]

Array = NDArray[np.floating]
Labels = NDArray[np.intp]

# Points nearer than this are the same: what float64 leaves of the distance of equal rows is below it.
_SAME = 1e-6
# The silhouette is taken over at most this many frames, evenly spaced: 4000² distances are 64 MB in float32.
_MOST_DISTANCES = 4000
_ROWS = 256  # of distances at once, so that nothing else of their size is needed in double precision
# When to stop, as scikit-learn does: centres that moved by less than this share of the variance, or never.
_TOLERANCE, _MOST_ROUNDS = 1e-4, 300


def silhouette(distances: ArrayLike, labels: ArrayLike) -> float:
    """Mean silhouette, -1 … 1, of a clustering, from (N, N) distances and (N,) labels.

    Equal to scikit-learn's figure, and many times faster because the distances are computed once for all
    clusterings of the same points. A point alone in its cluster counts 0.

    Raises `OptionsError` on shapes that do not match or other than 2 to N-1 clusters.
    """
    matrix = np.asarray(distances)
    _, label = np.unique(np.asarray(labels), return_inverse=True)
    n, k = len(label), int(label.max()) + 1
    if matrix.shape != (n, n):
        raise OptionsError(f"distances are {matrix.shape}; give ({n}, {n}) to match the labels")
    if not 2 <= k < n:
        raise OptionsError(f"{k} clusters of {n} points have no silhouette; give 2 to {n - 1} clusters")
    size = np.bincount(label)
    member = np.zeros((n, k), matrix.dtype)
    member[np.arange(n), label] = 1
    to_cluster = (matrix @ member).astype(np.float64)
    within = to_cluster[np.arange(n), label] / np.maximum(size[label] - 1, 1)
    to_cluster /= size
    to_cluster[np.arange(n), label] = np.inf
    nearest = to_cluster.min(axis=1)
    larger = np.maximum(within, nearest)
    value = np.divide(nearest - within, larger, out=np.zeros(n), where=(larger > 0) & (size[label] > 1))
    return float(value.mean())


def best_clustering(x: Array, k_min: int, k_max: int, seed: int) -> tuple[Labels, dict[int, float]]:
    """Cluster (N, D) points into the k of `k_min` … `k_max` with the highest silhouette, N at least 4.

    Returns the labels (N,) and the silhouette of every k that was tried; k is smaller than `k_min` only where
    there are fewer distinct points.
    """
    n = len(x)
    points = _rotated(x)
    thin = np.linspace(0, n - 1, min(n, _MOST_DISTANCES)).astype(np.intp)
    distances = _distances(points[thin])
    starts = thin[_spread(distances, k_max, seed)]
    k_max = len(starts)
    labels: dict[int, Labels] = {}

    def score(k: int) -> float:
        labels[k] = kmeans(points, points[starts[:k]])
        return silhouette(distances, labels[k][thin])

    tried = _coarse_to_fine(min(k_min, k_max), k_max, score)
    return labels[_best(tried)], tried


def _best(tried: dict[int, float]) -> int:
    return max(tried, key=lambda k: (tried[k], -k))


def _coarse_to_fine(low: int, high: int, score: Callable[[int], float]) -> dict[int, float]:
    """Score some 20 of the k from `low` to `high`: a geometric grid, then halves of the gaps by the best."""
    tried: dict[int, float] = {}
    ks = [int(k) for k in np.geomspace(low, high, 12).round()]
    for _ in range(5):
        for k in ks:
            if k not in tried:
                tried[k] = score(k)
        grid, best = sorted(tried), _best(tried)
        at = grid.index(best)
        ks = [(best + beside) // 2 for beside in grid[max(0, at - 1) : at + 2] if abs(beside - best) > 1]
    return dict(sorted(tried.items()))


def _rotated(x: Array) -> Array:
    """The same points on their principal axes, no more than there are points: all distances are unchanged."""
    centred = x - x.mean(axis=0)
    if len(x) >= x.shape[1]:
        return np.asarray(centred, np.float32)
    left, length, _ = np.linalg.svd(centred.astype(np.float64), full_matrices=False)
    return np.asarray(left * length, np.float32)


def _distances(x: Array) -> NDArray[np.float32]:
    """(N, N) Euclidean distances."""
    points = x.astype(np.float64)
    square = (points**2).sum(axis=1)
    distances = np.empty((len(x), len(x)), np.float32)
    for i in range(0, len(x), _ROWS):
        squares = square[i : i + _ROWS, None] + square - 2 * (points[i : i + _ROWS] @ points.T)
        distances[i : i + _ROWS] = np.sqrt(np.maximum(squares, 0))
    np.fill_diagonal(distances, 0)
    return distances


def _spread(distances: NDArray[np.float32], count: int, seed: int) -> Labels:
    """Order up to `count` points as greedy k-means++ draws them; fewer where fewer are distinct.

    The first k of them start the clustering into k, so one pass over known distances serves every k;
    drawing anew for each would take four fifths of the whole time.
    """
    rng = np.random.default_rng(seed)
    order = [int(rng.integers(len(distances)))]
    away = distances[order[0]].astype(np.float64) ** 2
    trials = 2 + int(math.log(count))
    while len(order) < count and away.max() > _SAME**2:
        drawn = rng.choice(len(away), size=trials, p=away / away.sum())
        left = np.minimum(away, distances[drawn].astype(np.float64) ** 2)
        best = int(left.sum(axis=1).argmin())
        order.append(int(drawn[best]))
        away = left[best]
    return np.array(order, np.intp)


def kmeans(x: Array, centres: Array) -> Labels:
    """Lloyd's iteration from these centres (k, D): the labels (N,) of scikit-learn's `KMeans`.

    Written out because to import scikit-learn takes as long as to read a minute of video, and more memory
    than all else together.
    """
    tolerance = _TOLERANCE * float(x.var(axis=0).mean())
    labels = np.full(len(x), -1, np.intp)
    for _ in range(_MOST_ROUNDS):
        before, labels = labels, _nearest(x, centres)
        if np.array_equal(before, labels):
            break
        moved = _means(x, labels, centres)
        shift, centres = float(((moved - centres) ** 2).sum()), moved
        if shift <= tolerance:
            return _nearest(x, centres)
    return labels


def _nearest(x: Array, centres: Array) -> Labels:
    return np.asarray(((centres**2).sum(axis=1) - 2 * (x @ centres.T)).argmin(axis=1), np.intp)


def _means(x: Array, labels: Labels, centres: Array) -> Array:
    """(k, D) the mean of each cluster; one without members takes the point farthest from its own centre."""
    size = np.bincount(labels, minlength=len(centres))
    empty = np.flatnonzero(size == 0)
    if len(empty):
        away = ((x - centres[labels]) ** 2).sum(axis=1)
        labels = labels.copy()
        labels[np.argpartition(away, -len(empty))[: -len(empty) - 1 : -1]] = empty
        size = np.maximum(np.bincount(labels, minlength=len(centres)), 1)
    order = np.argsort(labels, kind="stable")
    present, first = np.unique(labels[order], return_index=True)
    sums = np.zeros_like(centres)
    sums[present] = np.add.reduceat(x[order], first, axis=0)
    return np.asarray(sums / size[:, None], x.dtype)


def representatives(x: Array, labels: Labels) -> Labels:
    """The member nearest to the centroid of each cluster, in the order of the labels."""
    picks = []
    for cluster in np.unique(labels):
        members = np.flatnonzero(labels == cluster)
        away = ((x[members] - x[members].mean(axis=0)) ** 2).sum(axis=1)
        picks.append(members[int(np.argmin(away))])
    return np.array(picks, np.intp)
