"""Searching the library that the operator named: what of it lies in the allowed folders, and nothing else."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path

from keyframe_llm.encoders import Encoder
from keyframe_llm.errors import KeyframeError
from keyframe_llm.library import FoundMoment, FoundVideo, Library
from keyframe_llm.tools.limits import ToolError
from keyframe_llm.tools.results import SearchedMoment, SearchedVideo, SearchedVideos
from keyframe_llm.tools.sandbox import FoundFile, Roots
from keyframe_llm.tools.text import printable
from keyframe_llm.tools.times import format_time

__all__ = ["SearchedLibrary"]

_PAGE, _MOMENTS = 5, 4
_LONGEST_WORDS = 200
_logger = logging.getLogger(__name__)


class SearchedLibrary:
    """A library whose videos an agent may search, as far as they lie in the roots."""

    def __init__(self, path: str | os.PathLike[str], encoder: Encoder, roots: Roots) -> None:
        """`encoder` has to be the one that the library was made with; a search says where it is not."""
        self._library, self._roots = Library(path, encoder=encoder), roots

    def close(self) -> None:
        """Close the library's file."""
        self._library.close()

    def files(self, folder: FoundFile | None = None) -> Iterator[FoundFile]:
        """The videos of the library that can be opened by their names, in a folder or in all roots."""
        inside = self._inside(folder)
        for path in self._library.paths():
            if inside(path) and (found := self._roots.holding(Path(path))) is not None:
                yield found

    def page(self, query: str, folder: str | None, page: int) -> SearchedVideos:
        """One page of the videos that fit a query, the best first. Raises `ToolError`.

        What lies elsewhere takes no part in the search; no file is opened.
        """
        place = None if folder is None else self._roots.folder(folder)
        try:
            found = self._library.search(query, k=page * _PAGE + 1, among=self._inside(place))
        except ToolError:
            raise
        except KeyframeError as error:
            _logger.error("%s", printable(str(error), None))  # it may name places: for the operator alone
            raise ToolError(
                "the library cannot be searched; tell the user to check it and its encoder (the log says "
                "more), and use find_in_videos meanwhile"
            ) from error
        shown, warnings = self._shown(found[(page - 1) * _PAGE : page * _PAGE])
        more = len(found) > page * _PAGE
        return {"videos": shown, "next_page": page + 1 if more else None, "warnings": warnings}

    def _shown(self, found: list[FoundVideo]) -> tuple[list[SearchedVideo], list[str]]:
        """The videos that are still there as they were indexed, and a line for those that are not."""
        shown: list[SearchedVideo] = []
        changed = 0
        for video in found:
            file = self._roots.holding(Path(video.path))
            if file is None or not self._library.is_current(video.path):
                changed += 1
            else:
                shown.append(_searched(file.name, video))
        lost = (
            f"{changed} of the videos found were changed or moved since they were indexed, and are left out"
        )
        return shown, [lost] if changed else []

    def _inside(self, folder: FoundFile | None) -> Callable[[str], bool]:
        """Says of a path whether its folder, with all links resolved, lies in the roots or a folder there."""

        @cache
        def holds(parent: Path) -> bool:
            real = Path(os.path.realpath(parent))
            return self._roots.contain(real) and (folder is None or real.is_relative_to(folder.path))

        return lambda path: holds(Path(path).parent)


def _searched(name: str, video: FoundVideo) -> SearchedVideo:
    seconds, best = video.duration_seconds, video.best_moments()[:_MOMENTS]
    return {
        "name": name,
        "duration_seconds": None if seconds is None else round(seconds, 3),
        "duration": None if seconds is None else format_time(seconds),
        "moments": [_moment(each) for each in sorted(best, key=lambda moment: moment.seconds)],
    }


def _moment(moment: FoundMoment) -> SearchedMoment:
    return {
        "seconds": round(moment.seconds, 3),
        "time": format_time(moment.seconds),
        "start_seconds": round(moment.start, 3),
        "end_seconds": round(moment.end, 3),
        "source": moment.source,
        "text": printable(moment.text, _LONGEST_WORDS) if moment.text else None,
    }
