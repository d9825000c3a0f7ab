"""Pictures side by side on one: the grid that all sheets share, and frames each under its label."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from keyframe_llm.report.style import INK, PAPER, drawable, font

__all__ = ["MAX_SIDE", "frame_sheet", "grid"]

MAX_SIDE = 2048
"""The longer side of a sheet of frames, in pixels."""
_GAP, _LEAST_STRIP = 8, 20
_STRIP_SHARE = 1 / 14


def grid(cells: Sequence[Image.Image], columns: int, gap: int) -> Image.Image:
    """The cells in rows from left to right, `gap` pixels apart; each place is as large as the largest."""
    width, height = (max(sides) for sides in zip(*(cell.size for cell in cells), strict=True))
    rows = math.ceil(len(cells) / columns)
    size = (columns * (width + gap) - gap, rows * (height + gap) - gap)
    sheet = Image.new("RGB", size, PAPER)
    for i, cell in enumerate(cells):
        sheet.paste(cell, (i % columns * (width + gap), i // columns * (height + gap)))
    return sheet


def frame_sheet(images: NDArray[np.uint8], labels: Sequence[str]) -> Image.Image:
    """Frames (k, H, W, 3) RGB on one picture, row by row, each under its label.

    No side is longer than `MAX_SIDE`; the columns are as many as leave the frames largest.
    """
    k, height, width = images.shape[:3]
    columns, size = _places(k, width, height)
    cells = [_cell(image, label, size) for image, label in zip(images, labels, strict=True)]
    return grid(cells, columns, _GAP)


def _places(count: int, width: int, height: int) -> tuple[int, tuple[int, int]]:
    """The number of columns, and the (width, height) of each frame on the sheet."""

    def worth(columns: int) -> tuple[float, int, int]:
        """Large frames first, then a sheet that is nearly square."""
        longer = max(columns * width, math.ceil(count / columns) * height)
        return _scale(columns, count, width, height), -longer, columns

    best = max(range(1, count + 1), key=worth)
    scale = _scale(best, count, width, height)
    return best, (max(1, math.floor(width * scale)), max(1, math.floor(height * scale)))


def _scale(columns: int, count: int, width: int, height: int) -> float:
    """How large frames may be in so many columns, at most their own size."""
    rows = math.ceil(count / columns)
    across = (MAX_SIDE - (columns - 1) * _GAP) / (columns * width)
    room = MAX_SIDE / rows - _GAP
    down = min(room / (1 + _STRIP_SHARE), room - _LEAST_STRIP) / height
    return min(1.0, across, down)


def _cell(image: NDArray[np.uint8], label: str, size: tuple[int, int]) -> Image.Image:
    strip = max(_LEAST_STRIP, int(size[1] * _STRIP_SHARE))
    frame = Image.fromarray(image)
    if frame.size != size:
        frame = frame.resize(size, Image.Resampling.LANCZOS)
    cell = Image.new("RGB", (size[0], size[1] + strip), PAPER)
    cell.paste(frame, (0, strip))
    letters = font(int(strip * 0.75), bold=True)
    ImageDraw.Draw(cell).text((2, strip / 2), drawable(label), INK, letters, "lm")
    return cell
