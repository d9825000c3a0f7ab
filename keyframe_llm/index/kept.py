"""What of an index is kept on disk beside it: pictures, embeddings, and frames in reserve."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from keyframe_llm.index.embedder import Embedder
from keyframe_llm.index.feature_cache import FeatureCache
from keyframe_llm.index.keys import made_of
from keyframe_llm.index.reserve import Reserve
from keyframe_llm.index.video_index import VideoIndex
from keyframe_llm.options import SelectOptions
from keyframe_llm.proposals.sample import Samples
from keyframe_llm.video import VideoSource

__all__ = ["KeptParts"]


class KeptParts:
    """The parts of indexes that a cache keeps for one encoder, found by the video and the options."""

    def __init__(self, cache: FeatureCache, embedder: Embedder) -> None:
        self._cache, self._embedder = cache, embedder

    def key(
        self, source: VideoSource, options: SelectOptions, *, pictures: bool, kind: str = "index"
    ) -> str | None:
        """The key of an index, or of another `kind` of its parts; None where nothing is kept."""
        side = self._embedder.picture_side() if pictures else None
        return self._cache.key(kind, source, side, *made_of(options))

    def keep_samples(
        self, source: VideoSource, options: SelectOptions, samples: Samples, index: VideoIndex
    ) -> None:
        """Keep the pictures of all sampled frames; where they are too many, those that a text may ask for."""
        needed = index.candidates.indices
        if index.reserve is not None:
            needed = np.concatenate([needed, index.reserve.samples(index.seconds)])
        self._cache.keep_pictures(
            self.key(source, options, pictures=True, kind="pictures"), samples.pictures, needed
        )

    def pictures(self, source: VideoSource, options: SelectOptions) -> tuple[bytes, ...] | None:
        """Those of all sampled frames, None where they are not there."""
        return self._cache.pictures(self.key(source, options, pictures=True, kind="pictures"))

    def reserve(
        self, index: VideoIndex, source: VideoSource, options: SelectOptions, kept: Sequence[bytes] | None
    ) -> Reserve | None:
        """The index's reserve with its pictures, out of those of all samples or its own; None without any."""
        if index.reserve is None:
            return None
        samples = index.reserve.samples(index.seconds)
        own = self.key(source, options, pictures=True, kind="reserve")
        pictures = self._cache.pictures(own) if kept is None else [kept[i] for i in samples]
        key = self.key(source, options, pictures=True)
        rows = self._cache.embeddings(key, self._embedder.source, samples)
        return None if pictures is None else Reserve(index.reserve.seconds, pictures, rows)

    def keep_reserve_pictures(self, index: VideoIndex, source: VideoSource, options: SelectOptions) -> None:
        """Keep the pictures of the frames in reserve, where there are any."""
        if index.reserve is not None:
            apart = self.key(source, options, pictures=True, kind="reserve")
            self._cache.keep_pictures(apart, index.reserve.pictures, np.arange(len(index.reserve)))

    def keep_reserve(self, index: VideoIndex, source: VideoSource, options: SelectOptions) -> None:
        """Keep what texts had embedded of the reserve."""
        rows = None if index.reserve is None else index.reserve.new_rows()
        if index.reserve is not None and rows is not None:
            key = self.key(source, options, pictures=True)
            samples = index.reserve.samples(index.seconds)
            self._cache.keep_embeddings(key, self._embedder.source, samples, rows)

    def keep_embeddings(self, index: VideoIndex, key: str | None) -> None:
        """Keep the embeddings of the candidates under the key of their index."""
        rows = index.embedded()
        self._cache.keep_embeddings(key, self._embedder.source, index.candidates.indices, rows)
