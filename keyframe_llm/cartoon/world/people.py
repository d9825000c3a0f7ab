"""Draw the people of the world and what they do."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np

from keyframe_llm.cartoon.world.pen import INK, Colour, Pen, shade
from keyframe_llm.cartoon.world.scenes import Scene

__all__ = ["draw_person"]

_CLOTHES: dict[str, Colour] = {
    "red": (215, 38, 38),
    "orange": (245, 135, 25),
    "yellow": (250, 218, 45),
    "green": (30, 140, 60),
    "blue": (35, 85, 220),
    "purple": (135, 50, 175),
    "white": (248, 248, 248),
    "black": (32, 32, 36),
}
_SKIN: tuple[Colour, ...] = ((250, 214, 180), (226, 172, 126), (150, 98, 62))
_METAL: Colour = (168, 176, 186)


def draw_person(
    pen: Pen, scene: Scene, x: float, foot: float, second: float, rng: np.random.Generator
) -> None:
    """Draw the person with the feet at (x, foot)."""
    size = {"child": 0.49, "woman": 0.60, "man": 0.64, "robot": 0.58}[scene.subject] * rng.uniform(0.95, 1.05)
    figure = _Figure(pen, scene, size, rng)
    beat = math.sin(second * 2 * math.pi * 0.9 + rng.uniform(0, 6))  # every action moves a little
    _POSES[scene.action](figure, x, foot, beat, scene.travel(second))


class _Figure:
    """A body whose limbs are placed by the poses; all lengths are multiples of `size`."""

    def __init__(self, pen: Pen, scene: Scene, size: float, rng: np.random.Generator) -> None:
        self.pen, self.size, self.subject = pen, size, scene.subject
        self.cloth = shade(_CLOTHES[scene.colour], rng, 8)
        robot = scene.subject == "robot"
        self.skin = _METAL if robot else _SKIN[int(rng.integers(len(_SKIN)))]
        self.legs = _METAL if robot else (66, 70, 96)
        self.hair = ((60, 40, 26), (22, 20, 24), (176, 116, 52))[int(rng.integers(3))]

    def limb(self, colour: Colour, *xy: float) -> None:
        self.pen.line(INK, 0.105 * self.size + 0.012, *xy)
        self.pen.line(colour, 0.105 * self.size, *xy)

    def body(self, x: float, hip: float) -> None:
        """Torso from the hip up, in the colour of the clothes; a dress widens downwards."""
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
            pen.line(INK, 0.012, x, y - 0.11 * s, x, y - 0.22 * s)
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
            pen.oval(x + eye * s, y + 0.01 * s, 0.016 * s, 0.022 * s, INK)

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
        self.limb(self.cloth, start, shoulder, *hand)
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
    end, high = (0.28, 0.25) if f.subject == "woman" else (0.18, 0.16)  # a dress is longer and wider
    f.pen.shape(
        f.cloth,
        *(x - 0.24 * s, y - 0.14 * s, x + end * s, y - high * s, x + end * s, y + 0.09 * s),
        *(x - 0.24 * s, y + 0.09 * s),
        line=True,
    )
    f.head(x - 0.36 * s, y + 0.08 * s)


def _read(f: _Figure, x: float, foot: float, beat: float, _: float) -> None:
    s = f.size
    shoulder = f.upright(x, foot)
    for side in (-1, 1):
        f.arm(x, shoulder, side, 0.0, 0.24)
    y = (
        shoulder + (0.23 + 0.01 * beat) * s
    )  # below the chest, so that the colour of the clothes stays visible
    cover, pages = (92, 62, 36), (255, 252, 236)
    for colour, edge in ((cover, 0.04), (pages, 0.0)):
        for side in (-1, 1):
            out = x + side * (0.21 + edge) * s
            f.pen.shape(
                colour,
                *(x, y - (0.06 + edge) * s, out, y - (0.10 + edge) * s),
                *(out, y + (0.08 + edge) * s, x, y + (0.12 + edge) * s),
                line=True,
            )
    f.pen.line(cover, 0.02, x, y - 0.06 * s, x, y + 0.12 * s)


def _umbrella(f: _Figure, x: float, foot: float, beat: float, _: float) -> None:
    s = f.size
    shoulder = f.upright(x, foot)
    f.arm(x, shoulder, -1, 0.06, 0.30)
    hx, hy = f.arm(x, shoulder, 1, 0.14, 0.02)
    top = shoulder - (0.52 + 0.01 * beat) * s
    f.pen.line(INK, 0.014, hx, hy + 0.06 * s, hx, top)
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
    f.pen.oval(x - 0.04 * s, y + 0.01 * s, 0.035 * s, 0.035 * s, INK)
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
    f.pen.oval(bx, by, 0.04 * s, 0.04 * s, INK)


def _lift(f: _Figure, x: float, foot: float, beat: float, _: float) -> None:
    s = f.size
    shoulder = f.upright(x, foot, 0.16)
    bar = shoulder - (0.40 + 0.03 * beat) * s
    for side in (-1, 1):
        f.arm(x, shoulder, side, 0.10, (bar - shoulder) / s)
    f.pen.line(INK, 0.022, x - 0.48 * s, bar, x + 0.48 * s, bar)
    for side in (-1, 1):
        f.pen.box(
            x + side * 0.42 * s - 0.035, bar - 0.15 * s, x + side * 0.42 * s + 0.035, bar + 0.15 * s, INK
        )


def _kite(f: _Figure, x: float, foot: float, beat: float, _: float) -> None:
    shoulder = f.upright(x, foot)
    f.arm(x, shoulder, -1, 0.06, 0.30)
    side = -1 if x > f.pen.right / 2 else 1
    hx, hy = f.arm(x, shoulder, side, 0.20, -0.12)
    kx, ky = x + side * 0.50, 0.15 + 0.02 * beat
    f.pen.line(INK, 0.008, hx, hy, kx, ky)
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
