"""Memory of videos that were put away, given back to the system."""

from __future__ import annotations

import ctypes
import gc
from contextlib import suppress

__all__ = ["give_back_memory"]


def give_back_memory() -> None:
    """Free what only circles of references hold, and have the C library return what it keeps for later."""
    gc.collect()
    with suppress(AttributeError, OSError, TypeError):  # other C libraries have no such call
        ctypes.CDLL(None).malloc_trim(0)
