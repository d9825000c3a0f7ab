"""Calls of tools as jobs: bounded in number and in time, and stopped when nobody waits for them any more.

Each job runs in a thread of its own. It stops at the next frame it decodes or the next token it writes.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from contextvars import ContextVar
from threading import Condition, Event
from typing import TypeVar

from keyframe_llm.data import Progress
from keyframe_llm.tools.limits import Limits, ToolError

__all__ = ["Job", "JobPool", "check_current_job", "current_job", "report_progress"]

T = TypeVar("T")


class Job:
    """One call of a tool: its time limit, whether it is still wanted, and who hears of its progress."""

    def __init__(self, timeout_seconds: float, progress: Progress | None = None) -> None:
        self._timeout_seconds = timeout_seconds
        self._deadline = time.monotonic() + timeout_seconds
        self._stopped = Event()
        self._progress = progress

    def stop(self) -> None:
        """End the job at its next step."""
        self._stopped.set()

    @property
    def seconds_left(self) -> float:
        """Seconds until the time limit; not below 0."""
        return max(0.0, self._deadline - time.monotonic())

    def timeout_error(self) -> ToolError:
        """The error of a job that took too long."""
        return ToolError(
            f"the call took longer than the {self._timeout_seconds:g} s allowed; give a shorter window "
            "(start_seconds, end_seconds) or try again later"
        )

    def check(self) -> None:
        """Raise `ToolError` if the job was stopped or its time is over."""
        if self._stopped.is_set():
            raise ToolError("the call was cancelled")
        if not self.seconds_left:
            raise self.timeout_error()

    def report(self, stage: str, share: float) -> None:
        """Report progress, after a check of whether the job goes on."""
        self.check()
        if self._progress is not None:
            self._progress(stage, share)


_current: ContextVar[Job | None] = ContextVar("keyframe_llm_job", default=None)


def current_job() -> Job | None:
    """The job that this thread runs; None outside the threads of a `JobPool`."""
    return _current.get()


def report_progress(stage: str, share: float) -> None:
    """A progress callback for all jobs: reports to the job of this thread."""
    job = _current.get()
    if job is not None:
        job.report(stage, share)


def check_current_job() -> None:
    """A checkpoint for all jobs: raise `ToolError` if the job of this thread is to end."""
    job = _current.get()
    if job is not None:
        job.check()


class JobPool:
    """Threads that run jobs."""

    def __init__(self, limits: Limits) -> None:
        self._threads = ThreadPoolExecutor(limits.concurrent_calls, thread_name_prefix="keyframe-llm-job")
        self._most = limits.concurrent_calls + limits.waiting_calls
        self._jobs: set[Job] = set()
        self._changed = Condition()

    @property
    def active(self) -> int:
        """How many jobs are waiting or running."""
        return len(self._jobs)

    def submit(self, job: Job, work: Callable[[], T]) -> Future[T]:
        """Run `work` when a thread is free; raises `ToolError` where too many jobs are waiting."""
        with self._changed:
            if len(self._jobs) >= self._most:
                raise ToolError(f"{len(self._jobs)} calls are waiting already; try again in a while")
            self._jobs.add(job)
        future = self._threads.submit(self._run, job, work)
        future.add_done_callback(lambda _: self._remove(job))
        return future

    def close(self) -> None:
        """Accept no more jobs, drop those that wait and stop those that run."""
        self._threads.shutdown(wait=False, cancel_futures=True)
        with self._changed:
            for job in self._jobs:
                job.stop()

    def wait(self, seconds: float) -> bool:
        """Wait for all jobs to end, at most so long; returns whether they have."""
        with self._changed:
            return self._changed.wait_for(lambda: not self._jobs, seconds)

    def _remove(self, job: Job) -> None:
        with self._changed:
            self._jobs.discard(job)
            self._changed.notify_all()

    def _run(self, job: Job, work: Callable[[], T]) -> T:
        token = _current.set(job)
        try:
            job.check()
            return work()
        finally:
            _current.reset(token)
