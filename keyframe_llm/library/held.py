"""What every search of a library needs in memory: its files and outlines, as of one version of it."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from keyframe_llm.library.outline import Outlines

__all__ = ["Held", "Place"]


@dataclass(frozen=True, slots=True)
class Place:
    """Which files a search looks at."""

    folder: Path | None = None
    """Those below this folder."""
    after: float | None = None
    """Those modified at this time or later, in seconds since the epoch."""
    before: float | None = None
    """Those modified before this time."""
    among: Callable[[str], bool] | None = None
    """Those of which this says so, by their paths."""

    def holds(self, path: str, modified: float) -> bool:
        """Whether a file is one of them."""
        below = self.folder is None or path.startswith(str(self.folder).rstrip(os.sep) + os.sep)
        late = self.after is None or modified >= self.after
        early = self.before is None or modified < self.before
        return below and late and early and (self.among is None or self.among(path))


class Held:
    """The files and outlines of a library, as they were at one version of it."""

    def __init__(
        self, version: int, files: list[tuple[str, int, float]], search: Callable[[int], Outlines]
    ) -> None:
        """`search` makes the search of outlines of so many numbers a row."""
        self.version = version
        self._files, self._make = files, search
        self._search: Outlines | None = None

    def paths(self, place: Place) -> dict[int, str]:
        """The first file of every video that a search may look at, by the video's number."""
        found: dict[int, str] = {}
        for path, video, modified in self._files:
            if video not in found and place.holds(path, modified):
                found[video] = path
        return found

    def outlines(self, size: int) -> Outlines:
        """The outlines, of so many numbers a row."""
        if self._search is None:
            self._search = self._make(size)
        return self._search
