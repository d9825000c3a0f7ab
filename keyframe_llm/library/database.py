"""The file of a library: a SQLite database that many read while one writes.

SQLite's write-ahead log lets readers go on while a video is added. Each video is one transaction: a process
that is killed at any moment loses the video at hand and nothing else.
"""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from keyframe_llm.errors import OptionsError, user_path

__all__ = ["LIBRARY_VARIABLE", "library_path", "opened", "sole_writer", "storage_errors"]

LIBRARY_VARIABLE = "KEYFRAME_LLM_LIBRARY"
_FORMAT = 2  # raised when what the tables hold means something else; 2 added `word_sources` to 1
_WAIT_SECONDS = 30.0
_LOCK_SUFFIX = "-writer"

_TABLES = """
CREATE TABLE IF NOT EXISTS facts (name TEXT PRIMARY KEY, value BLOB NOT NULL) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS videos (
  id INTEGER PRIMARY KEY,
  digest TEXT NOT NULL UNIQUE,
  duration_seconds REAL,
  span_seconds REAL NOT NULL,
  indexed_at REAL NOT NULL,
  gone_at REAL,
  seconds BLOB NOT NULL,
  outline BLOB NOT NULL,
  embeddings BLOB NOT NULL -- the last: SQLite reads a row up to the column that is asked for
);
CREATE TABLE IF NOT EXISTS files (
  path BLOB PRIMARY KEY,
  video INTEGER NOT NULL REFERENCES videos (id) ON DELETE CASCADE,
  bytes INTEGER NOT NULL,
  modified_ns INTEGER NOT NULL,
  beside TEXT NOT NULL
) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS files_by_video ON files (video);
CREATE TABLE IF NOT EXISTS attempts (
  path BLOB PRIMARY KEY, bytes INTEGER NOT NULL, modified_ns INTEGER NOT NULL, count INTEGER NOT NULL
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS cues (
  id INTEGER PRIMARY KEY,
  video INTEGER NOT NULL REFERENCES videos (id) ON DELETE CASCADE,
  start REAL NOT NULL,
  "end" REAL NOT NULL,
  text TEXT NOT NULL,
  source TEXT NOT NULL
);
CREATE INDEX IF NOT EXISTS cues_by_video ON cues (video);
CREATE TABLE IF NOT EXISTS word_sources (
  video INTEGER NOT NULL REFERENCES videos (id) ON DELETE CASCADE,
  source TEXT NOT NULL, -- speech, screen
  made_by TEXT NOT NULL, -- which recogniser or reader
  PRIMARY KEY (video, source)
) WITHOUT ROWID;
CREATE VIRTUAL TABLE IF NOT EXISTS cue_words USING fts5 (
  text, content = 'cues', content_rowid = 'id', tokenize = 'unicode61 remove_diacritics 2'
);
CREATE TRIGGER IF NOT EXISTS cue_added AFTER INSERT ON cues BEGIN
  INSERT INTO cue_words (rowid, text) VALUES (new.id, new.text);
END;
CREATE TRIGGER IF NOT EXISTS cue_removed AFTER DELETE ON cues BEGIN
  INSERT INTO cue_words (cue_words, rowid, text) VALUES ('delete', old.id, old.text);
END;
"""
"""`seconds` are float64 (K,), `embeddings` float16 (K, D), `outline` the same of a few of them; unit rows.

Paths are bytes: a name need not be valid Unicode."""


def library_path(path: str | Path | None = None) -> Path:
    """Where a library lies: the path, `$KEYFRAME_LLM_LIBRARY`, or a file in the user's data folder.

    Raises `OptionsError` where the user has no home folder.
    """
    if path is not None:
        return user_path("library", path)
    if named := os.environ.get(LIBRARY_VARIABLE):
        return user_path(LIBRARY_VARIABLE, named)
    base = os.environ.get("XDG_DATA_HOME") or "~/.local/share"
    return user_path(f"the library (see {LIBRARY_VARIABLE})", base) / "keyframe_llm" / "library.sqlite"


@contextmanager
def storage_errors(path: Path) -> Iterator[None]:
    """Make of every error of the database or the disk one line; raises `OptionsError`."""
    try:
        yield
    except (sqlite3.Error, OSError) as error:
        raise OptionsError(
            f"the library {str(path)!r} cannot be used ({error}); free some space, check its permissions, or "
            "name another file"
        ) from error


def opened(path: Path, *, create: bool) -> sqlite3.Connection:
    """A connection in write-ahead mode, its tables made where they are missing.

    Raises `OptionsError` where the file cannot be used, is no library, or is missing and not to be made.
    """
    if not create and not path.is_file():
        raise OptionsError(f"there is no library {str(path)!r}; make it with `keyframe-llm index FOLDER`")
    with storage_errors(path):
        if create:
            path.parent.mkdir(parents=True, exist_ok=True)
        connection = sqlite3.connect(
            path, timeout=_WAIT_SECONDS, isolation_level=None, check_same_thread=False
        )
        try:
            _prepare(connection, path)
        except BaseException:
            connection.close()
            raise
    return connection


@contextmanager
def sole_writer(path: Path, name: str = "", *, wait_seconds: float = 0) -> Iterator[None]:
    """Hold the right to write until the block or the process ends; a second one gets an `OptionsError`.

    `name` is what is written to, where that is not the library at `path`; a second one waits so long.
    """
    lock = path.with_name(path.name + _LOCK_SUFFIX)
    with storage_errors(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        connection = sqlite3.connect(
            lock, timeout=wait_seconds, isolation_level=None, check_same_thread=False
        )
    try:
        try:
            connection.execute("BEGIN EXCLUSIVE")
        except sqlite3.OperationalError as error:
            rest = f"is being written to ({error}); wait until that ends, or name another"
            if name:
                raise OptionsError(f"{name} {rest}") from error
            raise OptionsError(
                f"the library {str(path)!r} {rest} file. It can be searched meanwhile"
            ) from error
        yield
    finally:
        connection.close()


def _prepare(connection: sqlite3.Connection, path: Path) -> None:
    connection.execute("PRAGMA foreign_keys = ON")
    (version,) = connection.execute("PRAGMA user_version").fetchone()
    (tables,) = connection.execute("SELECT count(*) FROM sqlite_master").fetchone()
    if version not in range(_FORMAT + 1) or (version == 0 and tables):
        raise OptionsError(f"{str(path)!r} is no library of this version; name another file, or index anew")
    if version < _FORMAT:
        connection.execute("PRAGMA journal_mode = WAL")
        connection.executescript(f"BEGIN IMMEDIATE; {_TABLES} PRAGMA user_version = {_FORMAT}; COMMIT;")
