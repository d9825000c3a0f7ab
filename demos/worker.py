"""One job at a time in a thread of its own, which reports its progress and can be stopped.

The page is drawn from the state that a job leaves behind, never from the job itself: a page that is closed or
slow leaves no model busy.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from threading import Condition, Event, Lock, Thread, local

from keyframe_llm.demos.pace import USUAL_SECONDS, Pace
from keyframe_llm.errors import KeyframeError, OptionsError

__all__ = ["Stopped", "Worker", "checkpoint"]

_PAUSE_SECONDS = 0.15
"""Between two drawings, at least: words come faster than a page can draw them and still react to a click."""
_SECONDS_OF_PATIENCE, _SECONDS_TO_STOP = 0.5, 10.0
"""How long a job waits for the one before it, and for one that was stopped."""
_POLLS_OF_A_WAIT = 10
"""A shared model is asked ten times a second whether it is free."""
_current = local()


class Stopped(KeyframeError):
    """The job was stopped."""


def checkpoint() -> None:
    """Raise `Stopped` in the thread of a job that was stopped; do nothing in other threads."""
    worker = getattr(_current, "worker", None)
    if worker is not None:
        if worker.stopping:
            raise Stopped("stopped")
        worker.polled()


class Worker:
    """Does one job at a time."""

    def __init__(self) -> None:
        self.stage = ""
        """The stage of the job, empty when there is none."""
        self.usual_seconds = dict(USUAL_SECONDS)
        """What each stage usually takes."""
        self.pace = Pace(self.usual_seconds)
        """How much of the job is done."""
        self.trouble = ""
        """What went wrong in the last job, in words for people."""
        self._stop, self._lock = Event(), Lock()
        self._news, self._version = Condition(), 0
        self._polls = 0
        """How often the job found a model busy since there was anything new."""

    @property
    def stopping(self) -> bool:
        """Whether the job was asked to end."""
        return self._stop.is_set()

    def stop(self) -> None:
        """Have the job end at its next step or word."""
        self._stop.set()
        self.changed()

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

        A `KeyframeError` of the job becomes `trouble`; another error is raised. Raises `OptionsError` where
        another job is not done. The thread goes on where the iterator is dropped.
        """
        at_rest = self._lock.acquire(timeout=_SECONDS_OF_PATIENCE)  # the click on Stop may be on its way
        if not at_rest and not (self.stopping and self._lock.acquire(timeout=_SECONDS_TO_STOP)):
            raise OptionsError("another task is not done; wait for it, or stop the answer first")
        self._stop.clear()
        self.trouble, self.stage, self.pace = "", "start", Pace(self.usual_seconds)
        failures = list[BaseException]()

        def run() -> None:
            _current.worker = self
            try:
                job()
            except Stopped:
                pass
            except KeyframeError as error:
                self.trouble = str(error)
            except BaseException as error:
                failures.append(error)
            finally:
                self.stage = ""
                self._lock.release()
                self.changed()

        version = self._version
        Thread(target=run, name="keyframe-llm-chat", daemon=True).start()
        yield from self._changes(version)
        if failures:
            raise failures[0]

    def follow(self) -> Iterator[None]:
        """Yield whenever there is something new to draw of a job that another page began, and at its end."""
        yield from self._changes(-1)

    def progress(self, stage: str, share: float) -> None:
        """Note how far the job is; raises `Stopped` where it is to end."""
        if self.stopping:
            raise Stopped("stopped")
        self.stage = stage
        self.pace.reached(stage, share, time.perf_counter())
        self.changed()

    @property
    def waiting(self) -> bool:
        """Whether the job has waited for a second or more until another one is done with a model."""
        return self._polls >= _POLLS_OF_A_WAIT

    def polled(self) -> None:
        """Note that the job waits for a model, or goes on with one."""
        self._polls += 1
        if self._polls == _POLLS_OF_A_WAIT:
            self._draw()

    def changed(self) -> None:
        """Have the page drawn."""
        self._polls = 0
        self._draw()

    def _draw(self) -> None:
        with self._news:
            self._version += 1
            self._news.notify_all()

    def _changes(self, version: int) -> Iterator[None]:
        """Yield after changes since that version, several at once, until no job is left."""
        going = True
        while going:
            with self._news:
                while self._version == version and self.stage:
                    self._news.wait()
                version, going = self._version, bool(self.stage)
            began = time.perf_counter()
            yield
            if going:  # a machine that is slow to draw is given as long a rest
                time.sleep(max(_PAUSE_SECONDS, time.perf_counter() - began))
