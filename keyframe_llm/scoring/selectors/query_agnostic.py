"""Published selectors that see no text: by time, by colour, by both."""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import ArrayLike, NDArray

from keyframe_llm.errors import OptionsError
from keyframe_llm.proposals.kmeans import representatives
from keyframe_llm.proposals.stacfp import scfp, stacfp

if TYPE_CHECKING:
    from keyframe_llm.index import VideoIndex

__all__ = [
    "colour_clusters",
    "histogram_difference",
    "katna",
    "random_frames",
    "spacetime_clusters",
    "uniform",
    "uniform_centres",
    "vsumm",
]

Picks = NDArray[np.intp]

# Key frames whose L2 histograms lie nearer than this show the same; VSUMM's own threshold.
_ALIKE = 0.5


def uniform(index: VideoIndex, text: ArrayLike | None, k: int, seed: int) -> Picks:
    """At equal distances from the first frame to the last, as Video-LLMs sample (`linspace`).

    With k = 1 `linspace` gives the very first frame; here it is the middle one.
    """
    first, last = index.candidates.seconds[[0, -1]]
    return _nearest(index, np.linspace(first, last, k) if k > 1 else np.array([(first + last) / 2]))


def uniform_centres(index: VideoIndex, text: ArrayLike | None, k: int, seed: int) -> Picks:
    """The middles of k equal parts: a uniform row that does not spend two of three frames on the ends."""
    first, last = index.candidates.seconds[[0, -1]]
    return _nearest(index, first + (np.arange(k) + 0.5) / k * (last - first))


def random_frames(index: VideoIndex, text: ArrayLike | None, k: int, seed: int) -> Picks:
    """k different frames at random."""
    return np.random.default_rng(seed).choice(len(index.candidates), size=k, replace=False)


def colour_clusters(index: VideoIndex, text: ArrayLike | None, k: int, seed: int) -> Picks:
    """The paper's SCFP at a budget: `stacfp.scfp` with at most k clusters, one frame for each."""
    return scfp(index.candidate_histograms, index.candidates.seconds, k_max=k, seed=seed).indices


def spacetime_clusters(index: VideoIndex, text: ArrayLike | None, k: int, seed: int) -> Picks:
    """STACFP alone at a budget: `stacfp.stacfp` with at most k clusters, one frame for each."""
    return stacfp(index.candidate_histograms, index.candidates.seconds, k_max=k, seed=seed).indices


def katna(index: VideoIndex, text: ArrayLike | None, k: int, seed: int) -> Picks:
    """Katna's rule: k-means over histograms, the sharpest frame of each cluster.

    Katna clusters grey histograms and drops dark or flat frames first; here the histograms are the ones every
    selector gets, and nothing is dropped, or k = 2–3 could end with no frame. Needs `VideoIndex.sharpness`.
    """
    if index.sharpness is None:
        raise OptionsError("katna needs the frames' sharpness; make the index with method='katna'")
    sharp = index.sharpness[index.candidates.indices]
    labels = _clusters(index.candidate_histograms, k, seed=seed)
    members = [np.flatnonzero(labels == label) for label in np.unique(labels)]
    return np.array([part[np.argmax(sharp[part])] for part in members], np.intp)


def histogram_difference(index: VideoIndex, text: ArrayLike | None, k: int, seed: int) -> Picks:
    """The frames right after the k greatest changes of colour (L1) from one sample to the next.

    The first frame follows no change and comes last; ties go to the earlier frame.
    """
    change = np.abs(np.diff(index.candidate_histograms, axis=0)).sum(axis=1)
    return np.argsort(-np.concatenate([[-1.0], change]), kind="stable")[:k]


def vsumm(index: VideoIndex, text: ArrayLike | None, k: int, seed: int) -> Picks:
    """VSUMM: k-means started from k equal parts in time, a frame from each, look-alikes dropped.

    VSUMM counts its clusters itself, one for each great change of colour; at a budget of 2–3 that count
    rarely fits, so k is given. The frame nearest a centroid stands for its cluster, and of two such frames
    less than 0.5 apart the later is dropped, as there.
    """
    rows = index.candidate_histograms
    middles = ((np.arange(k) + 0.5) * len(rows) / k).astype(np.intp)
    picks = np.sort(representatives(rows, _clusters(rows, k, starts=middles)))
    kept: list[int] = []
    for pick in picks:
        away = np.linalg.norm(rows[kept] - rows[pick], axis=1)
        if not np.any(away < _ALIKE):
            kept.append(int(pick))
    return np.array(kept, np.intp)


def _nearest(index: VideoIndex, wanted: NDArray[np.float64]) -> Picks:
    return np.unique(np.abs(index.candidates.seconds[:, None] - wanted).argmin(axis=0))


def _clusters(
    rows: NDArray[np.floating], k: int, *, seed: int = 0, starts: Picks | None = None
) -> NDArray[np.intp]:
    """(N,) labels of scikit-learn's k-means, begun at these rows or, where none are given, by k-means++."""
    from sklearn.cluster import KMeans
    from sklearn.exceptions import ConvergenceWarning

    points = np.asarray(rows, np.float64)
    begin = "k-means++" if starts is None else points[starts]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)  # fewer distinct rows than k: fewer clusters
        fitted = KMeans(k, init=begin, n_init=1, random_state=seed).fit(points)
    return np.asarray(fitted.labels_, np.intp)
