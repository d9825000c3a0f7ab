"""More evidence than one frame a moment: further frames become proposals beside STACFP's representatives.

A representative is the frame nearest its cluster's centroid, chosen with no text; what a text asks for is
often seen in another frame of the same moment, or not recognised in that very one. So a fixed number of
frames is embedded: the representatives, then always the frame least like all before it in colour and time.
One even step in time, the video's length through the number of images, counts as a distance of 1; quite
different colours lie √2 apart. So a short flash is among the first, and the rest is spread over the video.
(Where colours count for more, the images go to frames like no other, and those are seldom what a text means.)
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from keyframe_llm.data import Proposals
from keyframe_llm.errors import OptionsError
from keyframe_llm.proposals.color_histogram import spacetime

__all__ = ["with_more_frames"]


def with_more_frames(proposals: Proposals, histograms: ArrayLike, max_images: int) -> Proposals:
    """Propose up to `max_images` frames: those there are, then by farthest-first traversal.

    `histograms` is (N, d), rows of length 1, one for each sampled frame; the next frame is the one farthest,
    in STACFP's space [v; γ_time · t] with γ_time = `max_images`, from all frames proposed so far (the earlier
    of equals). Every sampled frame then belongs to the proposal nearest in that space. Where there are
    `max_images` proposals already, they stay as they are. Raises `OptionsError` on shapes that do not match
    or numbers out of range.
    """
    rows, times = np.asarray(histograms, np.float32), proposals.sampled_seconds
    if rows.ndim != 2 or len(rows) != len(times) or not np.all(np.isfinite(rows)):
        raise OptionsError(f"histograms are {rows.shape}; give ({len(times)}, d) finite numbers")
    if max_images < 1:
        raise OptionsError(f"max_images is {max_images!r}; give a whole number from 1")
    if len(proposals) >= max_images:
        return proposals
    space = spacetime(rows, times, float(max_images)).astype(np.float32)
    indices, nearest = _farthest_first(space, proposals.indices, min(max_images, len(times)))
    order = np.argsort(indices)
    rank = np.empty_like(order)
    rank[order] = np.arange(len(order))
    return Proposals(times, rank[nearest], indices[order], proposals.silhouettes)


def _farthest_first(
    space: NDArray[np.float32], first: NDArray[np.intp], count: int
) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """The `count` chosen rows, the given ones first, and for every row (N,) which of them is nearest."""
    chosen = [int(i) for i in first]
    away = np.full(len(space), np.inf, np.float32)
    nearest = np.zeros(len(space), np.intp)
    for place in range(count):
        if place == len(chosen):
            chosen.append(int(away.argmax()))
        to_this = ((space - space[chosen[place]]) ** 2).sum(axis=1)
        to_this[chosen[place]] = -1.0  # a chosen row stands for itself, also where another equals it
        closer = to_this < away
        away[closer], nearest[closer] = to_this[closer], place
    return np.array(chosen, np.intp), nearest
