"""What an agent's calls about one video cost, one after the other: processor seconds, and frames read.

    python benchmarks/agent_calls.py ten.mp4

The tools run in this process, with the embedded models and an empty cache. Processes that decode count too.
"""

from __future__ import annotations

import argparse
import os
import resource
import tempfile
import time
from pathlib import Path
from typing import Any

from measuring import table

from keyframe_llm.tools import Toolbox
from keyframe_llm.tools.times import format_time

PART = {"start_seconds": 120, "end_seconds": 200}
INSIDE = {"start_seconds": 140, "end_seconds": 160}
CALLS: list[tuple[str, dict[str, Any]]] = [
    ("describe_video", {}),
    ("select_keyframes", {"query": "a man walks", "include_images": False}),
    ("ask_video", {"question": "What does the man do?"}),
    ("select_keyframes", {"query": "a dog", "include_images": False, **PART}),
    ("describe_video", PART),
    ("select_keyframes", {"query": "a dog", "include_images": False, **INSIDE}),
]
ALONE = [CALLS[3]]


def processor_seconds() -> float:
    """Processor time of this process and its children, those that have ended and those that live."""
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    ended = sum(one.ru_utime + one.ru_stime for one in used)
    return ended + sum(_seconds(path) for path in Path("/proc").glob("[0-9]*/stat"))


def _seconds(stat: Path) -> float:
    """Processor time of a living child of this process; 0 for others."""
    try:
        fields = stat.read_text(encoding="utf-8", errors="replace").rpartition(")")[2].split()
    except OSError:  # it has ended
        return 0.0
    if int(fields[1]) != os.getpid():
        return 0.0
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def cost(tools: Toolbox, name: str, arguments: dict[str, Any]) -> tuple[float, float, int]:
    """Processor seconds and seconds of a call, and how many frames were sampled for it."""
    frames: list[float] = []

    def hear(stage: str, share: float) -> None:
        if stage == "decode":
            frames.append(share)

    began, used = time.perf_counter(), processor_seconds()
    tools.wait(*tools.start(name, arguments, hear))
    return processor_seconds() - used, time.perf_counter() - began, max(0, len(frames) - 1)


def rows(video: Path, calls: list[tuple[str, dict[str, Any]]], before: str) -> list[list[object]]:
    """Make some calls, with nothing read before them."""
    made: list[list[object]] = []
    with tempfile.TemporaryDirectory() as cache:
        os.environ["KEYFRAME_LLM_CACHE"] = cache
        with Toolbox("cartoon", roots=[video.parent]) as tools:
            for name, arguments in calls:
                spent, seconds, frames = cost(tools, name, {"video": video.name, **arguments})
                window = [arguments[key] for key in ("start_seconds", "end_seconds") if key in arguments]
                part = " to ".join(map(format_time, window)) or "all"
                made.append([f"`{name}`", part, before, f"{spent:.1f}", f"{seconds:.1f}", frames])
                before = "the calls above"
    return made


def main() -> None:
    """Print a table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("video", type=Path)
    video: Path = parser.parse_args().video.resolve()
    made = [*rows(video, CALLS, "nothing"), *rows(video, ALONE, "nothing")]
    print(table(["call", "part", "after", "CPU s", "s", "frames read"], made))


if __name__ == "__main__":
    main()
