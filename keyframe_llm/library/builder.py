"""Filling a library: each video is looked at once, by its content, and written in one transaction."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from keyframe_llm.errors import ModelError, OptionsError, VideoError
from keyframe_llm.index import Indexer, VideoIndex
from keyframe_llm.index.cached_words import cached_words
from keyframe_llm.index.feature_cache import FeatureCache
from keyframe_llm.index.store import file_digest
from keyframe_llm.library.catalogue import Catalogue, FileState
from keyframe_llm.library.collect import Item
from keyframe_llm.library.outline import outline_of
from keyframe_llm.options import SelectOptions
from keyframe_llm.words import CueSource, Words
from keyframe_llm.words.screen import UnreadScreen
from keyframe_llm.words.tracks import files_beside

__all__ = ["Builder", "Outcome", "Status"]

Status = Literal["indexed", "unchanged", "known", "failed", "gone"]

_MOST_ATTEMPTS = 2
_READING_ENDED = "the program ended twice while it read this file; touch it to have it tried again"


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of one video."""

    path: str
    status: Status
    """`indexed` now; `unchanged` since an earlier run; `known` by its content, under this or another path;
    `failed`; or `gone` from where it was."""
    error: str = ""
    """One line, where it failed."""
    warnings: tuple[str, ...] = ()


class Builder:
    """Adds videos to a catalogue. The caller holds the right to write (see `sole_writer`)."""

    def __init__(self, catalogue: Catalogue, indexer: Callable[[], Indexer], options: SelectOptions) -> None:
        """`indexer` is called when a video has to be looked at: where none has, no encoder is loaded."""
        self._catalogue, self._indexer, self._options = catalogue, indexer, options

    def add(self, item: Item) -> Outcome:
        """Index one video, unless its content is known. A video that cannot be read is an outcome, no error.

        Raises `ModelError` where the encoder cannot be had, `OptionsError` where nothing can be written.
        """
        path = str(item.path)
        try:
            state = _state(item.path)
            same = self._catalogue.file_state(path) == state
            if same and not self._words_to_make(self._catalogue.video_at(path)):
                return Outcome(path, self._captioned(path, item.caption))
            return self._add(item, path, state)
        except (VideoError, OSError) as error:
            self._catalogue.forget(path)  # what is there now is not what was indexed
            self._catalogue.end_attempt(path)
            return Outcome(path, "failed", _one_line(error))
        except BaseException:  # an interrupt: this file is not to blame
            with suppress(OptionsError):
                self._catalogue.end_attempt(path)
            raise

    def _add(self, item: Item, path: str, state: FileState) -> Outcome:
        digest = file_digest(item.path)
        known = self._catalogue.video_of(digest)
        made = self._words_to_make(known)
        if (known is None or made) and self._catalogue.begin_attempt(path, state) >= _MOST_ATTEMPTS:
            return Outcome(path, "failed", _READING_ENDED)
        index, words = self._read(path, known, made)
        now = _state(item.path)
        if (now.bytes, now.modified_ns) != (state.bytes, state.modified_ns):
            raise VideoError(f"{path!r} changed while it was read; index it again once it is complete")
        with self._catalogue.transaction():
            video = known if index is None else self._stored(digest, index)
            assert video is not None
            # A copy without subtitles takes away none: those of the other file are the video's, too.
            subtitled = any(cue.source == "subtitle" for cue in words.cues)
            if subtitled or self._catalogue.video_at(path) == video:
                self._catalogue.remove_cues(video, "subtitle")
            for source, made_by in made.items():
                self._catalogue.remove_cues(video, source)
                self._catalogue.set_words_made_by(video, source, made_by)
            self._catalogue.add_cues(video, words.cues)
            if item.caption is not None:
                self._catalogue.set_caption(video, item.caption)
            self._catalogue.set_file(path, video, state)
            self._catalogue.end_attempt(path)
        return Outcome(path, "known" if index is None else "indexed", warnings=words.warnings)

    def _read(
        self, path: str, known: int | None, made: dict[CueSource, str]
    ) -> tuple[VideoIndex | None, Words]:
        """The index of a video that is not known, and its words; `made` loses what could not be read."""
        try:
            return self._read_with(self._options, path, known, made)
        except UnreadScreen as error:
            del made["screen"]
            index, words = self._read_with(self._options.replaced(read_screen=False), path, known, made)
            said = f"{error}; the video is kept without the text in its pictures"
            return index, Words(words.cues, (*words.warnings, said))

    def _read_with(
        self, options: SelectOptions, path: str, known: int | None, made: Mapping[CueSource, str]
    ) -> tuple[VideoIndex | None, Words]:
        if known is not None:
            return None, self._words(path, known, made)
        index = self._looked_at(path, options)
        return index, Words(index.words, index.warnings)

    def _captioned(self, path: str, caption: str | None) -> Status:
        """Give a file that has not changed another caption, where there is one."""
        video = self._catalogue.video_at(path)
        if caption is None or video is None or self._catalogue.caption(video) == caption:
            return "unchanged"
        with self._catalogue.transaction():
            self._catalogue.set_caption(video, caption)
        return "known"

    def _looked_at(self, path: str, options: SelectOptions) -> VideoIndex:
        indexer = self._indexer()
        try:
            return indexer.index(path, options, embed=True)
        except (VideoError, ModelError):
            raise
        except OptionsError as error:  # such as a beginning that lies after this video's end
            raise VideoError(str(error)) from error
        except Exception as error:  # one video in ten thousand must not end the work of the others
            raise VideoError(f"{path!r} cannot be indexed ({type(error).__name__}: {error})") from error

    def _words_to_make(self, video: int | None) -> dict[CueSource, str]:
        """The sources of words that are wanted and not yet taken from a video, and what makes them."""
        words = self._options.words
        known = {} if video is None else self._catalogue.words_made_by(video)
        wanted: dict[CueSource, str] = {}
        if words.listen is not None:
            wanted["speech"] = repr((_name_of(words.listen), words.language))
        if words.read_screen is not False:
            wanted["screen"] = repr(_name_of(words.read_screen))
        return {source: made_by for source, made_by in wanted.items() if known.get(source) != made_by}

    def _words(self, path: str, video: int | None, made: Mapping[CueSource, str]) -> Words:
        """Of a video that is known: its subtitles, which can have changed, and what is to be made."""
        words, decode = self._options.words, self._options.decode
        wanted = replace(
            words,
            listen=words.listen if "speech" in made else None,
            read_screen=words.read_screen if "screen" in made else False,
        )
        seconds = [] if video is None else self._catalogue.seconds(video)
        try:
            return cached_words(path, wanted, decode, cache=FeatureCache(None), candidates=seconds)
        except VideoError as error:
            if made:
                raise
            return Words((), (_one_line(error),))

    def _stored(self, digest: str, index: VideoIndex) -> int:
        rows = np.asarray(index.unit_embeddings, np.float16)
        return self._catalogue.add_video(
            digest,
            index.video.duration_seconds,
            float(index.span_seconds),
            _times(index),
            rows,
            outline_of(rows),
        )


def _times(index: VideoIndex) -> NDArray[np.float64]:
    return np.asarray(index.candidates.seconds, np.float64)


def _state(path: Path) -> FileState:
    """The file as it is now, and the subtitles beside it. Raises `OSError` where it is gone."""
    stat = path.stat()
    if not path.is_file():
        raise VideoError(f"{str(path)!r} is not a file; give the path of a video")
    beside = [(each.name, each.stat().st_size, each.stat().st_mtime_ns) for each in files_beside(path)]
    return FileState(stat.st_size, stat.st_mtime_ns, repr(sorted(beside)) if beside else "")


def _name_of(recogniser: object) -> object:
    """What tells a recogniser from others: its name, or its `identity`, or that of its class."""
    if isinstance(recogniser, str | bool):
        return recogniser
    return getattr(recogniser, "identity", None) or type(recogniser).__qualname__


def _one_line(error: BaseException) -> str:
    return " ".join(str(error).split())
