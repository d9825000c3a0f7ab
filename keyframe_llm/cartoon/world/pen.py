"""A pen whose unit is the height of the picture, so that a drawing looks alike at every size in pixels."""

from __future__ import annotations

import numpy as np
from PIL import Image, ImageDraw

__all__ = ["INK", "Colour", "Pen", "shade"]

Colour = tuple[int, int, int]

INK: Colour = (40, 36, 44)


class Pen:
    """Draws shapes; the origin is the top left corner, the unit the height of the picture, also of lines."""

    def __init__(self, width: int, height: int) -> None:
        self.image = Image.new("RGB", (width, height))
        self._draw = ImageDraw.Draw(self.image)
        self._unit = height
        self.right = width / height

    def _points(self, *xy: float) -> list[tuple[float, float]]:
        u = self._unit
        return [(xy[i] * u, xy[i + 1] * u) for i in range(0, len(xy), 2)]

    def box(self, x0: float, y0: float, x1: float, y1: float, fill: Colour, line: bool = False) -> None:
        self._draw.rectangle(self._points(x0, y0, x1, y1), fill, INK if line else None, self._line(0.008))

    def oval(self, x: float, y: float, rx: float, ry: float, fill: Colour, line: bool = False) -> None:
        corners = self._points(x - rx, y - ry, x + rx, y + ry)
        self._draw.ellipse(corners, fill, INK if line else None, self._line(0.008))

    def shape(self, fill: Colour, *xy: float, line: bool = False) -> None:
        self._draw.polygon(self._points(*xy), fill, INK if line else None, self._line(0.008))

    def line(self, colour: Colour, width: float, *xy: float) -> None:
        self._draw.line(self._points(*xy), colour, self._line(width), joint="curve")

    def arc(
        self, colour: Colour, width: float, x: float, y: float, r: float, start: float, end: float
    ) -> None:
        self._draw.arc(self._points(x - r, y - r, x + r, y + r), start, end, colour, self._line(width))

    def _line(self, width: float) -> int:
        return max(1, round(width * self._unit))


def shade(colour: Colour, rng: np.random.Generator, amount: int = 10) -> Colour:
    """A colour nearby: each channel changes by at most `amount` of 255."""
    r, g, b = (int(np.clip(c + rng.integers(-amount, amount + 1), 0, 255)) for c in colour)
    return r, g, b
