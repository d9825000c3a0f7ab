"""Several views of each picture, one embedding: what is small, or lies at a side, counts for more.

An encoder reads a small square. A wide picture is squeezed or cropped for it, and a small thing in it is a
few pixels. The mean over parts of the picture keeps the whole in view and sees each part larger.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from keyframe_llm.arrays import unit_rows
from keyframe_llm.encoders.base import Encoder, Images, preferred_image_size

__all__ = ["VIEW_PREFIXES", "ViewsEncoder", "picture_views", "split_views", "whole_encoder"]

Picture = NDArray[np.uint8]

_CORNER = 0.6  # of the height and the width, so that two corners overlap by a fifth


def picture_views(picture: Picture, prefix: str) -> list[Picture]:
    """The parts of one picture (H, W, 3); `prefix` is one of `VIEW_PREFIXES`.

    `halves:` are the two squares at the ends of the longer side, one where the picture is a square itself;
    `corners:` are four corners of three fifths of the height and the width.
    """
    return [np.ascontiguousarray(part) for part in _VIEWS[prefix](picture)]


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


_VIEWS: Mapping[str, Callable[[Picture], list[Picture]]] = {"halves:": _halves, "corners:": _corners}
VIEW_PREFIXES = tuple(_VIEWS)
"""What stands before the name of an encoder that is to see views: `halves:` 2 a picture, `corners:` 4."""


def split_views(name: str) -> tuple[str, str]:
    """The prefix of `VIEW_PREFIXES` that a name begins with, or "", and the name of the encoder behind it."""
    prefix = next((one for one in VIEW_PREFIXES if name.startswith(one)), "")
    return prefix, name.removeprefix(prefix)


def whole_encoder(encoder: object) -> object:
    """The encoder behind its views, by name or as an object; any other one is returned as it is.

    One that is shared and has no model of its own yet is known by its `name`, and so is the one behind it.
    """
    if isinstance(encoder, ViewsEncoder):
        return encoder.encoder
    name = encoder if isinstance(encoder, str) else getattr(encoder, "name", None)
    prefix, rest = split_views(name) if isinstance(name, str) else ("", "")
    return rest if prefix else encoder


class ViewsEncoder:
    """An encoder whose row for a picture is the unit-length mean of the rows of the picture's views.

    It costs as many pictures as there are views. Texts are embedded as ever.
    """

    def __init__(self, encoder: Encoder, prefix: str) -> None:
        """`encoder` embeds every view; `prefix` is one of `VIEW_PREFIXES`."""
        self.encoder, self._prefix = encoder, prefix
        self.name = prefix + str(getattr(encoder, "name", type(encoder).__name__))
        self.image_size = preferred_image_size(encoder)

    def embed_images(self, images: Images, /) -> NDArray[np.float32]:
        """Embed N RGB pictures, each (H, W, 3) uint8 0–255; return (N, D), rows of unit length."""
        views = [picture_views(np.asarray(image), self._prefix) for image in images]
        rows = unit_rows(self.encoder.embed_images([view for each in views for view in each]))
        owners = np.repeat(np.arange(len(views)), [len(each) for each in views])
        sums = np.zeros((len(views), rows.shape[1]), np.float32)
        np.add.at(sums, owners, rows)
        return unit_rows(sums)

    def embed_texts(self, texts: Sequence[str], /) -> NDArray[np.float32]:
        """Embed N texts; return (N, D), rows of unit length."""
        return self.encoder.embed_texts(texts)
