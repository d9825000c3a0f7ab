"""Draw one frame of the world with Pillow: a place, a thing, a person doing something."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from keyframe_llm.cartoon.world import Scene, Shot

__all__ = ["draw_frame"]

_Colour = tuple[int, int, int]

_CLOTHES: dict[str, _Colour] = {
    "red": (215, 38, 38),
    "orange": (245, 135, 25),
    "yellow": (250, 218, 45),
    "green": (30, 140, 60),
    "blue": (35, 85, 220),
    "purple": (135, 50, 175),
    "white": (248, 248, 248),
    "black": (32, 32, 36),
}
_INK: _Colour = (40, 36, 44)
_SKIN: tuple[_Colour, ...] = ((250, 214, 180), (226, 172, 126), (150, 98, 62))
_METAL: _Colour = (168, 176, 186)


class _Pen:
    """Draws in units of the picture's height, from the top left; lines scale with the picture."""

    def __init__(self, width: int, height: int) -> None:
        self.image = Image.new("RGB", (width, height))
        self._draw = ImageDraw.Draw(self.image)
        self._unit = height
        self.right = width / height

    def _points(self, *xy: float) -> list[tuple[float, float]]:
        u = self._unit
        return [(xy[i] * u, xy[i + 1] * u) for i in range(0, len(xy), 2)]

    def box(self, x0: float, y0: float, x1: float, y1: float, fill: _Colour, line: bool = False) -> None:
        self._draw.rectangle(self._points(x0, y0, x1, y1), fill, _INK if line else None, self._line(0.008))

    def oval(self, x: float, y: float, rx: float, ry: float, fill: _Colour, line: bool = False) -> None:
        corners = self._points(x - rx, y - ry, x + rx, y + ry)
        self._draw.ellipse(corners, fill, _INK if line else None, self._line(0.008))

    def shape(self, fill: _Colour, *xy: float, line: bool = False) -> None:
        self._draw.polygon(self._points(*xy), fill, _INK if line else None, self._line(0.008))

    def line(self, colour: _Colour, width: float, *xy: float) -> None:
        self._draw.line(self._points(*xy), colour, self._line(width), joint="curve")

    def arc(self, colour: _Colour, width: float, x: float, y: float, r: float, start: float, end: float) -> None:
        self._draw.arc(self._points(x - r, y - r, x + r, y + r), start, end, colour, self._line(width))

    def _line(self, width: float) -> int:
        return max(1, round(width * self._unit))


def draw_frame(shot: Shot, *, width: int = 320, height: int = 240, smooth: int = 1) -> NDArray[np.uint8]:
    """Draw a frame as (height, width, 3) RGB uint8; `smooth` 2 draws at twice the size and scales down."""
    scene = shot.scene
    rng = np.random.default_rng(scene.layout)
    pen = _Pen(width * smooth, height * smooth)
    ground = 0.80 + 0.06 * rng.random()
    _PLACES[scene.place](pen, rng, ground)
    left = rng.random() < 0.5
    person_x = pen.right * (0.33 if left else 0.67) + rng.uniform(-0.08, 0.08)
    thing_x = pen.right * (0.84 if left else 0.16) + rng.uniform(-0.04, 0.04)
    if scene.thing is not None:
        _THINGS[scene.thing](pen, thing_x, ground + 0.03)
    if scene.action == "walk":
        person_x = pen.right * (0.5 + 0.62 * shot.scene.travel(shot.second))
    _person(pen, scene, person_x, ground + 0.06, shot.second, rng)
    image = pen.image if smooth == 1 else pen.image.resize((width, height), Image.Resampling.LANCZOS)
    return np.asarray(image)


# Places ------------------------------------------------------------------------------------------------


def _shade(colour: _Colour, rng: np.random.Generator, amount: int = 10) -> _Colour:
    r, g, b = (int(np.clip(c + rng.integers(-amount, amount + 1), 0, 255)) for c in colour)
    return r, g, b


def _sky(pen: _Pen, rng: np.random.Generator, colour: _Colour, ground: float) -> None:
    pen.box(0, 0, pen.right, ground, _shade(colour, rng))
    for _ in range(2):
        x, y = rng.uniform(0, pen.right), rng.uniform(0.06, 0.22)
        pen.oval(x, y, 0.12, 0.035, (252, 252, 255))
        pen.oval(x + 0.06, y - 0.02, 0.07, 0.035, (252, 252, 255))


def _park(pen: _Pen, rng: np.random.Generator, ground: float) -> None:
    _sky(pen, rng, (150, 205, 245), ground)
    for i in range(4):
        x = pen.right * (i + rng.uniform(0.1, 0.7)) / 4
        pen.box(x - 0.02, ground - 0.25, x + 0.02, ground, (112, 76, 46))
        pen.oval(x, ground - 0.32, 0.10, 0.13, _shade((70, 155, 70), rng, 16))
    pen.box(0, ground, pen.right, 1, _shade((120, 195, 90), rng))


def _beach(pen: _Pen, rng: np.random.Generator, ground: float) -> None:
    _sky(pen, rng, (170, 222, 250), ground)
    pen.oval(rng.uniform(0.2, pen.right - 0.2), 0.16, 0.09, 0.09, (255, 236, 120))
    pen.box(0, ground - 0.28, pen.right, ground, _shade((40, 140, 190), rng))
    for _ in range(5):
        x, y = rng.uniform(0, pen.right), ground - rng.uniform(0.04, 0.24)
        pen.line((190, 230, 245), 0.012, x, y, x + 0.1, y)
    pen.box(0, ground, pen.right, 1, _shade((240, 218, 160), rng))


def _street(pen: _Pen, rng: np.random.Generator, ground: float) -> None:
    _sky(pen, rng, (196, 204, 214), ground)
    x = -0.05
    while x < pen.right:
        wide, high = rng.uniform(0.2, 0.32), rng.uniform(0.35, 0.62)
        pen.box(x, ground - high, x + wide, ground, _shade((138, 118, 122), rng, 22))
        for row in np.arange(ground - high + 0.05, ground - 0.08, 0.1):
            for column in np.arange(x + 0.04, x + wide - 0.05, 0.08):
                pen.box(column, row, column + 0.035, row + 0.05, (252, 240, 170))
        x += wide + 0.01
    pen.box(0, ground, pen.right, 1, _shade((96, 98, 104), rng))
    for i in range(6):
        pen.box(i * 0.3, 0.95, i * 0.3 + 0.15, 0.965, (240, 240, 240))


def _mountains(pen: _Pen, rng: np.random.Generator, ground: float) -> None:
    _sky(pen, rng, (176, 196, 226), ground)
    for i in range(3):
        x, top = pen.right * (i + rng.uniform(0.2, 0.8)) / 3, ground - rng.uniform(0.42, 0.6)
        half = 0.36
        pen.shape(_shade((118, 128, 150), rng), x - half, ground, x, top, x + half, ground)
        pen.shape((250, 252, 255), x - half * 0.35, top + 0.17, x, top, x + half * 0.35, top + 0.17)
    pen.box(0, ground, pen.right, 1, _shade((232, 238, 248), rng, 6))


def _kitchen(pen: _Pen, rng: np.random.Generator, ground: float) -> None:
    pen.box(0, 0, pen.right, ground, _shade((250, 226, 208), rng, 6))
    for x in np.arange(0, pen.right, 0.12):
        pen.line((226, 196, 178), 0.006, float(x), 0.30, float(x), ground)
    for y in np.arange(0.30, ground, 0.12):
        pen.line((226, 196, 178), 0.006, 0, float(y), pen.right, float(y))
    pen.box(0, 0.03, pen.right, 0.20, _shade((150, 92, 60), rng))
    for x in np.arange(0.22, pen.right, 0.26):
        pen.line(_INK, 0.006, float(x), 0.03, float(x), 0.20)
    oven = rng.uniform(0, pen.right - 0.3)
    pen.box(oven, ground - 0.28, oven + 0.3, ground, (206, 208, 214), True)
    pen.box(oven + 0.05, ground - 0.2, oven + 0.25, ground - 0.05, (70, 74, 84))
    pen.box(0, ground, pen.right, 1, _shade((178, 134, 100), rng))


def _desert(pen: _Pen, rng: np.random.Generator, ground: float) -> None:
    pen.box(0, 0, pen.right, ground, _shade((250, 190, 130), rng))
    pen.oval(rng.uniform(0.2, pen.right - 0.2), 0.18, 0.11, 0.11, (255, 244, 214))
    for i in range(3):
        x = pen.right * (i + rng.uniform(0, 0.6)) / 3
        pen.oval(x, ground + 0.02, 0.36, 0.14, _shade((216, 140, 82), rng))
    for _ in range(2):
        x = rng.uniform(0.05, pen.right - 0.05)
        pen.line((70, 130, 80), 0.04, x, ground, x, ground - 0.26)
        pen.line((70, 130, 80), 0.03, x, ground - 0.1, x + 0.07, ground - 0.1, x + 0.07, ground - 0.2)
    pen.box(0, ground, pen.right, 1, _shade((226, 158, 96), rng))


_PLACES: dict[str, Callable[[_Pen, np.random.Generator, float], None]] = {
    "park": _park,
    "beach": _beach,
    "street": _street,
    "mountains": _mountains,
    "kitchen": _kitchen,
    "desert": _desert,
}

# Things ------------------------------------------------------------------------------------------------


def _dog(pen: _Pen, x: float, y: float) -> None:
    coat = (150, 100, 58)
    for leg in (-0.09, -0.04, 0.05, 0.10):
        pen.line(coat, 0.03, x + leg, y - 0.10, x + leg, y)
    pen.oval(x, y - 0.13, 0.13, 0.06, coat)
    pen.line(coat, 0.025, x - 0.12, y - 0.15, x - 0.17, y - 0.25)
    pen.oval(x + 0.14, y - 0.21, 0.06, 0.055, coat)
    pen.oval(x + 0.11, y - 0.20, 0.02, 0.05, (92, 58, 34))
    pen.oval(x + 0.20, y - 0.20, 0.015, 0.015, _INK)


def _cat(pen: _Pen, x: float, y: float) -> None:
    coat = (120, 122, 130)
    pen.oval(x, y - 0.10, 0.075, 0.10, coat, True)
    pen.shape(coat, x - 0.07, y - 0.22, x - 0.065, y - 0.33, x - 0.01, y - 0.27, line=True)
    pen.shape(coat, x + 0.07, y - 0.22, x + 0.065, y - 0.33, x + 0.01, y - 0.27, line=True)
    pen.oval(x, y - 0.23, 0.075, 0.06, coat, True)
    pen.oval(x - 0.03, y - 0.24, 0.013, 0.018, (190, 240, 110))
    pen.oval(x + 0.03, y - 0.24, 0.013, 0.018, (190, 240, 110))
    pen.arc(coat, 0.025, x + 0.10, y - 0.08, 0.06, 300, 140)


def _car(pen: _Pen, x: float, y: float) -> None:
    paint = (60, 165, 175)
    pen.shape(paint, x - 0.10, y - 0.15, x - 0.06, y - 0.25, x + 0.07, y - 0.25, x + 0.11, y - 0.15, line=True)
    pen.box(x - 0.045, y - 0.23, x + 0.055, y - 0.16, (220, 240, 248))
    pen.box(x - 0.19, y - 0.16, x + 0.19, y - 0.05, paint, True)
    for wheel in (-0.11, 0.11):
        pen.oval(x + wheel, y - 0.045, 0.05, 0.05, _INK)
        pen.oval(x + wheel, y - 0.045, 0.02, 0.02, (210, 210, 214))


def _balloon(pen: _Pen, x: float, y: float) -> None:
    pen.line(_INK, 0.008, x, y, x, y - 0.32)
    pen.oval(x, y - 0.42, 0.09, 0.11, (240, 110, 165), True)
    pen.oval(x - 0.03, y - 0.46, 0.02, 0.03, (255, 206, 226))


def _tent(pen: _Pen, x: float, y: float) -> None:
    pen.shape((128, 138, 62), x - 0.19, y, x, y - 0.30, x + 0.19, y, line=True)
    pen.shape((62, 66, 34), x - 0.06, y, x, y - 0.19, x + 0.06, y)


def _snowman(pen: _Pen, x: float, y: float) -> None:
    for up, r in ((0.09, 0.10), (0.25, 0.075), (0.37, 0.055)):
        pen.oval(x, y - up, r, r, (250, 252, 255), True)
    pen.shape((240, 130, 40), x, y - 0.38, x + 0.08, y - 0.36, x, y - 0.355)
    pen.box(x - 0.05, y - 0.50, x + 0.05, y - 0.42, _INK)
    pen.box(x - 0.08, y - 0.43, x + 0.08, y - 0.41, _INK)


def _lamp(pen: _Pen, x: float, y: float) -> None:
    pen.line(_INK, 0.022, x, y, x, y - 0.44)
    pen.oval(x, y, 0.06, 0.018, _INK)
    pen.shape((255, 226, 110), x - 0.10, y - 0.40, x - 0.05, y - 0.55, x + 0.05, y - 0.55, x + 0.10, y - 0.40, line=True)


def _barrel(pen: _Pen, x: float, y: float) -> None:
    pen.oval(x, y - 0.13, 0.115, 0.145, (160, 100, 50), True)
    pen.box(x - 0.09, y - 0.27, x + 0.09, y, (160, 100, 50), True)
    for band in (0.05, 0.20):
        pen.box(x - 0.11, y - band - 0.025, x + 0.11, y - band, (84, 88, 96))


_THINGS: dict[str, Callable[[_Pen, float, float], None]] = {
    "dog": _dog,
    "cat": _cat,
    "car": _car,
    "balloon": _balloon,
    "tent": _tent,
    "snowman": _snowman,
    "lamp": _lamp,
    "barrel": _barrel,
}

# People ------------------------------------------------------------------------------------------------


def _person(pen: _Pen, scene: Scene, x: float, foot: float, second: float, rng: np.random.Generator) -> None:
    """Draw the person with the feet at (x, foot)."""
    size = {"child": 0.43, "woman": 0.60, "man": 0.64, "robot": 0.58}[scene.subject] * rng.uniform(0.95, 1.05)
    figure = _Figure(pen, scene, size, rng)
    beat = math.sin(second * 2 * math.pi * 0.9 + rng.uniform(0, 6))  # what keeps a picture alive
    _POSES[scene.action](figure, x, foot, beat, scene.travel(second))


class _Figure:
    """A body of a given size whose limbs are placed by the poses; all lengths are shares of the size."""

    def __init__(self, pen: _Pen, scene: Scene, size: float, rng: np.random.Generator) -> None:
        self.pen, self.size, self.subject = pen, size, scene.subject
        self.cloth = _shade(_CLOTHES[scene.colour], rng, 8)
        robot = scene.subject == "robot"
        self.skin = _METAL if robot else _SKIN[int(rng.integers(len(_SKIN)))]
        self.legs = _METAL if robot else (66, 70, 96)
        self.hair = ((60, 40, 26), (22, 20, 24), (176, 116, 52))[int(rng.integers(3))]

    def limb(self, colour: _Colour, *xy: float) -> None:
        self.pen.line(_INK, 0.105 * self.size + 0.012, *xy)
        self.pen.line(colour, 0.105 * self.size, *xy)

    def body(self, x: float, hip: float) -> None:
        """Torso from the hip up, in the clothing's colour; a dress widens downwards."""
        s = self.size
        wide = 0.155 if self.subject != "robot" else 0.18
        low = wide * (1.75 if self.subject == "woman" else 1.0)
        drop = 0.12 if self.subject == "woman" else 0.0
        top = hip - 0.36 * s
        self.pen.shape(
            self.cloth,
            *(x - wide * s, top, x + wide * s, top, x + low * s, hip + drop * s, x - low * s, hip + drop * s),
            line=True,
        )

    def head(self, x: float, neck: float) -> None:
        s, pen = self.size, self.pen
        y = neck - 0.12 * s
        if self.subject == "robot":
            pen.line(_INK, 0.012, x, y - 0.11 * s, x, y - 0.22 * s)
            pen.oval(x, y - 0.23 * s, 0.035 * s, 0.035 * s, (250, 70, 60))
            pen.box(x - 0.14 * s, y - 0.12 * s, x + 0.14 * s, y + 0.10 * s, _METAL, True)
            for eye in (-0.06, 0.06):
                pen.oval(x + eye * s, y - 0.02 * s, 0.035 * s, 0.035 * s, (90, 235, 240), True)
            return
        if self.subject == "woman":
            pen.oval(x, y + 0.02 * s, 0.18 * s, 0.17 * s, self.hair)
        r = 0.155 if self.subject == "child" else 0.125
        pen.oval(x, y, r * s, r * s, self.skin, True)
        if self.subject == "man":
            pen.box(x - 0.13 * s, y - 0.17 * s, x + 0.13 * s, y - 0.07 * s, self.hair)
            pen.box(x - 0.19 * s, y - 0.085 * s, x + 0.19 * s, y - 0.055 * s, self.hair)
        elif self.subject == "woman":
            pen.shape(self.hair, x - 0.13 * s, y - 0.03 * s, x, y - 0.15 * s, x + 0.13 * s, y - 0.03 * s)
        else:
            pen.oval(x, y - 0.17 * s, 0.05 * s, 0.05 * s, self.hair)
        for eye in (-0.045, 0.045):
            pen.oval(x + eye * s, y + 0.01 * s, 0.016 * s, 0.022 * s, _INK)

    def upright(self, x: float, foot: float, stride: float = 0.09) -> float:
        """Legs, body and head of somebody standing; returns the height of the shoulders."""
        s = self.size
        hip = foot - 0.36 * s
        for side in (-1, 1):
            self.limb(self.legs, x + side * 0.06 * s, hip, x + side * stride * s, foot)
        self.body(x, hip)
        self.head(x, hip - 0.36 * s)
        return hip - 0.30 * s

    def arm(self, x: float, shoulder: float, side: int, dx: float, dy: float) -> tuple[float, float]:
        """One arm from the shoulder to (dx, dy) away from it; returns the hand."""
        s = self.size
        start = x + side * 0.14 * s
        hand = (start + side * dx * s, shoulder + dy * s)
        self.limb(self.cloth if self.subject != "robot" else _METAL, start, shoulder, *hand)
        self.pen.oval(*hand, 0.055 * s, 0.055 * s, self.skin, True)
        return hand


def _wave(f: _Figure, x: float, foot: float, beat: float, _: float) -> None:
    shoulder = f.upright(x, foot)
    f.arm(x, shoulder, -1, 0.06, 0.30)
    f.arm(x, shoulder, 1, 0.22 + 0.08 * beat, -0.36)


def _sit(f: _Figure, x: float, foot: float, beat: float, _: float) -> None:
    s = f.size
    seat = foot - 0.24 * s
    wood = (142, 92, 52)
    f.pen.box(x - 0.26 * s, seat - 0.50 * s, x - 0.17 * s, foot, wood, True)
    f.pen.box(x - 0.26 * s, seat, x + 0.22 * s, seat + 0.07 * s, wood, True)
    f.pen.box(x + 0.14 * s, seat, x + 0.21 * s, foot, wood, True)
    f.body(x, seat)
    for shift in (0.0, 0.07):
        f.limb(f.legs, x, seat - 0.02 * s, x + (0.30 + shift) * s, seat, x + (0.30 + shift) * s, foot)
    f.head(x, seat - 0.36 * s)
    f.arm(x, seat - 0.30 * s, 1, 0.10, 0.22 + 0.02 * beat)


def _lie(f: _Figure, x: float, foot: float, beat: float, _: float) -> None:
    s = f.size
    y = foot - 0.10 * s
    f.limb(f.legs, x + 0.14 * s, y, x + 0.52 * s, y - 0.02 * s)
    f.limb(f.legs, x + 0.14 * s, y - 0.03 * s, x + 0.32 * s, y - (0.17 + 0.02 * beat) * s, x + 0.50 * s, y)
    f.pen.shape(
        f.cloth,
        *(x - 0.24 * s, y - 0.14 * s, x + 0.18 * s, y - 0.16 * s, x + 0.18 * s, y + 0.09 * s),
        *(x - 0.24 * s, y + 0.09 * s),
        line=True,
    )
    f.head(x - 0.36 * s, y + 0.08 * s)


def _read(f: _Figure, x: float, foot: float, beat: float, _: float) -> None:
    s = f.size
    shoulder = f.upright(x, foot)
    for side in (-1, 1):
        f.arm(x, shoulder, side, 0.0, 0.20)
    y = shoulder + (0.16 + 0.01 * beat) * s
    for side in (-1, 1):
        f.pen.shape(
            (255, 252, 236),
            *(x, y - 0.09 * s, x + side * 0.23 * s, y - 0.15 * s, x + side * 0.23 * s, y + 0.09 * s, x, y + 0.14 * s),
            line=True,
        )
    f.pen.line((170, 50, 60), 0.02, x, y - 0.09 * s, x, y + 0.14 * s)


def _umbrella(f: _Figure, x: float, foot: float, beat: float, _: float) -> None:
    s = f.size
    shoulder = f.upright(x, foot)
    f.arm(x, shoulder, -1, 0.06, 0.30)
    hx, hy = f.arm(x, shoulder, 1, 0.14, 0.02)
    top = shoulder - (0.52 + 0.01 * beat) * s
    f.pen.line(_INK, 0.014, hx, hy + 0.06 * s, hx, top)
    cx = hx - 0.06 * s
    spread = 0.40 * s
    f.pen.shape(
        (0, 150, 140),
        *(cx - spread, top + 0.12 * s, cx - 0.26 * s, top - 0.05 * s, cx, top - 0.12 * s),
        *(cx + 0.26 * s, top - 0.05 * s, cx + spread, top + 0.12 * s),
        line=True,
    )


def _guitar(f: _Figure, x: float, foot: float, beat: float, _: float) -> None:
    s = f.size
    shoulder = f.upright(x, foot)
    wood = (196, 120, 48)
    y = shoulder + 0.24 * s
    f.pen.line((92, 58, 34), 0.03, x, y - 0.02 * s, x + 0.46 * s, y - 0.26 * s)
    f.pen.oval(x - 0.10 * s, y + 0.04 * s, 0.14 * s, 0.12 * s, wood, True)
    f.pen.oval(x + 0.03 * s, y - 0.02 * s, 0.09 * s, 0.085 * s, wood, True)
    f.pen.oval(x - 0.04 * s, y + 0.01 * s, 0.035 * s, 0.035 * s, _INK)
    f.arm(x, shoulder, -1, -0.08, 0.22 + 0.05 * beat)
    f.arm(x, shoulder, 1, 0.16, 0.02)


def _kick(f: _Figure, x: float, foot: float, beat: float, _: float) -> None:
    s = f.size
    hip = foot - 0.36 * s
    f.limb(f.legs, x - 0.05 * s, hip, x - 0.10 * s, foot)
    f.limb(f.legs, x + 0.05 * s, hip, x + 0.34 * s, foot - 0.14 * s)
    f.body(x, hip)
    f.head(x, hip - 0.36 * s)
    f.arm(x, hip - 0.30 * s, -1, 0.24, 0.02)
    f.arm(x, hip - 0.30 * s, 1, 0.20, 0.12)
    bx, by = x + (0.50 + 0.03 * beat) * s, foot - 0.12 * s
    f.pen.oval(bx, by, 0.10 * s, 0.10 * s, (255, 255, 255), True)
    f.pen.oval(bx, by, 0.04 * s, 0.04 * s, _INK)


def _lift(f: _Figure, x: float, foot: float, beat: float, _: float) -> None:
    s = f.size
    shoulder = f.upright(x, foot, 0.16)
    bar = shoulder - (0.40 + 0.03 * beat) * s
    for side in (-1, 1):
        f.arm(x, shoulder, side, 0.10, (bar - shoulder) / s)
    f.pen.line(_INK, 0.022, x - 0.48 * s, bar, x + 0.48 * s, bar)
    for side in (-1, 1):
        f.pen.box(x + side * 0.42 * s - 0.035, bar - 0.15 * s, x + side * 0.42 * s + 0.035, bar + 0.15 * s, _INK)


def _kite(f: _Figure, x: float, foot: float, beat: float, _: float) -> None:
    s = f.size
    shoulder = f.upright(x, foot)
    f.arm(x, shoulder, -1, 0.06, 0.30)
    side = -1 if x > f.pen.right / 2 else 1
    hx, hy = f.arm(x, shoulder, side, 0.20, -0.12)
    kx, ky = x + side * 0.50, 0.15 + 0.02 * beat
    f.pen.line(_INK, 0.008, hx, hy, kx, ky)
    f.pen.shape((235, 60, 120), kx, ky - 0.13, kx + 0.09, ky, kx, ky + 0.13, kx - 0.09, ky, line=True)
    f.pen.shape((255, 214, 60), kx, ky - 0.13, kx + 0.09, ky, kx, ky, line=True)


def _walk(f: _Figure, x: float, foot: float, beat: float, _: float) -> None:
    shoulder = f.upright(x, foot, 0.13 + 0.09 * abs(beat))
    for side in (-1, 1):
        f.arm(x, shoulder, side, 0.10, 0.28 - 0.05 * beat * side)


def _climb(f: _Figure, x: float, foot: float, beat: float, travel: float) -> None:
    s, wood = f.size, (168, 116, 62)
    for rail in (-0.17, 0.17):
        f.pen.line(wood, 0.026, x + rail, foot, x + rail, 0.02)
    for y in np.arange(foot - 0.05, 0.02, -0.10):
        f.pen.line(wood, 0.024, x - 0.17, float(y), x + 0.17, float(y))
    reach = max(0.0, foot - 0.92 * s - 0.02)
    level = foot - reach * (0.5 + travel)
    shoulder = f.upright(x, level, 0.10)
    for side in (-1, 1):
        f.arm(x, shoulder, side, 0.05, -0.20 + 0.06 * beat * side)


_POSES: dict[str, Callable[[_Figure, float, float, float, float], None]] = {
    "wave": _wave,
    "sit": _sit,
    "lie": _lie,
    "read": _read,
    "umbrella": _umbrella,
    "guitar": _guitar,
    "kick": _kick,
    "lift": _lift,
    "kite": _kite,
    "walk": _walk,
    "climb": _climb,
}
