"""Threads that run jobs, bounded in number: every client gets its turn."""

from __future__ import annotations

from collections import OrderedDict, deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from threading import Condition
from typing import Any, TypeVar

from keyframe_llm.tools.jobs import Job, current
from keyframe_llm.tools.limits import ToolError

__all__ = ["JobPool"]

T = TypeVar("T")
_MOST_PAUSED = 8


@dataclass(eq=False, slots=True)
class _Waiting:
    job: Job
    work: Callable[[], Any]
    future: Future[Any]


class JobPool:
    """Threads that run jobs. The clients of a server take turns: each is served in the order of its calls."""

    def __init__(self, at_once: int, waiting: int, what: str = "calls") -> None:
        """`at_once` jobs run, and `waiting` ones may wait; messages call them `what`."""
        self._threads = ThreadPoolExecutor(at_once + _MOST_PAUSED, thread_name_prefix=f"keyframe-llm-{what}")
        self._at_once, self._most, self._what = at_once, at_once + waiting, what
        self._queues: OrderedDict[str, deque[_Waiting]] = OrderedDict()  # the client whose turn it is first
        self._jobs: set[Job] = set()
        self._running = self._resuming = self._paused = 0
        self._closed = False
        self._changed = Condition()

    def submit(self, job: Job, work: Callable[[], T]) -> Future[T]:
        """Run `work` when a place is free and it is the turn of the job's client.

        Raises `ToolError` where too many jobs are waiting. If another client has more of them waiting, its
        last one makes room instead.
        """
        future: Future[T] = Future()
        with self._changed:
            if self._closed:
                raise ToolError("the server is about to end and takes no more calls")
            if len(self._jobs) >= self._most:
                self._make_room(job.client)
            self._jobs.add(job)
            self._queues.setdefault(job.client, deque()).append(_Waiting(job, work, future))
        future.add_done_callback(lambda _: self._remove(job))
        self._fill_places()
        return future

    @contextmanager
    def paused(self) -> Iterator[None]:
        """Let another job run while the one of this thread waits for something in the block.

        At most eight jobs give their place away at once, so that there are few threads.
        """
        with self._changed:
            keeps_place = self._paused >= _MOST_PAUSED
            self._paused += not keeps_place
        if keeps_place:
            yield
            return
        self._leave_place()
        try:
            yield
        finally:
            with self._changed:
                self._paused -= 1
                self._resuming += 1
                self._changed.wait_for(lambda: self._running < self._at_once)
                self._resuming -= 1
                self._running += 1

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
            raise ToolError(f"{len(self._jobs)} {self._what} are waiting already; try again in a while")
        dropped = most.pop()
        self._jobs.discard(dropped.job)
        if dropped.future.set_running_or_notify_cancel():
            message = "this call made room for other clients, as too many are waiting; try again in a while"
            dropped.future.set_exception(ToolError(message))

    def _remove(self, job: Job) -> None:
        with self._changed:
            self._jobs.discard(job)
            self._changed.notify_all()

    def _leave_place(self) -> None:
        with self._changed:
            self._running -= 1
            self._changed.notify_all()
        self._fill_places()

    def _fill_places(self) -> None:
        """Start jobs in the places that are free; those that were paused come first."""
        with self._changed:
            while self._running + self._resuming < self._at_once and (waiting := self._next()) is not None:
                self._running += 1
                self._threads.submit(self._run, waiting)

    def _next(self) -> _Waiting | None:
        """The next job of the client whose turn it is; then it is the turn of the next one."""
        while self._queues:
            client, queue = self._queues.popitem(last=False)
            waiting = queue.popleft() if queue else None
            if queue:
                self._queues[client] = queue
            if waiting is not None and waiting.future.set_running_or_notify_cancel():
                return waiting
        return None

    def _run(self, waiting: _Waiting) -> None:
        try:
            with current(waiting.job):
                waiting.job.check()
                result = waiting.work()
        except BaseException as error:
            waiting.future.set_exception(error)
        else:
            waiting.future.set_result(result)
        finally:
            self._leave_place()
