"""Arithmetic on plain arrays that several stages share."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from threading import Event, RLock, Thread
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from threadpoolctl import ThreadpoolController

__all__ = ["min_max", "one_thread", "unit_rows"]

_lock = RLock()
_inside: list[_Limit] = []
"""The limit that the first thread inside has set, once for each thread inside."""

_FLAT = 1e-6
"""Differences below this are rounding of float32 embeddings, not a ranking."""


def unit_rows(values: ArrayLike) -> NDArray[Any]:
    """Scale vectors, (D,) or (…, D), to length 1 (L2); a zero vector stays zero, so its cosines are 0.

    float32 stays float32; everything else becomes float64.
    """
    rows = np.asarray(values)
    rows = rows if rows.dtype == np.float32 else rows.astype(np.float64)
    length = np.linalg.norm(rows, axis=-1, keepdims=True)
    return np.asarray(np.divide(rows, length, out=np.zeros_like(rows), where=length > 0))


def min_max(values: ArrayLike, *, flat: float) -> NDArray[np.float64]:
    """Spread (K,) values over 0 … 1; all of them become `flat` where they differ by rounding alone."""
    numbers = np.asarray(values, np.float64)
    low, high = float(numbers.min()), float(numbers.max())
    if high - low < _FLAT:
        return np.full_like(numbers, flat)
    return np.asarray((numbers - low) / (high - low))


@contextmanager
def one_thread() -> Iterator[None]:
    """NumPy's matrix products in one thread: small ones are no slower, and waiting threads spin on a core.

    The limit is of the whole process: the first thread in sets it, the last one out ends it. MKL, and
    OpenBLAS with OpenMP, count by the thread: each thread inside limits its own number too.
    """
    with _lock:
        _inside.append(_inside[0] if _inside else _Limit())
        own = _controller().limit(limits=1, user_api="blas")
    try:
        yield
    finally:
        with _lock:
            own.restore_original_limits()
            limit = _inside.pop() if _inside else None  # a child that was forked inside knows of none
            if limit is not None and not _inside:
                limit.end()


class _Limit(Thread):
    """A limit of the process, set and ended by a thread of its own.

    threadpoolctl lets one living thread change OpenBLAS's number and ignores what other threads ask for: any
    thread inside may leave first, and none may take the limit with it.
    """

    def __init__(self) -> None:
        super().__init__(name="one-thread", daemon=True)
        self._tried, self._over = Event(), Event()
        self.start()
        self._tried.wait()

    def run(self) -> None:
        try:
            with _controller().limit(limits=1, user_api="blas"):
                self._tried.set()
                self._over.wait()
        finally:
            self._tried.set()

    def end(self) -> None:
        self._over.set()
        self.join()


@cache
def _controller() -> ThreadpoolController:
    return ThreadpoolController()


def _forget() -> None:
    """A forked child has one thread: none but this one is inside."""
    _inside.clear()
    _lock.release()


if hasattr(os, "register_at_fork"):  # missing on Windows
    # No thread may be setting a limit meanwhile: OpenBLAS would wait for it in the child, for ever.
    os.register_at_fork(before=_lock.acquire, after_in_parent=_lock.release, after_in_child=_forget)
