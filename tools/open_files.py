"""Files that stay the same once they are open: a name in a folder may be given to another file at any time.

A file is opened folder by folder, without following a symbolic link. On Linux it is then read through its
descriptor, under a private name that lasts as long as somebody reads it. Elsewhere it is read by its path.
"""

from __future__ import annotations

import hashlib
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from threading import Lock

from keyframe_llm.tools.limits import ToolError
from keyframe_llm.words.tracks import files_beside

__all__ = ["OpenFiles"]

_HAS_DESCRIPTORS = Path("/proc/self/fd").is_dir()
_NOFOLLOW = getattr(os, "O_NOFOLLOW", 0)
# A pipe is opened at once, where without this flag the call would wait for its other end.
_FILE_FLAGS = os.O_RDONLY | _NOFOLLOW | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_CLOEXEC", 0)
_FOLDER_FLAGS = os.O_RDONLY | _NOFOLLOW | getattr(os, "O_DIRECTORY", 0) | getattr(os, "O_CLOEXEC", 0)
_LONGEST_SUFFIX = 8
_MOST_SUBTITLES = 8


@dataclass(slots=True)
class _Held:
    descriptors: dict[Path, int]
    """Of the file and of those beside it, by their private names."""
    holders: int = 1

    def close(self) -> None:
        for descriptor in self.descriptors.values():
            os.close(descriptor)


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

        Subtitle files beside it that belong to it by their names are opened in the same way, and lie beside
        that path. Raises `ToolError`, which calls the file `name`, if it is not a regular file, or if it or a
        folder of its path has become a link.
        """
        descriptor = _open_beneath(root, path.relative_to(root), name)
        if not _HAS_DESCRIPTORS:
            os.close(descriptor)
            yield path
            return
        link = self._hold(path, descriptor, _subtitles_beside(root, path))
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

    def _hold(self, path: Path, descriptor: int, subtitles: dict[str, int]) -> Path:
        stem = self._folder / _private_stem(descriptor, subtitles)
        # FFmpeg takes the suffix into account where the content says too little.
        suffix = path.suffix
        plain = suffix[1:].isalnum() and suffix.isascii() and len(suffix) <= _LONGEST_SUFFIX
        link = stem.with_name(stem.name + (suffix if plain else ""))
        beside = {stem.with_name(stem.name + end): number for end, number in subtitles.items()}
        mine = _Held({link: descriptor, **beside})
        with self._lock:
            held = self._held.get(link)
            if held is None:
                self._folder.mkdir(mode=0o700, exist_ok=True)  # cleaners of temporary folders take old ones
                for private, number in mine.descriptors.items():
                    private.symlink_to(f"/proc/{os.getpid()}/fd/{number}")
                self._held[link] = mine
            else:
                held.holders += 1
                mine.close()
        return link

    def _release(self, link: Path) -> None:
        with self._lock:
            held = self._held[link]
            held.holders -= 1
            if not held.holders:
                for private in held.descriptors:
                    private.unlink(missing_ok=True)
                held.close()
                del self._held[link]


def _private_stem(descriptor: int, subtitles: dict[str, int]) -> str:
    """A name for a file and the subtitle files beside it, as they are now."""
    status = os.fstat(descriptor)
    stem = f"{status.st_dev:x}-{status.st_ino:x}"
    if not subtitles:
        return stem
    beside = [(end, os.fstat(number)) for end, number in sorted(subtitles.items())]
    states = [(end, found.st_ino, found.st_size, found.st_mtime_ns) for end, found in beside]
    return f"{stem}-{hashlib.blake2b(repr(states).encode(), digest_size=8).hexdigest()}"


def _subtitles_beside(root: Path, path: Path) -> dict[str, int]:
    """Descriptors of the subtitle files that belong to a video, by the ends of their names."""
    found: dict[str, int] = {}
    for beside in files_beside(path)[:_MOST_SUBTITLES]:
        whole = beside.name.startswith(f"{path.name}.")
        end = path.suffix + beside.name[len(path.name) :] if whole else beside.name[len(path.stem) :]
        with suppress(ToolError):  # a link, or no regular file
            found[end] = _open_beneath(root, beside.relative_to(root), beside.name)
    return found


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
