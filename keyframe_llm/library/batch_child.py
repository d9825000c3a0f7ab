"""The process that works on the videos of a batch, one after the other, in bounded memory.

Standard input brings the options, then tasks; standard output takes rows; both are pickled.
"""

from __future__ import annotations

import os
import pickle
import signal
import sys
import threading
from queue import SimpleQueue
from typing import BinaryIO

from keyframe_llm.errors import ModelError
from keyframe_llm.library.batch import BatchOptions, Task, video_row

__all__ = ["main"]

_GRACE_SECONDS = 60


def main(memory_bytes: int, limit_seconds: int) -> None:
    """Serve until the other side closes the pipe, also in the middle of a video."""
    requests, results = os.fdopen(os.dup(0), "rb"), os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # whatever a library prints must not come between
    if memory_bytes and sys.platform != "win32":
        import resource

        kind = resource.RLIMIT_DATA if sys.platform == "linux" else resource.RLIMIT_AS
        resource.setrlimit(kind, (memory_bytes, memory_bytes))
    options: BatchOptions = pickle.load(requests)
    tasks: SimpleQueue[Task] = SimpleQueue()
    threading.Thread(target=_receive, args=(requests, tasks), daemon=True).start()
    while True:
        task = tasks.get()
        if hasattr(signal, "alarm"):  # should the other side be gone and a library hold this process
            signal.alarm(limit_seconds + _GRACE_SECONDS)
        reply: tuple[str, object]
        try:
            reply = ("row", video_row(task, options))
        except ModelError as error:
            reply = ("stop", error)
        pickle.dump(reply, results, protocol=pickle.HIGHEST_PROTOCOL)
        results.flush()


def _receive(requests: BinaryIO, tasks: SimpleQueue[Task]) -> None:
    try:
        while True:
            tasks.put(pickle.load(requests))
    except (EOFError, pickle.UnpicklingError):
        os._exit(0)
