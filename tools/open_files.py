"""Files that stay the same once they are open: a name in a folder may be given to another file at any time.

A file is opened folder by folder, without following a symbolic link. On Linux it is then read through its
descriptor, under a private name that lasts as long as somebody reads it. Elsewhere it is read by its path.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from threading import Lock

from keyframe_llm.tools.limits import ToolError

__all__ = ["OpenFiles"]

_HAS_DESCRIPTORS = Path("/proc/self/fd").is_dir()
_NOFOLLOW = getattr(os, "O_NOFOLLOW", 0)
# A pipe is opened at once, where without this flag the call would wait for its other end.
_FILE_FLAGS = os.O_RDONLY | _NOFOLLOW | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_CLOEXEC", 0)
_FOLDER_FLAGS = os.O_RDONLY | _NOFOLLOW | getattr(os, "O_DIRECTORY", 0) | getattr(os, "O_CLOEXEC", 0)
_LONGEST_SUFFIX = 8


@dataclass(slots=True)
class _Held:
    descriptor: int
    holders: int = 1


class OpenFiles:
    """Gives every open file a name of its own: the same one for all who read the file at that time."""

    def __init__(self, folder: Path) -> None:
        """`folder` is a private one, for the names."""
        self._folder = folder
        self._held: dict[Path, _Held] = {}
        self._lock = Lock()

    @contextmanager
    def opened(self, root: Path, path: Path, name: str) -> Iterator[Path]:
        """Open the file `path` below `root`; yields the path by which to read it until the block ends.

        Raises `ToolError`, which calls the file `name`, if it is not a regular file, or if it or a folder of
        its path has become a link.
        """
        descriptor = _open_beneath(root, path.relative_to(root), name)
        if not _HAS_DESCRIPTORS:
            os.close(descriptor)
            yield path
            return
        link = self._link(descriptor, path.suffix)
        self._hold(link, descriptor)
        try:
            yield link
        finally:
            self._release(link)

    @contextmanager
    def kept_open(self, path: Path) -> Iterator[None]:
        """Keep a file that `opened` has given a path open until this block ends, too."""
        with self._lock:
            held = self._held.get(path)
            if held is not None:
                held.holders += 1
        try:
            yield
        finally:
            if held is not None:
                self._release(path)

    def _link(self, descriptor: int, suffix: str) -> Path:
        status = os.fstat(descriptor)
        # FFmpeg takes the suffix into account where the content says too little.
        plain = suffix[1:].isalnum() and suffix.isascii() and len(suffix) <= _LONGEST_SUFFIX
        return self._folder / f"{status.st_dev:x}-{status.st_ino:x}{suffix if plain else ''}"

    def _hold(self, link: Path, descriptor: int) -> None:
        with self._lock:
            held = self._held.get(link)
            if held is None:
                self._folder.mkdir(mode=0o700, exist_ok=True)  # cleaners of temporary folders take old ones
                link.symlink_to(f"/proc/{os.getpid()}/fd/{descriptor}")
                self._held[link] = _Held(descriptor)
            else:
                held.holders += 1
                os.close(descriptor)

    def _release(self, link: Path) -> None:
        with self._lock:
            held = self._held[link]
            held.holders -= 1
            if not held.holders:
                link.unlink(missing_ok=True)
                os.close(held.descriptor)
                del self._held[link]


def _open_beneath(root: Path, relative: Path, name: str) -> int:
    """The descriptor of a regular file below `root`; no symbolic link below `root` is followed."""
    try:
        descriptor = _walk(root, relative)
    except OSError as error:
        raise ToolError(
            f"{name} cannot be opened ({error.strerror}); give the path of a video file"
        ) from error
    if stat.S_ISREG(os.fstat(descriptor).st_mode):
        return descriptor
    os.close(descriptor)
    raise ToolError(f"{name} is not a regular file; give the path of a video file")


def _walk(root: Path, relative: Path) -> int:
    if os.open not in os.supports_dir_fd:  # Windows
        return os.open(root / relative, _FILE_FLAGS)
    *folders, last = relative.parts or (".",)
    folder = os.open(root, os.O_RDONLY | getattr(os, "O_CLOEXEC", 0))
    try:
        for part in folders:
            inner = os.open(part, _FOLDER_FLAGS, dir_fd=folder)
            os.close(folder)
            folder = inner
        return os.open(last, _FILE_FLAGS, dir_fd=folder)
    finally:
        os.close(folder)
