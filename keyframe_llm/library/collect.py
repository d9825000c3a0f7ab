"""What is to be indexed: the videos below folders, single files, and lists, with captions or without."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from keyframe_llm.errors import OptionsError, shortened, user_path
from keyframe_llm.scoring.queries import checked_text

__all__ = ["VIDEO_SUFFIXES", "Item", "collect", "whole_path"]

VIDEO_SUFFIXES = frozenset(
    {".3gp", ".avi", ".divx", ".dv", ".f4v", ".flv", ".gif", ".m2ts", ".m4v", ".mjpeg", ".mjpg", ".mkv"}
    | {".mov", ".mp4", ".mpeg", ".mpg", ".mts", ".mxf", ".nut", ".ogm", ".ogv", ".ts", ".vob", ".webm"}
    | {".wmv", ".y4m"}
)
_LISTS = {".txt": "text", ".list": "text", ".jsonl": "json", ".ndjson": "json"}


class Item(NamedTuple):
    """One video to be indexed."""

    path: Path
    """As a whole path, links not followed."""
    caption: str | None = None
    """Words that are known of it, which are searched as its other words are."""
    question: str | None = None
    """What a batch asks of it."""


def collect(sources: Sequence[str | Path], *, by_question: bool = False) -> Iterator[Item]:
    """The videos of some sources, each once, in the order of their names below a folder.

    A source is a folder, which is gone through with all folders below it (hidden ones and links to folders
    are left out), a video file, a text file with one path a line (`.txt`), or JSON Lines of `{"video": path,
    "caption": text}` (`.jsonl`), where `"question": text` may stand beside them. `by_question` gives a video
    once for each of its questions. Paths in a list start from the list's own folder. Raises `OptionsError`
    on a source that is missing or a line that is none of these.
    """
    seen: set[object] = set()
    for source in sources:
        for item in _of_source(whole_path(user_path("the source", source))):
            if (known := item if by_question else item.path) not in seen:
                seen.add(known)
                yield item


def _of_source(path: Path) -> Iterator[Item]:
    if path.is_dir():
        yield from _below(path)
    elif not path.exists():
        raise OptionsError(f"{str(path)!r} is neither a folder nor a file; check the path")
    elif (kind := _LISTS.get(path.suffix.lower())) is not None:
        yield from _listed(path, kind)
    else:
        yield Item(path)


def _below(folder: Path) -> Iterator[Item]:
    for place, folders, names in os.walk(folder):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        for name in sorted(names):
            if Path(name).suffix.lower() in VIDEO_SUFFIXES and not name.startswith("."):
                yield Item(Path(place) / name)


def _listed(path: Path, kind: str) -> Iterator[Item]:
    try:
        lines = path.read_text(encoding="utf-8-sig").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise OptionsError(f"the list {str(path)!r} cannot be read ({error}); give a UTF-8 text") from error
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        name, *texts = _entry(line, path, number) if kind == "json" else (line.strip(),)
        yield Item(whole_path(path.parent / user_path(f"line {number}", name)), *texts)


def _entry(line: str, path: Path, number: int) -> tuple[str, str | None, str | None]:
    try:
        entry = json.loads(line)
    except ValueError:
        entry = None
    values = entry if isinstance(entry, dict) else {}
    name, caption, question = (values.get(key) for key in ("video", "caption", "question"))
    texts = (caption, question)
    if not isinstance(name, str) or not name or not all(isinstance(text, str | None) for text in texts):
        raise OptionsError(
            f'line {number} of {str(path)!r} is {shortened(line)}; give {{"video": path, "caption": text}}'
        )
    try:
        return name, _text("caption", caption), _text("question", question)
    except OptionsError as error:
        raise OptionsError(f"line {number} of {str(path)!r}: {error}") from error


def _text(name: str, value: str | None) -> str | None:
    return checked_text(name, (value or "").strip() or None)


def whole_path(path: Path) -> Path:
    """The path from the root on, without `.` and `..`; links stay as they are."""
    return Path(os.path.normpath(Path.cwd() / path))
