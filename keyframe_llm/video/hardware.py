"""Decoding on a device such as a graphics card: only on request, and never in software instead."""

from __future__ import annotations

from functools import cache
from typing import Any

import av.error

from keyframe_llm.errors import VideoError

__all__ = ["check_hardware", "hardware_device"]


def hardware_device(kind: str) -> Any:
    """PyAV's description of a device that decodes and downloads frames, and never falls back to software."""
    from av.codec.hwaccel import HWAccel

    return HWAccel(kind, allow_software_fallback=False)


@cache
def check_hardware(kind: str) -> None:
    """Raise a one-line `VideoError` unless this machine has such a device (`cuda`, `vaapi`, …)."""
    try:
        from av.codec.hwaccel import HWAccel, hwdevices_available
    except ImportError as error:
        raise VideoError(
            f"hardware is {kind!r}, but this PyAV decodes in software only; pip install -U av"
        ) from error
    known = hwdevices_available()
    if kind not in known:
        raise VideoError(
            f"hardware is {kind!r}, which this FFmpeg does not know; it knows {', '.join(known) or 'none'}"
        )
    try:
        HWAccel(kind, allow_software_fallback=False).create(av.codec.Codec("h264", "r"))
    except (av.error.FFmpegError, OSError, RuntimeError, NotImplementedError) as error:
        raise VideoError(
            f"hardware is {kind!r}, but this machine has no such device that works; leave it out to decode "
            "in software"
        ) from error
