"""Work that several threads want: one does it, the others wait, and the latest results are remembered."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from threading import Lock
from typing import Any, Generic, TypeVar

__all__ = ["Remembered", "Turns"]

T = TypeVar("T")
Key = tuple[Any, ...]
_REMEMBERED = 4
_POLL_SECONDS = 0.1


class Remembered(Generic[T]):
    """The results of the last few keys, for all threads."""

    def __init__(self) -> None:
        self._known: dict[Key, T] = {}
        self._lock = Lock()

    def get(self, key: Key) -> T | None:
        """The result of that key, None where it is not remembered."""
        return self._known.get(key)

    def keep(self, key: Key, value: T) -> None:
        """Remember a result in place of the one that was kept first."""
        with self._lock:
            self._known.pop(key, None)
            self._known[key] = value
            while len(self._known) > _REMEMBERED:
                self._known.pop(next(iter(self._known)))


class Turns:
    """A lock for each key, which is there as long as a thread wants it."""

    def __init__(self, checkpoint: Callable[[], None] | None = None) -> None:
        """`checkpoint` is called while a thread waits for its turn; it raises to give up."""
        self._checkpoint = checkpoint or (lambda: None)
        self._in_work: dict[Key, _Turn] = {}
        self._lock = Lock()

    @contextmanager
    def turn(self, key: Key) -> Iterator[None]:
        """One thread at a time works on one key; others with the same one wait for its result."""
        with self._lock:
            turn = self._in_work.setdefault(key, _Turn())
            turn.waiting += 1
        try:
            while not turn.lock.acquire(timeout=_POLL_SECONDS):
                self._checkpoint()
            try:
                yield
            finally:
                turn.lock.release()
        finally:
            with self._lock:
                turn.waiting -= 1
                if not turn.waiting:
                    self._in_work.pop(key, None)


class _Turn:
    """A lock, and how many threads want it."""

    def __init__(self) -> None:
        self.lock, self.waiting = Lock(), 0
