"""Draw one frame of the world: a place, a thing, a person doing something."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from keyframe_llm.cartoon.world.pen import Pen
from keyframe_llm.cartoon.world.people import draw_person
from keyframe_llm.cartoon.world.places import DRAW_PLACE
from keyframe_llm.cartoon.world.scenes import SceneFrame
from keyframe_llm.cartoon.world.things import DRAW_THING

__all__ = ["draw_frame"]


def draw_frame(
    frame: SceneFrame, *, width: int = 320, height: int = 240, smooth: int = 1
) -> NDArray[np.uint8]:
    """Draw a frame as (height, width, 3) RGB uint8; `smooth` 2 draws at twice the size and scales down."""
    scene = frame.scene
    rng = np.random.default_rng(scene.layout)
    pen = Pen(width * smooth, height * smooth)
    ground = 0.80 + 0.06 * rng.random()
    DRAW_PLACE[scene.place](pen, rng, ground)
    left = rng.random() < 0.5
    person_x = pen.right * (0.33 if left else 0.67) + rng.uniform(-0.08, 0.08)
    thing_x = pen.right * (0.84 if left else 0.16) + rng.uniform(-0.04, 0.04)
    if scene.thing is not None:
        DRAW_THING[scene.thing](pen, thing_x, ground + 0.03)
    if scene.action == "walk":
        person_x = pen.right * (0.5 + 0.62 * scene.travel(frame.second))
    draw_person(pen, scene, person_x, ground + 0.06, frame.second, rng)
    image = pen.image if smooth == 1 else pen.image.resize((width, height), Image.Resampling.LANCZOS)
    return np.asarray(image)
