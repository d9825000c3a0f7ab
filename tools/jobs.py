"""Work as jobs: bounded in time, stopped where nobody wants it, and asked how far it is.

A job stops at the next frame it decodes or the next token it writes.
"""

from __future__ import annotations

import time
from collections.abc import Hashable, Iterator
from contextlib import contextmanager, suppress
from contextvars import ContextVar
from threading import Event

from keyframe_llm.data import Progress
from keyframe_llm.tools.limits import StillWorking, ToolError
from keyframe_llm.tools.progress import stage_percent, stage_words

__all__ = ["Job", "check_current_job", "current", "current_job", "report_progress"]

_LEAST_SHARE = 0.02


class Job:
    """One call of a tool: its time limit, whether it is still wanted, and who hears of its progress."""

    def __init__(
        self,
        timeout_seconds: float,
        progress: Progress | None = None,
        *,
        answer_seconds: float | None = None,
        client: str = "",
        key: Hashable | None = None,
    ) -> None:
        """`answer_seconds` is when `client` is answered, however far the work is; None: when it is done.

        `key` is the same for calls that have the same result, and None where nothing says so.
        """
        self.client, self.key = client, key
        self.stage, self.share = "", 0.0
        """What was reported last: a stage of the work, and how much of it is done, 0–1."""
        self._timeout_seconds = timeout_seconds
        self._stage_began = time.monotonic()
        self._deadline = self._stage_began + timeout_seconds
        self._stopped = Event()
        self.listen(progress, answer_seconds)

    def listen(self, progress: Progress | None, answer_seconds: float | None) -> None:
        """Report to somebody else from now on, who is to be answered after so many seconds."""
        self._progress = progress
        self._answer_by = self._deadline if answer_seconds is None else time.monotonic() + answer_seconds

    def stop(self) -> None:
        """End the job at its next step."""
        self._stopped.set()

    @property
    def seconds_left(self) -> float:
        """Seconds until the time limit; not below 0."""
        return max(0.0, self._deadline - time.monotonic())

    @property
    def answer_seconds_left(self) -> float:
        """Seconds until an answer is due; not below 0."""
        return max(0.0, min(self._deadline, self._answer_by) - time.monotonic())

    @property
    def seconds_to_go(self) -> float | None:
        """About how many seconds the stage takes from now on; None where it has hardly begun."""
        spent = time.monotonic() - self._stage_began
        return None if self.share < _LEAST_SHARE else spent * (1 - self.share) / self.share

    def timeout_error(self) -> ToolError:
        """The error of a job that took too long."""
        return ToolError(
            f"the call took longer than the {self._timeout_seconds:g} s allowed; give a shorter window "
            "(start_seconds, end_seconds) or try again later"
        )

    def still_working(self) -> ToolError:
        """What is answered when an answer is due: how far the job is, or that its time is over."""
        if not self.seconds_left:
            return self.timeout_error()
        return StillWorking(
            f"still working: {self.percent} % done ({self.doing}); the work goes on, so call this again with "
            "the same arguments for the result"
        )

    @property
    def percent(self) -> int:
        """About how much of a call is done."""
        return round(stage_percent(self.stage, self.share)) if self.stage else 0

    @property
    def doing(self) -> str:
        """What is done now, in words, and how long it takes where that is known."""
        if not self.stage:
            return "waiting for its turn"
        left = self.seconds_to_go if self.stage == "decode" else None
        return stage_words(self.stage, self.share) + (
            f", about {left:.0f} s left" if left is not None else ""
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
        if stage != self.stage:
            self._stage_began = time.monotonic()
        self.stage, self.share = stage, share
        if self._progress is not None:
            self._progress(stage, share)

    def follow(self, other: Job) -> None:
        """Report how far a job is that this one waits for; nothing where this one is to end."""
        with suppress(ToolError):
            self.report(other.stage, other.share)
            self._stage_began = other._stage_began


_current: ContextVar[Job | None] = ContextVar("keyframe_llm_job", default=None)


@contextmanager
def current(job: Job) -> Iterator[None]:
    """Make it the job of this thread while the block runs."""
    token = _current.set(job)
    try:
        yield
    finally:
        _current.reset(token)


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
