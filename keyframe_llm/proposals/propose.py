"""Which sampled frames may be chosen: the representatives of clusters, and candidates for a text."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from keyframe_llm.arrays import one_thread
from keyframe_llm.data import Proposals
from keyframe_llm.options import ProposeOptions
from keyframe_llm.proposals.densify import with_more_frames
from keyframe_llm.proposals.stacfp import scfp, stacfp, ufp, usual_k_max

__all__ = ["candidates_of", "propose", "seconds_shown"]


@one_thread()
def propose(histograms: ArrayLike, seconds: ArrayLike, options: ProposeOptions) -> Proposals:
    """Cluster (N, d) histograms and (N,) ascending seconds by `options.proposer`; one frame a cluster."""
    if options.proposer == "ufp":
        return ufp(seconds)
    if options.proposer == "scfp":
        return scfp(histograms, seconds, k_max=options.k_max, seed=options.seed)
    k_max = options.k_max
    if k_max is None and options.candidates in ("coarse", "diverse"):
        k_max = max(2, min(options.max_images, usual_k_max(seconds)))
    return stacfp(histograms, seconds, gamma_time=options.gamma_time, k_max=k_max, seed=options.seed)


@one_thread()
def candidates_of(proposals: Proposals, histograms: ArrayLike, options: ProposeOptions) -> Proposals:
    """The frames that a text may be scored on, as `options.candidates` says; all cover the same N samples."""
    if options.candidates in ("coarse", "diverse"):
        return with_more_frames(proposals, histograms, options.max_images)
    if options.candidates == "even":
        return _even(proposals.sampled_seconds, options.max_images)
    return proposals


def _even(seconds: NDArray[np.float64], count: int) -> Proposals:
    """Up to `count` samples at equal steps in time; every sample belongs to the nearest of them."""
    if len(seconds) <= count:
        every = np.arange(len(seconds))
        return Proposals(seconds, every, every)
    return ufp(seconds, count)


def seconds_shown(proposals: Proposals) -> NDArray[np.float64]:
    """(K,) how many seconds each proposal stands for, by the samples of its cluster.

    Samples do not lie equally close where a long video is sampled thinly, so each counts for half of the way
    to its neighbours.
    """
    times = proposals.sampled_seconds
    middles = (times[1:] + times[:-1]) / 2
    if len(middles) == 0:
        return np.ones(1)
    # Half of the usual distance before the first sample and after the last one.
    rim = float(np.median(np.diff(times))) / 2
    shown = np.diff(np.concatenate([[times[0] - rim], middles, [times[-1] + rim]]))
    return np.asarray(np.bincount(proposals.labels, weights=shown), np.float64)
