"""KeyScore (equations 1–4): how much each candidate frame matters to a text, and to the video itself."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from keyframe_llm.arrays import min_max, unit_rows
from keyframe_llm.data import Components, Scores
from keyframe_llm.errors import OptionsError
from keyframe_llm.options import Pooling, ScoreOptions

__all__ = ["keyscore"]

Array = NDArray[np.float64]

# A softmax over cosines: 0.07 is the temperature CLIP starts its training from; at 1 a cosine's narrow range
# would leave the pooling all but uniform.
TEMPERATURE = 0.07
# What a part that is the same for every frame becomes: it prefers none of them.
_UNDECIDED = 0.5


def keyscore(
    frames: ArrayLike,
    text: ArrayLike,
    *,
    weights: tuple[float, float, float] = (1 / 3, 1 / 3, 1 / 3),
    pooling: Pooling = "mean",
    temperature: float = TEMPERATURE,
    baseline: ArrayLike | None = None,
) -> Scores:
    """Score K frames against a text: α·S_sem + β·S_temp + γ·S_drop, each min–max normalised (equation 1).

    `frames` is (K, D) and `text` (D,), embeddings of any length: they are normalised here. With `v` the
    pooled video embedding, S_sem(i) = cos(f_i, t) (equation 2), S_temp(i) = cos(f_i, v) (equation 3) and
    S_drop(i) = cos(v, t) − cos(v without i, t) (equation 4). `pooling="mean"` averages the frames;
    `"text"` weighs them by softmax(cos(f_i, t) / temperature), and by the same weights with i left out.

    With `baseline` b (D,), the mean embedding of neutral texts (`text_baseline`), f_i · b is taken off every
    cosine with t: S_sem(i) = cos(f_i, t) − f_i · b, and S_drop alike. The paper has no such term. A frame
    that fits every text then fits none.

    `text` (P, D) is several texts: each is scored alone, and a frame has the score for the one it fits best.
    So the best frame of every text scores near 1. The paper has one text.

    Defined ends: a part with one value for all frames is 0.5 throughout. A cosine with a zero vector is 0,
    so for a text an encoder knows no word of (an all-zero embedding) S_sem and S_drop are 0 raw. Leaving out
    the only frame leaves a zero video, so S_drop = cos(v, t) for K = 1.

    Raises `OptionsError` on shapes that do not match, values that are not finite, or weights, pooling or
    temperature out of range.
    """
    if np.ndim(text) == 2 and len(np.asarray(text)):
        return _best_of(
            [
                keyscore(
                    frames, one, weights=weights, pooling=pooling, temperature=temperature, baseline=baseline
                )
                for one in np.asarray(text)
            ]
        )
    rows, query = _embeddings(frames, text)
    if baseline is not None and query.any():
        query = query - _vector("text baseline", baseline, rows.shape[1])
    weights = ScoreOptions(weights=weights).weights
    if pooling not in ("mean", "text"):
        raise OptionsError(f"pooling is {pooling!r}; choose one of mean, text")
    if not (np.isfinite(temperature) and temperature > 0):
        raise OptionsError(f"temperature is {temperature!r}; give a number above 0")
    semantic = rows @ query
    logits = semantic / temperature if pooling == "text" else np.zeros(len(rows))
    attention = np.exp(logits - logits.max())
    video = unit_rows(attention @ rows)
    # Frame i left out: the attention of the others only changes by a common factor, which a cosine ignores.
    others = _without_each(rows, attention)
    raw = Components(semantic, rows @ video, video @ query - others @ query)
    return _weigh(raw, weights)


def _best_of(scores: Sequence[Scores]) -> Scores:
    """For each of the K frames its score for the text that it fits best."""
    best = np.argmax([one.total for one in scores], axis=0)
    frames = np.arange(len(best))

    def of_best(parts: Sequence[Components]) -> Components:
        return Components(
            np.array([part.semantic for part in parts])[best, frames],
            np.array([part.temporal for part in parts])[best, frames],
            np.array([part.drop for part in parts])[best, frames],
        )

    total = np.array([one.total for one in scores])[best, frames]
    normalised, raw = of_best([one.normalised for one in scores]), of_best([one.raw for one in scores])
    return Scores(total, normalised, raw, scores[0].weights)


def _weigh(raw: Components, weights: tuple[float, float, float]) -> Scores:
    parts = [min_max(part, flat=_UNDECIDED) for part in (raw.semantic, raw.temporal, raw.drop)]
    total = np.clip(sum(w * part for w, part in zip(weights, parts, strict=True)), 0.0, 1.0)
    return Scores(total=total, normalised=Components(*parts), raw=raw, weights=weights)


def _without_each(rows: Array, attention: Array) -> Array:
    """(K, D): row i is the pooled, unit-length embedding of all frames but i; zero where nothing is left."""
    weighted = attention[:, None] * rows
    before = np.vstack([np.zeros_like(rows[:1]), np.cumsum(weighted, axis=0)[:-1]])
    after = np.vstack([np.cumsum(weighted[::-1], axis=0)[::-1][1:], np.zeros_like(rows[:1])])
    # Summing from both sides instead of subtracting i keeps full precision when i holds nearly all attention.
    return unit_rows(before + after)


def _rows(name: str, values: Any) -> Array:
    rows = np.asarray(values, np.float64)
    if rows.ndim != 2 or 0 in rows.shape:
        raise OptionsError(f"{name} are {rows.shape}; give (K, D) with at least one row and one column")
    if not np.all(np.isfinite(rows)):
        raise OptionsError(f"{name} hold NaN or infinity; give finite numbers")
    return unit_rows(rows)


def _embeddings(frames: ArrayLike, text: ArrayLike) -> tuple[Array, Array]:
    rows = _rows("frame embeddings", frames)
    return rows, unit_rows(_vector("text embedding", text, rows.shape[1]))


def _vector(name: str, values: ArrayLike, size: int) -> Array:
    vector = np.asarray(values, np.float64)
    if vector.shape != (size,):
        raise OptionsError(f"the {name} is {vector.shape}; give ({size},) to match the frames")
    if not np.all(np.isfinite(vector)):
        raise OptionsError(f"the {name} holds NaN or infinity; give finite numbers")
    return vector
