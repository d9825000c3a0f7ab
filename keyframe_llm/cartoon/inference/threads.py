"""NumPy's matrix products in one thread: these models are small, and waiting threads would spin on a core."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from threading import Lock
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from threadpoolctl import ThreadpoolController

__all__ = ["one_thread"]

_lock = Lock()
_inside: list[Any] = []
"""The limit that the first thread inside has set, once for each thread inside."""


@contextmanager
def one_thread() -> Iterator[None]:
    """The number of threads is the process's own: the first one in sets it, the last one out restores it."""
    with _lock:
        _inside.append(_inside[0] if _inside else _controller().limit(limits=1, user_api="blas"))
    try:
        yield
    finally:
        with _lock:
            limit = _inside.pop()
            if not _inside:
                limit.restore_original_limits()


@cache
def _controller() -> ThreadpoolController:
    from threadpoolctl import ThreadpoolController

    return ThreadpoolController()
