"""Published selectors guided by the similarity of frames and text, adapted where 2–3 frames break them."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import ArrayLike, NDArray

from keyframe_llm.arrays import min_max, unit_rows

if TYPE_CHECKING:
    from keyframe_llm.index import VideoIndex

__all__ = ["aks", "bolt", "focus", "mdp3", "mmr", "q_frame", "top_k", "top_k_with_gap"]

Array = NDArray[np.float64]
Picks = NDArray[np.intp]

GAP_SECONDS = 4.0


def top_k(index: VideoIndex, text: ArrayLike | None, k: int, seed: int) -> Picks:
    """The k frames most like the text (KeyVideoLLM); ties go to the earlier frame."""
    return np.argsort(-index.similarity(text), kind="stable")[:k]


def top_k_with_gap(index: VideoIndex, text: ArrayLike | None, k: int, seed: int) -> Picks:
    """The frames most like the text, best first, each at least 4 s from all kept ones.

    A video shorter than 4 (k - 1) seconds gives fewer than k.
    """
    kept: list[int] = []
    for i in np.argsort(-index.similarity(text), kind="stable"):
        if len(kept) < k and np.all(
            np.abs(index.candidates.seconds[kept] - index.candidates.seconds[i]) >= GAP_SECONDS
        ):
            kept.append(int(i))
    return np.array(kept, np.intp)


def mmr(index: VideoIndex, text: ArrayLike | None, k: int, seed: int) -> Picks:
    """Maximal marginal relevance, λ = ½: next the frame with most of cos(f, t) - max cos(f, kept)."""
    rows, relevance = index.unit_embeddings, index.similarity(text)
    kept = [int(np.argmax(relevance))]
    while len(kept) < k:
        worth = 0.5 * relevance - 0.5 * (rows @ rows[kept].T).max(axis=1)
        worth[kept] = -np.inf
        kept.append(int(np.argmax(worth)))
    return np.array(kept, np.intp)


def aks(index: VideoIndex, text: ArrayLike | None, k: int, seed: int) -> Picks:
    """Adaptive keyframe sampling: halve a segment unless its best frames stand out, then the best of each.

    Similarities are spread over 0–1; a segment is kept whole where the mean of its k best exceeds its mean
    by more than 0.8, and a segment at depth d gets k / 2^d frames. As published, depth goes to 5 and the
    share is rounded down: no frame at all for k = 2, 3, 4, 8 once everything is halved. Adapted: depth goes
    to ⌊log₂ k⌋, and what rounding leaves goes to the segments with the best peaks among those cut short most.
    """
    scores = min_max(index.similarity(text), flat=0.0)
    leaves = _halved(scores, np.arange(len(scores)), k, 0, int(math.log2(k)))
    shares = np.array([k / 2**depth for _, depth in leaves])
    counts = np.floor(shares).astype(int)
    peaks = np.array([scores[part].max() for part, _ in leaves])
    first = np.lexsort((-peaks, counts - shares))
    counts[first[: k - counts.sum()]] += 1
    chosen = [
        part[np.argsort(-scores[part], kind="stable")[:count]]
        for (part, _), count in zip(leaves, counts, strict=True)
    ]
    return np.concatenate(chosen)


def bolt(index: VideoIndex, text: ArrayLike | None, k: int, seed: int) -> Picks:
    """BOLT: inverse transform sampling of p ∝ (similarity spread over 0–1)³.

    As published the quantiles are `linspace(1/k, 1 - 1/k, k)`: both ½ for k = 2, so one frame comes twice,
    and past the last frame for k = 1. Adapted: (i + ½) / k. A frame met twice counts once, so a single sharp
    peak gives fewer than k.
    """
    mass = min_max(index.similarity(text), flat=0.0) ** 3
    if not mass.any():  # all frames are alike
        mass = np.ones(len(index.candidates))
    reached = np.cumsum(mass) / mass.sum()
    return np.unique(np.searchsorted(reached, (np.arange(k) + 0.5) / k))


def mdp3(index: VideoIndex, text: ArrayLike | None, k: int, seed: int) -> Picks:
    """MDP3's objective, greedily: (2 / 0.2) Σ log K(t, f) + log det K over the chosen frames.

    K is a sum of Gaussians of variance 2⁻³ … 2¹. As published, a dynamic programme splits the budget over
    segments of 32 frames; with 2–3 frames there is nothing to split, and the greedy choice inside one segment
    is the whole method. Equal frames get a jitter of 1e-6, or the determinant would be 0.
    """
    frames, query = index.unit_embeddings, unit_rows(np.asarray(text, np.float64))
    relevance = np.log(_gaussians(frames, query[None])[:, 0])
    left = _gaussians(frames[:1], frames[:1])[0, 0] + 1e-6 - np.zeros(len(frames))
    factors = np.zeros((len(frames), k))
    kept: list[int] = []
    for step in range(k):
        # Rounded, so that the earlier of equal frames comes first on every machine.
        worth = np.round(2 / 0.2 * relevance + np.log(left), 6)
        worth[kept] = -np.inf
        best = int(np.argmax(worth))
        # One more column of the Cholesky factor; `left` is what the chosen frames leave of each diagonal.
        column = _gaussians(frames, frames[best : best + 1])[:, 0] - factors[:, :step] @ factors[best, :step]
        factors[:, step] = column / math.sqrt(left[best])
        left = np.maximum(left - factors[:, step] ** 2, 1e-12)
        kept.append(best)
    return np.array(kept, np.intp)


def q_frame(index: VideoIndex, text: ArrayLike | None, k: int, seed: int) -> Picks:
    """Q-Frame: the k greatest of log softmax(similarity / 0.8) + Gumbel noise, a draw without replacement.

    Cosines span a tenth or two, so at this temperature it hardly differs from chance: report ten seeds.
    """
    noise = np.random.default_rng(seed).gumbel(size=len(index.candidates))
    return np.argsort(-(index.similarity(text) / 0.8 + noise), kind="stable")[:k]


def focus(index: VideoIndex, text: ArrayLike | None, k: int, seed: int) -> Picks:
    """FOCUS: arms of 16 s, three samples of each, then all frames of the arms that may be best.

    An arm's bound is mean + √(2 ln n · var / m) + 3 ln n / m (empirical Bernstein; m of n samples); the best
    quarter, at least 4, is sampled throughout. A fifth of the budget goes to the best frames seen; the
    rest is drawn from those arms in turn, one each, by softmax(score / 0.06). As published that fifth is no
    frame for k = 2; adapted to at least one. Similarities are spread over 0–1, as its constants expect.
    """
    rng, scores = np.random.default_rng(seed), min_max(index.similarity(text), flat=0.0)
    count = max(1, int((index.candidates.seconds[-1] - index.candidates.seconds[0]) // 16))
    arms = [part for part in np.array_split(np.arange(len(scores)), count) if len(part)]
    samples = [_coarse(part, rng) for part in arms]
    best = _by_bound(scores, samples)[: max(4, math.ceil(len(arms) / 4))]
    for arm in best:
        samples[arm] = arms[arm]
    seen = np.concatenate(samples)
    kept = [int(i) for i in seen[np.argsort(-scores[seen], kind="stable")][: max(1, round(0.2 * k))]]
    turns = [arm for arm in _by_bound(scores, samples) if arm in set(best)]
    while len(kept) < k:
        free = [np.setdiff1d(samples[arm], kept) for arm in turns]
        if not any(len(part) for part in free):
            break
        for part in [part for part in free if len(part)][: k - len(kept)]:
            chance = np.exp((scores[part] - scores[part].max()) / 0.06)
            kept.append(int(rng.choice(part, p=chance / chance.sum())))
    return np.array(kept, np.intp)


def _halved(scores: Array, part: Picks, k: int, depth: int, deepest: int) -> list[tuple[Picks, int]]:
    inside = scores[part]
    stands_out = np.sort(inside)[-k:].mean() - inside.mean() > 0.8
    if stands_out or depth == deepest or len(part) < 2:
        return [(part, depth)]
    middle = len(part) // 2
    return [
        leaf
        for half in (part[:middle], part[middle:])
        for leaf in _halved(scores, half, k, depth + 1, deepest)
    ]


def _gaussians(rows: Array, others: Array) -> Array:
    """(N, M): the sum of Gaussian kernels of rows (N, D) and others (M, D)."""
    square = (rows**2).sum(axis=1)[:, None] + (others**2).sum(axis=1) - 2 * rows @ others.T
    return np.asarray(sum(np.exp(-np.maximum(square, 0) / 2 ** (a + 1)) for a in range(-3, 2)))


def _coarse(part: Picks, rng: np.random.Generator) -> Picks:
    """The middle of an arm and two more, drawn."""
    middle = part[len(part) // 2]
    others = part[part != middle]
    return np.append(rng.choice(others, size=min(2, len(others)), replace=False), middle)


def _by_bound(scores: Array, samples: list[Picks]) -> list[int]:
    """The arms, best upper confidence bound first."""
    log = math.log(max(2, sum(len(part) for part in samples)))
    bounds = [
        scores[part].mean() + math.sqrt(2 * log * scores[part].var() / len(part)) + 3 * log / len(part)
        for part in samples
    ]
    return [int(i) for i in np.argsort(-np.array(bounds), kind="stable")]
