"""Indexing videos with one encoder: what was learnt of a video is kept for the next text about it.

A second question about a video embeds only frames that no text asked for before.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial

from keyframe_llm.cost import PictureTokens
from keyframe_llm.data import CaptionSource, Progress
from keyframe_llm.encoders import DEFAULT_ENCODER, Encoder
from keyframe_llm.index.cached_words import cached_words
from keyframe_llm.index.embedder import Embedder
from keyframe_llm.index.feature_cache import FeatureCache
from keyframe_llm.index.kept import KeptParts
from keyframe_llm.index.keys import subtitle_files, video_key
from keyframe_llm.index.parts import Parts, is_part
from keyframe_llm.index.reserve import with_all
from keyframe_llm.index.saved import from_arrays, to_arrays
from keyframe_llm.index.store import Store
from keyframe_llm.index.turns import Remembered, Turns
from keyframe_llm.index.video_index import VideoIndex, build_index, embedded_texts, silent
from keyframe_llm.options import SelectOptions
from keyframe_llm.prompts import Prompts
from keyframe_llm.proposals.sample import Samples
from keyframe_llm.scoring.queries import checked_text
from keyframe_llm.selection import Selection
from keyframe_llm.video import Decoder, VideoInput, VideoSource, as_source, open_video
from keyframe_llm.words import Words

__all__ = ["Indexer"]


class Indexer:
    """Indexes videos and chooses from them with one encoder, which is loaded when the first text comes.

    Several threads may share one: each video is indexed once, and the models are loaded once.
    """

    def __init__(
        self,
        encoder: str | Encoder = DEFAULT_ENCODER,
        *,
        device: str | None = None,
        progress: Progress | None = None,
        store: Store | None = None,
        prompts: Prompts | None = None,
        keep_samples: bool = False,
        picture_side: int | None = None,
        checkpoint: Callable[[], None] | None = None,
    ) -> None:
        """`store` keeps on disk what a next run can use; None keeps nothing there.

        `keep_samples` keeps small pictures of all sampled frames there: a text that comes later, or a part of
        the video, has no frame decoded again for it. They are `picture_side` pixels on their shorter side;
        None asks the encoder, which is loaded where no small file says what it wants. `checkpoint` is called
        while a thread waits for another one that works on the same video; it raises to give up.
        """
        self.cache = FeatureCache(store)
        self.embedder = Embedder(
            encoder,
            device=device,
            cache=self.cache,
            prompts=prompts,
            picture_side=picture_side,
            progress=progress,
        )
        self.progress = progress or silent
        self.keep_samples = keep_samples
        self._kept = KeptParts(self.cache, self.embedder)
        self._parts = Parts(self.cache, self.embedder, self._kept.key)
        self._turns = Turns(checkpoint)
        self._remembered, self._words = Remembered[VideoIndex](), Remembered[Words]()

    def index(self, video: VideoInput, options: SelectOptions, *, embed: bool = False) -> VideoIndex:
        """The video's index; `embed` has the encoder embed all of its candidates, for any text later.

        Raises `VideoError`, `ModelError`, `OptionsError`.
        """
        source = as_source(video, self.progress)
        with _opened(source, options) as decoder:
            index, spent = self._indexed(
                decoder, source, options, (), pictures=embed or self.keep_samples, embed=embed
            )
            index = self._with_words(index, decoder, source, options)
            index = self._with_all(index, source, options, spent if embed else None)
        return replace(_from(index, source), timings={**index.timings, **spent})

    def select(
        self,
        video: VideoInput,
        options: SelectOptions,
        *,
        caption: str | None = None,
        caption_source: CaptionSource = "given",
        question: str | None = None,
        expect_text: bool = False,
        with_words: bool = False,
        tokens: PictureTokens | None = None,
    ) -> Selection:
        """Choose at most `options.max_frames` key frames, guided by the texts there are.

        `expect_text` keeps what a later text about this video will need. `with_words` reads what is said and
        written also where no text asks for it. `tokens` counts pictures for the
        option `token_budget` (see `VideoIndex.select_with`). Raises `VideoError`, `ModelError`,
        `OptionsError`.
        """
        began = time.perf_counter()
        caption, question = checked_text("caption", caption), checked_text("question", question)
        texts = embedded_texts(caption, question, options)
        source = as_source(video, self.progress)
        with _opened(source, options) as decoder:
            pictures = bool(texts) or expect_text or self.keep_samples
            index, spent = self._indexed(
                decoder, source, options, texts, pictures=pictures, embed=bool(texts)
            )
            if texts or expect_text or with_words:
                index = self._with_words(index, decoder, source, options)
            selection = _from(index, source).select_with(
                decoder,
                caption,
                question,
                options=options,
                caption_source=caption_source,
                timings=spent,
                progress=self.progress,
                tokens=tokens,
            )
            self._kept.keep_reserve(index, source, options)
        timings = {**selection.timings, "total": time.perf_counter() - began}
        warnings = tuple(dict.fromkeys([*selection.warnings, *self.cache.warnings]))
        return replace(selection, timings=timings, warnings=warnings)

    def remembers(self, video: VideoInput, options: SelectOptions) -> bool:
        """Whether the index of a video is in memory, with what a text needs."""
        index = self._remembered.get(video_key(video, options))
        has_pictures = index is not None and (index.embeddings is not None or bool(index.pictures))
        return has_pictures if self.keep_samples else index is not None

    def _with_words(
        self, index: VideoIndex, decoder: Decoder, source: VideoSource, options: SelectOptions
    ) -> VideoIndex:
        """The index with the words of the video; read once for all questions about it."""
        key = (*video_key(source, options), options.words, subtitle_files(source))
        with self._turns.turn(key):
            words = self._words.get(key)
            if words is None:
                words = self._read_words(decoder, source, options, index.candidate_seconds.tolist())
                self._words.keep(key, words)
        warnings = tuple(dict.fromkeys([*index.warnings, *words.warnings]))
        return replace(index, words=words.cues, warnings=warnings)

    def _read_words(
        self, decoder: Decoder, source: VideoSource, options: SelectOptions, candidates: Sequence[float]
    ) -> Words:
        # A decoder that reads files of strangers elsewhere reads their words there, too.
        own = getattr(decoder, "read_words", None)
        if own is not None:
            found: Words = own(options.words)
            return found
        return cached_words(
            source,
            options.words,
            options.decode,
            cache=self.cache,
            duration_seconds=decoder.info.duration_seconds,
            candidates=candidates,
            progress=self.progress,
        )

    def _indexed(
        self,
        decoder: Decoder,
        source: VideoSource,
        options: SelectOptions,
        texts: Sequence[str],
        *,
        pictures: bool,
        embed: bool,
    ) -> tuple[VideoIndex, dict[str, float]]:
        """Build an index, or take it from memory or disk; also returns the seconds spent on each stage."""
        key = video_key(source, options)
        with self._turns.turn(key):
            index = self._remembered.get(key)
            spent: dict[str, float] = {}
            if index is None or (pictures and index.embeddings is None and not index.pictures):
                index = self._loaded_or_built(decoder, source, options, texts, index, pictures=pictures)
                spent = dict(index.timings)
            index = replace(index, options=options, embedder=self.embedder if pictures else index.embedder)
            self._remembered.keep(key, index)
        if embed and index.embeddings is None:
            # Those who need no embeddings do not wait for the encoder.
            with self._turns.turn((*key, "embed")):
                known = self._remembered.get(key)
                if known is None or known.embeddings is None:
                    known = self._embedded(index, source, options, spent)
                index = replace(known, options=options)
                self._remembered.keep(key, index)
        return index, spent

    def _loaded_or_built(
        self,
        decoder: Decoder,
        source: VideoSource,
        options: SelectOptions,
        texts: Sequence[str],
        known: VideoIndex | None,
        *,
        pictures: bool,
    ) -> VideoIndex:
        path = decoder.info.path
        embedder = self.embedder if pictures else None
        key = self._kept.key(source, options, pictures=pictures)
        values = self.cache.arrays(key)
        if values is not None:
            index = from_arrays(values, path, options, embedder)
            if not pictures:
                return index
            rows = self.cache.embeddings(key, self.embedder.source, index.candidates.indices)
            needed = rows is None or index.reserve is not None
            kept = self._kept.pictures(source, options) if needed else None
            reserve = self._kept.reserve(index, source, options, kept)
            if rows is not None and (reserve is None) == (index.reserve is None):
                return replace(index, embeddings=rows, reserve=reserve)
            if kept is not None:
                own = tuple(kept[i] for i in index.candidates.indices)
                return replace(index, pictures=own, reserve=reserve)
        found = self._part(decoder, source, options) if self.keep_samples and is_part(options) else None
        index = found or build_index(
            decoder,
            options,
            embedder,
            # Others wait for the reading, and need not wait for the encoder too.
            texts=() if self.keep_samples else texts,
            proposals=known.proposals if known is not None else None,
            progress=self.progress,
            on_samples=partial(self._keep_samples, source, options) if self.keep_samples else None,
        )
        self.cache.keep_arrays(key, to_arrays(index))
        if pictures:
            self._kept.keep_reserve_pictures(index, source, options)
        if index.embeddings is not None:
            self._kept.keep_embeddings(index, key)
        return index

    def _part(self, decoder: Decoder, source: VideoSource, options: SelectOptions) -> VideoIndex | None:
        """The index of a part of a video, if frames of it are kept already."""
        found = self._parts.index(decoder, source, options, self.progress)
        if found is not None and found.decoded:
            self._keep_samples(source, options, found.samples, found.made)
        return None if found is None else found.made

    def _keep_samples(
        self, source: VideoSource, options: SelectOptions, samples: Samples, index: VideoIndex
    ) -> None:
        self._kept.keep_samples(source, options, samples, index)
        if is_part(options):
            self._parts.note(source, options)

    def _embedded(
        self, index: VideoIndex, source: VideoSource, options: SelectOptions, spent: dict[str, float]
    ) -> VideoIndex:
        self.progress("embed", 0.0)
        began = time.perf_counter()
        kept = self.keep_samples and is_part(options)
        index = self._parts.embed(index, source, options) if kept else index.embed(self.embedder)
        spent["embed"] = spent.get("embed", 0.0) + time.perf_counter() - began
        self._kept.keep_embeddings(index, self._kept.key(source, options, pictures=True))
        return index

    def _with_all(
        self, index: VideoIndex, source: VideoSource, options: SelectOptions, spent: dict[str, float] | None
    ) -> VideoIndex:
        """The index with those candidates, too, that wait for a text; `spent` None embeds none of them."""
        if spent is None:
            return with_all(index if index.embeddings is None else replace(index, embeddings=None))
        began = time.perf_counter()
        every = with_all(index)
        spent["embed"] = spent.get("embed", 0.0) + time.perf_counter() - began
        self._kept.keep_reserve(index, source, options)
        return every


def _from(index: VideoIndex, source: VideoSource) -> VideoIndex:
    """The index with the place of its video, where that is no path."""
    return index if isinstance(source, str) else replace(index, source=source)


def _opened(video: VideoSource, options: SelectOptions) -> Decoder:
    decode = options.decode
    return open_video(video, decode.backend, decode.max_picture_pixels, decode.hardware)
