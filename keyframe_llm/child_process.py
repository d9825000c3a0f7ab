"""A Python process of its own that takes and sends pickled objects, for work that may crash or hang."""

from __future__ import annotations

import os
import pickle
import subprocess
import sys
import threading
import weakref
from collections.abc import Mapping, Sequence
from contextlib import suppress
from queue import SimpleQueue
from typing import Any

__all__ = ["ChildProcess"]

# The folders of modules are those of this process, but never the current one: it may hold files of strangers.
_PROGRAM = (
    "import sys; _, count, *rest = sys.argv; numbers, sys.path = rest[: int(count)], rest[int(count) :]\n"
    "from {module} import main; main(*map(int, numbers))"
)


class ChildProcess:
    """Runs `main(*numbers)` of a module, with the two ends of a pipe as its standard input and output.

    It is ended when nothing refers to it any more, and with this process.
    """

    def __init__(
        self,
        module: str,
        numbers: Sequence[int],
        environment: Mapping[str, str],
        *,
        new_session: bool = False,
    ) -> None:
        """`environment` is added to that of this process. Of a new session, no interrupt reaches it."""
        folders = filter(None, sys.path)
        self._process = process = subprocess.Popen(
            [
                sys.executable,
                "-c",
                _PROGRAM.format(module=module),
                str(len(numbers)),
                *map(str, numbers),
                *folders,
            ],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env={**os.environ, **environment},
            start_new_session=new_session,
        )
        self.end = weakref.finalize(self, _end, process)
        """Ends it, whatever it does."""
        self.replies: SimpleQueue[tuple[str, Any]] = SimpleQueue()
        """What it sends: a kind and a value; at its end `("ended", status)`."""
        arguments = (process, self.replies)
        threading.Thread(target=_read_replies, args=arguments, name="child-replies", daemon=True).start()

    @property
    def alive(self) -> bool:
        """Whether it can be sent anything."""
        return self._process.poll() is None

    @property
    def pid(self) -> int:
        """Its process id."""
        return self._process.pid

    def send(self, message: object) -> None:
        """Send an object; where it has ended, its replies say so."""
        assert self._process.stdin is not None
        with suppress(OSError, ValueError):
            pickle.dump(message, self._process.stdin)
            self._process.stdin.flush()


def _end(process: subprocess.Popen[bytes]) -> None:
    process.kill()
    process.wait()
    if process.stdin is not None:
        with suppress(OSError):
            process.stdin.close()


def _read_replies(process: subprocess.Popen[bytes], replies: SimpleQueue[tuple[str, Any]]) -> None:
    """Hand on what a process sends, until it ends."""
    assert process.stdout is not None
    with process.stdout as output:
        while True:
            try:
                replies.put(pickle.load(output))
            except (EOFError, pickle.UnpicklingError):
                replies.put(("ended", process.wait()))
                return
