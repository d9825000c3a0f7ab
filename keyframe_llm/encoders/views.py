"""Several views of each picture, one embedding: what is small, or lies at a side, counts for more.

An encoder reads a small square. A wide picture is squeezed or cropped for it, and a small thing in it is a
few pixels. The mean over parts of the picture keeps the whole in view and sees each part larger.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np
from numpy.typing import NDArray

from keyframe_llm.arrays import unit_rows
from keyframe_llm.encoders.base import Encoder, Images
from keyframe_llm.options import ProposeOptions, Views

__all__ = ["embed_views", "most_frames", "picture_views"]

Picture = NDArray[np.uint8]

_CORNER = 0.6  # of the height and the width, so that two corners overlap by a fifth
_COUNTS: Mapping[Views, int] = {"whole": 1, "halves": 2, "corners": 4}


def most_frames(options: ProposeOptions) -> int:
    """How many frames may be embedded for one text: `max_images`, of which each view of a frame is one."""
    return options.max_images // _COUNTS[options.views]


def embed_views(encoder: Encoder, images: Images, views: Views) -> NDArray[np.float32]:
    """Embed N pictures, each (H, W, 3) uint8: (N, D), the mean of the rows of each picture's views.

    Rows have unit length. It costs as many pictures as there are views; `whole` is the encoder's own row.
    """
    if views == "whole":
        return encoder.embed_images(images)
    parts = [picture_views(np.asarray(image), views) for image in images]
    rows = unit_rows(encoder.embed_images([part for each in parts for part in each]))
    owners = np.repeat(np.arange(len(parts)), [len(each) for each in parts])
    sums = np.zeros((len(parts), rows.shape[1]), np.float32)
    np.add.at(sums, owners, rows)
    return unit_rows(sums)


def picture_views(picture: Picture, views: Views) -> list[Picture]:
    """The views of one picture (H, W, 3): parts of it, or itself.

    `halves` are the two squares at the ends of the longer side, one where the picture is a square itself;
    `corners` are four corners of three fifths of the height and the width.
    """
    return [np.ascontiguousarray(part) for part in _PARTS[views](picture)]


def _whole(picture: Picture) -> list[Picture]:
    return [picture]


def _halves(picture: Picture) -> list[Picture]:
    height, width = picture.shape[:2]
    side = min(height, width)
    ends = [picture[:side, :side], picture[height - side :, width - side :]]
    return ends if height != width else ends[:1]


def _corners(picture: Picture) -> list[Picture]:
    height, width = picture.shape[:2]
    tall, wide = max(1, round(_CORNER * height)), max(1, round(_CORNER * width))
    rows, columns = (slice(tall), slice(height - tall, None)), (slice(wide), slice(width - wide, None))
    return [picture[row, column] for row in rows for column in columns]


_PARTS: Mapping[Views, Callable[[Picture], list[Picture]]] = {
    "whole": _whole,
    "halves": _halves,
    "corners": _corners,
}
