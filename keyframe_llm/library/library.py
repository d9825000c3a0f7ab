"""`Library`: many videos in one file, indexed once and searched by pictures and by words."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from dataclasses import replace
from functools import partial
from os import PathLike, fspath
from pathlib import Path
from threading import RLock
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from keyframe_llm.arrays import unit_rows
from keyframe_llm.cartoon import world_warnings
from keyframe_llm.encoders import DEFAULT_ENCODER, Encoder
from keyframe_llm.errors import OptionsError, VideoError, check_number, check_whole, shortened
from keyframe_llm.index import Indexer
from keyframe_llm.library.answer import Evidence, LibraryAnswer, ShownVideo, best_seconds
from keyframe_llm.library.builder import Builder, Outcome
from keyframe_llm.library.catalogue import CAPTION, Catalogue
from keyframe_llm.library.collect import Item, collect, whole_path
from keyframe_llm.library.cue_index import StoredCue
from keyframe_llm.library.database import library_path, sole_writer
from keyframe_llm.library.held import Held, Place
from keyframe_llm.library.lance import LanceSearch, check_lancedb
from keyframe_llm.library.moments import FoundVideo, Window
from keyframe_llm.library.outline import Outlines, OutlineSearch
from keyframe_llm.library.ranking import by_pictures, joined
from keyframe_llm.library.showing import current_file, frames_at
from keyframe_llm.library.word_search import by_words
from keyframe_llm.options import SelectOptions
from keyframe_llm.pipeline import DEFAULT_MODEL, KeyframeLLM
from keyframe_llm.scoring.order import read_order
from keyframe_llm.scoring.queries import caption_parts, checked_text, query_kind, question_parts
from keyframe_llm.scoring.selectors import heeds_order
from keyframe_llm.vlm import VLM

__all__ = ["STORES", "Library", "Step"]

STORES = ("sqlite", "lancedb")
"""Where the outlines of a library are searched: in memory, or on disk."""

_PROBE = "a photo of a street with people and cars"
_LEAST_LIKENESS = 0.999
_SHORTLIST, _SHORTLIST_SHARE = 64, 6
_RANKED, _RANKED_SHARE = 20, 2
_SPARE = 10
"""Videos found beyond those that are shown, to take the place of those that are gone."""


class Step(NamedTuple):
    """One video of a run of `Library.index`."""

    number: int
    """From 1."""
    total: int
    """How many videos the run has."""
    outcome: Outcome


class Library:
    """Many videos in one file. Any number of processes and threads may search it while one adds videos.

    Raises `OptionsError` where the file cannot be used, or was made with another encoder.
    """

    def __init__(
        self,
        path: str | PathLike[str] | None = None,
        *,
        encoder: str | Encoder | None = None,
        device: str | None = None,
        store: str | None = None,
        **options: Any,
    ) -> None:
        """`path` is the library's file (None: see `library_path`); it is made by the first video.

        `encoder` is a name or an object; without one the library's own is taken, by its name, and for a new
        library the default. `device` is where it runs. `store` is where the outlines are
        searched, "sqlite" (in memory) or "lancedb" (on disk); a library that is written to remembers it, and
        without one its own is taken. `options` are fields of `SelectOptions`: how videos
        are decoded and proposed, which of their words are read.
        """
        self.path = library_path(None if path is None else fspath(path))
        self.options = SelectOptions(**options)
        self._encoder, self._device = encoder, device
        self._store = _checked_store(store)
        self._indexer: Indexer | None = None
        self._probe = np.zeros(0, np.float32)
        self._reader: Catalogue | None = None
        self._held: Held | None = None
        self._lance: LanceSearch | None = None
        self._lock = RLock()

    def close(self) -> None:
        """Close the library's file; it is opened again when it is needed."""
        with self._lock:
            if self._reader is not None:
                self._reader.close()
            self._reader, self._held, self._lance = None, None, None

    def paths(self) -> list[str]:
        """The files in the library, by name."""
        with self._lock:
            return self._catalogue().paths()

    @property
    def encoder_name(self) -> str | None:
        """The name of the encoder that it was made with; None as long as it is empty."""
        with self._lock:
            name = self._catalogue().fact("encoder")
        return None if name is None else name.decode()

    def is_current(self, path: str) -> bool:
        """Whether a file has the size and the time of modification that it was indexed with."""
        with self._lock:
            state = self._catalogue().file_state(path)
        try:
            stat = Path(path).stat()
        except OSError:
            return False
        return state is not None and (stat.st_size, stat.st_mtime_ns) == (state.bytes, state.modified_ns)

    # Filling ------------------------------------------------------------------------------------------

    def add(self, video: str | PathLike[str], *, caption: str | None = None) -> Outcome:
        """Index one video, unless it is known; a `caption` is searched as its words are.

        A video that cannot be read is an outcome with an `error`. Raises `ModelError`, `OptionsError`.
        """
        item = Item(whole_path(Path(fspath(video))), checked_text("caption", caption))
        with sole_writer(self.path), closing(Catalogue(self.path, create=True)) as catalogue:
            return self._builder(catalogue).add(item)

    def index(self, sources: Sequence[str | PathLike[str]]) -> Iterator[Step]:
        """Index the videos of folders, files and lists (see `collect`), and yield what became of each.

        What is known is not done again; files that are gone from a folder are forgotten at the end. Every
        video that was yielded is kept, whatever happens afterwards. Raises `ModelError`, `OptionsError`.
        """
        items = list(collect([fspath(source) for source in sources]))
        folders = [whole_path(Path(source)) for source in sources]
        with sole_writer(self.path), closing(Catalogue(self.path, create=True)) as catalogue:
            builder = self._builder(catalogue)
            for number, item in enumerate(items, 1):
                yield Step(number, len(items), builder.add(item))
            for path in catalogue.remove_missing([folder for folder in folders if folder.is_dir()]):
                yield Step(len(items), len(items), Outcome(path, "gone"))
            probe = catalogue.fact("probe")
            if probe is not None and self._kept_store(catalogue) == "lancedb":
                LanceSearch(catalogue, len(probe) // 4)  # in step now, so that no search waits for it

    def _builder(self, catalogue: Catalogue) -> Builder:
        if self._store is not None:
            catalogue.set_fact("store", self._store.encode())
        return Builder(catalogue, lambda: self._matching_indexer(catalogue), self.options)

    # Searching ----------------------------------------------------------------------------------------

    def search(
        self,
        text: str,
        *,
        k: int = 10,
        within: str | PathLike[str] | None = None,
        start_seconds: float | None = None,
        end_seconds: float | None = None,
        after: float | None = None,
        before: float | None = None,
        among: Callable[[str], bool] | None = None,
    ) -> list[FoundVideo]:
        """The at most `k` videos that fit a text best, the best first, each with its moments.

        `within` is a folder that the files lie in; `after` and `before` are times of their last
        modification, in seconds since the epoch; `among` says of a path whether it may be found.
        `start_seconds` and `end_seconds` bound the moments inside
        a video. Raises `ModelError`, `OptionsError`.
        """
        wanted = checked_text("text", text)
        if wanted is None:
            raise OptionsError("the text is None; give words to search for")
        k = check_whole("k", k, 1)
        start = 0.0 if start_seconds is None else check_number("start_seconds", start_seconds, 0)
        end = float("inf")
        if end_seconds is not None:
            end = check_number("end_seconds", end_seconds, start, above=True)
        folder = None if within is None else whole_path(Path(fspath(within)))
        with self._lock:
            return self._found(wanted, k, Place(folder, after, before, among), Window(start, end))

    # Asking -------------------------------------------------------------------------------------------

    def evidence(self, question: str, *, max_videos: int = 3, max_frames: int = 6, **where: Any) -> Evidence:
        """The best moments of at most `max_videos` videos for a question, as frames with their true times.

        At most `max_frames` frames in all, each at most 720 pixels on its shorter side. `where` are further
        arguments of `search`. A video that is gone, or is no longer what was indexed, is a line in
        `problems`, and the next one takes its place. Raises `ModelError`, `OptionsError`.
        """
        max_videos = check_whole("max_videos", max_videos, 1)
        max_frames = check_whole("max_frames", max_frames, 1)
        found, problems = self._current(self.search(question, k=max_videos + _SPARE, **where), max_videos)
        shown: list[ShownVideo] = []
        for (video, cues), seconds in zip(
            found, best_seconds([each for each, _ in found], max_frames), strict=True
        ):
            if not seconds:
                continue
            try:
                frames = frames_at(video.path, seconds, self.options.decode)
                self.current_file(video.path)
            except VideoError as error:
                problems.append(str(error))
                continue
            said = tuple(
                (each.start, each.end) for each in video.moments if each.text and each.source != CAPTION
            )
            shown.append(ShownVideo(video.path, video.duration_seconds, frames, tuple(cues), said))
        return Evidence(question.strip(), tuple(shown), tuple(problems))

    def ask(
        self,
        question: str,
        model: str | VLM | KeyframeLLM = DEFAULT_MODEL,
        *,
        max_new_tokens: int = 256,
        **where: Any,
    ) -> LibraryAnswer:
        """Answer a question from the best moments of several videos, by a Video-LLM.

        `model` is a name, an object, or a `KeyframeLLM` with prompts of its own; the library's own encoder
        searches. `where` are arguments of `evidence`. Raises `ModelError`, `OptionsError`.
        """
        llm = model if isinstance(model, KeyframeLLM) else KeyframeLLM(model, device=self._device)
        evidence = self.evidence(question, **where)
        messages = evidence.messages(llm.prompts)
        text = llm.model.generate(messages, max_new_tokens=max_new_tokens)
        prompt, visual = llm.model.count_tokens(messages) or (None, None)
        warnings = (*self.warnings_of(evidence, llm.model_name), *getattr(llm.model, "warnings", ()))
        return LibraryAnswer(text, evidence, llm.model_name, prompt, visual, warnings)

    def warnings_of(self, evidence: Evidence, model: str) -> tuple[str, ...]:
        """What the caller should know of the models that a question is answered with."""
        each = [world_warnings(video.path, model, self.encoder_name) for video in evidence.videos]
        return tuple(dict.fromkeys(warning for warnings in each for warning in warnings))

    def _current(
        self, found: Sequence[FoundVideo], most: int
    ) -> tuple[list[tuple[FoundVideo, list[StoredCue]]], list[str]]:
        """The first of the videos found that are still what was indexed, with all their words; the others."""
        current: list[tuple[FoundVideo, list[StoredCue]]] = []
        problems: list[str] = []
        for video in found:
            if len(current) == most:
                break
            try:
                path = self.current_file(video.path)
            except VideoError as error:
                problems.append(str(error))
                continue
            with self._lock:
                number = self._catalogue().video_at(path)
                cues = [] if number is None else self._catalogue().cues.of_video(number)
            current.append((replace(video, path=path), cues))
        return current, problems

    def current_file(self, path: str) -> str:
        """The file at `path`, or another with the same video; see `showing.current_file`."""
        with self._lock:
            return current_file(self._catalogue(), path)

    def _found(self, text: str, k: int, place: Place, window: Window) -> list[FoundVideo]:
        catalogue = self._catalogue()
        held = self._in_memory(catalogue)
        paths = held.paths(place)
        if not paths:
            return []
        embedder = self._matching_indexer(catalogue).embedder
        question = query_kind(text) == "question"
        parts = question_parts(text) if question else caption_parts(text)
        order = read_order(text, is_question=question) if heeds_order(self.options.choose.method) else None
        every = [*parts, *(order.texts if order is not None else ())]
        query = embedder.query(every, self.options, question=question).ordered(order)
        whole = query.parts[0] if parts == [text] else embedder.encoder.embed_texts([text])[0]
        outlines = held.outlines(len(whole))
        allowed = np.isin(outlines.videos, np.fromiter(paths, np.int64, len(paths)))
        count = max(_SHORTLIST, _SHORTLIST_SHARE * k)
        # An outline says nothing of a part of its video, so that more of them are looked into.
        count *= 1 if window == Window() else _SHORTLIST_SHARE
        best = outlines.best(unit_rows(whole), count, allowed).tolist()
        videos = catalogue.videos(best, paths, len(whole))
        pictures = by_pictures(videos, query, whole, self.options, window, max(_RANKED, _RANKED_SHARE * k))
        words = by_words(catalogue.cues, text, paths, window)
        bare = {video: FoundVideo(paths[video], 0.0, (), catalogue.duration(video)) for video in words}
        return joined(pictures, words, bare)[:k]

    def _catalogue(self) -> Catalogue:
        if self._reader is None:
            self._reader = Catalogue(self.path, create=False)
        return self._reader

    def _in_memory(self, catalogue: Catalogue) -> Held:
        """What every search needs, read again once another process or thread has written."""
        version = catalogue.version
        if self._held is None or self._held.version != version:
            self._held = Held(version, catalogue.located(), partial(self._outlines, catalogue))
        return self._held

    def _outlines(self, catalogue: Catalogue, size: int) -> Outlines:
        """The search of outlines that this library has, in step with it."""
        if self._kept_store(catalogue) != "lancedb":
            return OutlineSearch(catalogue.outlines(), size)
        if self._lance is None:
            self._lance = LanceSearch(catalogue, size)
        else:
            self._lance.follow(catalogue)
        return self._lance

    def _kept_store(self, catalogue: Catalogue) -> str:
        return self._store or (catalogue.fact("store") or STORES[0].encode()).decode()

    # The encoder --------------------------------------------------------------------------------------

    def _matching_indexer(self, catalogue: Catalogue) -> Indexer:
        """The indexer with the library's encoder, loaded once; raises `OptionsError` for another encoder."""
        with self._lock:
            name = catalogue.fact("encoder")
            if self._indexer is None:
                stored = DEFAULT_ENCODER if name is None else name.decode()
                source = stored if self._encoder is None else self._encoder
                self._indexer = Indexer(source, device=self._device)
                self._probe = _probe(self._indexer)
            known = catalogue.fact("probe")
            if known is None:
                known = self._probe.tobytes()
                with catalogue.transaction():
                    catalogue.set_fact("encoder", self._indexer.embedder.name.encode())
                    catalogue.set_fact("probe", known)
            if not _same(self._probe, np.frombuffer(known, np.float32)):
                raise OptionsError(
                    f"the library {str(self.path)!r} was made with the encoder {(name or b'').decode()!r}, "
                    f"not with {self._indexer.embedder.name!r}; give that one, or name another library"
                )
            return self._indexer


def _checked_store(store: str | None) -> str | None:
    if store not in (None, *STORES):
        raise OptionsError(f"store is {shortened(store)}; give one of {', '.join(STORES)}")
    if store == "lancedb":
        check_lancedb()
    return store


def _probe(indexer: Indexer) -> NDArray[np.float32]:
    """(D,) what tells an encoder from every other: where it places one text."""
    return np.asarray(unit_rows(indexer.embedder.encoder.embed_texts([_PROBE])[0]), np.float32)


def _same(one: NDArray[np.float32], other: NDArray[np.float32]) -> bool:
    return one.shape == other.shape and float(one @ other) >= _LEAST_LIKENESS
