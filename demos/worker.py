"""One job at a time in a thread of its own, which reports its progress and can be stopped.

The page is drawn from the state that a job leaves behind, never from the job itself: a page that is closed or
slow leaves no model busy.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from queue import Empty, Queue
from threading import Event, Lock, Thread, local

from keyframe_llm.errors import KeyframeError, OptionsError

__all__ = ["Stopped", "Worker", "checkpoint", "relay"]

_PAUSE_SECONDS = 0.15
"""Between two drawings, at least: words come faster than a page can draw them and still react to a click."""
_current = local()


class Stopped(KeyframeError):
    """The job was stopped."""


def checkpoint() -> None:
    """Raise `Stopped` in the thread of a job that was stopped; do nothing in other threads."""
    worker = getattr(_current, "worker", None)
    if worker is not None and worker.stopping:
        raise Stopped("stopped")


class Worker:
    """Does one job at a time."""

    def __init__(self) -> None:
        self.stage, self.share = "", 0.0
        """The stage of the job, empty when there is none, and how much of that stage is done, 0–1."""
        self.trouble = ""
        """What went wrong in the last job, in words for people."""
        self._stop, self._lock = Event(), Lock()
        self._changed: Callable[[], None] = _nothing

    @property
    def stopping(self) -> bool:
        """Whether the job was asked to end."""
        return self._stop.is_set()

    def stop(self) -> None:
        """Have the job end at its next step or word."""
        self._stop.set()
        self._changed()

    @contextmanager
    def at_rest(self) -> Iterator[None]:
        """Stop the job, and let none begin inside the block."""
        self.stop()
        with self._lock:
            self._stop.clear()
            self.stage = self.trouble = ""
            yield

    def work(self, job: Callable[[], None]) -> Iterator[None]:
        """Do the job in a thread; yield whenever there is something new to draw, and at the end.

        A `KeyframeError` of the job becomes `trouble`. Raises `OptionsError` where another job is not done.
        """
        if not self._lock.acquire(blocking=False):
            raise OptionsError("another task is not done; wait for it, or stop the answer first")
        self._stop.clear()
        self.trouble, self.stage, self.share = "", "start", 0.0

        def run(changed: Callable[[], None]) -> None:
            self._changed, _current.worker = changed, self
            try:
                job()
            except Stopped:
                pass
            except KeyframeError as error:
                self.trouble = str(error)
            finally:
                self.stage, self._changed = "", _nothing
                self._lock.release()

        yield from relay(run)

    def progress(self, stage: str, share: float) -> None:
        """Note how far the job is; raises `Stopped` where it is to end."""
        if self.stopping:
            raise Stopped("stopped")
        self.stage, self.share = stage, share
        self._changed()

    def changed(self) -> None:
        """Have the page drawn."""
        self._changed()


def relay(run: Callable[[Callable[[], None]], None]) -> Iterator[None]:
    """Run `run(changed)` in a thread of its own; yield after changes, several at once, and at its end.

    What `run` raises is raised here. The thread goes on where the iterator is dropped.
    """
    changes, failures = Queue[bool](), list[BaseException]()

    def work() -> None:
        try:
            run(lambda: changes.put(True))
        except BaseException as error:
            failures.append(error)
        finally:
            changes.put(False)

    Thread(target=work, name="keyframe-llm-chat", daemon=True).start()
    going = True
    while going:
        going = changes.get()
        try:
            while going:
                going = changes.get_nowait()
        except Empty:
            pass
        began = time.perf_counter()
        yield
        if going:  # a machine that is slow to draw is given as long a rest
            time.sleep(max(_PAUSE_SECONDS, time.perf_counter() - began))
    if failures:
        raise failures[0]


def _nothing() -> None:
    """Report to nobody."""
