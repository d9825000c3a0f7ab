"""Animated WebP, which FFmpeg does not read: decoded by Pillow, with the times that the file states."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from itertools import accumulate
from typing import BinaryIO

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from keyframe_llm.data import VideoInfo
from keyframe_llm.errors import VideoError
from keyframe_llm.video.byte_source import Place, open_bytes, place_size
from keyframe_llm.video.pictures import image_pixels
from keyframe_llm.video.simple import SimpleDecoder

__all__ = ["AnimatedWebp", "is_animated_webp"]

_HEADER = struct.Struct("<4sI4s4sIB")  # RIFF, its size, WEBP, VP8X, its size, flags
_CHUNK = struct.Struct("<4sI")
_ANIMATION = 0x02
_FIRST_CHUNK = 12
_DURATION = slice(12, 15)  # in the chunk of a frame
_LARGEST_BYTES = 500_000_000  # Pillow holds the whole file in memory


class AnimatedWebp(SimpleDecoder):
    """A `Decoder` of an animated WebP, which is read from its start: frames depend on those before them."""

    def __init__(self, place: Place, max_pixels: int | None = None) -> None:
        super().__init__()
        self._place, self._max_pixels = place, max_pixels
        self._name = place if isinstance(place, str) else place.name
        size = place_size(place)
        if size > _LARGEST_BYTES:
            raise VideoError(f"{self._name} has {size:,} bytes; convert so large an animation to MP4")
        with open_bytes(place) as file:
            shown = [length / 1000 for length in _milliseconds(file, size)]
        self._seconds = [0.0, *accumulate(shown)]
        """When each frame begins, and when the last one ends."""
        if self._seconds[-1] <= 0:
            raise VideoError(f"{self._name} does not say how long its frames are shown; convert it to MP4")
        first = next(iter(self.read(0.0)))[1]
        self.info = VideoInfo(
            path=self._name,
            duration_seconds=self._seconds[-1],
            average_fps=len(shown) / self._seconds[-1],
            width=first.shape[1],
            height=first.shape[0],
            codec="webp",
        )

    def read(self, from_seconds: float) -> Iterator[tuple[float, NDArray[np.uint8]]]:
        """See `SimpleDecoder.read`; a frame that is shown for no time is left out."""
        given = 0
        try:
            with open_bytes(self._place) as file, Image.open(file, formats=["WEBP"]) as image:
                for index in range(getattr(image, "n_frames", 1)):
                    image.seek(index)
                    pixels = image_pixels(image, self._name, self._max_pixels)
                    if self._seconds[index + 1] > self._seconds[index]:
                        yield self._seconds[index], pixels
                        given += 1
        except (
            OSError,
            EOFError,
            ValueError,
            IndexError,
            SyntaxError,
            Image.DecompressionBombError,
        ) as error:
            if not given:
                raise VideoError(
                    f"{self._name}: not a picture that can be read, or damaged ({error}); make it again"
                ) from error
            line = f"{self._name} is damaged or cut off: reading stopped early ({error})"
            self.warnings += [line] if line not in self.warnings else []


def is_animated_webp(place: Place) -> bool:
    """Whether a file is a WebP with more than one picture; False too where it cannot be opened."""
    try:
        with open_bytes(place) as file:
            head = file.read(_HEADER.size)
    except OSError:
        return False
    if len(head) < _HEADER.size:
        return False
    riff, _, webp, kind, _, flags = _HEADER.unpack(head)
    return (riff, webp, kind) == (b"RIFF", b"WEBP", b"VP8X") and bool(flags & _ANIMATION)


def _milliseconds(file: BinaryIO, size: int) -> Iterator[int]:
    """How long each frame is shown."""
    at = _FIRST_CHUNK
    while at + _CHUNK.size <= size:
        file.seek(at)
        head = file.read(_CHUNK.size)
        if len(head) < _CHUNK.size:
            return
        kind, length = _CHUNK.unpack(head)
        if kind == b"ANMF":
            yield int.from_bytes(file.read(_DURATION.stop)[_DURATION], "little")
        at += _CHUNK.size + length + length % 2
