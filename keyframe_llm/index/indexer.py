"""Indexing videos with one encoder: what was learnt of a video is kept for the next text about it.

A second question about a video embeds only frames that no text asked for before. `index_video` and
`select_keyframes` are the two ways in.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from os import PathLike, fspath
from pathlib import Path
from threading import Lock
from typing import Any, TypeVar
from weakref import ref

import numpy as np

from keyframe_llm.cost import PictureTokens
from keyframe_llm.data import CaptionSource, Progress
from keyframe_llm.encoders import DEFAULT_ENCODER, Encoder
from keyframe_llm.index.cached_words import cached_words
from keyframe_llm.index.embedder import Embedder
from keyframe_llm.index.feature_cache import FeatureCache
from keyframe_llm.index.parts import Parts, is_part
from keyframe_llm.index.reserve import Reserve, with_all
from keyframe_llm.index.saved import from_arrays, to_arrays
from keyframe_llm.index.store import Store
from keyframe_llm.index.video_index import VideoIndex, build_index, silent, texts_of
from keyframe_llm.options import SelectOptions
from keyframe_llm.prompts import Prompts
from keyframe_llm.proposals.sample import Samples
from keyframe_llm.scoring.queries import checked_text
from keyframe_llm.scoring.selectors import needs_sharpness, propose_options
from keyframe_llm.selection import Selection
from keyframe_llm.video import Decoder, VideoInput, VideoSource, as_source, open_video
from keyframe_llm.words import Words
from keyframe_llm.words.tracks import files_beside

__all__ = [
    "Indexer",
    "index_video",
    "opened_prompts",
    "opened_store",
    "select_keyframes",
    "video_key",
]

T = TypeVar("T")
_REMEMBERED_VIDEOS = 4
_POLL_SECONDS = 0.1


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
        self._parts = Parts(self.cache, self.embedder, self._index_key)
        self._checkpoint = checkpoint or (lambda: None)
        self._remembered: dict[tuple[Any, ...], VideoIndex] = {}
        self._words: dict[tuple[Any, ...], Words] = {}
        self._in_work: dict[tuple[Any, ...], _Turn] = {}
        self._lock = Lock()

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
        texts = texts_of(caption, question, options)
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
            self._keep_reserve(index, source, options)
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
        key = (*video_key(source, options), options.words, _subtitle_files(source))
        with self._turn(key):
            words = self._words.get(key)
            if words is None:
                words = self._read_words(decoder, source, options, index.candidate_seconds.tolist())
                _remember(self._words, key, words, self._lock)
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
        with self._turn(key):
            index = self._remembered.get(key)
            spent: dict[str, float] = {}
            if index is None or (pictures and index.embeddings is None and not index.pictures):
                index = self._loaded_or_built(decoder, source, options, texts, index, pictures=pictures)
                spent = dict(index.timings)
            index = replace(index, options=options, embedder=self.embedder if pictures else index.embedder)
            _remember(self._remembered, key, index, self._lock)
        if embed and index.embeddings is None:
            # Those who need no embeddings do not wait for the encoder.
            with self._turn((*key, "embed")):
                known = self._remembered.get(key)
                if known is None or known.embeddings is None:
                    known = self._embedded(index, source, options, spent)
                index = replace(known, options=options)
                _remember(self._remembered, key, index, self._lock)
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
        key = self._index_key(source, options, pictures=pictures)
        values = self.cache.arrays(key)
        if values is not None:
            index = from_arrays(values, path, options, embedder)
            if not pictures:
                return index
            rows = self.cache.embeddings(key, self.embedder.source, index.candidates.indices)
            needed = rows is None or index.reserve is not None
            kept = self._kept_pictures(source, options) if needed else None
            reserve = self._kept_reserve(index, source, options, kept)
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
        if index.reserve is not None and pictures:
            apart = self._index_key(source, options, pictures=True, kind="reserve")
            every = np.arange(len(index.reserve))
            self.cache.keep_pictures(apart, index.reserve.pictures, every)
        if index.embeddings is not None:
            self._keep_embeddings(index, key)
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
        needed = index.candidates.indices
        if index.reserve is not None:
            needed = np.concatenate([needed, index.reserve.samples(index.seconds)])
        key = self._index_key(source, options, pictures=True, kind="pictures")
        self.cache.keep_pictures(key, samples.pictures, needed)
        if is_part(options):
            self._parts.note(source, options)

    def _kept_pictures(self, source: VideoSource, options: SelectOptions) -> tuple[bytes, ...] | None:
        return self.cache.pictures(self._index_key(source, options, pictures=True, kind="pictures"))

    def _kept_reserve(
        self, index: VideoIndex, source: VideoSource, options: SelectOptions, kept: Sequence[bytes] | None
    ) -> Reserve | None:
        """The index's reserve with its pictures, out of those of all samples or its own; None without any."""
        if index.reserve is None:
            return None
        samples = index.reserve.samples(index.seconds)
        own = self._index_key(source, options, pictures=True, kind="reserve")
        pictures = self.cache.pictures(own) if kept is None else [kept[i] for i in samples]
        key = self._index_key(source, options, pictures=True)
        rows = self.cache.embeddings(key, self.embedder.source, samples)
        return None if pictures is None else Reserve(index.reserve.seconds, pictures, rows)

    def _keep_reserve(self, index: VideoIndex, source: VideoSource, options: SelectOptions) -> None:
        """What texts had embedded of the reserve."""
        rows = None if index.reserve is None else index.reserve.new_rows()
        if index.reserve is not None and rows is not None:
            key = self._index_key(source, options, pictures=True)
            samples = index.reserve.samples(index.seconds)
            self.cache.keep_embeddings(key, self.embedder.source, samples, rows)

    def _embedded(
        self, index: VideoIndex, source: VideoSource, options: SelectOptions, spent: dict[str, float]
    ) -> VideoIndex:
        self.progress("embed", 0.0)
        began = time.perf_counter()
        kept = self.keep_samples and is_part(options)
        index = self._parts.embed(index, source, options) if kept else index.embed(self.embedder)
        spent["embed"] = spent.get("embed", 0.0) + time.perf_counter() - began
        self._keep_embeddings(index, self._index_key(source, options, pictures=True))
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
        self._keep_reserve(index, source, options)
        return every

    def _keep_embeddings(self, index: VideoIndex, key: str | None) -> None:
        rows = index.embedded()
        self.cache.keep_embeddings(key, self.embedder.source, index.candidates.indices, rows)

    def _index_key(
        self, source: VideoSource, options: SelectOptions, *, pictures: bool, kind: str = "index"
    ) -> str | None:
        side = self.embedder.picture_side() if pictures else None
        return self.cache.key(kind, source, side, *_made_of(options))

    @contextmanager
    def _turn(self, key: tuple[Any, ...]) -> Iterator[None]:
        """One thread at a time works on one video; others with the same one wait for its result."""
        with self._lock:
            turn = self._in_work.setdefault(key, _Turn())
            turn.waiting += 1
        try:
            while not turn.lock.acquire(timeout=_POLL_SECONDS):
                self._checkpoint()
            try:
                yield
            finally:
                turn.lock.release()
        finally:
            with self._lock:
                turn.waiting -= 1
                if not turn.waiting:
                    self._in_work.pop(key, None)


class _Turn:
    """A lock, and how many threads want it."""

    def __init__(self) -> None:
        self.lock, self.waiting = Lock(), 0


def _remember(known: dict[tuple[Any, ...], T], key: tuple[Any, ...], value: T, lock: Lock) -> None:
    with lock:
        known.pop(key, None)
        known[key] = value
        while len(known) > _REMEMBERED_VIDEOS:
            known.pop(next(iter(known)))


def index_video(
    video: VideoInput,
    *,
    encoder: str | Encoder | None = None,
    device: str | None = None,
    progress: Progress | None = None,
    cache: bool | Store = True,
    prompts: str | PathLike[str] | Prompts | None = None,
    **options: Any,
) -> VideoIndex:
    """Decode a video once and learn what can be known of it without any question.

    With an `encoder`, a name or any object with `embed_images(images) -> (N, D)` and `embed_texts(texts) ->
    (N, D)`, its candidates are embedded and `VideoIndex.select` takes texts; without one it takes none.
    `options` are the fields of `SelectOptions`. `cache` keeps what was learnt on disk for the next call (a
    `Store` of one's own, or False for none). `prompts` is a folder of prompts of one's own. Raises
    `VideoError`, `ModelError`, `OptionsError`.
    """
    indexer = Indexer(
        encoder if encoder is not None else DEFAULT_ENCODER,
        device=device,
        progress=progress,
        store=opened_store(cache),
        prompts=opened_prompts(prompts),
    )
    return indexer.index(video, SelectOptions(**options), embed=encoder is not None)


def select_keyframes(
    video: VideoInput,
    *,
    caption: str | None = None,
    question: str | None = None,
    encoder: str | Encoder = DEFAULT_ENCODER,
    device: str | None = None,
    progress: Progress | None = None,
    cache: bool | Store = True,
    prompts: str | PathLike[str] | Prompts | None = None,
    **options: Any,
) -> Selection:
    """Choose the two or three frames of a video that matter to a text, or to the video itself.

    `encoder` is used only where there is a caption or a question: a name, or any object with
    `embed_images(images) -> (N, D)` and `embed_texts(texts) -> (N, D)`. With neither text, the frames that
    represent the video best by their colours are taken. `options`, `cache` and `prompts` are as for
    `index_video`. Raises `VideoError`, `ModelError`, `OptionsError`.
    """
    indexer = Indexer(
        encoder,
        device=device,
        progress=progress,
        store=opened_store(cache),
        prompts=opened_prompts(prompts),
    )
    return indexer.select(video, SelectOptions(**options), caption=caption, question=question)


def opened_store(cache: bool | Store) -> Store | None:
    """The store on disk that `cache` asks for."""
    if isinstance(cache, Store):
        return cache
    return Store() if cache else None


def opened_prompts(prompts: str | PathLike[str] | Prompts | None) -> Prompts | None:
    """The prompts that were given; None for those of the package."""
    return prompts if prompts is None or isinstance(prompts, Prompts) else Prompts(fspath(prompts))


def video_key(video: VideoInput, options: SelectOptions) -> tuple[Any, ...]:
    """What tells one index from another: the video as it is now, and the options of its stages."""
    source = as_source(video)
    if not isinstance(source, str):
        return (source.name, source.digest() or ref(source), *_made_of(options))
    path = Path(source).resolve()
    stat = path.stat() if path.exists() else None
    seen = (stat.st_mtime_ns, stat.st_size) if stat else ()
    return (str(path), *seen, *_made_of(options))


def _subtitle_files(source: VideoSource) -> tuple[tuple[int, ...], ...]:
    """The subtitle files beside a video as they are now: one may be written after the video was read."""
    beside = files_beside(source) if isinstance(source, str) else []
    found = [path.stat() for path in beside if path.exists()]
    return tuple((each.st_ino, each.st_size, each.st_mtime_ns) for each in found)


def _from(index: VideoIndex, source: VideoSource) -> VideoIndex:
    """The index with the place of its video, where that is no path."""
    return index if isinstance(source, str) else replace(index, source=source)


def _made_of(options: SelectOptions) -> tuple[Any, ...]:
    """The very objects that the stages of an index are given."""
    return options.decode, propose_options(options), needs_sharpness(options.choose.method)


def _opened(video: VideoSource, options: SelectOptions) -> Decoder:
    decode = options.decode
    return open_video(video, decode.backend, decode.max_picture_pixels, decode.hardware)
