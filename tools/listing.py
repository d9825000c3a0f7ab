"""Lists of the videos in the allowed folders."""

from __future__ import annotations

import os
from collections.abc import Callable
from contextlib import suppress

from keyframe_llm.errors import KeyframeError
from keyframe_llm.tools.arguments import SortBy
from keyframe_llm.tools.decode_process import DecodePool
from keyframe_llm.tools.headers import stated_seconds
from keyframe_llm.tools.library_search import SearchedLibrary
from keyframe_llm.tools.limits import Limits
from keyframe_llm.tools.open_files import OpenFiles
from keyframe_llm.tools.results import ListedVideo, VideoList
from keyframe_llm.tools.sandbox import FoundFile, Roots
from keyframe_llm.tools.times import format_time

__all__ = ["list_page"]

_PAGE = 25


def list_page(
    roots: Roots,
    files: OpenFiles,
    decoders: DecodePool,
    limits: Limits,
    check: Callable[[], None],
    *,
    folder: str | None,
    name_contains: str | None,
    sort_by: SortBy,
    page: int,
    library: SearchedLibrary | None = None,
) -> VideoList:
    """One page of the videos whose names contain a text; `check` is called between files.

    Those of a `library` are among them, whatever their names end in, and it is said which ones they are.
    """
    inside = None if folder is None else roots.folder(folder)
    wanted = (name_contains or "").casefold()
    indexed = None if library is None else dict.fromkeys(library.files(inside))
    found = [
        (file, status)
        for file in dict.fromkeys([*roots.videos(inside, check), *(indexed or ())])
        if wanted in file.name.casefold() and (status := _status(file)) is not None
    ]
    found.sort(key=lambda pair: _rank(pair[0], pair[1], sort_by))
    shown = found[(page - 1) * _PAGE : page * _PAGE]
    return {
        "videos": [
            _listed(file, status, files, decoders, limits, None if indexed is None else file in indexed)
            for file, status in shown
        ],
        "total": len(found),
        "next_page": page + 1 if page * _PAGE < len(found) else None,
    }


def _status(file: FoundFile) -> os.stat_result | None:
    try:
        return file.path.stat()
    except OSError:  # it was moved meanwhile
        return None


def _rank(file: FoundFile, status: os.stat_result, sort_by: SortBy) -> tuple[float, str]:
    ranks: dict[SortBy, float] = {"name": 0.0, "newest": -status.st_mtime, "largest": -float(status.st_size)}
    return ranks[sort_by], file.name.casefold()


def _listed(
    file: FoundFile,
    status: os.stat_result,
    files: OpenFiles,
    decoders: DecodePool,
    limits: Limits,
    searchable: bool | None,
) -> ListedVideo:
    seconds: float | None = None
    # What is wrong with a file shows when it is opened; it is listed all the same.
    with suppress(KeyframeError), files.opened(file.root, file.path, file.name) as path:
        seconds = decoders.call(str(path), stated_seconds, path, limits)
    listed: ListedVideo = {
        "name": file.name,
        "size_bytes": status.st_size,
        "duration_seconds": None if seconds is None else round(seconds, 3),
        "duration": None if seconds is None else format_time(seconds),
    }
    if searchable is not None:
        listed["searchable"] = searchable
    return listed
