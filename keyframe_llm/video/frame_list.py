"""A video that is given as its frames: arrays, tensors, pictures, or files in a folder, with their times."""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Iterable, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from keyframe_llm.errors import OptionsError, VideoError, check_number
from keyframe_llm.video.pictures import picture_identity, rgb_picture

__all__ = ["FrameList"]

_SUFFIXES = {".avif", ".bmp", ".gif", ".jpeg", ".jpg", ".png", ".ppm", ".tif", ".tiff", ".webp"}
_NUMBER = re.compile(r"(\d+)(?!.*\d)")


class FrameList:
    """Frames and their times, to be given wherever a video is.

    `frames` are (N, H, W, 3) uint8, or N pictures: arrays, torch tensors, PIL images, or paths of picture
    files. Or it is a folder of numbered pictures: a file's number is its place, so that a missing number is a
    missing frame. Frames of another size than the first are fitted into it, with black bars.

    `fps` is how many frames there were in a second; the first is at 0 s. Or `seconds` gives (N,) ascending
    times, which are kept as they are. Raises `OptionsError` on times that do not fit, `VideoError` where
    there are no frames.
    """

    def __init__(
        self,
        frames: Any,
        *,
        fps: float | None = None,
        seconds: ArrayLike | None = None,
        name: str | None = None,
    ) -> None:
        places: Sequence[int] | None = None
        if isinstance(frames, (str, bytes, os.PathLike)):
            folder = Path(os.fsdecode(frames))
            frames, places = _numbered_pictures(folder)
            name = name or str(folder)
        elif not isinstance(frames, Iterable):
            raise OptionsError(f"frames are {type(frames).__name__}; give a list of pictures, or a folder")
        self.frames: list[Any] = list(frames)
        self.name = name or f"the list of {len(self.frames)} frames"
        """What messages and results call it."""
        if not self.frames:
            raise VideoError(f"{self.name} is empty; give at least one frame")
        self.fps = None if fps is None else check_number("fps", fps, 0, above=True)
        """Frames per second, where they were given."""
        self.seconds = self._times(seconds, range(len(self.frames)) if places is None else places)
        """(N,) the times of the frames, ascending."""

    def __len__(self) -> int:
        return len(self.frames)

    def picture(self, index: int, max_pixels: int | None = None) -> NDArray[np.uint8]:
        """(H, W, 3) RGB uint8 of one frame. Raises `VideoError`, `OptionsError`."""
        return rgb_picture(self.frames[index], f"frame {index} of {self.name}", max_pixels)

    def digest(self) -> str | None:
        """What tells these frames and times from any others; None where that is not known."""
        digest = hashlib.blake2b(self.seconds.tobytes(), digest_size=16)
        for index, frame in enumerate(self.frames):
            try:
                identity = picture_identity(frame)
            except (OSError, ValueError):
                self.picture(index)  # says what is wrong with it
                identity = None
            if identity is None:
                return None
            digest.update(identity.encode("utf-8", "surrogateescape"))
        return digest.hexdigest()

    def _times(self, seconds: ArrayLike | None, places: Sequence[int]) -> NDArray[np.float64]:
        if (seconds is None) == (self.fps is None):
            raise OptionsError(f"{self.name} needs either fps or seconds, to know when each frame was shown")
        if self.fps is not None:
            return (np.asarray(places, np.float64) - places[0]) / self.fps
        try:
            times = np.array(seconds, dtype=np.float64)
        except (TypeError, ValueError) as error:
            raise OptionsError(
                "seconds holds something else than numbers; give one for each frame"
            ) from error
        if times.shape != (len(self.frames),):
            raise OptionsError(
                f"seconds is {times.shape}, and there are {len(self.frames)} frames; give one each"
            )
        if not np.all(np.isfinite(times)) or times[0] < 0 or np.any(np.diff(times) <= 0):
            raise OptionsError("seconds must be ascending from 0 up, each later than the one before")
        return times


def _numbered_pictures(folder: Path) -> tuple[list[Path], list[int]]:
    """The pictures in a folder in the order of their numbers, and these."""
    try:
        found = [each for each in folder.iterdir() if each.suffix.lower() in _SUFFIXES]
    except (OSError, ValueError) as error:
        raise VideoError(f"{folder} is no folder that can be read; give one of numbered pictures") from error
    if not found:
        raise VideoError(f"{folder} holds no pictures; give a folder of numbered pictures, as 0001.jpg")
    numbered = sorted((_number(path), path) for path in found)
    for (one, first), (two, second) in pairwise(numbered):
        if one == two:
            raise VideoError(f"{first} and {second} have the same number; leave one series in the folder")
    return [path for _, path in numbered], [number for number, _ in numbered]


def _number(path: Path) -> int:
    found = _NUMBER.search(path.stem)
    if found is None:
        raise VideoError(f"{path} has no number in its name; number all pictures, as 0001.jpg")
    return int(found[1])
