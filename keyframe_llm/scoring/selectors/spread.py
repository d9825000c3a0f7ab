"""Published selectors that keep relevant frames apart: TASS by time, AdaRD-Key by appearance."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import ArrayLike, NDArray

from keyframe_llm.arrays import min_max

if TYPE_CHECKING:
    from keyframe_llm.index import VideoIndex

__all__ = ["adard_key", "tass"]

Picks = NDArray[np.intp]

_TASS_GAP_SECONDS = 20.0
_TASS_POOL = 4  # at most so many frames for each frame of the budget
_WEAK = 0.4  # where no frame is more relevant than this, AdaRD-Key leaves relevance out
_DIVERSITY = 0.5  # λ
_JITTER = 1e-6  # ε


def tass(index: VideoIndex, text: ArrayLike | None, k: int, seed: int) -> Picks:
    """TASS, of DATE: frames above the mean similarity, best first, 20 s apart; the gap is halved until k fit.

    At most 4 k frames, the best ones, take part. Where no frame is above the mean, the first frame is chosen.
    """
    scores = min_max(index.similarity(text), flat=0.0)
    above = int((scores > scores.mean()).sum())
    pool = np.argsort(-scores, kind="stable")[: max(1, min(above, _TASS_POOL * k))]
    if len(pool) <= k:
        return pool
    kept: list[int] = []
    gap, times = _TASS_GAP_SECONDS, index.candidates.seconds
    while len(kept) < k:
        for i in pool.tolist():
            if len(kept) < k and i not in kept and np.all(np.abs(times[kept] - times[i]) >= gap):
                kept.append(i)
        gap /= 2
    return np.array(kept, np.intp)


def adard_key(index: VideoIndex, text: ArrayLike | None, k: int, seed: int) -> Picks:
    """AdaRD-Key's objective, greedily: Σ relevance + λ log det(E Eᵀ + ε I) over the chosen frames.

    Where no relevance reaches 0.4, the determinant alone counts. As published relevance is the probability of
    a match by BLIP-2, and λ follows its spread by constants that are not public; here relevance is the
    similarity spread over 0–1, which is below 0.4 only where all frames are alike, and λ is 0.5.
    """
    relevance, rows = min_max(index.similarity(text), flat=0.0), index.unit_embeddings
    if relevance.max() < _WEAK:
        relevance = np.zeros(len(relevance))
    left = np.full(len(rows), 1 + _JITTER)  # what the chosen frames leave of each diagonal entry
    factors = np.zeros((len(rows), k))
    kept: list[int] = []
    for step in range(k):
        worth = np.round(relevance + _DIVERSITY * np.log(left), 6)
        worth[kept] = -np.inf
        best = int(np.argmax(worth))
        column = rows @ rows[best] - factors[:, :step] @ factors[best, :step]
        factors[:, step] = column / np.sqrt(left[best])
        left = np.maximum(left - factors[:, step] ** 2, 1e-12)
        kept.append(best)
    return np.array(kept, np.intp)
