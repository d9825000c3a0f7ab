"""Which files an agent may open: regular files in the allowed folders, and nothing else.

The arguments of an agent are not trusted. A path is resolved, with all symbolic links, before it is compared
with the allowed folders, and the file is then opened without following any link (see `open_files.py`).
Messages name files by the part of their path below an allowed folder.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from urllib.parse import urlsplit
from urllib.request import url2pathname

from keyframe_llm.errors import OptionsError
from keyframe_llm.tools.limits import ToolError
from keyframe_llm.tools.text import printable

__all__ = ["AllowedFile", "FoundFile", "Roots", "is_file_url"]

_SUFFIXES = {".avi", ".flv", ".gif", ".m4v", ".mkv", ".mov", ".mp4", ".mpeg", ".mpg", ".ts", ".webm", ".wmv"}
_AROUND_NAMES = " \t\r\n\"'`<>“”‘’«»"
_MOST_HINTS = 10
_LONGEST_HINT = 100
_LONGEST_NAME = 400
_MOST_ENTRIES = 2000


@dataclass(frozen=True, slots=True)
class FoundFile:
    """A file or folder in one of the roots."""

    root: Path
    path: Path
    """Resolved: it has no symbolic link in it, unless one was put there since."""

    @property
    def name(self) -> str:
        """The path below the root, printable."""
        return printable(self.path.relative_to(self.root).as_posix(), _LONGEST_NAME)


@dataclass(frozen=True, slots=True)
class AllowedFile:
    """A file that an agent may have opened."""

    path: Path
    """Where it is to be opened: it stays the same file whatever happens in the roots."""
    name: str
    """Its name in results and messages, printable."""


class Roots:
    """The folders whose files may be opened. Raises `OptionsError` for one that is not a folder."""

    def __init__(self, folders: Sequence[str | os.PathLike[str]]) -> None:
        if not folders or isinstance(folders, str):
            raise OptionsError(f"roots are {folders!r}; give a list of at least one folder")
        self._folders: list[Path] = []
        for folder in folders:
            resolved = Path(folder).resolve()
            if not resolved.is_dir():
                raise OptionsError(f"root {os.fspath(folder)!r} is not a folder; give one that exists")
            self._folders.append(resolved)

    def find(self, video: str) -> FoundFile:
        """Find the file an agent named, by a path that is absolute or relative to a root.

        A name that cannot be printed may be given as results show it. Raises `ToolError`, with the same
        message, for a file that is missing and for one outside the roots: it does not tell which files exist
        outside.
        """
        if video.strip() and "\0" not in video:
            for candidate in self._candidates(video):
                found = self._inside(candidate) or self._escaped(candidate)
                if found is not None:
                    return found
        names = ", ".join(json.dumps(name, ensure_ascii=False) for name in self._nearby(video))
        hint = f"videos there: {names}" if names else "ask which folder holds the video"
        raise ToolError(f"there is no video {printable(repr(video))} in the allowed folders; {hint}")

    def relative_text(self, text: str) -> str:
        """The text with all paths below the roots made relative to them."""
        for root in self._folders:
            text = text.replace(f"{root}{os.sep}", "")
        return text

    def _candidates(self, video: str) -> list[Path]:
        """The paths that may be meant, the name as it stands first."""
        names = dict.fromkeys([Path(video), Path(video.strip(_AROUND_NAMES))])
        if is_file_url(video):
            names = dict.fromkeys([_path_of_url(video)])
        return [
            path
            for name in names
            for path in ([name] if name.is_absolute() else [root / name for root in self._folders])
        ]

    def _inside(self, candidate: Path) -> FoundFile | None:
        try:
            path = candidate.resolve(strict=True)
        except (OSError, RuntimeError, ValueError):  # missing, a loop of links, a name no file can have
            return None
        root = next((root for root in self._folders if path.is_relative_to(root)), None)
        return None if root is None else FoundFile(root, path)

    def _escaped(self, candidate: Path) -> FoundFile | None:
        """The file whose name is shown like that, because it cannot be printed as it is."""
        folder = self._inside(candidate.parent) if "\\" in candidate.name else None
        for name in self._entries(folder.path) if folder is not None else ():
            if printable(name, None) == candidate.name and folder is not None:
                return self._inside(folder.path / name)
        return None

    def _nearby(self, video: str) -> list[str]:
        """Names of a few videos in the folder of the path, or at the top of the roots."""
        try:
            parents = [self._inside(c.parent) for c in self._candidates(video)] if "\0" not in video else []
        except ValueError:
            parents = []
        folders = [found.path for found in parents if found is not None] or self._folders
        names = sorted(name for folder in folders for name in self._videos(folder))
        return [*names[:_MOST_HINTS], *(["…"] if len(names) > _MOST_HINTS else [])]

    def _videos(self, folder: Path) -> Iterator[str]:
        """The names, below their root, of the videos in a folder; of those that are short and printable."""
        for name in self._entries(folder):
            path = folder / name
            if path.suffix.lower() in _SUFFIXES and not path.is_symlink() and path.is_file():
                found = self._inside(path)
                if found is not None and found.path.relative_to(found.root).as_posix() == found.name:
                    yield from [found.name] if len(found.name) <= _LONGEST_HINT else []

    @staticmethod
    def _entries(folder: Path) -> list[str]:
        try:
            with os.scandir(folder) as entries:
                return [entry.name for entry in islice(entries, _MOST_ENTRIES)]
        except OSError:
            return []


def is_file_url(video: str) -> bool:
    """Whether a file is named by a URL."""
    return video.strip(_AROUND_NAMES).lower().startswith("file://")


def _path_of_url(url: str) -> Path:
    parts = urlsplit(url.strip(_AROUND_NAMES))
    local = parts.netloc.lower() in ("", "localhost")
    return Path(url2pathname(parts.path)) if local else Path(url)
