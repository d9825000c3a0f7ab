"""Which files an agent may open: regular files in the allowed folders, and nothing else.

The arguments of an agent are not trusted. A path is resolved, with all symbolic links, before it is compared
with the allowed folders, and the file is then opened without following any link (see `open_files.py`).
Messages name files by the part of their path below an allowed folder.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
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
_MOST_ENTRIES = 20_000
_ALIKE = 0.8


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

    @property
    def is_plain(self) -> bool:
        """Whether the name is short and needs no escapes."""
        plain = self.path.relative_to(self.root).as_posix()
        return plain == self.name and len(plain) <= _LONGEST_HINT


@dataclass(frozen=True, slots=True)
class AllowedFile:
    """A file that an agent may have opened."""

    path: Path
    """Where it is to be opened: it stays the same file whatever happens in the roots."""
    name: str
    """Its name in results and messages, printable."""
    lasts: bool = True
    """Whether it is there after the call: a file that was fetched for it is not."""


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
        found = self._found(video)
        if found is None:
            what = printable(repr(video))
            raise ToolError(f"there is no video {what} in the allowed folders; {self._hint(video)}")
        return found

    def folder(self, name: str) -> FoundFile:
        """Find a folder as `find` finds a file."""
        found = self._found(name)
        if found is None or not found.path.is_dir():
            what = printable(repr(name))
            raise ToolError(
                f"there is no folder {what} in the allowed folders; leave it out to list them all"
            )
        return found

    def videos(
        self, folder: FoundFile | None = None, check: Callable[[], None] = lambda: None
    ) -> Iterator[FoundFile]:
        """The videos in a folder and the folders below it, or in all roots, by the ends of their names.

        Links and hidden folders are left out, and videos that cannot be named: a second root may have a file
        of the same name. At most 20,000 files and folders are read; `check` is called meanwhile, and raises
        to stop.
        """
        budget = iter(range(_MOST_ENTRIES))
        for root in self._folders if folder is None else [folder.root]:
            for path in _walk(root if folder is None else folder.path, budget, check):
                found = FoundFile(root, path)
                if self._found(found.name) == found:
                    yield found

    def contain(self, path: Path) -> bool:
        """Whether a path without links in it is one of the folders, or lies below one."""
        return any(path.is_relative_to(root) for root in self._folders)

    def holding(self, path: Path) -> FoundFile | None:
        """The file at an absolute path, if its name opens it; None for one outside or missing."""
        found = self._inside(path)
        return found if found is not None and self._found(found.name) == found else None

    def _found(self, video: str) -> FoundFile | None:
        if video.strip() and "\0" not in video:
            for candidate in self._candidates(video):
                found = self._inside(candidate) or self._escaped(candidate)
                if found is not None:
                    return found
        return None

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
        if folder is None:
            return None
        names = (entry.name for entry in _entries(folder.path))
        name = next((name for name in names if printable(name, None) == candidate.name), None)
        return None if name is None else self._inside(folder.path / name)

    def _hint(self, video: str) -> str:
        """What the agent may have meant: videos of a similar name, or those in the folder it named."""
        known = [found.name for found in self.videos() if found.is_plain]
        similar = _similar(video, known)
        if similar:
            return f"did you mean {_listed(similar)}?"
        parents = [self._inside(path.parent) for path in self._candidates(video)] if "\0" not in video else []
        folders = {found.path for found in parents if found is not None} or set(self._folders)
        near = [name for name in known if any((root / name).parent in folders for root in self._folders)]
        return f"videos there: {_listed(near)}" if near else "ask which folder holds the video"


def _walk(folder: Path, budget: Iterator[int], check: Callable[[], None]) -> Iterator[Path]:
    """The videos below a folder, in the order of their names; each entry takes one from the budget."""
    for entry in sorted(_entries(folder), key=lambda entry: entry.name):
        check()
        if next(budget, None) is None:
            return
        if entry.is_dir(follow_symlinks=False) and not entry.name.startswith("."):
            yield from _walk(Path(entry.path), budget, check)
        elif entry.is_file(follow_symlinks=False) and Path(entry.name).suffix.lower() in _SUFFIXES:
            yield Path(entry.path)


def _entries(folder: Path) -> list[os.DirEntry[str]]:
    try:
        with os.scandir(folder) as entries:
            return list(islice(entries, _MOST_ENTRIES))
    except OSError:
        return []


def _similar(video: str, known: Sequence[str]) -> list[str]:
    """The known names that are like the one given: the same but for their folder, or spelt alike."""
    wanted = Path(video.strip(_AROUND_NAMES)).name.lower()
    by_name: dict[str, list[str]] = {}
    for name in known:
        for key in {Path(name).name.lower(), Path(name).stem.lower()}:
            by_name.setdefault(key, []).append(name)
    keys = {wanted, Path(wanted).stem} & by_name.keys()
    keys = keys or set(get_close_matches(wanted, by_name, n=3, cutoff=_ALIKE))
    return list(dict.fromkeys(name for key in sorted(keys) for name in by_name[key]))


def _listed(names: Sequence[str]) -> str:
    """The first few names, in quotes: they are data, whatever they say."""
    quoted = [json.dumps(name, ensure_ascii=False) for name in names[:_MOST_HINTS]]
    return ", ".join([*quoted, *(["…"] if len(names) > _MOST_HINTS else [])])


def is_file_url(video: str) -> bool:
    """Whether a file is named by a URL."""
    return video.strip(_AROUND_NAMES).lower().startswith("file://")


def _path_of_url(url: str) -> Path:
    parts = urlsplit(url.strip(_AROUND_NAMES))
    local = parts.netloc.lower() in ("", "localhost")
    return Path(url2pathname(parts.path)) if local else Path(url)
