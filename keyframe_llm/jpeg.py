"""Pictures as JPEG: for the encoder's queue, messages, tools, pages and reports."""

from __future__ import annotations

import base64
import io
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from keyframe_llm.errors import OptionsError

if TYPE_CHECKING:
    from PIL import Image

__all__ = ["decode_jpeg", "encode_jpeg", "jpeg_data_url", "jpeg_within", "jpegs_of_one_size"]

_QUALITIES = (95, 88, 80, 70)
_SHRINK = 0.75


def encode_jpeg(
    image: NDArray[np.uint8] | Image.Image,
    *,
    quality: int = 90,
    max_size: tuple[int, int] | None = None,
    full_colour: bool = False,
) -> bytes:
    """Encode a picture, (H, W, 3) RGB uint8 or a PIL image.

    `max_size` (width, height) bounds the size in pixels; a larger picture is made smaller, its shape kept.
    `full_colour` keeps the colour of every pixel instead of one for four (no chroma subsampling).
    """
    from PIL import Image

    picture = Image.fromarray(image) if isinstance(image, np.ndarray) else image.convert("RGB")
    if max_size is not None and (picture.width > max_size[0] or picture.height > max_size[1]):
        picture = picture.copy()
        picture.thumbnail(max_size, Image.Resampling.LANCZOS)
    out = io.BytesIO()
    picture.save(out, "JPEG", quality=quality, subsampling=0 if full_colour else 2)
    return out.getvalue()


def jpeg_within(image: NDArray[np.uint8] | Image.Image, max_bytes: int) -> bytes:
    """Encode a picture in at most `max_bytes`: by quality first (95 … 70), then by size.

    Raises `OptionsError` where not even a picture of one pixel fits.
    """
    from PIL import Image

    picture = Image.fromarray(image) if isinstance(image, np.ndarray) else image.convert("RGB")
    while True:
        for quality in _QUALITIES:
            data = encode_jpeg(picture, quality=quality)
            if len(data) <= max_bytes:
                return data
        if max(picture.size) == 1:
            raise OptionsError(f"max_image_bytes is {max_bytes!r}; give at least a few thousand")
        width, height = (max(1, int(side * _SHRINK)) for side in picture.size)
        picture = picture.resize((width, height), Image.Resampling.LANCZOS)


def jpegs_of_one_size(images: Sequence[Image.Image], max_bytes: int) -> list[bytes]:
    """Encode pictures of one size in at most `max_bytes` each; where one has to be smaller, all are.

    Raises `OptionsError` where not even a picture of one pixel fits.
    """
    from PIL import Image

    while True:
        encoded = [jpeg_within(image, max_bytes) for image in images]
        sizes = [Image.open(io.BytesIO(data)).size for data in encoded]
        if len(set(sizes)) <= 1:
            return encoded
        images = [image.resize(min(sizes), Image.Resampling.LANCZOS) for image in images]


def decode_jpeg(data: bytes) -> NDArray[np.uint8]:
    """The (H, W, 3) RGB uint8 picture of a JPEG, writable."""
    from PIL import Image

    return np.array(Image.open(io.BytesIO(data)))


def jpeg_data_url(data: bytes) -> str:
    """A `data:` address that holds the JPEG itself."""
    return "data:image/jpeg;base64," + base64.b64encode(data).decode("ascii")
