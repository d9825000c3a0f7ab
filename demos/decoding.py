"""How the chat decodes: key frames of a bounded size, and the last of them decoded once.

Three frames of 4K are 75 MB and take seconds to decode, anew for every question. The Video-LLM is shown at
most `LARGEST_SIDE`; whoever saves a frame gets it in full size, decoded once more.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence
from pathlib import Path
from threading import Lock
from types import TracebackType

import numpy as np
from numpy.typing import NDArray

from keyframe_llm.data import Frames, VideoInfo
from keyframe_llm.video import DecodePlan, Decoder, open_video
from keyframe_llm.video.decoder import Samples

__all__ = ["LARGEST_SIDE", "ChatDecoder", "forget_pictures", "small"]

LARGEST_SIDE = 1080
"""Pixels of a key frame's shorter side, at most: pictures of this size show the text of a screen."""
_KEPT_BYTES = 100_000_000
"""Of all videos together: 16 pictures of the largest size."""
_SMALL = (640, 640)


class ChatDecoder:
    """A `Decoder` whose key frames have at most `LARGEST_SIDE` pixels on the shorter side."""

    def __init__(self, path: str) -> None:
        self._decoder = open_video(path)
        self._path = str(path)

    @property
    def info(self) -> VideoInfo:
        """See `Decoder`."""
        return self._decoder.info

    @info.setter
    def info(self, info: VideoInfo) -> None:
        self._decoder.info = info

    @property
    def warnings(self) -> list[str]:
        """See `Decoder`."""
        return self._decoder.warnings

    @warnings.setter
    def warnings(self, warnings: list[str]) -> None:
        self._decoder.warnings = warnings

    def plan(
        self,
        stride_seconds: float,
        *,
        start_seconds: float = 0.0,
        end_seconds: float | None = None,
        sparse_stride_seconds: float | None = None,
    ) -> DecodePlan:
        """See `Decoder.plan`."""
        return self._decoder.plan(
            stride_seconds,
            start_seconds=start_seconds,
            end_seconds=end_seconds,
            sparse_stride_seconds=sparse_stride_seconds,
        )

    def sample(
        self,
        stride_seconds: float,
        *,
        short_side: int,
        start_seconds: float = 0.0,
        end_seconds: float | None = None,
        sparse_stride_seconds: float | None = None,
    ) -> Samples:
        """See `Decoder.sample`."""
        return self._decoder.sample(
            stride_seconds,
            short_side=short_side,
            start_seconds=start_seconds,
            end_seconds=end_seconds,
            sparse_stride_seconds=sparse_stride_seconds,
        )

    def decode_at(self, seconds: Sequence[float], *, short_side: int | None = None) -> Frames:
        """See `Decoder.decode_at`; without `short_side` of the bounded size, and from memory where known."""
        if short_side is not None or not seconds:
            return self._decoder.decode_at(seconds, short_side=short_side)
        known = {second: _kept.get(self._path, second) for second in seconds}
        found = dict(picture for picture in known.values() if picture is not None)
        missing = [second for second, picture in known.items() if picture is None]
        if missing:
            frames = self._decoder.decode_at(missing, short_side=self._bound())
            pictures = list(zip(frames.seconds.tolist(), frames.images, strict=True))
            if len(pictures) == len(missing):  # else two times show the same frame
                for second, picture in zip(missing, pictures, strict=True):
                    _kept.keep(self._path, second, picture)
            found.update(pictures)
        times = sorted(found)
        return Frames(np.stack([found[time] for time in times]), np.array(times, np.float64))

    def close(self) -> None:
        """See `Decoder`."""
        self._decoder.close()

    def __enter__(self) -> Decoder:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _bound(self) -> int | None:
        """None where the pictures are small enough: they are then the very ones that others get."""
        return LARGEST_SIDE if min(self.info.width, self.info.height) > LARGEST_SIDE else None


def small(frames: Frames) -> Frames:
    """The frames as they are kept once the Video-LLM has seen them: for drawings, sheets and pages."""
    from PIL import Image

    def shrunk(image: NDArray[np.uint8]) -> NDArray[np.uint8]:
        picture = Image.fromarray(image)
        picture.thumbnail(_SMALL, Image.Resampling.LANCZOS)
        return np.array(picture)

    return Frames(np.stack([shrunk(image) for image in frames.images]), frames.seconds)


def forget_pictures(video: Path) -> None:
    """Drop what is kept of a video that was put away."""
    _kept.forget(str(video))


class _Kept:
    """The pictures that were decoded last, by path and asked second."""

    def __init__(self) -> None:
        self._pictures: OrderedDict[tuple[str, float], tuple[float, NDArray[np.uint8]]] = OrderedDict()
        self._bytes, self._lock = 0, Lock()

    def get(self, path: str, second: float) -> tuple[float, NDArray[np.uint8]] | None:
        """The true time of the frame that is on screen at that second, and its picture; None: not kept."""
        with self._lock:
            if (path, second) in self._pictures:
                self._pictures.move_to_end((path, second))
            return self._pictures.get((path, second))

    def keep(self, path: str, second: float, picture: tuple[float, NDArray[np.uint8]]) -> None:
        """Keep a copy; drop those that were used longest ago."""
        with self._lock:
            self._drop((path, second))
            self._pictures[path, second] = (picture[0], picture[1].copy())
            self._bytes += picture[1].nbytes
            while self._bytes > _KEPT_BYTES:
                self._drop(next(iter(self._pictures)))

    def forget(self, path: str) -> None:
        """Drop the pictures of one video."""
        with self._lock:
            for key in [key for key in self._pictures if key[0] == path]:
                self._drop(key)

    def _drop(self, key: tuple[str, float]) -> None:
        if (picture := self._pictures.pop(key, None)) is not None:
            self._bytes -= picture[1].nbytes


_kept = _Kept()
