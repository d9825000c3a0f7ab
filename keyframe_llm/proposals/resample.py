"""Sampling again, closer, where every candidate has been seen.

Candidates are a few frames of many. Once all of them are excluded, the window is sampled as finely as it can
be. New candidates are then chosen among the frames not seen yet: first those as far from the seen ones as key
frames lie from each other, then half as far, and so on, until not even a neighbouring frame is left.
"""

from __future__ import annotations

import numpy as np

from keyframe_llm.errors import OptionsError
from keyframe_llm.options import ChooseOptions
from keyframe_llm.proposals.sample import Samples
from keyframe_llm.proposals.spacing import SAME_SECONDS, gap_of, unseen

__all__ = ["FINEST_FPS", "unseen_samples"]

FINEST_FPS = 60.0
"""How often a window is sampled again; times rounded to a tenth do not separate closer frames."""


def unseen_samples(samples: Samples, options: ChooseOptions) -> tuple[Samples, float]:
    """The samples not seen yet, and the gap in seconds that they keep from those seen.

    A gap that the caller gave stays. Raises `OptionsError` where nothing is left to be seen.
    """
    gap = gap_of(options, samples.span_seconds)
    while True:
        fresh = unseen(samples.seconds, options.exclude_seconds, gap)
        if fresh.any():
            return samples.only(np.flatnonzero(fresh)), gap
        if options.min_gap_seconds is not None or gap < SAME_SECONDS:
            break
        gap /= 2
    first, last = float(samples.seconds[0]), float(samples.seconds[-1])
    raise OptionsError(
        f"there is nothing more to see from {first:.1f} to {last:.1f} s: every frame lies within "
        f"{max(gap, SAME_SECONDS):.2g} s of exclude_seconds; sample another window (start_seconds, "
        "end_seconds), or exclude fewer"
    )
