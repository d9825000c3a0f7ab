"""From a decoded frame to the RGB picture that a viewer sees: colours, pixel shape, orientation."""

from __future__ import annotations

import threading
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

import av
import numpy as np
from av.video.frame import VideoFrame
from av.video.reformatter import VideoReformatter
from numpy.typing import NDArray

__all__ = ["Geometry", "shrink"]

_of_thread = threading.local()
_FULL_RANGE = 2  # AVCOL_RANGE_JPEG: RGB has no other
_BT601 = 5  # SWS_CS_ITU601
# The scaler is kept, and its threads would not exist in a forked child. Before PyAV 17 it has none.
_ONE_THREAD: dict[str, Any] = {"threads": 1} if int(av.__version__.split(".")[0]) >= 17 else {}
_MAX_PIXEL_SHAPE = 8.0
_SHAPE_TOLERANCE = 0.01


@dataclass(frozen=True, slots=True)
class Geometry:
    """How the stored pictures of one video become upright ones with square pixels."""

    width: int
    """Pixels as stored, but square."""
    height: int
    swap: bool
    """Rows become columns (a rotation by 90° or 270°)."""
    flip_x: bool
    """Mirrored left to right, after the swap."""
    flip_y: bool
    """Mirrored top to bottom, after the swap."""

    @classmethod
    def of(cls, frame: VideoFrame, pixel_shape: Fraction | None) -> Geometry:
        """The geometry of a frame, with the sample aspect ratio (width : height of one pixel)."""
        width, height = _square(frame.width, frame.height, pixel_shape)
        return cls(width, height, *_orientation(frame))

    @property
    def upright(self) -> tuple[int, int]:
        """Width and height of the upright picture, in pixels."""
        return (self.height, self.width) if self.swap else (self.width, self.height)

    @property
    def mirrored(self) -> bool:
        """Whether the picture is mirrored, not only rotated."""
        return self.flip_x ^ self.flip_y ^ self.swap

    def picture(self, frame: VideoFrame, short_side: int | None = None) -> NDArray[np.uint8]:
        """(H, W, 3) RGB uint8, upright: full size, or at most `short_side` pixels on the shorter side.

        Colour matrix and range are those of the frame's tags; without tags, BT.601 and limited range, as in
        FFmpeg. High dynamic range is converted by the matrix only, without tone mapping.
        """
        width, height = shrink(self.width, self.height, short_side)
        flags = "BILINEAR" if short_side is not None else "BICUBIC"
        scaled = _reformatter().reformat(
            frame,
            width=width,
            height=height,
            format="rgb24",
            interpolation=flags,
            src_color_range=int(frame.color_range),
            dst_color_range=_FULL_RANGE,
            # Without meaning for RGB, but older PyAV uses the matrix of the source only where the two differ.
            dst_colorspace=_BT601,
            **_ONE_THREAD,
        )
        return self._upright(np.asarray(scaled.to_ndarray(), dtype=np.uint8))

    def _upright(self, pixels: NDArray[np.uint8]) -> NDArray[np.uint8]:
        if self.swap:
            pixels = pixels.swapaxes(0, 1)
        if self.flip_x:
            pixels = pixels[:, ::-1]
        if self.flip_y:
            pixels = pixels[::-1]
        return np.ascontiguousarray(pixels)


def _reformatter() -> VideoReformatter:
    """The scaler of this thread. A new scaler for every frame would cost more time than the scaling."""
    if not hasattr(_of_thread, "scaler"):
        _of_thread.scaler = VideoReformatter()
    scaler: VideoReformatter = _of_thread.scaler
    return scaler


def _square(width: int, height: int, shape: Fraction | None) -> tuple[int, int]:
    ratio = float(shape) if shape else 1.0
    # Within 1 %, the encoder rounded the size; beyond 8, the value is wrong.
    if abs(ratio - 1) <= _SHAPE_TOLERANCE or not 1 / _MAX_PIXEL_SHAPE <= ratio <= _MAX_PIXEL_SHAPE:
        return width, height
    return max(1, round(width * ratio)), height


def shrink(width: int, height: int, short_side: int | None) -> tuple[int, int]:
    """The size with `short_side` pixels on the shorter side, never larger than before."""
    short = min(width, height)
    if short_side is None or short <= short_side:
        return width, height
    return max(1, round(width * short_side / short)), max(1, round(height * short_side / short))


def _orientation(frame: VideoFrame) -> tuple[bool, bool, bool]:
    """Swap, flip x, flip y from the display matrix, which maps stored (x, y) to (ax + cy, bx + dy)."""
    data: Any = frame.side_data.get("DISPLAYMATRIX")
    if data is None:
        return False, False, False
    a, b, _, c, d = np.frombuffer(data, dtype=np.int32)[:5].astype(np.int64)
    if abs(a) + abs(d) >= abs(b) + abs(c):
        return False, bool(a < 0), bool(d < 0)
    return True, bool(c < 0), bool(b < 0)
