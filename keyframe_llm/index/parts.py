"""The index of a part of a video: of frames that were sampled before, and those that are missing beside them.

Whatever was read of a video serves its other parts: the frames of the whole video's index and of the parts
that were asked for before, with their pictures and embeddings.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any, NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from keyframe_llm.data import Progress
from keyframe_llm.index.embedder import Embedder
from keyframe_llm.index.feature_cache import FeatureCache
from keyframe_llm.index.reserve import Reserve
from keyframe_llm.index.saved import from_arrays
from keyframe_llm.index.video_index import VideoIndex, propose_index
from keyframe_llm.options import SelectOptions
from keyframe_llm.proposals.missing import sample_missing
from keyframe_llm.proposals.sample import Samples
from keyframe_llm.scoring.selectors import needs_sharpness
from keyframe_llm.video import Decoder, VideoSource

__all__ = ["Parts", "is_part"]

Rows = NDArray[Any]
_MOST_PARTS = 16


def is_part(options: SelectOptions) -> bool:
    """Whether the options ask for a part of a video."""
    return (options.decode.start_seconds, options.decode.end_seconds) != (None, None)


class IndexKey(Protocol):
    """Makes the key under which something about an index is kept; None where nothing is."""

    def __call__(
        self, source: VideoSource, options: SelectOptions, *, pictures: bool, kind: str = "index"
    ) -> str | None: ...


class PartIndex(NamedTuple):
    """The index of a part."""

    made: VideoIndex
    samples: Samples
    decoded: int
    """How many of its samples were decoded for it."""


class Parts:
    """Indexes of parts of videos, made of what a cache keeps about these videos."""

    def __init__(self, cache: FeatureCache, embedder: Embedder, key: IndexKey) -> None:
        self._cache, self._embedder, self._key = cache, embedder, key

    def index(
        self, decoder: Decoder, source: VideoSource, options: SelectOptions, progress: Progress
    ) -> PartIndex | None:
        """The index of the part that the options name; None where nothing that is kept is of use for it."""
        kept = list(self._kept(source, options, decoder.info.path))
        known = [samples for each in kept if (samples := self._samples(each, source)) is not None]
        if not known:
            return None
        found = sample_missing(
            decoder,
            options.decode,
            _joined(known),
            picture_side=self._embedder.picture_side(),
            with_sharpness=needs_sharpness(options.choose.method),
            progress=progress,
        )
        if found is None:
            return None
        samples = found.samples
        made = propose_index(samples, kept[0].video, options, None, {"decode": samples.decode_seconds})
        warnings = dict.fromkeys([*(line for each in kept for line in each.warnings), *decoder.warnings])
        made = replace(made, embedder=self._embedder, warnings=tuple(warnings))
        return PartIndex(made, samples, found.decoded)

    def note(self, source: VideoSource, options: SelectOptions) -> None:
        """Note that the samples of a part are kept, for other parts."""
        noted = [part for part in self._noted(source, options) if part != _part(options)]
        self._cache.keep_text(
            self._list_key(source, options), json.dumps([*noted, _part(options)][-_MOST_PARTS:])
        )

    def embed(self, index: VideoIndex, source: VideoSource, options: SelectOptions) -> VideoIndex:
        """The index with embeddings: those that are kept of its frames, and those of all others."""
        known: dict[float, Rows] = {}
        for each in self._kept(source, options):
            known |= self._embeddings(each, source)
        times = index.candidates.seconds.tolist()
        if not known.keys() & set(times) or not index.pictures:
            return index.embed(self._embedder)
        index = replace(index, embedder=self._embedder)
        new = [i for i, second in enumerate(times) if second not in known]
        made = index.embed_pictures([index.pictures[i] for i in new]) if new else ()
        rows = dict(zip(new, made, strict=True))
        embeddings = np.stack([rows[i] if i in rows else known[second] for i, second in enumerate(times)])
        reserve = None if index.reserve is None else _with_rows(index.reserve, known)
        return replace(index, embeddings=embeddings, pictures=(), reserve=reserve)

    def _kept(self, source: VideoSource, options: SelectOptions, path: str = "") -> Iterator[VideoIndex]:
        """The indexes that are kept of the whole video, at `path`, and of parts that overlap this one."""
        others = [part for part in self._noted(source, options) if _overlap(part, _part(options))]
        for start, end in [(None, None), *others]:
            other = options.replaced(start_seconds=start, end_seconds=end)
            values = self._cache.arrays(self._key(source, other, pictures=True))
            if values is not None:
                yield from_arrays(values, path, other, self._embedder)

    def _samples(self, index: VideoIndex, source: VideoSource) -> Samples | None:
        """The samples of an index of which pictures are kept; None where there are none."""
        key = self._key(source, index.options, pictures=True, kind="pictures")
        pictures = self._cache.pictures(key)
        if pictures is None:
            return None
        samples = Samples(
            seconds=index.seconds,
            histograms=index.histograms,
            pictures=pictures,
            sharpness=index.sharpness,
            span_seconds=index.span_seconds,
            decode_seconds=0.0,
            plan=index.plan,
        )
        return samples.only(np.flatnonzero([bool(picture) for picture in pictures]))

    def _embeddings(self, index: VideoIndex, source: VideoSource) -> dict[float, Rows]:
        """The embeddings that are kept of an index, by the times of its frames."""
        key = self._key(source, index.options, pictures=True)
        known: dict[float, Rows] = {}
        rows = self._cache.embeddings(key, self._embedder.source, index.candidates.indices)
        if rows is not None:
            known |= zip(index.candidates.seconds.tolist(), rows, strict=True)
        if index.reserve is not None:
            samples = index.reserve.samples(index.seconds)
            rows = self._cache.embeddings(key, self._embedder.source, samples)
            pairs = zip(index.reserve.seconds.tolist(), () if rows is None else rows, strict=False)
            known |= {second: row for second, row in pairs if np.isfinite(row).all()}
        return known

    def _noted(self, source: VideoSource, options: SelectOptions) -> list[list[float | None]]:
        text = self._cache.text(self._list_key(source, options))
        parts: list[list[float | None]] = [] if text is None else json.loads(text)
        return parts

    def _list_key(self, source: VideoSource, options: SelectOptions) -> str | None:
        whole = options.replaced(start_seconds=None, end_seconds=None)
        return self._key(source, whole, pictures=True, kind="parts")


def _part(options: SelectOptions) -> list[float | None]:
    return [options.decode.start_seconds, options.decode.end_seconds]


def _overlap(one: Sequence[float | None], other: Sequence[float | None]) -> bool:
    (start, end), (begin, stop) = one, other
    return (start or 0.0) < (stop or np.inf) and (begin or 0.0) < (end or np.inf)


def _joined(parts: Sequence[Samples]) -> Samples:
    """The samples of several parts, in time order, each once."""
    seconds = np.concatenate([part.seconds for part in parts])
    _, first = np.unique(seconds, return_index=True)
    sharp = [part.sharpness for part in parts if part.sharpness is not None]
    every = Samples(
        seconds=seconds,
        histograms=np.concatenate([part.histograms for part in parts]),
        pictures=tuple(picture for part in parts for picture in part.pictures),
        sharpness=np.concatenate(sharp) if len(sharp) == len(parts) else None,
        span_seconds=parts[0].span_seconds,
        decode_seconds=0.0,
        plan=parts[0].plan,
    )
    return every.only(first)


def _with_rows(reserve: Reserve, known: dict[float, Rows]) -> Reserve:
    none = np.full_like(next(iter(known.values())), np.nan)
    rows = np.stack([known.get(second, none) for second in reserve.seconds.tolist()])
    return Reserve(reserve.seconds, reserve.pictures, rows)
