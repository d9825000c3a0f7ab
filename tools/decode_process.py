"""Runs functions on files of strangers in a process of its own, whose memory the operating system bounds.

A file that makes a decoder crash, hang or take all memory costs that process alone.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Generator
from queue import Empty
from typing import Any, ParamSpec, TypeVar

from keyframe_llm.child_process import ChildProcess
from keyframe_llm.errors import VideoError
from keyframe_llm.tools.jobs import check_current_job

__all__ = ["DecodePool", "DecodeProcess"]

P = ParamSpec("P")
T = TypeVar("T")
_CHECK_SECONDS = 0.05
_ONE_THREAD = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1")


class DecodeProcess:
    """One process, started at the first call and reused. One thread at a time may call it."""

    def __init__(self, memory_bytes: int) -> None:
        self._memory_bytes = memory_bytes
        self._process: ChildProcess | None = None

    @property
    def alive(self) -> bool:
        """Whether it can take a call without being started again."""
        return self._process is not None and self._process.alive

    def call(self, name: str, function: Callable[P, T], *args: P.args, **_: P.kwargs) -> T:
        """What a function of a module returns there; errors call the file `name`.

        Raises `VideoError`, also where the process needs too much memory or ends, and `ToolError` where the
        job of this thread is to end: then the process is killed.
        """
        self._ask(function, args)
        result: T = self._result(name, self._reply())
        return result

    def stream(
        self, name: str, function: Callable[..., Generator[T, None, Any]], *args: Any
    ) -> Generator[T, None, Any]:
        """The items of a generator function, and what it returns; as `call`."""
        self._ask(function, args)
        while (reply := self._reply())[0] == "item":
            try:
                yield reply[1]
            except GeneratorExit:
                while reply[0] == "item":
                    self._send(False)
                    reply = self._reply()
                raise
            self._send(True)
        return self._result(name, reply)

    def kill(self) -> None:
        """End the process, whatever it does."""
        if self._process is not None:
            self._process.end()
        self._process = None

    def _ask(self, function: Callable[..., Any], arguments: tuple[Any, ...]) -> None:
        if not self.alive:
            self.kill()
            self._process = ChildProcess("keyframe_llm.tools.decode_child", [self._memory_bytes], _ONE_THREAD)
        self._send((function, arguments))

    def _send(self, message: object) -> None:
        assert self._process is not None
        self._process.send(message)

    def _reply(self) -> tuple[str, Any]:
        assert self._process is not None
        try:
            while True:
                try:
                    return self._process.replies.get(timeout=_CHECK_SECONDS)
                except Empty:
                    check_current_job()
        except BaseException:
            self.kill()
            raise

    def _result(self, name: str, reply: tuple[str, Any]) -> Any:
        kind, value = reply
        if kind == "result":
            return value
        if kind == "error":
            raise value
        self.kill()
        if kind == "memory":
            raise VideoError(
                f"{name} takes more than the {self._memory_bytes >> 20:,} MiB of memory allowed to read a "
                "video; use a smaller copy"
            )
        raise VideoError(
            f"{name} ended the process that read it (status {value}); it is damaged, or made to do harm"
        )


class DecodePool:
    """Processes for as many videos as are open at once; a few that are idle are kept for the next ones."""

    def __init__(self, memory_bytes: int, most_idle: int) -> None:
        self._memory_bytes, self._most_idle = memory_bytes, most_idle
        self._idle: list[DecodeProcess] = []
        self._lock = threading.Lock()

    def call(self, name: str, function: Callable[P, T], *args: P.args, **named: P.kwargs) -> T:
        """See `DecodeProcess.call`."""
        process = self.take()
        try:
            return process.call(name, function, *args, **named)
        finally:
            self.give_back(process)

    def take(self) -> DecodeProcess:
        """A process for one video, to be given back."""
        with self._lock:
            return self._idle.pop() if self._idle else DecodeProcess(self._memory_bytes)

    def give_back(self, process: DecodeProcess) -> None:
        """Keep a process that lives for the next video."""
        with self._lock:
            if process.alive and len(self._idle) < self._most_idle:
                self._idle.append(process)
                return
        process.kill()

    def close(self) -> None:
        """End the idle processes; those at work end with their jobs."""
        with self._lock:
            idle, self._idle, self._most_idle = self._idle, [], 0
        for process in idle:
            process.kill()
