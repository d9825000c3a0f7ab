"""Random samples of the drawn world: a clip and the few frames of it that a model is shown."""

from __future__ import annotations

import io
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from keyframe_llm.cartoon.world.drawing import draw_frame
from keyframe_llm.cartoon.world.language import movement_is_clear
from keyframe_llm.cartoon.world.scenes import (
    Clip,
    Scene,
    SceneFrame,
    random_clip,
    random_frames,
    random_scene,
)

__all__ = ["absent_scene", "clear_sample", "compressed_picture", "random_sample", "same_size"]

_SIZES = ((192, 144), (256, 192), (320, 240))


def compressed_picture(rng: np.random.Generator, frame: SceneFrame) -> NDArray[np.uint8]:
    """Draw a frame as a compressed video would show it: in one of three sizes, half of the time after JPEG.

    Returns (H, W, 3) RGB.
    """
    width, height = _SIZES[int(rng.integers(len(_SIZES)))]
    picture = draw_frame(frame, width=width, height=height)
    if rng.random() < 0.5:
        return picture
    packed = io.BytesIO()
    Image.fromarray(picture).save(packed, "JPEG", quality=int(rng.integers(35, 90)))
    return np.asarray(Image.open(packed))


def random_sample(rng: np.random.Generator, *, single_scene: float = 0.45) -> tuple[Clip, list[SceneFrame]]:
    """A clip of one to six scenes, and one to four of its frames.

    `single_scene` is the share of clips that have one scene only.
    """
    kind = rng.random()
    scenes = 1 if kind < single_scene else 2 if kind < single_scene + 0.2 else int(rng.integers(3, 7))
    count = int(rng.choice([1, 2, 3, 4], p=[0.1, 0.2, 0.6, 0.1]))
    length = rng.uniform(2, 8) * scenes * (rng.integers(1, 30) if rng.random() < 0.2 else 1)
    clip = random_clip(rng, scenes=scenes, seconds=float(length))
    return clip, random_frames(rng, clip, count)


def clear_sample(rng: np.random.Generator) -> tuple[Clip, list[SceneFrame]]:
    """A `random_sample` in which the direction of every movement can be seen well, or not at all."""
    while True:
        clip, frames = random_sample(rng)
        if movement_is_clear(frames):
            return clip, frames


def absent_scene(rng: np.random.Generator, frames: Sequence[SceneFrame]) -> Scene | None:
    """A scene of somebody in no frame; half of them have the colour or the kind of the first person shown.

    None where the person drawn is in one of the frames.
    """
    absent = random_scene(rng)
    shown = frames[0].scene
    likeness = rng.random()
    if likeness < 0.25:
        absent = replace(absent, subject=shown.subject)
    elif likeness < 0.5:
        absent = replace(absent, colour=shown.colour)
    people = {(frame.scene.subject, frame.scene.colour) for frame in frames}
    return None if (absent.subject, absent.colour) in people else absent


def same_size(pictures: Sequence[NDArray[np.uint8]]) -> NDArray[np.uint8]:
    """Stack pictures, all resized to the size of the first: (N, H, W, 3)."""
    height, width = pictures[0].shape[:2]
    return np.stack([np.asarray(Image.fromarray(picture).resize((width, height))) for picture in pictures])
