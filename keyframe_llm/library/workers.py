"""Works through the videos of a batch on this machine: as many processes as its cores and memory hold."""

from __future__ import annotations

import os
import pickle
import subprocess
import sys
import threading
from collections.abc import Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from queue import Empty, SimpleQueue
from typing import Any, NamedTuple

from keyframe_llm.library.batch import BatchOptions, Row, Task, failed_row
from keyframe_llm.library.results import Results
from keyframe_llm.video.cores import available_cores

__all__ = ["Limits", "Worker", "default_workers", "run_locally"]

_WORKER_BYTES = 2 << 30  # an encoder with its library, and the frames of a video
_PROGRAM = (
    "import sys; memory, limit, *sys.path = sys.argv[1:]\n"
    "from keyframe_llm.library.batch_child import main; main(int(memory), int(limit))"
)


class Limits(NamedTuple):
    """What one worker may take."""

    seconds: int = 3600
    """For one video."""
    memory_bytes: int = 0
    """0: no limit."""
    threads: int = 1
    """Of the libraries that compute."""


class Worker:
    """One process, started at the first video and reused; a video that ends it costs one row."""

    def __init__(self, options: BatchOptions, limits: Limits) -> None:
        self._options, self._limits = options, limits
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
                    task, f"it took longer than {self._limits.seconds} s; use a shorter part, or more time"
                )
        return failed_row(
            task, f"it ended the process that read it, twice (status {value}); it is damaged, or too large"
        )

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
        if self._process is None or self._process.poll() is not None:
            self._start()
        self._send(task)
        try:
            reply = self._replies.get(timeout=self._limits.seconds)
        except Empty:
            reply = ("late", None)
        if reply[0] in ("late", "ended"):
            self._end()
        return reply

    def _start(self) -> None:
        self._end()
        self._replies = SimpleQueue()
        memory, seconds, threads = self._limits.memory_bytes, self._limits.seconds, self._limits.threads
        names = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")
        self._process = process = subprocess.Popen(
            [sys.executable, "-c", _PROGRAM, str(memory), str(seconds), *filter(None, sys.path)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env={**os.environ, **dict.fromkeys(names, str(threads))},
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


def default_workers() -> int:
    """How many workers the cores and the free memory of this machine hold, at least 1."""
    return max(1, min(available_cores(), (free_bytes() or sys.maxsize) // _WORKER_BYTES))


def free_bytes() -> int | None:
    """The memory that is free for programs; None where the system does not say."""
    with suppress(OSError):
        for line in Path("/proc/meminfo").read_text().splitlines():
            if line.startswith("MemAvailable:"):
                return int(line.split()[1]) * 1024
    return None


def run_locally(
    tasks: Sequence[Task], options: BatchOptions, results: Results, limits: Limits, workers: int
) -> Iterator[Row]:
    """Do all tasks, write each row, and give its columns `key`, `video` and `error` as it is written.

    A worker takes a video only when it is free. Raises `ModelError`, and `OptionsError` on a full disk.
    """
    waiting, done = iter(tasks), SimpleQueue[Row | BaseException | None]()
    lock, stopped = threading.Lock(), threading.Event()
    crew = [Worker(options, limits) for _ in range(min(workers, len(tasks)))]

    def work(worker: Worker) -> None:
        try:
            while not stopped.is_set():
                with lock:
                    task = next(waiting, None)
                if task is None:
                    break
                row = worker.row(task)
                if stopped.is_set():
                    break  # the row may only say that the worker was ended
                results.write(row)
                done.put({name: row[name] for name in ("key", "video", "error")})
            done.put(None)
        except BaseException as error:
            done.put(error)

    threads = [threading.Thread(target=work, args=(worker,), daemon=True) for worker in crew]
    try:
        for thread in threads:
            thread.start()
        busy = len(threads)
        while busy:
            reply = done.get()
            if isinstance(reply, BaseException):
                raise reply
            if reply is None:
                busy -= 1
            else:
                yield reply
    finally:
        stopped.set()
        for worker in crew:
            worker.close()
        for thread in threads:
            if thread.ident is not None:
                thread.join(timeout=10)
