"""Memory that the C library keeps: how little of it there is, and how it goes back to the system."""

from __future__ import annotations

import ctypes
import gc
from contextlib import suppress

__all__ = ["keep_memory_in_one_place", "trim_memory"]

_ARENA_MAX = -8
"""`M_ARENA_MAX` of glibc's malloc.h."""
_NO_GLIBC = (AttributeError, OSError, TypeError)
"""What a call raises where the C library is another one and has no such function."""


def keep_memory_in_one_place() -> None:
    """Have the threads that begin from now on share one heap, which can be given back as a whole.

    glibc gives each thread a heap of its own and never returns the end of one: of an hour of video that were
    up to 20 MB, after a 4K video 270 MB.
    """
    with suppress(*_NO_GLIBC):
        ctypes.CDLL(None).mallopt(_ARENA_MAX, 1)


def trim_memory() -> None:
    """Free what only circles of references hold, as PyAV's streams do, and return it to the system.

    The C library would keep it for later: after 8K pictures, 300 MB.
    """
    gc.collect()
    with suppress(*_NO_GLIBC):
        ctypes.CDLL(None).malloc_trim(0)
