"""Readings of videos: each is done once, in the background, for all calls that need it.

What a reading finds is kept by the indexer. A reading goes on when the call that began it is answered, given
up or late, and ends with the server, or at its own time limit.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable
from concurrent.futures import CancelledError, Future, wait
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from threading import Condition
from typing import Any

from keyframe_llm.tools.job_pool import JobPool
from keyframe_llm.tools.jobs import Job
from keyframe_llm.tools.limits import Limits, ToolError
from keyframe_llm.tools.open_files import OpenFiles

__all__ = ["Reading", "Readings"]

_POLL_SECONDS = 0.1
_MOST_FAILED = 16


@dataclass(frozen=True, slots=True, eq=False)
class Reading:
    """A reading that waits, runs or has ended."""

    job: Job
    future: Future[None]
    followers: list[Job] = field(default_factory=list)
    """Who hears of its progress."""


class Readings:
    """The readings of a server."""

    def __init__(self, files: OpenFiles, limits: Limits) -> None:
        self._files, self._limits = files, limits
        self._pool = JobPool(limits.concurrent_readings, limits.waiting_readings, "videos")
        self._begun: dict[Hashable, Reading] = {}
        self._failed: dict[Hashable, BaseException] = {}
        self._changed = Condition()

    def start(self, path: Path, part: Hashable, work: Callable[[], Any], client: str) -> Reading:
        """The reading of a file, or of a part of it, that is in progress, or a new one, which does `work`.

        The file is kept open for it. Raises `ToolError` where too many videos are waiting.
        """
        key = _key(path, part)
        with self._changed:
            self._failed.pop(key, None)
            known = self._begun.get(key)
            if known is not None:
                return known
            holding = ExitStack()
            holding.enter_context(self._files.kept_open(path))
            followers: list[Job] = []

            def tell(_: str, __: float) -> None:
                for follower in tuple(followers):
                    follower.follow(job)

            job = Job(self._limits.reading_seconds, tell, client=client)
            try:
                reading = Reading(job, self._pool.submit(job, work), followers)
            except BaseException:
                holding.close()
                raise
            self._begun[key] = reading
        reading.future.add_done_callback(lambda future: self._ended(key, future, holding))
        return reading

    def join(self, reading: Reading, job: Job) -> None:
        """Wait for a reading, and report it as the progress of a job.

        Raises what the reading has raised, and `ToolError` when the job is to end.
        """
        if reading.job.stage:
            job.follow(reading.job)
        reading.followers.append(job)
        try:
            while not wait([reading.future], _POLL_SECONDS).done:
                job.check()
        finally:
            reading.followers.remove(job)
        try:
            reading.future.result()
        except CancelledError as error:
            raise ToolError("the server is about to end and reads no more videos") from error

    def failure(self, path: Path, part: Hashable) -> BaseException | None:
        """What ended the last reading of a file, told once; None where nothing did."""
        with self._changed:
            return self._failed.pop(_key(path, part), None)

    def close(self) -> None:
        """End all readings."""
        self._pool.close()

    def wait(self, seconds: float) -> bool:
        """Wait for all readings to end, at most so long; returns whether they have."""
        with self._changed:
            return self._changed.wait_for(lambda: not self._begun, seconds)

    def _ended(self, key: Hashable, future: Future[None], holding: ExitStack) -> None:
        holding.close()
        error = None if future.cancelled() else future.exception()
        with self._changed:
            self._begun.pop(key, None)
            self._changed.notify_all()
            if error is not None:
                self._failed[key] = error
                while len(self._failed) > _MOST_FAILED:
                    self._failed.pop(next(iter(self._failed)))


def _key(path: Path, part: Hashable) -> Hashable:
    """What tells a reading from another: the file as it is now, and the part of it."""
    status = path.stat()
    return status.st_dev, status.st_ino, status.st_mtime_ns, status.st_size, part
