"""What every selector is given: an index whose candidates are all sampled frames; only the rule differs."""

from __future__ import annotations

from dataclasses import dataclass
from os import PathLike

import numpy as np
from numpy.typing import ArrayLike, NDArray

from keyframe_llm.arrays import unit_rows
from keyframe_llm.data import Proposals, VideoInfo
from keyframe_llm.encoders import Encoder
from keyframe_llm.errors import OptionsError
from keyframe_llm.index import Indexer, VideoIndex
from keyframe_llm.options import SelectOptions
from keyframe_llm.prompts import default_prompts
from keyframe_llm.scoring.baseline import text_baseline
from keyframe_llm.scoring.order import Order, read_order
from keyframe_llm.scoring.queries import OrderedRows, Query, caption_parts, question_parts

__all__ = [
    "EmbeddedText",
    "Picks",
    "baseline_of",
    "dense_index",
    "embed_caption",
    "embed_question",
    "index_densely",
]

Picks = NDArray[np.intp]


@dataclass(frozen=True, slots=True, eq=False)
class EmbeddedText:
    """A text as selectors want it: whole for most, in parts with a baseline for this package's own."""

    whole: NDArray[np.float64]
    """(D,) the embedding of the whole text."""
    parts: NDArray[np.float64]
    """(P, D) those of its parts."""
    baseline: NDArray[np.float64] | None = None
    """(D,) the text baseline of the encoder (see `text_baseline`)."""
    order: OrderedRows | None = None
    """When it is shown, for this package's own; None where the text does not say."""

    @classmethod
    def of(cls, row: ArrayLike, baseline: NDArray[np.float64] | None = None) -> EmbeddedText:
        """A text of one part, (D,)."""
        whole = np.asarray(row, np.float64)
        return cls(whole, whole[None], baseline)


def embed_caption(encoder: Encoder, text: str, baseline: NDArray[np.float64] | None) -> EmbeddedText:
    """A caption and its parts."""
    return _embedded(encoder, text, caption_parts(text), read_order(text, is_question=False), baseline)


def embed_question(encoder: Encoder, text: str, baseline: NDArray[np.float64] | None) -> EmbeddedText:
    """A question and its parts."""
    return _embedded(encoder, text, question_parts(text), read_order(text, is_question=True), baseline)


def baseline_of(encoder: Encoder) -> NDArray[np.float64]:
    """(D,) the text baseline of an encoder over the neutral prompts."""
    return text_baseline(encoder.embed_texts(list(default_prompts().lines("neutral"))))


def dense_index(
    embeddings: ArrayLike,
    seconds: ArrayLike,
    histograms: ArrayLike,
    sharpness: ArrayLike | None = None,
    *,
    name: str = "frames",
) -> VideoIndex:
    """An index of N frames that are in no file: (N, D) embeddings, (N,) seconds, (N, d) histograms.

    Raises `OptionsError` on shapes that do not match.
    """
    rows, times = unit_rows(np.asarray(embeddings, np.float64)), np.asarray(seconds, np.float64)
    colours = np.asarray(histograms)
    if rows.ndim != 2 or 0 in rows.shape or not np.all(np.isfinite(rows)):
        raise OptionsError(f"embeddings are {rows.shape}; give (N, D) finite numbers, at least one row")
    if times.shape != rows.shape[:1] or np.any(np.diff(times) <= 0):
        raise OptionsError(f"seconds are {times.shape}; give ({len(rows)},) ascending times")
    if colours.ndim != 2 or len(colours) != len(rows) or not np.all(np.isfinite(colours)):
        raise OptionsError(f"histograms are {colours.shape}; give ({len(rows)}, d) finite numbers")
    span = float(times[-1] - times[0]) * len(times) / max(1, len(times) - 1)
    every = np.arange(len(times))
    frames = Proposals(times, every, every)
    return VideoIndex(
        video=VideoInfo(name, span, None, 0, 0, ""),
        seconds=times,
        histograms=colours.astype(np.float32),
        proposals=frames,
        candidates=frames,
        embeddings=rows,
        sharpness=None if sharpness is None else np.asarray(sharpness, np.float64),
        span_seconds=span,
    )


def index_densely(video: str | PathLike[str], encoder: Encoder) -> VideoIndex:
    """Index a video file as the package samples it, every sampled frame embedded. Raises `VideoError`."""
    options = SelectOptions(candidates="even", max_images=20_000, method="katna")  # katna: with sharpness
    return Indexer(encoder).index(video, options, embed=True)


def _embedded(
    encoder: Encoder,
    text: str,
    parts: list[str],
    order: Order | None,
    baseline: NDArray[np.float64] | None,
) -> EmbeddedText:
    every = [text, *parts, *(order.texts if order is not None else ())]
    rows = np.asarray(encoder.embed_texts(every), np.float64)
    query = Query(rows[1:]).ordered(order)
    return EmbeddedText(rows[0], np.asarray(query.parts, np.float64), baseline, query.order)
