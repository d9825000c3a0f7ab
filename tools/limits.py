"""What a call of a tool may cost, and the error of a call that is refused."""

from __future__ import annotations

import math
from dataclasses import dataclass, fields

from keyframe_llm.errors import KeyframeError, OptionsError
from keyframe_llm.tools.text import printable

__all__ = ["Limits", "StillWorking", "ToolError"]

_LONGEST_MESSAGE = 2000


class ToolError(KeyframeError):
    """A call that is refused, or that failed in a way the agent can act on.

    Its message is safe to show: one printable line, in which names of files and hosts are escaped.
    """

    def __init__(self, message: str) -> None:
        super().__init__(printable(message, _LONGEST_MESSAGE))


class StillWorking(ToolError):
    """What a call is answered with that takes longer than its client waits; its work goes on."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """What a call may cost. Raises `OptionsError` on a value that is not above 0."""

    max_duration_seconds: float = 4 * 3600.0
    """The longest video that is opened, by its header, or by its packets if the header states no length."""
    max_pixels: int = 4096 * 2304
    """The largest picture, width times height: as stored, anywhere in the file, and as displayed."""
    max_frames: int = 8
    """The most key frames of one call, 1–64."""
    image_side: int = 768
    """Pictures are returned at most this many pixels wide or high, unless high detail is asked for."""
    high_image_side: int = 1568
    """Pictures in high detail, and contact sheets, are at most this many pixels wide or high."""
    concurrent_calls: int = 2
    """Calls that run at once; models are used by one of them at a time."""
    waiting_calls: int = 128
    """Calls that may wait for their turn; more are refused."""
    answer_seconds: float = 45.0
    """A server answers by then: with how far the call is, while its work goes on for the next such call."""
    timeout_seconds: float = 300.0
    """The work of a call ends after this long, its waiting included."""
    concurrent_readings: int = 2
    """Videos that are read at once in the background, for all calls that need them."""
    waiting_readings: int = 16
    """Videos that may wait to be read; more are refused."""
    reading_seconds: float = 1800.0
    """The reading of a video ends after this long, its waiting included."""
    max_download_bytes: int = 512 << 20
    """The most that is read from a URL."""
    download_seconds: float = 60.0
    """The longest a download may take."""
    decode_memory_bytes: int = 1 << 30
    """The most memory that the process which reads a video may take; Windows cannot bound it."""
    max_saved_bytes: int = 1 << 30
    """The most that may be saved into the folder for it, by all calls together."""

    def __post_init__(self) -> None:
        for field in fields(self):
            value, whole = getattr(self, field.name), isinstance(field.default, int)
            kind = int if whole else (int, float)
            if not (isinstance(value, kind) and math.isfinite(value) and value > 0):
                what = "whole number" if whole else "number"
                raise OptionsError(f"{field.name} is {value!r}; give a {what} above 0")
        if self.max_frames > 64:
            raise OptionsError(f"max_frames is {self.max_frames}; give a whole number from 1 to 64")
