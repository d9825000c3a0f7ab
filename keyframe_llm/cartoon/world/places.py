"""Draw the places of the world, which are the backgrounds of the frames."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from keyframe_llm.cartoon.world.pen import INK, Colour, Pen, shade

__all__ = ["DRAW_PLACE"]


def _sky(pen: Pen, rng: np.random.Generator, colour: Colour, ground: float) -> None:
    pen.box(0, 0, pen.right, ground, shade(colour, rng))
    for _ in range(2):
        x, y = rng.uniform(0, pen.right), rng.uniform(0.06, 0.22)
        pen.oval(x, y, 0.12, 0.035, (252, 252, 255))
        pen.oval(x + 0.06, y - 0.02, 0.07, 0.035, (252, 252, 255))


def _park(pen: Pen, rng: np.random.Generator, ground: float) -> None:
    _sky(pen, rng, (150, 205, 245), ground)
    for i in range(4):
        x = pen.right * (i + rng.uniform(0.1, 0.7)) / 4
        pen.box(x - 0.02, ground - 0.25, x + 0.02, ground, (112, 76, 46))
        pen.oval(x, ground - 0.32, 0.10, 0.13, shade((70, 155, 70), rng, 16))
    pen.box(0, ground, pen.right, 1, shade((120, 195, 90), rng))


def _beach(pen: Pen, rng: np.random.Generator, ground: float) -> None:
    _sky(pen, rng, (170, 222, 250), ground)
    pen.oval(rng.uniform(0.2, pen.right - 0.2), 0.16, 0.09, 0.09, (255, 236, 120))
    pen.box(0, ground - 0.28, pen.right, ground, shade((40, 140, 190), rng))
    for _ in range(5):
        x, y = rng.uniform(0, pen.right), ground - rng.uniform(0.04, 0.24)
        pen.line((190, 230, 245), 0.012, x, y, x + 0.1, y)
    pen.box(0, ground, pen.right, 1, shade((240, 218, 160), rng))


def _street(pen: Pen, rng: np.random.Generator, ground: float) -> None:
    _sky(pen, rng, (196, 204, 214), ground)
    x = -0.05
    while x < pen.right:
        wide, high = rng.uniform(0.2, 0.32), rng.uniform(0.35, 0.62)
        pen.box(x, ground - high, x + wide, ground, shade((138, 118, 122), rng, 22))
        for row in np.arange(ground - high + 0.05, ground - 0.08, 0.1):
            for column in np.arange(x + 0.04, x + wide - 0.05, 0.08):
                pen.box(column, row, column + 0.035, row + 0.05, (252, 240, 170))
        x += wide + 0.01
    pen.box(0, ground, pen.right, 1, shade((96, 98, 104), rng))
    for i in range(6):
        pen.box(i * 0.3, 0.95, i * 0.3 + 0.15, 0.965, (240, 240, 240))


def _mountains(pen: Pen, rng: np.random.Generator, ground: float) -> None:
    _sky(pen, rng, (176, 196, 226), ground)
    for i in range(3):
        x, top = pen.right * (i + rng.uniform(0.2, 0.8)) / 3, ground - rng.uniform(0.42, 0.6)
        half = 0.36
        pen.shape(shade((118, 128, 150), rng), x - half, ground, x, top, x + half, ground)
        pen.shape((250, 252, 255), x - half * 0.35, top + 0.17, x, top, x + half * 0.35, top + 0.17)
    pen.box(0, ground, pen.right, 1, shade((232, 238, 248), rng, 6))


def _kitchen(pen: Pen, rng: np.random.Generator, ground: float) -> None:
    pen.box(0, 0, pen.right, ground, shade((250, 226, 208), rng, 6))
    for x in np.arange(0, pen.right, 0.12):
        pen.line((226, 196, 178), 0.006, float(x), 0.30, float(x), ground)
    for y in np.arange(0.30, ground, 0.12):
        pen.line((226, 196, 178), 0.006, 0, float(y), pen.right, float(y))
    pen.box(0, 0.03, pen.right, 0.20, shade((150, 92, 60), rng))
    for x in np.arange(0.22, pen.right, 0.26):
        pen.line(INK, 0.006, float(x), 0.03, float(x), 0.20)
    oven = rng.uniform(0, pen.right - 0.3)
    pen.box(oven, ground - 0.28, oven + 0.3, ground, (206, 208, 214), True)
    pen.box(oven + 0.05, ground - 0.2, oven + 0.25, ground - 0.05, (70, 74, 84))
    pen.box(0, ground, pen.right, 1, shade((178, 134, 100), rng))


def _desert(pen: Pen, rng: np.random.Generator, ground: float) -> None:
    pen.box(0, 0, pen.right, ground, shade((250, 190, 130), rng))
    pen.oval(rng.uniform(0.2, pen.right - 0.2), 0.18, 0.11, 0.11, (255, 244, 214))
    for i in range(3):
        x = pen.right * (i + rng.uniform(0, 0.6)) / 3
        pen.oval(x, ground + 0.02, 0.36, 0.14, shade((216, 140, 82), rng))
    for _ in range(2):
        x = rng.uniform(0.05, pen.right - 0.05)
        pen.line((70, 130, 80), 0.04, x, ground, x, ground - 0.26)
        pen.line((70, 130, 80), 0.03, x, ground - 0.1, x + 0.07, ground - 0.1, x + 0.07, ground - 0.2)
    pen.box(0, ground, pen.right, 1, shade((226, 158, 96), rng))


DRAW_PLACE: dict[str, Callable[[Pen, np.random.Generator, float], None]] = {
    "park": _park,
    "beach": _beach,
    "street": _street,
    "mountains": _mountains,
    "kitchen": _kitchen,
    "desert": _desert,
}
