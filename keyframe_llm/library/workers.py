"""One process that works on the videos of a batch, seen from the program that gives them out."""

from __future__ import annotations

from contextlib import suppress
from queue import Empty
from typing import Any, NamedTuple

from keyframe_llm.child_process import ChildProcess
from keyframe_llm.library.batch import BatchOptions, Row, Task, failed_row
from keyframe_llm.video.cores import CORES_VARIABLE

__all__ = ["Limits", "Worker"]

_THREAD_VARIABLES = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", CORES_VARIABLE)


class Limits(NamedTuple):
    """What one worker may take."""

    seconds: int = 3600
    """For one video."""
    memory_bytes: int = 0
    """0: no limit."""
    threads: int = 1
    """Of decoders, and of the libraries that compute."""
    cuda_device: str | None = None
    """As `CUDA_VISIBLE_DEVICES` names it; None: any."""


class Worker:
    """One process, started at the first video and reused; a video that ends it costs one row."""

    def __init__(self, options: BatchOptions, limits: Limits) -> None:
        self.limits = limits
        """May be changed at any time; the process is then started again before the next video."""
        self._options, self._started_with = options, limits
        self._process: ChildProcess | None = None
        self._closed = False

    def row(self, task: Task) -> Row:
        """The row of a video. A process that ended is tried once more: something else may have ended it.

        Raises `ModelError`: the run cannot go on.
        """
        value: Any = None
        for _ in range(2):
            if self._closed:
                break
            kind, value = self._reply(task)
            if kind == "row":
                row: Row = value
                return row
            if kind == "stop":
                raise value
            if kind == "late":
                return failed_row(
                    task, f"it took longer than {self.limits.seconds} s; use a shorter part, or more time"
                )
        return failed_row(
            task, f"it ended the process that read it, twice (status {value}); it is damaged, or too large"
        )

    def resident_bytes(self) -> int:
        """The memory that the process takes; 0 where there is none."""
        import psutil

        process = self._process
        with suppress(psutil.Error):
            return int(psutil.Process(process.pid).memory_info().rss) if process is not None else 0
        return 0

    def close(self) -> None:
        """End the process, whatever it does, for good."""
        self._closed = True
        self._end()

    def _end(self) -> None:
        process, self._process = self._process, None
        if process is not None:
            process.end()

    def _reply(self, task: Task) -> tuple[str, Any]:
        process = self._process
        if process is None or not process.alive or self._started_with != self.limits:
            process = self._start()
        process.send(task)
        try:
            reply = process.replies.get(timeout=self._started_with.seconds)
        except Empty:
            reply = ("late", None)
        if reply[0] in ("late", "ended"):
            self._end()
        return reply

    def _start(self) -> ChildProcess:
        self._end()
        self._started_with = limits = self.limits
        environment = dict.fromkeys(_THREAD_VARIABLES, str(limits.threads))
        if limits.cuda_device is not None:
            environment["CUDA_VISIBLE_DEVICES"] = limits.cuda_device
        self._process = process = ChildProcess(
            "keyframe_llm.library.batch_child",
            [limits.memory_bytes, limits.seconds],
            environment,
            new_session=True,  # an interrupt is for the program, which then ends this process
        )
        process.send(self._options)
        return process
