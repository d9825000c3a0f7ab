"""Coarse to fine: which few candidates cover a video for every text, and how alike two frames are.

Two frames are alike where their colours are, half as much where they lie far apart in time: what is shown
again needs no second image before a text asks for it. Frames of unlike colours all count as equally unlike,
so a shot costs one image, however odd it looks. The numbers were chosen on joined and drawn clips
(docs/evaluation.md).
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from keyframe_llm.data import Proposals

__all__ = ["FEW_IMAGES", "covering", "likeness", "step_of"]

FEW_IMAGES = 42
"""So many candidates, a third of 128, are all embedded for every text."""
# At least an eighth of `max_images` covers the video. Each of its parts has one image more, the best half of
# them another, the best quarter a third: where the least is enough, a text looks at 16 + 16 + 8 + 4 of 128.
_LEAST_SHARE = 8
_STEP_SHARE = 3
_COVER_SHARE = 0.75  # of the frames that may be embedded for a text
_SAME_COLOURS = 0.4  # histograms so far apart are alike by e^(-1/2); cuts measure 1.1–1.4
_FAR_LIKENESS = 0.5  # of two frames of the same colours, however far apart in time
_LONGEST_GAP = 3 / 16  # no two neighbours of the cover lie farther apart, of the time that was sampled
_COVERED = 0.2  # a candidate is covered by one that is as much like it: shots of other colours never are


def likeness(
    one: tuple[ArrayLike, ArrayLike], other: tuple[ArrayLike, ArrayLike], step_seconds: float
) -> NDArray[np.float64]:
    """(A, B) how alike frames are, 0–1; each side is histograms (A, d) of length 1, and seconds (A,)."""
    (a, at), (b, bt) = ((np.asarray(rows, np.float64), np.asarray(times)) for rows, times in (one, other))
    apart = np.maximum((a**2).sum(axis=1)[:, None] + (b**2).sum(axis=1) - 2 * a @ b.T, 0.0)
    near = np.exp(-np.abs(at[:, None] - bt) / step_seconds)
    return np.asarray(np.exp(-apart / (2 * _SAME_COLOURS**2)) * (_FAR_LIKENESS + (1 - _FAR_LIKENESS) * near))


def step_of(seconds: ArrayLike, max_images: int) -> float:
    """The seconds in which frames of the same colours grow unlike, of (N,) ascending times of the samples.

    It is the step of a third of `max_images` images, spread evenly.
    """
    times = np.asarray(seconds, np.float64)
    return max(float(times[-1] - times[0]), 1e-3) * _STEP_SHARE / max_images


def covering(candidates: Proposals, histograms: ArrayLike, max_images: int, most: int) -> NDArray[np.intp]:
    """Of K candidates those that cover the video: (k,) ascending indices into them.

    Always the candidate least like all before it (the earlier of equals), until each is covered, and at
    least an eighth of `max_images`, but no more than three quarters of `most`, beside a few in wide gaps. All
    K where they are no more than `FEW_IMAGES` and `most`. `histograms` is (N, d), those of all samples.
    """
    count, step = len(candidates), step_of(candidates.sampled_seconds, max_images)
    if count <= min(FEW_IMAGES, most):
        return np.arange(count)
    colours, times = np.asarray(histograms)[candidates.indices], candidates.seconds
    chosen: list[int] = []
    nearest = np.zeros(count)
    least, limit = max_images // _LEAST_SHARE, min(count, round(_COVER_SHARE * most))
    while len(chosen) < limit and (len(chosen) < least or nearest.min() < _COVERED):
        new = int(np.round(nearest, 6).argmin())
        like = likeness((colours, times), (colours[[new]], times[[new]]), step)
        nearest = np.maximum(nearest, like[:, 0])
        nearest[new] = np.inf
        chosen.append(new)
    return _without_gaps(np.sort(np.array(chosen, np.intp)), times)


def _without_gaps(chosen: NDArray[np.intp], times: NDArray[np.float64]) -> NDArray[np.intp]:
    """The chosen rows, and rows between those that lie `_LONGEST_GAP` of the time apart or farther."""
    longest = float(times[-1] - times[0]) * _LONGEST_GAP
    while True:
        gaps = np.diff(times[chosen])
        wide = np.flatnonzero((gaps > longest) & (np.diff(chosen) > 1))
        if not len(wide):
            return chosen
        middles = (times[chosen[wide]] + times[chosen[wide + 1]]) / 2
        inside = [
            a + 1 + int(np.abs(times[a + 1 : b] - middle).argmin())
            for a, b, middle in zip(chosen[wide], chosen[wide + 1], middles, strict=True)
        ]
        chosen = np.sort(np.concatenate([chosen, inside]))
