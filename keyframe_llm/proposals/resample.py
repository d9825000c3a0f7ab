"""Looking again where all that was proposed has been seen: closer, at what lies in between.

Proposals are a few frames of many. Once they are all excluded, the window is sampled as finely as it can be,
and new ones are proposed among the frames not seen yet: first those as far from the seen ones as key frames
lie from each other, then half as far, and so on, until not even a neighbouring frame is left.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from keyframe_llm.errors import OptionsError
from keyframe_llm.options import SelectOptions
from keyframe_llm.proposals.sample import Sampled
from keyframe_llm.scoring.choose import SAME_SECONDS, default_gap, unseen

__all__ = ["FINEST_FPS", "unseen_samples"]

FINEST_FPS = 60.0
"""How often a window is looked at again; frames closer than this are told apart by no rounded time."""


def unseen_samples(sampled: Sampled, options: SelectOptions) -> tuple[Sampled, SelectOptions]:
    """The samples not seen yet, and the options with the gap that they keep from those seen.

    A gap that the caller gave stays. Raises `OptionsError` where nothing is left to be seen.
    """
    given = options.min_gap_seconds
    gap = default_gap(sampled.span_seconds) if given is None else given
    while True:
        fresh = unseen(sampled.seconds, options.exclude_seconds, gap)
        if fresh.any():
            return sampled.only(np.flatnonzero(fresh)), replace(options, min_gap_seconds=gap)
        if given is not None or gap < SAME_SECONDS:
            break
        gap /= 2
    first, last = float(sampled.seconds[0]), float(sampled.seconds[-1])
    raise OptionsError(
        f"there is nothing more to see from {first:.1f} to {last:.1f} s: every frame lies within "
        f"{max(gap, SAME_SECONDS):.2g} s of exclude_seconds; look at another window (start_seconds, "
        "end_seconds), or exclude fewer"
    )
