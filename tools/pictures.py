"""The pictures of results: kept as files in a folder, or the latest ones in memory."""

from __future__ import annotations

import hashlib
import os
from collections import OrderedDict
from pathlib import Path
from threading import Lock
from typing import Protocol

from keyframe_llm.errors import OptionsError
from keyframe_llm.tools.limits import ToolError
from keyframe_llm.tools.temporary import private_folder

__all__ = ["SCHEME", "FolderPictures", "MemoryPictures", "Pictures"]

SCHEME = "keyframe://"
_LATEST = 256


class Pictures(Protocol):
    """Keeps JPEG pictures under names."""

    def save(self, picture: bytes) -> str:
        """Keep a picture; returns its name in results: a path or a URI."""
        ...

    def read(self, name: str) -> bytes:
        """The picture of that name; raises `ToolError` where there is none."""
        ...


def _file_name(picture: bytes) -> str:
    return f"{hashlib.sha256(picture).hexdigest()[:24]}.jpg"


class FolderPictures:
    """Pictures as files in a folder; the default is a private one that is deleted when Python ends."""

    def __init__(self, folder: str | os.PathLike[str] | None = None) -> None:
        self._latest: OrderedDict[Path, None] = OrderedDict()
        self._lock = Lock()
        self._private = folder is None
        self._folder = private_folder(self) if folder is None else Path(folder).resolve()
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise OptionsError(
                f"image folder {os.fspath(folder or '')!r} cannot be made ({error.strerror}); give another"
            ) from error

    def save(self, picture: bytes) -> str:
        """Write a picture; returns its absolute path."""
        path = self._folder / _file_name(picture)
        path.write_bytes(picture)
        if self._private:
            self._delete_old(path)
        return str(path)

    def read(self, name: str) -> bytes:
        """The picture at a path that `save` returned."""
        path = Path(name)
        if path.parent != self._folder or not path.is_file():
            raise ToolError(f"there is no picture {path.name!r}; call the tool again")
        return path.read_bytes()

    def _delete_old(self, path: Path) -> None:
        with self._lock:
            self._latest[path] = None
            self._latest.move_to_end(path)
            while len(self._latest) > _LATEST:
                self._latest.popitem(last=False)[0].unlink(missing_ok=True)


class MemoryPictures:
    """The latest `limit` pictures, under `keyframe://` URIs."""

    def __init__(self, limit: int = _LATEST) -> None:
        self._limit, self._lock = limit, Lock()
        self._kept: OrderedDict[str, bytes] = OrderedDict()

    def save(self, picture: bytes) -> str:
        """Keep a picture until `limit` later ones are kept; returns its URI."""
        name = SCHEME + _file_name(picture)
        with self._lock:
            self._kept[name] = picture
            self._kept.move_to_end(name)
            while len(self._kept) > self._limit:
                self._kept.popitem(last=False)
        return name

    def read(self, name: str) -> bytes:
        """The picture of a URI that `save` returned."""
        with self._lock:
            picture = self._kept.get(name)
        if picture is None:
            raise ToolError(f"there is no picture {name!r} any more; call the tool again")
        return picture

    def names(self) -> list[str]:
        """The URIs of all kept pictures, the latest last."""
        with self._lock:
            return list(self._kept)
