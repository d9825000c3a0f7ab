"""Memory of large pictures, given back to the system when they have gone."""

from __future__ import annotations

import ctypes
import gc
from contextlib import suppress

__all__ = ["trim_memory"]


def trim_memory() -> None:
    """Free what only circles of references hold, as PyAV's streams do, and return it to the system.

    The C library would keep it for later: after 8K pictures, 300 MB.
    """
    gc.collect()
    with suppress(AttributeError, OSError, TypeError):  # C libraries other than glibc have no such call
        ctypes.CDLL(None).malloc_trim(0)
