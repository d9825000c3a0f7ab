"""Calls that were answered before their work was done: the next call like them gets the result."""

from __future__ import annotations

import time
from collections.abc import Hashable
from concurrent.futures import Future
from dataclasses import dataclass
from threading import Lock
from typing import Any

from keyframe_llm.tools.jobs import Job

__all__ = ["LateCalls"]

_MOST = 32
_SECONDS = 900.0


@dataclass(frozen=True, slots=True, eq=False)
class _Late:
    job: Job
    future: Future[Any]
    since: float


class LateCalls:
    """At most 32 calls, each for a quarter of an hour; the oldest are stopped."""

    def __init__(self) -> None:
        self._calls: dict[Hashable, _Late] = {}
        self._lock = Lock()

    def keep(self, job: Job, future: Future[Any]) -> None:
        """Let a call go on for the next one that has the same key."""
        now = time.monotonic()
        with self._lock:
            before = self._calls.pop(job.key, None)
            self._calls[job.key] = _Late(job, future, now)
            old = [key for key, late in self._calls.items() if now - late.since > _SECONDS]
            ended = [
                self._calls.pop(key) for key in [*old, *list(self._calls)[:-_MOST]] if key in self._calls
            ]
        for late in [*([before] if before else []), *ended]:
            late.job.stop()
            late.future.cancel()

    def take(self, key: Hashable | None) -> tuple[Job, Future[Any]] | None:
        """The call of that key, which is then kept no more; None where there is none that succeeds."""
        with self._lock:
            late = None if key is None else self._calls.pop(key, None)
        if late is None or late.future.cancelled() or time.monotonic() - late.since > _SECONDS:
            return None
        if late.future.done() and late.future.exception() is not None:
            return None
        return late.job, late.future
