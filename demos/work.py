"""One job at a time in a thread of its own, told how far it is and stopped when it is no longer wanted.

The page draws from the state a job leaves behind, never from the job itself, so that stopping, closing the
page or a slow network never leaves a model busy.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from queue import Empty, Queue
from threading import Event, Lock, Thread

from keyframe_llm.errors import KeyframeError, OptionsError

__all__ = ["Stopped", "Worker", "relay"]

_PAUSE_SECONDS = 0.15
"""Between two drawings, at least: words come faster than a page can draw them and still hear a click."""


class Stopped(KeyframeError):
    """Nobody waits any more for what is being worked on."""


class Worker:
    """Does one job at a time. `stage` is what it is at, empty when idle; `share` how much of that is done."""

    def __init__(self) -> None:
        self.stage, self.share = "", 0.0
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
        """Stop what is being worked on, and let nothing begin while inside."""
        self.stop()
        with self._lock:
            self._stop.clear()
            self.stage = self.trouble = ""
            yield

    def work(self, job: Callable[[], None]) -> Iterator[None]:
        """Do the job in a thread; yield whenever there is something new to draw, and at the end.

        A `KeyframeError` of the job becomes `trouble`. Raises `OptionsError` where another one is going on.
        """
        if not self._lock.acquire(blocking=False):
            raise OptionsError("something is still being worked on; wait for it, or stop the answer first")
        self._stop.clear()
        self.trouble, self.stage, self.share = "", "start", 0.0

        def run(changed: Callable[[], None]) -> None:
            self._changed = changed
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

    What `run` raises is raised here. The thread ends by itself, whether or not anybody still listens.
    """
    news, failures = Queue[bool](), list[BaseException]()

    def work() -> None:
        try:
            run(lambda: news.put(True))
        except BaseException as error:
            failures.append(error)
        finally:
            news.put(False)

    Thread(target=work, name="keyframe-llm-chat", daemon=True).start()
    going = True
    while going:
        going = news.get()
        try:
            while going:
                going = news.get_nowait()
        except Empty:
            pass
        began = time.perf_counter()
        yield
        if going:  # a machine that is slow to draw is given as long a rest
            time.sleep(max(_PAUSE_SECONDS, time.perf_counter() - began))
    if failures:
        raise failures[0]


def _nothing() -> None:
    """Nobody watches."""
