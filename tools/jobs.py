"""Calls of tools as jobs: bounded in number and in time, and stopped when nobody waits for them any more.

Each job runs in a thread of its own. It stops at the next frame it decodes or the next token it writes.
"""

from __future__ import annotations

import time
from collections import OrderedDict, deque
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from contextvars import ContextVar
from dataclasses import dataclass
from threading import Condition, Event
from typing import Any, TypeVar

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


@dataclass(eq=False, slots=True)
class _Waiting:
    job: Job
    work: Callable[[], Any]
    future: Future[Any]


class JobPool:
    """Threads that run jobs. The clients of a server take turns: each is served in the order of its calls."""

    def __init__(self, limits: Limits) -> None:
        self._threads = ThreadPoolExecutor(limits.concurrent_calls, thread_name_prefix="keyframe-llm-job")
        self._most = limits.concurrent_calls + limits.waiting_calls
        self._queues: OrderedDict[str, deque[_Waiting]] = OrderedDict()  # the client whose turn it is first
        self._jobs: set[Job] = set()
        self._closed = False
        self._changed = Condition()

    def submit(self, job: Job, work: Callable[[], T], client: str = "") -> Future[T]:
        """Run `work` when a thread is free and it is the client's turn.

        Raises `ToolError` where too many jobs are waiting. If another client has more of them waiting, its
        last one makes room instead.
        """
        future: Future[T] = Future()
        with self._changed:
            if self._closed:
                raise ToolError("the server is about to end and takes no more calls")
            if len(self._jobs) >= self._most:
                self._make_room(client)
            self._jobs.add(job)
            self._queues.setdefault(client, deque()).append(_Waiting(job, work, future))
        future.add_done_callback(lambda _: self._remove(job))
        self._threads.submit(self._run_next)
        return future

    def close(self) -> None:
        """Accept no more jobs, drop those that wait and stop those that run."""
        with self._changed:
            self._closed = True
            waiting = [each for queue in self._queues.values() for each in queue]
            self._queues.clear()
            for job in self._jobs:
                job.stop()
        for each in waiting:
            each.future.cancel()
        self._threads.shutdown(wait=False)

    def wait(self, seconds: float) -> bool:
        """Wait for all jobs to end, at most so long; returns whether they have."""
        with self._changed:
            return self._changed.wait_for(lambda: not self._jobs, seconds)

    def _make_room(self, client: str) -> None:
        """Drop the last job of the client with most of them waiting; raise `ToolError` if it is this one."""
        own = len(self._queues.get(client, ()))
        most = max(self._queues.values(), key=len, default=deque())
        if len(most) <= own + 1:
            raise ToolError(f"{len(self._jobs)} calls are waiting already; try again in a while")
        dropped = most.pop()
        self._jobs.discard(dropped.job)
        if dropped.future.set_running_or_notify_cancel():
            message = "this call made room for other clients, as too many are waiting; try again in a while"
            dropped.future.set_exception(ToolError(message))

    def _remove(self, job: Job) -> None:
        with self._changed:
            self._jobs.discard(job)
            self._changed.notify_all()

    def _next(self) -> _Waiting | None:
        """The next job of the client whose turn it is; then it is the turn of the next one."""
        with self._changed:
            if not self._queues:
                return None
            client, queue = self._queues.popitem(last=False)
            waiting = queue.popleft() if queue else None
            if queue:
                self._queues[client] = queue
            return waiting

    def _run_next(self) -> None:
        waiting = self._next()
        if waiting is None or not waiting.future.set_running_or_notify_cancel():
            return
        token = _current.set(waiting.job)
        try:
            waiting.job.check()
            result = waiting.work()
        except BaseException as error:
            waiting.future.set_exception(error)
        else:
            waiting.future.set_result(result)
        finally:
            _current.reset(token)
