"""A decoder that ends its process, or fills its memory, where the name of the video says so."""

from __future__ import annotations

import ctypes
import signal
import time
from pathlib import Path

from keyframe_llm.video import Decoder, open_video

__all__ = ["deadly"]


def deadly(path: Path) -> Decoder:
    """Open a video with PyAV, unless its name is `segfault`, `killed`, `hang` or `memory`."""
    name = Path(path).stem
    if name == "segfault":
        ctypes.string_at(0)
    elif name == "killed":
        signal.raise_signal(signal.SIGKILL)
    elif name == "memory":
        held = [bytearray(64 << 20) for _ in range(1 << 10)]
        del held
    while name == "hang":
        time.sleep(1)
    return open_video(path)
