"""Selectors that see no text: by time, by colour, by both."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from keyframe_llm.errors import OptionsError
from keyframe_llm.evaluation.footage import Footage, Picks
from keyframe_llm.proposals.kmeans import representatives
from keyframe_llm.proposals.stacfp import scfp, stacfp

__all__ = [
    "by_chance",
    "colour_clusters",
    "histogram_difference",
    "katna",
    "spacetime_clusters",
    "uniform",
    "uniform_centres",
    "vsumm",
]

# Key frames whose L2 histograms lie nearer than this show the same; VSUMM's own threshold.
_ALIKE = 0.5


def uniform(footage: Footage, text: ArrayLike | None, k: int, seed: int) -> Picks:
    """At equal distances from the first frame to the last, as Video-LLMs sample (`linspace`).

    With k = 1 `linspace` gives the very first frame; here it is the middle one.
    """
    first, last = footage.seconds[[0, -1]]
    return _nearest(footage, np.linspace(first, last, k) if k > 1 else np.array([(first + last) / 2]))


def uniform_centres(footage: Footage, text: ArrayLike | None, k: int, seed: int) -> Picks:
    """The middles of k equal parts: a uniform row that does not spend two of three frames on the ends."""
    first, last = footage.seconds[[0, -1]]
    return _nearest(footage, first + (np.arange(k) + 0.5) / k * (last - first))


def by_chance(footage: Footage, text: ArrayLike | None, k: int, seed: int) -> Picks:
    """k different frames, drawn evenly."""
    return np.random.default_rng(seed).choice(len(footage), size=k, replace=False)


def colour_clusters(footage: Footage, text: ArrayLike | None, k: int, seed: int) -> Picks:
    """The paper's SCFP at a budget: `stacfp.scfp` with at most k clusters, one frame for each."""
    return scfp(footage.histograms, footage.seconds, k_max=k, seed=seed).indices


def spacetime_clusters(footage: Footage, text: ArrayLike | None, k: int, seed: int) -> Picks:
    """STACFP alone at a budget: `stacfp.stacfp` with at most k clusters, one frame for each."""
    return stacfp(footage.histograms, footage.seconds, k_max=k, seed=seed).indices


def katna(footage: Footage, text: ArrayLike | None, k: int, seed: int) -> Picks:
    """Katna's rule: k-means over histograms, the sharpest frame of each cluster.

    Katna clusters grey histograms and drops dark or flat frames first; here the histograms are the ones every
    row gets, and nothing is dropped, or k = 2–3 could end with no frame. Needs `Footage.sharpness`.
    """
    if footage.sharpness is None:
        raise OptionsError("the katna selector needs sharpness; give Footage(sharpness=sharpness(images))")
    labels = _clusters(footage.histograms, _spread(footage.histograms, k, seed))
    members = [np.flatnonzero(labels == label) for label in np.unique(labels)]
    return np.array([part[np.argmax(footage.sharpness[part])] for part in members], np.intp)


def histogram_difference(footage: Footage, text: ArrayLike | None, k: int, seed: int) -> Picks:
    """The frames right after the k greatest changes of colour (L1) from one sample to the next.

    The first frame follows no change and comes last; ties go to the earlier frame.
    """
    change = np.abs(np.diff(footage.histograms, axis=0)).sum(axis=1)
    return np.argsort(-np.concatenate([[-1.0], change]), kind="stable")[:k]


def vsumm(footage: Footage, text: ArrayLike | None, k: int, seed: int) -> Picks:
    """VSUMM: k-means started from k equal parts in time, a frame from each, look-alikes dropped.

    VSUMM counts its clusters itself, one for each great change of colour; at a budget of 2–3 that count
    rarely fits, so k is given. The frame nearest a centroid stands for its cluster, and of two such frames
    less than 0.5 apart the later is dropped, as there.
    """
    middles = (np.arange(k) + 0.5) * len(footage) / k
    picks = np.sort(
        representatives(footage.histograms, _clusters(footage.histograms, middles.astype(np.intp)))
    )
    kept: list[int] = []
    for pick in picks:
        away = np.linalg.norm(footage.histograms[kept] - footage.histograms[pick], axis=1)
        if not np.any(away < _ALIKE):
            kept.append(int(pick))
    return np.array(kept, np.intp)


def _nearest(footage: Footage, wanted: NDArray[np.float64]) -> Picks:
    return np.unique(np.abs(footage.seconds[:, None] - wanted).argmin(axis=0))


def _spread(rows: NDArray[np.floating], k: int, seed: int) -> Picks:
    """Starts for k-means as k-means++ draws them; fewer than k where fewer rows differ."""
    rng = np.random.default_rng(seed)
    starts = [int(rng.integers(len(rows)))]
    away = ((rows - rows[starts[0]]) ** 2).sum(axis=1)
    while len(starts) < k and away.max() > 1e-9:
        starts.append(int(rng.choice(len(rows), p=away / away.sum())))
        away = np.minimum(away, ((rows - rows[starts[-1]]) ** 2).sum(axis=1))
    return np.array(starts, np.intp)


def _clusters(rows: NDArray[np.floating], starts: Picks) -> Picks:
    """Lloyd's k-means from given rows; (N,) labels. A centre that loses all its rows is left out."""
    centres = np.asarray(rows, np.float64)[starts]
    labels = np.full(len(rows), -1)
    for _ in range(100):
        away = (centres**2).sum(axis=1) - 2 * rows @ centres.T
        nearest = away.argmin(axis=1)
        if np.array_equal(nearest, labels):
            break
        labels = nearest
        centres = np.stack([rows[labels == label].mean(axis=0) for label in np.unique(labels)])
    return labels
