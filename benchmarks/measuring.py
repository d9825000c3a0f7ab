"""Running commands and seeing what they cost: wall-clock time, processor time and memory."""

from __future__ import annotations

import contextlib
import math
import os
import platform
import subprocess
import sys
import threading
import time
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

__all__ = ["Claims", "Cost", "machine", "measured", "one_line", "table"]


class Cost(NamedTuple):
    """What one run of a command cost, its children included."""

    wall_seconds: float
    cpu_seconds: float
    peak_mb: float
    """The largest resident set of the command or of any one child; several at once are not added up."""


class Claims:
    """What was claimed and seen."""

    def __init__(self) -> None:
        self.false = 0

    def __call__(self, claim: str, holds: bool, seen: object) -> None:
        """Print one claim, and count it where it does not hold."""
        self.false += not holds
        print(f"{'ok   ' if holds else 'FALSE'} {claim}: {seen}", flush=True)


def measured(
    command: Sequence[str], *, folder: Path | None = None, out: Path | None = None, timeout: float = math.inf
) -> Cost:
    """Run a command to its end; raises `RuntimeError` with its last words where it fails.

    What it prints goes to `out`, where that is given. Raises `TimeoutError` after `timeout` seconds.
    """
    log = (folder or Path.cwd()) / ".benchmark.log"
    with log.open("wb") as errors, out.open("wb") if out else contextlib.nullcontext(errors) as printed:
        began = time.perf_counter()
        process = subprocess.Popen(command, stdout=printed, stderr=errors, cwd=folder)
        late = threading.Event()
        timer = _kill_after(timeout, process, late)
        _, status, used = os.wait4(process.pid, 0)
        timer.cancel()
        wall = time.perf_counter() - began
        process.returncode = os.waitstatus_to_exitcode(status)
    said = log.read_text(encoding="utf-8", errors="replace")
    log.unlink()
    if late.is_set():
        raise TimeoutError(f"{command[0]} took longer than the {max(0.0, timeout):.0f} s that were left")
    if process.returncode:
        raise RuntimeError(f"{command[0]} failed: {one_line(said)}")
    scale = 1 if sys.platform == "darwin" else 1024  # bytes there, kilobytes elsewhere
    return Cost(wall, used.ru_utime + used.ru_stime, used.ru_maxrss * scale / 1e6)


def _kill_after(seconds: float, process: subprocess.Popen[bytes], late: threading.Event) -> threading.Timer:
    def kill() -> None:
        late.set()
        process.kill()

    timer = threading.Timer(min(max(0.0, seconds), threading.TIMEOUT_MAX), kill)
    timer.daemon = True
    timer.start()
    return timer


def one_line(said: str) -> str:
    """The last line that was said."""
    lines = [line.strip() for line in said.splitlines() if line.strip()]
    return lines[-1][:200] if lines else "it said nothing"


def machine() -> str:
    """Processor, cores and versions, in one line."""
    name = platform.processor() or platform.machine()
    info = Path("/proc/cpuinfo")
    if info.exists():
        models = [line.split(":", 1)[1] for line in info.read_text().splitlines() if "model name" in line]
        name = models[0].strip() if models else name
    return (
        f"{name}, {len(os.sched_getaffinity(0))} cores; Python {platform.python_version()}, {_ffmpeg()}, "
        f"{platform.system()} {platform.release()}"
    )


def _ffmpeg() -> str:
    try:
        printed = subprocess.run(["ffmpeg", "-version"], capture_output=True, text=True, check=True).stdout
    except FileNotFoundError:
        return "no ffmpeg"
    return " ".join(printed.split()[:3])


def table(head: Sequence[str], rows: Sequence[Sequence[object]]) -> str:
    """A Markdown table."""
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join("| " + " | ".join(str(cell) for cell in line) + " |" for line in lines)
