"""The lines of text in a picture, followed while the video goes on: when each appears, stays and goes."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from difflib import SequenceMatcher

import numpy as np
from numpy.typing import NDArray

from keyframe_llm.words.changes import Still, Tiles
from keyframe_llm.words.cues import Cue
from keyframe_llm.words.ocr import TextReader, checked_lines

__all__ = ["Line", "Page", "rows_to_read", "screen_cues"]

Box = tuple[float, float, float, float]
"""Left, top, right, bottom as shares of the picture."""

_LEAST_SCORE = 0.5
_LEAST_LETTERS = 2  # a single one is read into any railing or tree
_SAME_TEXT, _MOVED_TEXT = 0.75, 0.9  # difflib's ratios of two readings of a line in its place, and elsewhere
_SAME_PLACE = 0.4  # of the smaller box
_EDGE = 0.25  # of a box, above and below, where there may be no letters
_TOUCHED = 0.35  # of the tiles under a line; a line next to it shares fewer
_FADED = 0.5  # of them, which a line must lose to be gone: it shares the others with its neighbours
_LEAST_MOVED = 4  # letters
_MARGIN = 2  # tiles above and below what is read
_BLOCK = 1.6  # heights of a line between two lines of one cue
_LONGEST_CUE = 2000
_MARKS = re.compile(r"[\x00-\x1f\x7f-\x9f\u200b-\u200f\u202a-\u202e\u2066-\u2069]+")


@dataclass(slots=True, eq=False)
class Line:
    """A line of text, and the time for which it stands in the picture."""

    text: str
    box: Box
    score: float
    start: float
    end: float | None = None
    """Seconds; None while it stands there. Where its place changed unread, it may stand there longer."""


class Page:
    """What stands in the picture now, and what stood there before."""

    def __init__(self) -> None:
        self._lines: list[Line] = []
        self._gone: list[Line] = []
        self._unread: Tiles | None = None

    def pass_over(self, span: Still) -> None:
        """The picture changed, and is not read: lines end where nothing is left in their place."""
        unread = span.inked.any()
        for line in [line for line in self._lines if _covered(line, span.changed) > _TOUCHED]:
            if _covered(line, span.faded) > _FADED:
                self._lines.remove(line)
                self._gone.append(line)
            elif not unread:
                continue
            line.end = span.start if line.end is None else line.end
        if unread:
            self._unread = _united(self._unread, span.changed)

    def read(self, span: Still, picture: NDArray[np.uint8], reader: TextReader) -> None:
        """Read the rows of the picture in which something has changed since the last reading."""
        fresh = _united(self._unread, span.changed)
        ink = span.inked if self._unread is None else fresh & span.edged
        touched = [line for line in self._lines if line.end is not None or _covered(line, fresh) > _TOUCHED]
        top, bottom = rows_to_read(ink, [line.box for line in touched])
        staying = [line for line in self._lines if line not in touched]
        found = list(_found(reader, picture, top, bottom, span.start))
        self._unread = None
        for new in found:
            if any(_overlap(new.box, line.box) > _SAME_PLACE for line in staying):
                continue
            old = _same(new, touched)
            if old is None:
                staying.append(new)
                continue
            touched.remove(old)
            best = new if new.score > old.score else old
            staying.append(Line(best.text, new.box, best.score, old.start))
        for line in touched:
            line.end = span.start if line.end is None else line.end
        self._gone += touched
        self._lines = staying

    def closed(self, end: float) -> list[Line]:
        """All lines; those that still stand there end at `end`."""
        for line in self._lines:
            line.end = end if line.end is None else line.end
        return [*self._gone, *self._lines]


def rows_to_read(fresh: Tiles, boxes: Iterable[Box] = ()) -> tuple[float, float]:
    """The bounds, as shares of the picture, of the rows with fresh tiles or boxes, and a little more."""
    rows = np.flatnonzero(fresh.any(axis=1))
    edges = [bound for _, top, _, bottom in boxes for bound in (top, bottom)]
    if len(rows):
        edges += [float(rows[0]) / len(fresh), float(rows[-1] + 1) / len(fresh)]
    if not edges:
        return 0.0, 0.0
    margin = _MARGIN / len(fresh)
    return max(0.0, min(edges) - margin), min(1.0, max(edges) + margin)


def screen_cues(lines: Sequence[Line]) -> list[Cue]:
    """Cues in time order, from the top down; lines close together that come and go together are one."""
    together: dict[tuple[float, float], list[Line]] = {}
    for line in lines:
        if line.end is not None and line.end > line.start:
            together.setdefault((round(line.start, 3), round(line.end, 3)), []).append(line)
    placed = [
        (start, box[1], box[0], Cue(start, end, _text(block), "screen", box=box))
        for (start, end), group in together.items()
        for block in _blocks(group)
        for box in [_united_box([line.box for line in block])]
    ]
    return [cue for *_, cue in sorted(placed, key=lambda one: one[:3])]


def _found(
    reader: TextReader, picture: NDArray[np.uint8], top: float, bottom: float, start: float
) -> Iterator[Line]:
    """The lines in some rows of a picture, their boxes as shares of the whole."""
    height, width = picture.shape[:2]
    first, last = int(np.floor(top * height)), int(np.ceil(bottom * height))
    if last <= first:
        return
    for text, (left, above, right, below), score in checked_lines(reader, picture[first:last]):
        words = " ".join(_MARKS.sub(" ", unicodedata.normalize("NFC", text)).split())
        if score < _LEAST_SCORE or sum(letter.isalnum() for letter in words) < _LEAST_LETTERS:
            continue
        place = np.clip(
            [left / width, (first + above) / height, right / width, (first + below) / height], 0, 1
        )
        box = (float(place[0]), float(place[1]), float(place[2]), float(place[3]))
        yield Line(words, box, score, start)


def _same(new: Line, old: Sequence[Line]) -> Line | None:
    """The line that this one was before: alike and in its place, or nearly the same and elsewhere."""
    alike = [(_ratio(new.text, line.text), line) for line in old]
    near = [(ratio, line) for ratio, line in alike if _overlap(new.box, line.box) > _SAME_PLACE]
    least, among = (
        (_SAME_TEXT, near) if near else (_MOVED_TEXT, alike if len(new.text) >= _LEAST_MOVED else [])
    )
    best = max(among, key=lambda pair: pair[0], default=None)
    return best[1] if best is not None and best[0] >= least else None


def _ratio(one: str, other: str) -> float:
    return 1.0 if one == other else SequenceMatcher(None, one, other, autojunk=False).ratio()


def _overlap(one: Box, other: Box) -> float:
    """The area that two boxes share, as a share of the smaller one."""
    width = min(one[2], other[2]) - max(one[0], other[0])
    height = min(one[3], other[3]) - max(one[1], other[1])
    least = min((box[2] - box[0]) * (box[3] - box[1]) for box in (one, other))
    return max(0.0, width) * max(0.0, height) / least if least > 0 else 0.0


def _covered(line: Line, tiles: Tiles) -> float:
    """The share of the tiles under the middle of a line that are set; readers draw boxes too high."""
    rows, columns = tiles.shape
    left, top, right, bottom = line.box
    top, bottom = top + _EDGE * (bottom - top), bottom - _EDGE * (bottom - top)
    across = slice(int(left * columns), max(int(left * columns) + 1, int(np.ceil(right * columns))))
    down = slice(int(top * rows), max(int(top * rows) + 1, int(np.ceil(bottom * rows))))
    return float(tiles[down, across].mean())


def _united(one: Tiles | None, other: Tiles) -> Tiles:
    return other if one is None or one.shape != other.shape else one | other


def _blocks(lines: Sequence[Line]) -> Iterator[list[Line]]:
    """Lines from the top down, split where the space between two is more than a line."""
    block: list[Line] = []
    for line in sorted(lines, key=lambda line: (line.box[1], line.box[0])):
        if block:
            low = max(one.box[3] for one in block)
            if line.box[1] - low > _BLOCK * (line.box[3] - line.box[1]):
                yield block
                block = []
        block.append(line)
    if block:
        yield block


def _text(block: Sequence[Line]) -> str:
    return "\n".join(line.text for line in block)[:_LONGEST_CUE]


def _united_box(boxes: Sequence[Box]) -> Box:
    lefts, tops, rights, bottoms = zip(*boxes, strict=True)
    return min(lefts), min(tops), max(rights), max(bottoms)
