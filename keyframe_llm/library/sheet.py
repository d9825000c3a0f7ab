"""What a search found as pictures: one sheet of its moments, each with its video and time."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from keyframe_llm.errors import VideoError
from keyframe_llm.library.moments import FoundVideo
from keyframe_llm.options import DecodeOptions
from keyframe_llm.report.grid import grid
from keyframe_llm.report.style import GREY, INK, PAPER, drawable, font
from keyframe_llm.video import open_video

__all__ = ["search_sheet"]

_CELL, _TEXT_HEIGHT, _GAP, _MARGIN, _COLUMNS = (320, 200), 44, 14, 24, 4
_MOST_CELLS = 40


def search_sheet(
    text: str, found: Sequence[FoundVideo], decode: DecodeOptions
) -> tuple[Image.Image, list[str]]:
    """Draw the first 40 moments of what was found for a text, read from their videos now.

    Also returns a line for each video that could not be read, whose moments are left out.
    """
    cells: list[Image.Image] = []
    problems: list[str] = []
    for number, video in enumerate(found, 1):
        try:
            cells += _cells(number, video, decode)[: _MOST_CELLS - len(cells)]
        except VideoError as error:
            problems.append(str(error))
    head = _line(f"{len(found)} videos for: {drawable(text)}", 20, _COLUMNS * (_CELL[0] + _GAP))
    body = grid(cells, min(_COLUMNS, len(cells)), _GAP) if cells else Image.new("RGB", (1, 1), PAPER)
    size = (max(head.width, body.width) + 2 * _MARGIN, head.height + body.height + _GAP + 2 * _MARGIN)
    sheet = Image.new("RGB", size, PAPER)
    sheet.paste(head, (_MARGIN, _MARGIN))
    sheet.paste(body, (_MARGIN, _MARGIN + head.height + _GAP))
    return sheet, problems


def _cells(number: int, video: FoundVideo, decode: DecodeOptions) -> list[Image.Image]:
    """A cell for each moment, with the true time of the frame that is shown."""
    times = sorted({moment.seconds for moment in video.moments})
    with open_video(video.path, decode.backend, decode.max_picture_pixels, decode.hardware) as decoder:
        frames = decoder.decode_at(times)
    name = drawable(Path(video.path).name)
    return [
        _cell(image, f"{number}. {name}", f"{second:.2f} s")
        for image, second in zip(frames.images, frames.seconds, strict=True)
    ]


def _cell(image: NDArray[np.uint8], title: str, below: str) -> Image.Image:
    frame = Image.fromarray(image)
    frame.thumbnail(_CELL, Image.Resampling.LANCZOS)
    cell = Image.new("RGB", (_CELL[0], _CELL[1] + _TEXT_HEIGHT), PAPER)
    cell.paste(frame, (0, _CELL[1] - frame.height))
    cell.paste(_line(title, 14, _CELL[0]), (0, _CELL[1] + 4))
    ImageDraw.Draw(cell).text((0, _CELL[1] + 24), below, GREY, font(13))
    return cell


def _line(text: str, size: int, width: int) -> Image.Image:
    """One line of bold text, cut off where it is wider than so many pixels."""
    line = Image.new("RGB", (width, size + 6), PAPER)
    ImageDraw.Draw(line).text((0, 0), text, INK, font(size, bold=True))
    return line
