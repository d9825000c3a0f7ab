"""What a library holds: videos by their content, the files they lie in, and their words."""

from __future__ import annotations

import os
import sqlite3
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from keyframe_llm.library.cue_index import CueIndex
from keyframe_llm.library.database import opened, storage_errors
from keyframe_llm.words import Cue, CueSource

__all__ = ["CAPTION", "OUTLINE_MARK", "Catalogue", "FileState", "StoredVideo"]

CAPTION = "caption"
"""The source of words that were given with a video."""

OUTLINE_MARK = np.dtype([("video", np.int64), ("made", np.float64)])
"""What tells an outline from every other: the number of its video, which may be given again, and when."""

_KEPT_DAYS = 30.0
"""How long a video whose files are gone is kept, in case they are found elsewhere."""
_SEPARATORS = os.sep if os.altsep is None else os.sep + os.altsep


class FileState(NamedTuple):
    """What tells whether a file has changed since it was indexed."""

    bytes: int
    modified_ns: int
    beside: str = ""
    """The state of the files that belong to it, such as subtitles."""


@dataclass(frozen=True, slots=True, eq=False)
class StoredVideo:
    """One video of a library, without any question."""

    video: int
    """Its number in the library."""
    path: str
    """A file that holds it."""
    duration_seconds: float | None
    span_seconds: float
    seconds: NDArray[np.float64]
    """(K,) times of its candidates, ascending."""
    embeddings: NDArray[np.float16]
    """(K, D) their embeddings, rows of length 1."""


class Catalogue:
    """The tables of one library, for one thread at a time. Raises `OptionsError` on a file it cannot use."""

    def __init__(self, path: Path, *, create: bool) -> None:
        self.path = path
        self._connection = opened(path, create=create)
        self.cues = CueIndex(self._rows)

    def close(self) -> None:
        """Close the file."""
        self._connection.close()

    @property
    def version(self) -> int:
        """A number that changes when another process has written."""
        return int(self._rows("PRAGMA data_version")[0][0])

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """Write all of the block or none of it."""
        with storage_errors(self.path):
            self._connection.execute("BEGIN IMMEDIATE")
            try:
                yield
                self._connection.execute("COMMIT")
            except BaseException:
                if self._connection.in_transaction:
                    self._connection.execute("ROLLBACK")
                raise

    def fact(self, name: str) -> bytes | None:
        """A fact of the whole library, such as its encoder."""
        rows = self._rows("SELECT value FROM facts WHERE name = ?", (name,))
        return bytes(rows[0][0]) if rows else None

    def set_fact(self, name: str, value: bytes) -> None:
        """Keep a fact of the whole library."""
        self._run("INSERT OR REPLACE INTO facts VALUES (?, ?)", (name, value))

    # Files --------------------------------------------------------------------------------------------

    def file_state(self, path: str) -> FileState | None:
        """The state in which a file was indexed; None where it was not."""
        rows = self._rows("SELECT bytes, modified_ns, beside FROM files WHERE path = ?", (os.fsencode(path),))
        return FileState(*rows[0]) if rows else None

    def video_at(self, path: str) -> int | None:
        """The video that a file holds."""
        rows = self._rows("SELECT video FROM files WHERE path = ?", (os.fsencode(path),))
        return int(rows[0][0]) if rows else None

    def video_of(self, digest: str) -> int | None:
        """The video with this content."""
        rows = self._rows("SELECT id FROM videos WHERE digest = ?", (digest,))
        return int(rows[0][0]) if rows else None

    def files_of(self, video: int) -> list[str]:
        """The files that hold a video."""
        rows = self._rows("SELECT path FROM files WHERE video = ? ORDER BY path", (video,))
        return [os.fsdecode(row[0]) for row in rows]

    def digest_of(self, video: int) -> str:
        """The digest of a video's content."""
        ((digest,),) = self._rows("SELECT digest FROM videos WHERE id = ?", (video,))
        return str(digest)

    def set_file(self, path: str, video: int, state: FileState) -> None:
        """Say that a file holds a video, in whatever state it was before."""
        before = self._rows("SELECT video FROM files WHERE path = ?", (os.fsencode(path),))
        self._run("INSERT OR REPLACE INTO files VALUES (?, ?, ?, ?, ?)", (os.fsencode(path), video, *state))
        self._run("UPDATE videos SET gone_at = NULL WHERE id = ?", (video,))
        self._mark_gone([int(row[0]) for row in before])

    def forget(self, path: str) -> None:
        """Say that a file holds no video that is known."""
        rows = self._rows("SELECT video FROM files WHERE path = ?", (os.fsencode(path),))
        self._run("DELETE FROM files WHERE path = ?", (os.fsencode(path),))
        self._mark_gone([int(row[0]) for row in rows])

    def remove_missing(self, folders: Sequence[Path]) -> list[str]:
        """Forget the files below some folders that are no longer there; returns their paths.

        Their videos are kept for 30 days, in case they are found elsewhere.
        """
        gone = [path for path in self.paths(folders) if not Path(path).exists()]
        with self.transaction():
            for path in gone:
                self.forget(path)
            self._run("DELETE FROM videos WHERE gone_at < ?", (time.time() - _KEPT_DAYS * 86_400,))
        return gone

    def paths(self, folders: Sequence[Path] | None = None) -> list[str]:
        """The files of the library, or those below some folders."""
        paths = [os.fsdecode(row[0]) for row in self._rows("SELECT path FROM files ORDER BY path")]
        if folders is None:
            return paths
        heads = tuple(str(folder).rstrip(_SEPARATORS) + os.sep for folder in folders)
        return [path for path in paths if path.startswith(heads)]

    # Attempts -----------------------------------------------------------------------------------------

    def begin_attempt(self, path: str, state: FileState) -> int:
        """Note that a file is about to be read; returns how often that was noted and never ended."""
        rows = self._rows(
            "SELECT bytes, modified_ns, count FROM attempts WHERE path = ?", (os.fsencode(path),)
        )
        same = bool(rows) and rows[0][:2] == (state.bytes, state.modified_ns)
        before = int(rows[0][2]) if same else 0
        self._run(
            "INSERT OR REPLACE INTO attempts VALUES (?, ?, ?, ?)",
            (os.fsencode(path), state.bytes, state.modified_ns, before + 1),
        )
        return before

    def end_attempt(self, path: str) -> None:
        """Note that reading a file has ended, well or not."""
        self._run("DELETE FROM attempts WHERE path = ?", (os.fsencode(path),))

    # Videos -------------------------------------------------------------------------------------------

    def add_video(
        self,
        digest: str,
        duration_seconds: float | None,
        span_seconds: float,
        seconds: NDArray[np.float64],
        embeddings: NDArray[np.float16],
        outline: NDArray[np.float16],
    ) -> int:
        """Add a video by its content; returns its number."""
        blobs = (np.asarray(seconds, np.float64).tobytes(), embeddings.tobytes(), outline.tobytes())
        cursor = self._run(
            "INSERT INTO videos (digest, duration_seconds, span_seconds, seconds, embeddings, outline, "
            "indexed_at) VALUES (?, ?, ?, ?, ?, ?, ?)",
            (digest, duration_seconds, span_seconds, *blobs, time.time()),
        )
        assert cursor.lastrowid is not None
        return cursor.lastrowid

    def add_cues(self, video: int, cues: Iterable[Cue]) -> None:
        """Add words of a video."""
        self._insert_cues([(video, cue.start, cue.end, cue.text, cue.source) for cue in cues])

    def remove_cues(self, video: int, source: CueSource) -> None:
        """Remove the words of a video that are from one source."""
        self._run("DELETE FROM cues WHERE video = ? AND source = ?", (video, source))

    def words_made_by(self, video: int) -> dict[str, str]:
        """Which recogniser or reader the words of a video are from, by their source."""
        found = self._rows("SELECT source, made_by FROM word_sources WHERE video = ?", (video,))
        return {str(source): str(made_by) for source, made_by in found}

    def set_words_made_by(self, video: int, source: CueSource, made_by: str) -> None:
        """Note which recogniser or reader the words from a source are from."""
        self._run("INSERT OR REPLACE INTO word_sources VALUES (?, ?, ?)", (video, source, made_by))

    def caption(self, video: int) -> str | None:
        """The words that were given with a video."""
        rows = self._rows("SELECT text FROM cues WHERE video = ? AND source = ?", (video, CAPTION))
        return str(rows[0][0]) if rows else None

    def set_caption(self, video: int, caption: str) -> None:
        """Replace the words that were given with a video; they hold for all of it."""
        self._run("DELETE FROM cues WHERE video = ? AND source = ?", (video, CAPTION))
        ((end,),) = self._rows(
            "SELECT coalesce(duration_seconds, span_seconds) FROM videos WHERE id = ?", (video,)
        )
        self._insert_cues([(video, 0.0, end, caption, CAPTION)])

    def outlines(self) -> list[tuple[int, bytes]]:
        """The number and the outline of every video that a file holds."""
        found = self._rows("SELECT id, outline FROM videos WHERE gone_at IS NULL ORDER BY id")
        return [(int(row[0]), bytes(row[1])) for row in found]

    def outline(self, video: int) -> bytes:
        """The outline of one video; empty where it is not known any more."""
        rows = self._rows("SELECT outline FROM videos WHERE id = ?", (video,))
        return bytes(rows[0][0]) if rows else b""

    def outline_marks(self) -> NDArray[np.void]:
        """(V,) `OUTLINE_MARK`: every video that a file holds, in order."""
        found = self._rows("SELECT id, indexed_at FROM videos WHERE gone_at IS NULL ORDER BY id")
        return np.array([tuple(row) for row in found], OUTLINE_MARK)

    def videos(self, numbers: Iterable[int], paths: dict[int, str], size: int) -> list[StoredVideo]:
        """The videos of these numbers with embeddings of `size` numbers; `paths` are files that hold them."""
        found = []
        for number in numbers:
            for duration, span, seconds, rows in self._rows(
                "SELECT duration_seconds, span_seconds, seconds, embeddings FROM videos WHERE id = ?",
                (number,),
            ):
                embeddings = np.frombuffer(rows, np.float16).reshape(-1, size)
                times = np.frombuffer(seconds, np.float64)
                found.append(StoredVideo(number, paths[number], duration, span, times, embeddings))
        return found

    def seconds(self, video: int) -> list[float]:
        """The times of the candidates of a video."""
        ((times,),) = self._rows("SELECT seconds FROM videos WHERE id = ?", (video,))
        return [float(second) for second in np.frombuffer(times, np.float64)]

    def duration(self, video: int) -> float | None:
        """How long a video is, in seconds; None where that is not known."""
        ((duration,),) = self._rows("SELECT duration_seconds FROM videos WHERE id = ?", (video,))
        return None if duration is None else float(duration)

    def located(self) -> list[tuple[str, int, float]]:
        """Every file with the number of its video and its time of modification in seconds since the epoch."""
        rows = self._rows("SELECT path, video, modified_ns FROM files ORDER BY path")
        return [(os.fsdecode(path), int(video), int(ns) / 1e9) for path, video, ns in rows]

    def _mark_gone(self, numbers: Iterable[int]) -> None:
        """Note of these videos which are in no file any more."""
        for number in numbers:
            self._run(
                "UPDATE videos SET gone_at = ? WHERE id = ? AND id NOT IN (SELECT video FROM files)",
                (time.time(), number),
            )

    def _insert_cues(self, rows: Sequence[tuple[int, float, float, str, str]]) -> None:
        with storage_errors(self.path):
            self._connection.executemany(
                'INSERT INTO cues (video, start, "end", text, source) VALUES (?, ?, ?, ?, ?)', rows
            )

    def _rows(self, statement: str, values: Sequence[object] = ()) -> list[Any]:
        with storage_errors(self.path):
            return self._connection.execute(statement, tuple(values)).fetchall()

    def _run(self, statement: str, values: Sequence[object] = ()) -> sqlite3.Cursor:
        with storage_errors(self.path):
            return self._connection.execute(statement, tuple(values))
