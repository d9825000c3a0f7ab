"""Asking the encoder while the video is decoded: whatever is certain to be needed of it.

That takes one thread, which ends with the block that began it, however that ends. No two threads ask the
encoder at once.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextvars import copy_context
from itertools import islice
from queue import SimpleQueue
from types import TracebackType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from keyframe_llm.encoders.base import Images
from keyframe_llm.jpeg import decode_jpeg

__all__ = ["BATCH", "Prefetch"]

BATCH = 32
"""Pictures embedded at once; the encoders' own batch, so that the rows are those of a single call."""

Rows = NDArray[Any]


class Prefetch:
    """A thread that takes some steps and then embeds the pictures it is given; none where there is no work.

    To be used as a context manager. When its block is left the thread has ended, at the latest after the step
    or the batch it is at.
    """

    def __init__(
        self, steps: Sequence[Callable[[], object]], embed: Callable[[Images], Rows] | None = None
    ) -> None:
        self._steps, self._embed = steps, embed
        self._queue: SimpleQueue[tuple[float, bytes] | None] = SimpleQueue()
        self._cancelled = False
        self._pool = ThreadPoolExecutor(1, thread_name_prefix="embed")
        self._work: Future[tuple[list[float], Rows] | None] | None = None

    def add(self, second: float, picture: bytes | None) -> None:
        """Give it a sample, as JPEG, in time order; raises what the thread has raised."""
        if self._work is not None and self._work.done():
            self._work.result()
        if self._embed is not None and picture is not None:
            self._queue.put((second, picture))

    def rows(self, seconds: NDArray[np.float64]) -> Rows | None:
        """Wait for the thread; (N, D) the rows of the samples of these seconds, where it was to embed them.

        Raises what the thread has raised.
        """
        self._queue.put(None)
        embedded = self._work.result() if self._work is not None else None
        if embedded is None:
            return None
        given, rows = embedded
        return rows if np.array_equal(given, seconds) else rows[np.searchsorted(given, seconds)]

    def __enter__(self) -> Prefetch:
        if self._steps or self._embed is not None:
            self._work = self._pool.submit(copy_context().run, self._run)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._cancelled = True
        self._queue.put(None)
        self._pool.shutdown(wait=True)

    def _run(self) -> tuple[list[float], Rows] | None:
        for step in self._steps:
            if self._cancelled:
                return None
            step()
        if self._embed is None:
            return None
        seconds: list[float] = []
        rows: list[Rows] = []
        samples = iter(self._queue.get, None)
        while (batch := list(islice(samples, BATCH))) and not self._cancelled:
            seconds += [second for second, _ in batch]
            rows.append(np.asarray(self._embed([decode_jpeg(picture) for _, picture in batch])))
        return (seconds, np.concatenate(rows)) if rows else None
