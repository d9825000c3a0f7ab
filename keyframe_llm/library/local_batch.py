"""A batch on this machine: as many worker processes as its cores, graphics processors and memory hold."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from queue import Empty, SimpleQueue

from keyframe_llm.library.batch import BatchOptions, Row, Task
from keyframe_llm.library.capacity import cuda_devices, fitting, free_bytes, share, usable_cores
from keyframe_llm.library.results import Results
from keyframe_llm.library.workers import Limits, Worker

__all__ = ["run_locally"]

_PATIENCE_SECONDS = 120
"""So long the first video may take before more workers are started all the same."""


def run_locally(
    tasks: Sequence[Task],
    options: BatchOptions,
    results: Results,
    *,
    seconds: int,
    memory_bytes: int | None = None,
    workers: int | None = None,
) -> Iterator[Row]:
    """Do all tasks, write each row, and give its columns `key`, `video` and `error` as it is written.

    A worker takes a video only when it is free. Without `workers`, one for each CUDA device where models are
    used, else as many as fit (see `capacity`). Without `memory_bytes` each has its share of what is free; 0
    is no limit. Raises `ModelError`, and `OptionsError` on a full disk.
    """
    with_models = options.model is not None or bool(options.labels) or any(map(_has_text, tasks))
    devices = cuda_devices() if with_models and options.device in (None, "cuda") else []
    if devices and workers is None:
        workers = len(devices)
    # Those with a text first: they load the models, whose size says how many workers fit.
    crew = _Crew(sorted(tasks, key=lambda task: not _has_text(task)), options, results)
    plan = _Plan(seconds, memory_bytes, devices)
    try:
        for number in range(min(workers or 1, len(tasks))):
            crew.start(plan.limits(number, workers or 1))
        yield from crew.rows(None if workers is not None else plan)
    finally:
        crew.close()


def _has_text(task: Task) -> bool:
    return task.caption is not None or task.question is not None


class _Plan:
    """How the machine is divided among workers."""

    def __init__(self, seconds: int, memory_bytes: int | None, devices: Sequence[str]) -> None:
        self._seconds, self._memory_bytes, self._devices = seconds, memory_bytes, devices
        self._free, self._cores = free_bytes(), usable_cores()

    def workers(self, resident: int) -> int:
        """How many fit, where one takes `resident` bytes."""
        return fitting(self._free, resident, self._cores)

    def limits(self, number: int, workers: int) -> Limits:
        """Of one of so many workers."""
        device = self._devices[number % len(self._devices)] if self._devices else None
        memory = self._memory_bytes
        if memory is None:  # a CUDA driver reserves many times what it uses
            memory = 0 if device is not None else share(self._free, workers)
        return Limits(self._seconds, memory, max(1, self._cores // workers), device)


class _Crew:
    """Workers that take tasks from one list, each driven by a thread."""

    def __init__(self, tasks: Sequence[Task], options: BatchOptions, results: Results) -> None:
        self._left, self._waiting = len(tasks), iter(tasks)
        self._options, self._results = options, results
        self._done: SimpleQueue[Row | BaseException | None] = SimpleQueue()
        self._lock, self._stopped = threading.Lock(), threading.Event()
        self._workers: list[Worker] = []
        self._threads: list[threading.Thread] = []

    def start(self, limits: Limits) -> None:
        """One more worker."""
        worker = Worker(self._options, limits)
        thread = threading.Thread(target=self._work, args=(worker,), daemon=True)
        self._workers.append(worker)
        self._threads.append(thread)
        thread.start()

    def rows(self, plan: _Plan | None) -> Iterator[Row]:
        """What is done, as it is done; a plan says how many workers there are to be after the first video."""
        busy = len(self._threads)
        while busy:
            try:
                reply = self._done.get(timeout=None if plan is None else _PATIENCE_SECONDS)
            except Empty:
                reply = {}
            if isinstance(reply, BaseException):
                raise reply
            if reply is None:
                busy -= 1
                continue
            self._left -= bool(reply)
            if plan is not None and (resident := self._workers[0].resident_bytes()):
                busy += self._grow(plan, resident)
                plan = None
            if reply:
                yield reply

    def _grow(self, plan: _Plan, resident: int) -> int:
        """Start the other workers; returns how many."""
        count = min(plan.workers(resident), max(1, self._left))
        if count > 1:
            self._workers[0].limits = plan.limits(0, count)
        for number in range(1, count):
            self.start(plan.limits(number, count))
        return count - 1

    def close(self) -> None:
        """End all workers, whatever they do."""
        self._stopped.set()
        for worker in self._workers:
            worker.close()
        for thread in self._threads:
            thread.join(timeout=10)

    def _work(self, worker: Worker) -> None:
        try:
            while not self._stopped.is_set():
                with self._lock:
                    task = next(self._waiting, None)
                if task is None:
                    break
                row = worker.row(task)
                if self._stopped.is_set():
                    break  # the row may only say that the worker was ended
                self._results.write(row)
                self._done.put({name: row[name] for name in ("key", "video", "error")})
            self._done.put(None)
        except BaseException as error:
            self._done.put(error)
