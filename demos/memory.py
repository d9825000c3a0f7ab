"""Memory of videos that were put away, given back to the system."""

from __future__ import annotations

import ctypes
from contextlib import suppress
from threading import Timer

from keyframe_llm.video.memory import trim_memory

__all__ = ["give_back_memory", "keep_memory_in_one_place"]

_DELAY_SECONDS = 1.0
_ARENA_MAX = -8
"""`M_ARENA_MAX` of glibc's malloc.h."""


def keep_memory_in_one_place() -> None:
    """Have the threads that begin from now on share one heap, which can be given back as a whole.

    glibc gives each thread a heap of its own and never returns the end of one: after a 4K video that was
    270 MB. Other C libraries have no such setting.
    """
    with suppress(AttributeError, OSError, TypeError):
        ctypes.CDLL(None).mallopt(_ARENA_MAX, 1)


def give_back_memory() -> None:
    """In a moment, when nobody holds the video any more, free what is left of it."""
    timer = Timer(_DELAY_SECONDS, trim_memory)
    timer.daemon = True
    timer.start()
