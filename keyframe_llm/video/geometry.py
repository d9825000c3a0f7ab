"""From a decoded frame to the RGB picture that a viewer sees: colours, transparency, shape, orientation."""

from __future__ import annotations

import threading
from dataclasses import dataclass
from fractions import Fraction
from functools import lru_cache
from typing import Any

import av
import numpy as np
from av.video.frame import VideoFrame
from av.video.reformatter import VideoReformatter
from numpy.typing import NDArray

from keyframe_llm.video.sampling import shrink

__all__ = ["Geometry", "has_alpha"]

_of_thread = threading.local()
_FULL_RANGE = 2  # AVCOL_RANGE_JPEG: RGB has no other
_BT601 = 5  # SWS_CS_ITU601
# The scaler is kept, and its threads would not exist in a forked child. Before PyAV 17 it has none.
_ONE_THREAD: dict[str, Any] = {"threads": 1} if int(av.__version__.split(".")[0]) >= 17 else {}
_MAX_PIXEL_SHAPE = 8.0
_SHAPE_TOLERANCE = 0.01
_BACKGROUND = 255  # behind transparent pixels: white, as on a web page, and as Qwen's own tools have it


@dataclass(frozen=True, slots=True)
class Geometry:
    """How the stored pictures of one video become upright ones with square pixels."""

    stored: tuple[int, int]
    """Width and height of the pictures as stored."""
    pixel_shape: Fraction | None
    """Width : height of one pixel; None: square."""
    width: int
    """Pixels as stored, but square."""
    height: int
    swap: bool
    """Rows become columns (a rotation by 90° or 270°)."""
    flip_x: bool
    """Mirrored left to right, after the swap."""
    flip_y: bool
    """Mirrored top to bottom, after the swap."""
    transparency: bool = True
    """Whether the pictures' alpha channel, if they have one, means transparency."""

    @classmethod
    def of(cls, frame: VideoFrame, pixel_shape: Fraction | None, *, transparency: bool = True) -> Geometry:
        """The geometry of a frame, with the sample aspect ratio (width : height of one pixel)."""
        stored = (frame.width, frame.height)
        square = _square(*stored, pixel_shape)
        return cls(stored, pixel_shape, *square, *_orientation(frame), transparency=transparency)

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
        FFmpeg. High dynamic range is converted by the matrix only, without tone mapping. Transparent pixels
        show white. A frame of another size is fitted into the same picture, with black bars.
        """
        if self.transparency and has_alpha(frame):
            frame = _over_background(frame)
        if (frame.width, frame.height) != self.stored:
            return self._fitted(frame, short_side)
        width, height = shrink(self.width, self.height, short_side)
        return self._upright(_scaled(frame, width, height, smooth=short_side is None))

    def _fitted(self, frame: VideoFrame, short_side: int | None) -> NDArray[np.uint8]:
        width, height = shrink(*self.upright, short_side)
        own = Geometry.of(frame, self.pixel_shape)
        scale = min(width / own.upright[0], height / own.upright[1])
        inner = [max(1, round(side * scale)) for side in (own.width, own.height)]
        picture = own._upright(_scaled(frame, *inner, smooth=short_side is None))
        top, left = (height - picture.shape[0]) // 2, (width - picture.shape[1]) // 2
        canvas = np.zeros((height, width, 3), np.uint8)
        canvas[top : top + picture.shape[0], left : left + picture.shape[1]] = picture[:height, :width]
        return canvas

    def _upright(self, pixels: NDArray[np.uint8]) -> NDArray[np.uint8]:
        if self.swap:
            pixels = pixels.swapaxes(0, 1)
        if self.flip_x:
            pixels = pixels[:, ::-1]
        if self.flip_y:
            pixels = pixels[::-1]
        return np.ascontiguousarray(pixels)


def _scaled(frame: VideoFrame, width: int, height: int, *, smooth: bool) -> NDArray[np.uint8]:
    """(height, width, 3) RGB; a view of a frame's memory, which lives as long as the view."""
    scaled = _converted(frame, "rgb24", width, height, "BICUBIC" if smooth else "BILINEAR")
    return _pixels(scaled, 3)


def _over_background(frame: VideoFrame) -> VideoFrame:
    """The frame without transparency: its colours before a white background."""
    rgba = _pixels(_converted(frame, "rgba", frame.width, frame.height, "POINT"), 4).astype(np.uint16)
    alpha = rgba[..., 3:]
    colours = (rgba[..., :3] * alpha + _BACKGROUND * (255 - alpha) + 127) // 255
    shown = VideoFrame.from_ndarray(np.ascontiguousarray(colours.astype(np.uint8)), format="rgb24")
    shown.color_range = _FULL_RANGE
    return shown


def _converted(frame: VideoFrame, pixels: str, width: int, height: int, method: str) -> VideoFrame:
    return _reformatter().reformat(
        frame,
        width=width,
        height=height,
        format=pixels,
        interpolation=method,
        src_color_range=int(frame.color_range),
        dst_color_range=_FULL_RANGE,
        # Without meaning for RGB, but older PyAV uses the matrix of the source only where the two differ.
        dst_colorspace=_BT601,
        **_ONE_THREAD,
    )


def _pixels(frame: VideoFrame, channels: int) -> NDArray[np.uint8]:
    plane: Any = frame.planes[0]
    rows: NDArray[np.uint8] = np.frombuffer(plane, np.uint8).reshape(frame.height, plane.line_size)
    return rows[:, : channels * frame.width].reshape(frame.height, frame.width, channels)


def has_alpha(frame: VideoFrame) -> bool:
    """Whether a frame has an alpha channel, or a palette, which may have one."""
    name = frame.format.name
    return _format_has_alpha(name) if name != "pal8" else True


@lru_cache(maxsize=256)
def _format_has_alpha(name: str) -> bool:
    return any(component.is_alpha for component in av.VideoFormat(name).components)


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


def _orientation(frame: VideoFrame) -> tuple[bool, bool, bool]:
    """Swap, flip x, flip y from the display matrix, which maps stored (x, y) to (ax + cy, bx + dy)."""
    data: Any = frame.side_data.get("DISPLAYMATRIX")
    if data is None:
        return False, False, False
    a, b, _, c, d = np.frombuffer(data, dtype=np.int32)[:5].astype(np.int64)
    if abs(a) + abs(d) >= abs(b) + abs(c):
        return False, bool(a < 0), bool(d < 0)
    return True, bool(c < 0), bool(b < 0)
