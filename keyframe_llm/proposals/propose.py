"""Which frames of a video may be chosen: the proposals, and what a text is scored on."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from keyframe_llm.data import Proposals, VideoInfo
from keyframe_llm.options import SelectOptions
from keyframe_llm.proposals.densify import with_more_frames
from keyframe_llm.proposals.sample import Sampled, most_samples
from keyframe_llm.proposals.stacfp import scfp, stacfp, ufp, usual_k_max

__all__ = ["candidates_of", "propose", "scores_every_sample", "seconds_shown"]


def propose(sampled: Sampled, options: SelectOptions) -> Proposals:
    """The proposals of a video, from the colours and times of its samples."""
    if options.proposer == "ufp":
        return ufp(sampled.seconds)
    if options.proposer == "scfp":
        return scfp(sampled.histograms, sampled.seconds, k_max=options.k_max, seed=options.seed)
    k_max = options.k_max
    if k_max is None and _dense(options):
        k_max = max(2, min(options.max_images, usual_k_max(sampled.seconds)))
    return stacfp(
        sampled.histograms,
        sampled.seconds,
        gamma_time=options.gamma_time,
        k_max=k_max,
        seed=options.seed,
    )


def candidates_of(proposals: Proposals, sampled: Sampled, options: SelectOptions) -> Proposals:
    """What a text is scored on: with the paper's method the proposals, else more frames beside them."""
    if not _dense(options):
        return proposals
    return with_more_frames(proposals, sampled.histograms, options.max_images, gamma_time=options.gamma_time)


def scores_every_sample(info: VideoInfo, options: SelectOptions) -> bool:
    """Whether it is certain before a look that a text will be scored on every frame it gives."""
    most = most_samples(info, options)
    few = most is not None and most <= min(options.max_images, options.max_samples)
    return few and _dense(options) and not options.exclude_seconds


def _dense(options: SelectOptions) -> bool:
    return options.method == "moments" and options.proposer == "stacfp"


def seconds_shown(proposals: Proposals) -> NDArray[np.float64]:
    """(K,) how long each proposal stands for: samples do not lie equally close where a look is thin."""
    times = proposals.sampled_seconds
    middles = (times[1:] + times[:-1]) / 2
    if len(middles) == 0:
        return np.ones(1)
    # Half of the usual distance before the first sample and after the last one.
    rim = float(np.median(np.diff(times))) / 2
    shown = np.diff(np.concatenate([[times[0] - rim], middles, [times[-1] + rim]]))
    return np.asarray(np.bincount(proposals.labels, weights=shown), np.float64)
