"""Draw the things of the world, which stand next to a person."""

from __future__ import annotations

from collections.abc import Callable

from keyframe_llm.cartoon.world.pen import INK, Pen

__all__ = ["DRAW_THING"]


def _dog(pen: Pen, x: float, y: float) -> None:
    coat = (150, 100, 58)
    for leg in (-0.09, -0.04, 0.05, 0.10):
        pen.line(coat, 0.03, x + leg, y - 0.10, x + leg, y)
    pen.oval(x, y - 0.13, 0.13, 0.06, coat)
    pen.line(coat, 0.025, x - 0.12, y - 0.15, x - 0.17, y - 0.25)
    pen.oval(x + 0.14, y - 0.21, 0.06, 0.055, coat)
    pen.oval(x + 0.11, y - 0.20, 0.02, 0.05, (92, 58, 34))
    pen.oval(x + 0.20, y - 0.20, 0.015, 0.015, INK)


def _cat(pen: Pen, x: float, y: float) -> None:
    coat = (120, 122, 130)
    pen.oval(x, y - 0.10, 0.075, 0.10, coat, True)
    pen.shape(coat, x - 0.07, y - 0.22, x - 0.065, y - 0.33, x - 0.01, y - 0.27, line=True)
    pen.shape(coat, x + 0.07, y - 0.22, x + 0.065, y - 0.33, x + 0.01, y - 0.27, line=True)
    pen.oval(x, y - 0.23, 0.075, 0.06, coat, True)
    pen.oval(x - 0.03, y - 0.24, 0.013, 0.018, (190, 240, 110))
    pen.oval(x + 0.03, y - 0.24, 0.013, 0.018, (190, 240, 110))
    pen.arc(coat, 0.025, x + 0.10, y - 0.08, 0.06, 300, 140)


def _car(pen: Pen, x: float, y: float) -> None:
    paint = (60, 165, 175)
    pen.shape(
        paint, x - 0.10, y - 0.15, x - 0.06, y - 0.25, x + 0.07, y - 0.25, x + 0.11, y - 0.15, line=True
    )
    pen.box(x - 0.045, y - 0.23, x + 0.055, y - 0.16, (220, 240, 248))
    pen.box(x - 0.19, y - 0.16, x + 0.19, y - 0.05, paint, True)
    for wheel in (-0.11, 0.11):
        pen.oval(x + wheel, y - 0.045, 0.05, 0.05, INK)
        pen.oval(x + wheel, y - 0.045, 0.02, 0.02, (210, 210, 214))


def _balloon(pen: Pen, x: float, y: float) -> None:
    pen.line(INK, 0.008, x, y, x, y - 0.32)
    pen.oval(x, y - 0.42, 0.09, 0.11, (240, 110, 165), True)
    pen.oval(x - 0.03, y - 0.46, 0.02, 0.03, (255, 206, 226))


def _tent(pen: Pen, x: float, y: float) -> None:
    pen.shape((128, 138, 62), x - 0.19, y, x, y - 0.30, x + 0.19, y, line=True)
    pen.shape((62, 66, 34), x - 0.06, y, x, y - 0.19, x + 0.06, y)


def _snowman(pen: Pen, x: float, y: float) -> None:
    for up, r in ((0.09, 0.10), (0.25, 0.075), (0.37, 0.055)):
        pen.oval(x, y - up, r, r, (250, 252, 255), True)
    pen.shape((240, 130, 40), x, y - 0.38, x + 0.08, y - 0.36, x, y - 0.355)
    pen.box(x - 0.05, y - 0.50, x + 0.05, y - 0.42, INK)
    pen.box(x - 0.08, y - 0.43, x + 0.08, y - 0.41, INK)


def _lamp(pen: Pen, x: float, y: float) -> None:
    pen.line(INK, 0.022, x, y, x, y - 0.44)
    pen.oval(x, y, 0.06, 0.018, INK)
    pen.shape(
        (255, 226, 110),
        x - 0.10,
        y - 0.40,
        x - 0.05,
        y - 0.55,
        x + 0.05,
        y - 0.55,
        x + 0.10,
        y - 0.40,
        line=True,
    )


def _barrel(pen: Pen, x: float, y: float) -> None:
    pen.oval(x, y - 0.13, 0.115, 0.145, (160, 100, 50), True)
    pen.box(x - 0.09, y - 0.27, x + 0.09, y, (160, 100, 50), True)
    for band in (0.05, 0.20):
        pen.box(x - 0.11, y - band - 0.025, x + 0.11, y - band, (84, 88, 96))


DRAW_THING: dict[str, Callable[[Pen, float, float], None]] = {
    "dog": _dog,
    "cat": _cat,
    "car": _car,
    "balloon": _balloon,
    "tent": _tent,
    "snowman": _snowman,
    "lamp": _lamp,
    "barrel": _barrel,
}
