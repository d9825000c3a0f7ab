"""A small copy of a video that every browser plays, for files that it does not: GIF, AVI, MPEG, TS, HEVC.

It is made from the frames and times of this package's own decoder, so that a second of the preview shows the
frame that the same second of the file shows.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from fractions import Fraction
from pathlib import Path
from threading import Lock
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from keyframe_llm.data import VideoInfo
from keyframe_llm.errors import KeyframeError, VideoError
from keyframe_llm.video import open_video

if TYPE_CHECKING:
    from av.container import OutputContainer
    from av.video.stream import VideoStream

__all__ = ["Preview", "write_preview"]

_LONGEST_SECONDS = 15 * 60.0
"""Of longer videos no preview is made: that would take minutes of a machine that all sessions share."""
_MOST_PIXELS = _LONGEST_SECONDS * 30 * 1920 * 1080
"""To decode, of all frames: 4K at 60 frames a second has them in two minutes."""
_PAUSE_SECONDS = 0.2
_SHORT_SIDE = 360
"""Pixels of the preview's shorter side; never enlarged."""
_STRIDE_SECONDS = 1 / 120
"""Every frame of up to 60 frames a second is on screen at one of these times."""
_BASE = Fraction(1, 90_000)
_LEAST_TICKS = 3600
"""The last frame stays for so long at least: a GIF of one frame has no length of its own."""
_KEY_FRAME_EVERY = 30
"""Frames; a browser that jumps to a second decodes at most so many."""
_OPTIONS = {"preset": "superfast", "crf": "24", "bf": "0", "maxrate": "1500k", "bufsize": "3000k"}
"""Of x264. Without B-frames, pictures are stored in the order and with the times in which they are shown."""
_TURN = Lock()


class Preview:
    """The preview of one video: how far it is, where it is, or why there is none."""

    def __init__(self, video: Path) -> None:
        self.video = video
        self.share = 0.0
        """How much of it is made, 0–1."""
        self.path: Path | None = None
        """Where it is, once it is made."""
        self.trouble = ""
        """Why there is none."""
        self.picture: Path | None = None
        """The frame that stands for the video as long as there is none."""
        self.second = 0.0
        """The time of that frame."""

    @property
    def done(self) -> bool:
        """Whether nothing more will come."""
        return self.path is not None or bool(self.trouble)

    def make(self, wanted: Callable[[], bool], reading: Callable[[], bool]) -> None:
        """Make it, one preview at a time; give up as soon as it is not `wanted` any more.

        It waits while the video is `reading`: key frames come first, and two decoders hold more.
        """
        target = self.video.with_name(f"preview of {self.video.stem}.mp4")
        try:
            with _TURN:
                while reading() and wanted():
                    time.sleep(_PAUSE_SECONDS)
                for share in write_preview(self.video, target):
                    self.share = share
                    if not wanted():
                        self.trouble = "it is not wanted any more"
                        return
        except (KeyframeError, OSError, ValueError) as error:  # PyAV's errors are both of the latter
            self.trouble = str(error) or type(error).__name__
            return
        self.path = target


def write_preview(video: Path, target: Path) -> Iterator[float]:
    """Write the preview as MP4 (H.264), times equal to the video's; yield how much is done, 0–1.

    Raises `VideoError` where the video cannot be read or is too long for the size of its pictures.
    """
    import av

    with open_video(video) as decoder, av.open(str(target), "w", options={"movflags": "faststart"}) as out:
        length = decoder.info.duration_seconds or 0.0
        most = _longest(decoder.info)
        if length > most:
            raise VideoError(f"{video.name} is longer than {most / 60:.2g} minutes")
        stream, second = None, 0.0
        for second, picture in decoder.sample(_STRIDE_SECONDS, short_side=_SHORT_SIDE):
            if second > most:
                raise VideoError(f"{video.name} is longer than {most / 60:.2g} minutes")
            stream = stream or _stream(out, picture)
            out.mux(stream.encode(_frame(second, picture, stream)))
            yield min(1.0, second / length) if length else 0.0
        if stream is not None:
            packets = stream.encode()
            for packet in packets:
                packet.duration = max(_LEAST_TICKS, round((length - second) / _BASE))
            out.mux(packets)


def _longest(info: VideoInfo) -> float:
    """Seconds of video of which a preview is made."""
    pixels = info.width * info.height * (info.average_fps or 30.0)
    return min(_LONGEST_SECONDS, _MOST_PIXELS / max(1.0, pixels))


def _stream(out: OutputContainer, picture: NDArray[np.uint8]) -> VideoStream:
    height, width = picture.shape[:2]
    stream: Any = out.add_stream("libx264", rate=30, options=_OPTIONS)
    stream.width, stream.height = width + width % 2, height + height % 2
    stream.pix_fmt, stream.gop_size = "yuv420p", _KEY_FRAME_EVERY
    context = stream.codec_context
    context.time_base, context.thread_count = _BASE, 1
    context.colorspace = context.color_primaries = context.color_trc = 1  # BT.709, as `_frame` converts
    context.color_range = 1
    return stream  # type: ignore[no-any-return]  # a codec's own fields are untyped in PyAV


def _frame(second: float, picture: NDArray[np.uint8], stream: VideoStream) -> Any:
    from av.video.frame import VideoFrame

    frame = VideoFrame.from_ndarray(np.ascontiguousarray(picture), "rgb24").reformat(
        stream.width,
        stream.height,
        "yuv420p",
        src_colorspace="ITU709",
        dst_colorspace="ITU709",
        dst_color_range="MPEG",
    )
    frame.pts, frame.time_base = round(second / _BASE), _BASE
    return frame
