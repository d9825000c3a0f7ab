"""k-means with k chosen by the silhouette, made fast: distances and starting points serve every k."""

from __future__ import annotations

import math
import sys
from collections.abc import Callable
from importlib import import_module
from threading import Thread

import numpy as np
from numpy.typing import ArrayLike, NDArray

from keyframe_llm.errors import OptionsError

__all__ = ["best_clustering", "load_ahead", "representatives", "silhouette"]

Array = NDArray[np.floating]
Labels = NDArray[np.intp]

# Points nearer than this are the same: what float64 leaves of the distance of equal rows is below it.
_SAME = 1e-6
# The silhouette is taken over at most this many frames, evenly spaced: 4000² distances are 64 MB in float32.
_MOST_DISTANCES = 4000


def load_ahead() -> None:
    """Begin to import scikit-learn beside other work: it takes as long as reading a minute of video."""
    if "sklearn.cluster" not in sys.modules:
        Thread(target=import_module, args=("sklearn.cluster",), name="load scikit-learn").start()


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
        labels[k] = _kmeans(points, points[starts[:k]])
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
    squares = square[:, None] + square - 2 * (points @ points.T)
    np.fill_diagonal(squares, 0)
    return np.asarray(np.sqrt(np.maximum(squares, 0)), np.float32)


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


def _kmeans(x: Array, starts: Array) -> Labels:
    from sklearn.cluster import KMeans
    from threadpoolctl import threadpool_limits

    # On problems of this size OpenMP threads cost ten times what they save.
    with threadpool_limits(limits=1):
        return np.asarray(KMeans(len(starts), init=starts, n_init=1).fit(x).labels_, np.intp)


def representatives(x: Array, labels: Labels) -> Labels:
    """The member nearest to the centroid of each cluster, in the order of the labels."""
    picks = []
    for cluster in np.unique(labels):
        members = np.flatnonzero(labels == cluster)
        away = ((x[members] - x[members].mean(axis=0)) ** 2).sum(axis=1)
        picks.append(members[int(np.argmin(away))])
    return np.array(picks, np.intp)
