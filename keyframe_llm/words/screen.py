"""Screen text: what is written in the picture, as cues with the time for which it stands there.

The video is looked through for changes first (`changes.py`). Then the frames are read in which something that
may be text is new, and only the rows of the picture in which it is new. A line that stays is one cue.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from keyframe_llm.data import Progress
from keyframe_llm.errors import ModelError, check_number
from keyframe_llm.hub import one_line
from keyframe_llm.video import Decoder
from keyframe_llm.words.changes import Still, stills
from keyframe_llm.words.cues import Words
from keyframe_llm.words.ocr import RapidReader, TextReader
from keyframe_llm.words.page import Page, rows_to_read, screen_cues

__all__ = ["UnreadScreen", "read_screen"]

_READ_SIDE = 1080  # pixels on the shorter side of a picture that is read
_AT_ONCE = 4  # pictures in memory
_EACH = 0.15  # what reading the smallest part costs, in whole pictures
_MOST_WARNINGS = 3


class UnreadScreen(ModelError):
    """A reader failed on every picture of one video."""


def read_screen(
    decoder: Decoder,
    reader: TextReader | None = None,
    *,
    candidates: Sequence[float] = (),
    start_seconds: float = 0.0,
    end_seconds: float | None = None,
    max_pictures: float = 150.0,
    progress: Progress | None = None,
) -> Words:
    """Read the text in a video's pictures; cues in time order, each with its place in the picture.

    `reader` is RapidOCR where none is given. At most as much as `max_pictures` whole pictures is read, so the
    cost is bounded: where more changes, spans that stay still come first, then those with one of the
    `candidates` (seconds), then others, evenly. Starts and ends are exact to 0.8 s. A picture that the reader
    fails on is left out, with a warning.

    Raises `VideoError` where nothing can be decoded, `ModelError` where there is no reader, `UnreadScreen`
    where it fails on every picture.
    """
    check_number("max_pictures", max_pictures, 0, above=True)
    tell, reader = progress or _silent, reader or RapidReader()
    spans = list(stills(decoder, start_seconds=start_seconds, end_seconds=end_seconds, progress=tell))
    wanted = _wanted(spans, candidates, max_pictures)
    pictures = _Pictures(decoder, [spans[i].second for i in wanted])
    page, faults = Page(), []
    for i, span in enumerate(spans):
        if i in wanted:
            try:
                page.read(span, pictures.at(span.second), reader)
            except ModelError:
                raise
            except Exception as error:  # whatever a reader of one's own, or a damaged file, raises
                faults.append(f"the text at {span.second:.1f} s could not be read ({one_line(error)})")
                page.pass_over(span)
        else:
            page.pass_over(span)
        tell("screen", 0.5 + (i + 1) / len(spans) / 2)
    if faults and len(faults) == len(wanted):
        raise UnreadScreen(f"{faults[0]}, nor at any other time; check the reader {type(reader).__name__}")
    return Words(tuple(screen_cues(page.closed(spans[-1].end))), tuple(faults[:_MOST_WARNINGS]))


def _silent(stage: str, share: float) -> None:
    """Report no progress."""


def _wanted(spans: Sequence[Still], candidates: Sequence[float], most: float) -> list[int]:
    """Which spans are read, ascending: as many as the bound allows, by their kinds."""
    kinds: tuple[list[int], ...] = ([], [], [])
    times = np.sort(np.asarray(candidates, np.float64))
    for i, span in enumerate(spans):
        if span.inked.any():
            first, last = np.searchsorted(times, (span.start, span.end))
            kinds[0 if span.samples > 1 else 1 if first < last else 2].append(i)
    chosen: list[int] = []
    for kind in kinds:
        costs = np.array([_cost(spans[i]) for i in kind])
        left = most - sum(_cost(spans[i]) for i in chosen)
        if left <= 0 or not kind:
            continue
        steps = np.floor(np.cumsum(costs) * min(1.0, left / costs.sum()) / costs.max())
        evenly = np.diff(steps, prepend=0.0) > 0
        chosen += [i for i, kept in zip(kind, evenly, strict=True) if kept or costs.sum() <= left]
    return sorted(chosen)


def _cost(span: Still) -> float:
    """In whole pictures: the share of the picture that has to be read."""
    top, bottom = rows_to_read(span.inked)
    return _EACH + bottom - top


class _Pictures:
    """The pictures at some times, decoded a few at once."""

    def __init__(self, decoder: Decoder, seconds: Sequence[float]) -> None:
        self._decoder, self._left = decoder, list(seconds)
        self._ready: dict[float, NDArray[np.uint8]] = {}

    def at(self, second: float) -> NDArray[np.uint8]:
        """(H, W, 3) of one of the times; each is asked for once, in their order."""
        while second not in self._ready:
            batch, self._left = self._left[:_AT_ONCE], self._left[_AT_ONCE:]
            frames = self._decoder.decode_at(batch, short_side=_READ_SIDE)
            nearest = [int(np.abs(frames.seconds - one).argmin()) for one in batch]
            self._ready = {one: frames.images[i] for one, i in zip(batch, nearest, strict=True)}
        return self._ready[second]
