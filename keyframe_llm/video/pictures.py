"""Single pictures of every kind that people hold frames in, as upright RGB arrays."""

from __future__ import annotations

import hashlib
import os
from functools import cache
from io import BytesIO
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps

from keyframe_llm.errors import OptionsError, VideoError, shortened
from keyframe_llm.video.addresses import data_content, local_path, scheme_of

__all__ = ["fitted", "image_pixels", "picture_identity", "rgb_picture"]

_CHANNELS = (1, 3, 4)
# For some others, Pillow runs programs.
_FORMATS = ("AVIF", "BMP", "GIF", "JPEG", "PNG", "PPM", "TIFF", "WEBP")
_BACKGROUND = (255, 255, 255)  # behind transparent pixels, as in videos


def rgb_picture(picture: Any, name: str, max_pixels: int | None = None) -> NDArray[np.uint8]:
    """(H, W, 3) RGB uint8 of a picture: an array, a tensor, a PIL image, or the path or address of a file.

    Arrays are (H, W, 3), tensors (3, H, W), of uint8; either may be the other way round, with one channel
    or with four, of which the last is opacity. Transparent pixels show white. Raises `VideoError` where a
    file holds no picture or one of more than `max_pixels`, `OptionsError` for anything else.
    """
    if isinstance(picture, Image.Image):
        return image_pixels(picture, name, max_pixels)
    if isinstance(picture, (str, os.PathLike)):
        try:
            with _opened(os.fspath(picture)) as file, Image.open(file, formats=_known_formats()) as image:
                return image_pixels(image, name, max_pixels)
        except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
            raise VideoError(
                f"{name} is {shortened(os.fspath(picture))}, which is no picture that can be read ({error})"
            ) from error
    if hasattr(picture, "__array__"):
        tensor = hasattr(picture, "detach")
        array = np.asarray(picture.detach().cpu() if tensor else picture)
        return _of_array(array, name, tensor=tensor, max_pixels=max_pixels)
    raise OptionsError(
        f"{name} is {shortened(picture)}; give an array, a tensor, a PIL image or the path of a picture"
    )


def picture_identity(picture: Any) -> str | None:
    """What tells a picture from any other; None where that is not known."""
    if isinstance(picture, (str, os.PathLike)):
        path = os.fspath(picture)
        scheme = scheme_of(path)
        if scheme == "data":
            return path
        if scheme not in (None, "file"):
            return None
        place = Path(path if scheme is None else local_path(path)).resolve()
        status = place.stat()
        return repr((str(place), status.st_size, status.st_mtime_ns))
    array = np.asarray(picture.detach().cpu() if hasattr(picture, "detach") else picture)
    digest = hashlib.blake2b(np.ascontiguousarray(array).data, digest_size=16).hexdigest()
    return repr((array.shape, str(array.dtype), getattr(picture, "mode", ""), digest))


def fitted(picture: NDArray[np.uint8], width: int, height: int) -> NDArray[np.uint8]:
    """The picture as large as it fits into this size, with black bars; unchanged where it has that size."""
    if picture.shape[:2] == (height, width):
        return picture
    image = ImageOps.pad(Image.fromarray(picture), (width, height), Image.Resampling.BICUBIC)
    return np.asarray(image)


@cache
def _known_formats() -> list[str]:
    Image.init()
    return [name for name in _FORMATS if name in Image.OPEN]


def _opened(place: str) -> BinaryIO:
    scheme = scheme_of(place)
    if scheme in ("http", "https"):
        from keyframe_llm.video.remote import RemoteFile  # loads httpx

        return RemoteFile(place).open()
    if scheme == "data":
        return BytesIO(data_content(place))
    return Path(local_path(place) if scheme == "file" else place).open("rb")


def image_pixels(image: Image.Image, name: str, max_pixels: int | None) -> NDArray[np.uint8]:
    """(H, W, 3) RGB uint8, upright, of a PIL image. Raises `VideoError` beyond `max_pixels`."""
    _check_size(image.width, image.height, name, max_pixels)
    upright = ImageOps.exif_transpose(image)
    if upright.has_transparency_data:
        layered = Image.new("RGBA", upright.size, (*_BACKGROUND, 255))
        layered.alpha_composite(upright.convert("RGBA"))
        upright = layered
    return np.array(upright.convert("RGB"))


def _of_array(array: NDArray[Any], name: str, *, tensor: bool, max_pixels: int | None) -> NDArray[np.uint8]:
    if array.dtype != np.uint8:
        raise OptionsError(f"{name} is an array of {array.dtype}; give uint8 from 0 to 255")
    array = array[..., None] if array.ndim == 2 else array
    if array.ndim != 3 or 0 in array.shape:
        raise OptionsError(f"{name} has the shape {array.shape}; give (height, width, 3)")
    ends = [array.shape[-1] in _CHANNELS, array.shape[0] in _CHANNELS]
    if not any(ends):
        raise OptionsError(f"{name} has the shape {array.shape}; give (height, width, 3)")
    if not ends[0] or (tensor and ends[1]):
        array = np.moveaxis(array, 0, -1)
    height, width, channels = array.shape
    _check_size(width, height, name, max_pixels)
    if channels == 3:
        return np.ascontiguousarray(array)
    plain = array[..., 0] if channels == 1 else array
    return image_pixels(Image.fromarray(np.ascontiguousarray(plain)), name, None)


def _check_size(width: int, height: int, name: str, max_pixels: int | None) -> None:
    if max_pixels is not None and width * height > max_pixels:
        raise VideoError(
            f"{name} has {width * height:,} pixels, and {max_pixels:,} are allowed; use a smaller copy"
        )
