"""NumPy's matrix products in one thread: these models are small, and waiting threads would spin on a core."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from threading import Event, Lock, Thread
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from threadpoolctl import ThreadpoolController

__all__ = ["one_thread"]

_lock = Lock()
_inside: list[_Limit] = []
"""The limit that the first thread inside has set, once for each thread inside."""


@contextmanager
def one_thread() -> Iterator[None]:
    """The first thread in sets the limit of the process, the last one out ends it.

    MKL's limit, and OpenBLAS's with OpenMP, is of a thread: each thread inside sets that one for itself.
    """
    with _lock:
        _inside.append(_inside[0] if _inside else _Limit())
    try:
        with _controller().limit(limits=1, user_api="blas"):
            yield
    finally:
        with _lock:
            limit = _inside.pop()
            if not _inside:
                limit.end()


class _Limit(Thread):
    """A limit of the process, in a thread that lives as long as the limit.

    threadpoolctl lets one thread at a time change OpenBLAS's limit and ignores the others, so that a thread that
    leaves early can neither keep its limit nor leave it to another.
    """

    def __init__(self) -> None:
        super().__init__(name="one-thread", daemon=True)
        self._set, self._ended = Event(), Event()
        self.start()
        self._set.wait()

    def run(self) -> None:
        try:
            with _controller().limit(limits=1, user_api="blas"):
                self._set.set()
                self._ended.wait()
        finally:
            self._set.set()

    def end(self) -> None:
        self._ended.set()
        self.join()


@cache
def _controller() -> ThreadpoolController:
    from threadpoolctl import ThreadpoolController

    return ThreadpoolController()
