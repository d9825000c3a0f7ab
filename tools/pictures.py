"""Where the key frames of results are kept: in a folder, or in memory for as long as they are recent."""

from __future__ import annotations

import hashlib
import io
import os
import shutil
import weakref
from collections import OrderedDict
from pathlib import Path
from tempfile import mkdtemp
from threading import Lock
from typing import Protocol

import numpy as np
from keyframe_llm.tools.trust import ToolError
from numpy.typing import NDArray

from keyframe_llm.errors import OptionsError

__all__ = ["SCHEME", "FolderPictures", "MemoryPictures", "Pictures", "jpeg"]

SCHEME = "keyframe://"
_QUALITY = 85
_LATEST = 256


class Pictures(Protocol):
    """Keeps JPEG pictures and says under which name."""

    def save(self, picture: bytes) -> str:
        """Keep a picture; returns what results call it: a path or a URI."""
        ...

    def read(self, name: str) -> bytes:
        """The picture of that name; raises `ToolError` where there is none."""
        ...


def jpeg(image: NDArray[np.uint8], side: int) -> bytes:
    """Pack an (H, W, 3) RGB picture, made smaller where it is over `side` pixels wide or high."""
    from PIL import Image

    picture = Image.fromarray(image)
    picture.thumbnail((side, side))
    out = io.BytesIO()
    picture.save(out, "JPEG", quality=_QUALITY)
    return out.getvalue()


def _file_name(picture: bytes) -> str:
    return f"{hashlib.sha256(picture).hexdigest()[:24]}.jpg"


class FolderPictures:
    """Pictures as files: in a folder of yours, or the latest ones in a private one, until Python ends."""

    def __init__(self, folder: str | os.PathLike[str] | None = None) -> None:
        self._latest: OrderedDict[Path, None] = OrderedDict()
        self._lock = Lock()
        self._private = folder is None
        self._folder = Path(mkdtemp(prefix="keyframe-llm-") if folder is None else folder).resolve()
        if self._private:
            weakref.finalize(self, shutil.rmtree, self._folder, ignore_errors=True)
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
            self._forget_all_but_latest(path)
        return str(path)

    def read(self, name: str) -> bytes:
        """The picture at a path that `save` returned."""
        path = Path(name)
        if path.parent != self._folder or not path.is_file():
            raise ToolError(f"there is no picture {path.name!r}; call the tool again")
        return path.read_bytes()

    def _forget_all_but_latest(self, path: Path) -> None:
        with self._lock:
            self._latest[path] = None
            self._latest.move_to_end(path)
            while len(self._latest) > _LATEST:
                self._latest.popitem(last=False)[0].unlink(missing_ok=True)


class MemoryPictures:
    """The latest pictures, under `keyframe://` URIs."""

    def __init__(self, limit: int = _LATEST) -> None:
        self._limit, self._lock = limit, Lock()
        self._kept: OrderedDict[str, bytes] = OrderedDict()

    def save(self, picture: bytes) -> str:
        """Keep a picture until `limit` later ones have come; returns its URI."""
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
        """The URIs of all pictures kept, latest last."""
        with self._lock:
            return list(self._kept)
