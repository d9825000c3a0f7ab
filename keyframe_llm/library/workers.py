"""One process that works on the videos of a batch, seen from the program that gives them out."""

from __future__ import annotations

import os
import pickle
import subprocess
import sys
import threading
from contextlib import suppress
from queue import Empty, SimpleQueue
from typing import Any, NamedTuple

from keyframe_llm.library.batch import BatchOptions, Row, Task, failed_row
from keyframe_llm.video.cores import CORES_VARIABLE

__all__ = ["Limits", "Worker"]

_PROGRAM = (
    "import sys; memory, limit, *sys.path = sys.argv[1:]\n"
    "from keyframe_llm.library.batch_child import main; main(int(memory), int(limit))"
)
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
        self._process: subprocess.Popen[bytes] | None = None
        self._replies: SimpleQueue[tuple[str, Any]] = SimpleQueue()
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
            process.kill()
            process.wait()
            if process.stdin is not None:
                with suppress(OSError):
                    process.stdin.close()

    def _reply(self, task: Task) -> tuple[str, Any]:
        if self._process is None or self._process.poll() is not None or self._started_with != self.limits:
            self._start()
        self._send(task)
        try:
            reply = self._replies.get(timeout=self._started_with.seconds)
        except Empty:
            reply = ("late", None)
        if reply[0] in ("late", "ended"):
            self._end()
        return reply

    def _start(self) -> None:
        self._end()
        self._replies = SimpleQueue()
        self._started_with = limits = self.limits
        environment = {**os.environ, **dict.fromkeys(_THREAD_VARIABLES, str(limits.threads))}
        if limits.cuda_device is not None:
            environment["CUDA_VISIBLE_DEVICES"] = limits.cuda_device
        self._process = process = subprocess.Popen(
            [
                sys.executable,
                "-c",
                _PROGRAM,
                str(limits.memory_bytes),
                str(limits.seconds),
                *filter(None, sys.path),
            ],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env=environment,
            start_new_session=True,  # an interrupt is for the program, which then ends this process
        )
        self._send(self._options)
        threading.Thread(target=_read_replies, args=(process, self._replies), daemon=True).start()

    def _send(self, message: object) -> None:
        process = self._process
        if process is None or process.stdin is None:
            return
        with suppress(OSError, ValueError):  # the reply says that it has ended
            pickle.dump(message, process.stdin)
            process.stdin.flush()


def _read_replies(process: subprocess.Popen[bytes], replies: SimpleQueue[tuple[str, Any]]) -> None:
    assert process.stdout is not None
    with process.stdout as output:
        while True:
            try:
                replies.put(pickle.load(output))
            except (EOFError, pickle.UnpicklingError):
                replies.put(("ended", process.wait()))
                return
