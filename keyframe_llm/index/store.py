"""What is kept on disk between runs: small sets of arrays and texts under a key, bounded in size.

A key is made of a video's content and of everything the result depends on, so an entry is never out of date,
only unused; the longest unused go first. Entries are written beside and moved into place, so that any number
of processes may share the folder.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import tempfile
import time
import zipfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from keyframe_llm.encoders import (
    FOLDER_PREFIX,
    HUB_PREFIX,
    ONNX_PREFIX,
    SENTENCE_PREFIX,
    encoder_source,
)
from keyframe_llm.errors import OptionsError, check_whole, user_path
from keyframe_llm.hub import cache_folder
from keyframe_llm.video import VideoSource

__all__ = ["Entry", "Store", "content_digest", "file_digest", "make_key", "model_identity"]

Value = NDArray[Any] | str

MAX_BYTES = 1_000_000_000
_FORMAT = 3  # raised when what is stored under a key means something else
_SUFFIX, _UNFINISHED = ".npz", ".part"
_ABANDONED_SECONDS = 3600.0
_BLOCK = 1 << 20


@dataclass(frozen=True, slots=True)
class Entry:
    """One stored set of values."""

    path: Path
    bytes: int
    used: float
    """When it was last read or written, in seconds since the epoch."""

    @property
    def kind(self) -> str:
        """What it holds: the first part of its key, such as `index`, `embeddings` or `caption`."""
        return self.path.name.partition("-")[0]


class Store:
    """Sets of arrays and texts on disk, at most `max_bytes` of them together."""

    def __init__(self, folder: str | os.PathLike[str] | None = None, *, max_bytes: int = MAX_BYTES) -> None:
        self.max_bytes = check_whole("max_bytes", max_bytes, 1)
        self.problem: str | None = None
        """Why nothing could be written, where that was so; the work goes on without."""
        self.folder: Path | None = None if folder is None else Path(folder)
        """Where the entries lie; None where no folder is known, and nothing is kept."""
        if folder is None:
            try:
                self.folder = cache_folder()
            except OptionsError as error:
                self.problem = f"nothing is kept on disk: {error}"

    def get(self, key: str) -> dict[str, Value] | None:
        """The values stored under a key, or None; a damaged entry is dropped and counts as none."""
        if self.folder is None:
            return None
        path = self._path(self.folder, key)
        try:
            with path.open("rb") as file, np.load(file, allow_pickle=False) as stored:
                values = {name: stored[name] for name in stored.files}
            os.utime(path)
        except FileNotFoundError:
            return None
        except (OSError, ValueError, EOFError, KeyError, zipfile.BadZipFile):
            with contextlib.suppress(OSError):
                path.unlink()
            return None
        return {name: str(value) if value.dtype.kind == "U" else value for name, value in values.items()}

    def put(self, key: str, values: Mapping[str, Value], *, compress: bool = True) -> None:
        """Store values under a key, then drop what was unused longest until the rest fits.

        Pictures need no `compress`: they are small already.
        """
        save = np.savez_compressed if compress else np.savez
        folder = self.folder
        if folder is None:
            return
        try:
            folder.mkdir(parents=True, exist_ok=True, mode=0o700)
            handle, name = tempfile.mkstemp(suffix=_UNFINISHED, dir=folder)
            try:
                with os.fdopen(handle, "wb") as file:
                    arrays: dict[str, Any] = {name: np.asarray(value) for name, value in values.items()}
                    save(file, **arrays)
                Path(name).replace(self._path(folder, key))
            except BaseException:
                Path(name).unlink(missing_ok=True)
                raise
            self._make_room()
        except OSError as error:
            self.problem = f"nothing is kept in {folder} ({error.strerror or error})"

    def entries(self) -> list[Entry]:
        """All entries, the longest unused first."""
        return sorted(self._found(_SUFFIX), key=lambda entry: entry.used)

    def clear(self) -> int:
        """Delete all entries; returns how many there were."""
        found = self.entries()
        for entry in [*found, *self._found(_UNFINISHED)]:
            with contextlib.suppress(FileNotFoundError):  # another process was quicker
                entry.path.unlink()
        return len(found)

    @staticmethod
    def _path(folder: Path, key: str) -> Path:
        return folder / f"{key}{_SUFFIX}"

    def _found(self, suffix: str) -> Iterator[Entry]:
        if self.folder is None or not self.folder.is_dir():
            return
        for path in self.folder.glob(f"*{suffix}"):
            with contextlib.suppress(FileNotFoundError):
                stat = path.stat()
                yield Entry(path, stat.st_size, stat.st_mtime)

    def _make_room(self) -> None:
        for part in self._found(_UNFINISHED):
            if time.time() - part.used > _ABANDONED_SECONDS:
                part.path.unlink(missing_ok=True)
        entries = self.entries()
        excess = sum(entry.bytes for entry in entries) - self.max_bytes
        for entry in entries:
            if excess <= 0:
                return
            entry.path.unlink(missing_ok=True)
            excess -= entry.bytes


def make_key(kind: str, *parts: object) -> str:
    """A key: what is stored, and a digest of everything it depends on (compared by their `repr`)."""
    return f"{kind}-{hashlib.blake2b(repr((_FORMAT, parts)).encode(), digest_size=16).hexdigest()}"


def content_digest(video: VideoSource | Path, store: Store) -> str | None:
    """A digest of a video's content; None where nothing tells it from another.

    That of a file is kept in the store for as long as the file's time and size stay.
    """
    if not isinstance(video, (str, Path)):
        return video.digest()
    return _file_digest(video, store)


def _file_digest(path: str | Path, store: Store) -> str:
    where = Path(path).resolve()
    stat = where.stat()
    key = make_key("content", str(where), stat.st_size, stat.st_mtime_ns, stat.st_ino)
    if known := store.get(key):
        return str(known["digest"])
    digest = file_digest(where)
    store.put(key, {"digest": digest})
    return digest


def file_digest(path: Path) -> str:
    """A digest of a file's content, read now."""
    digest = hashlib.blake2b(digest_size=16)
    with path.open("rb") as file:
        while block := file.read(_BLOCK):
            digest.update(block)
    return digest.hexdigest()


def model_identity(name: object) -> str | None:
    """What identifies a model: its name and its files as they are; None where nothing does.

    An object is known by its attribute `identity`: a text, which counts as a name. A server's model is known
    by its address and name alone: what stands behind it may change unseen.
    """
    if not isinstance(name, str):
        identity = getattr(name, "identity", None)
        return model_identity(identity) if isinstance(identity, str) else None
    name = encoder_source(name)
    plain = name.removeprefix(FOLDER_PREFIX).removeprefix(SENTENCE_PREFIX).removeprefix(ONNX_PREFIX)
    if name == "cartoon":
        from keyframe_llm.cartoon import encoder_path

        folder = encoder_path().parent
    else:
        folder = user_path("model", plain)
    if folder.is_dir():
        files = sorted(file for file in folder.rglob("*") if file.is_file())
        states = [(str(f.relative_to(folder)), f.stat().st_size, f.stat().st_mtime_ns) for f in files]
        return repr((name, str(folder.resolve()), states))
    if "://" in name:
        return name
    return repr((name, _snapshot(plain.removeprefix(HUB_PREFIX))))


def _snapshot(repository: str) -> str:
    """The downloaded version of a hub repository: the folder's name is its commit."""
    from huggingface_hub import try_to_load_from_cache
    from huggingface_hub.errors import HFValidationError

    with contextlib.suppress(HFValidationError):
        for name in ("config.json", "open_clip_config.json"):
            if isinstance(found := try_to_load_from_cache(repository, name), str):
                return Path(found).parent.name
    return ""
