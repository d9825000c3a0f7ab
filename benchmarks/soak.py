"""Soak: one process makes mixed calls about good, odd and broken files for as long as is asked.

    python benchmarks/soak.py FOLDER... --minutes 60

It prints what the process holds after each tenth of the time and at the end: resident memory in MiB, open
file descriptors, threads, and entries in its folder of temporary files. They should stay about the same.
Memory that the allocator keeps for later is given back before it is measured, where the C library can do so.
"""

from __future__ import annotations

import argparse
import ctypes
import os
import random
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

from hostile_files import files_of, mutated

from keyframe_llm import KeyframeLLM, index_video, select_keyframes
from keyframe_llm.errors import KeyframeError

_TEXTS = ("a man walks", "a dog runs on the grass", "a red car")
_LABELS = ["walking", "reading", "jumping"]
_LARGEST_MUTATED = 1_500_000


def calls(llm: KeyframeLLM, folder: Path) -> list[Callable[[Path, random.Random], Any]]:
    """What is called, each with a video and chance."""

    def saved(video: Path, chance: random.Random) -> None:
        select_keyframes(video, max_frames=chance.randint(1, 8)).save(folder / "saved")

    def indexed(video: Path, chance: random.Random) -> None:
        index = index_video(video, encoder="cartoon", fps=chance.choice([None, 1.0]))
        for text in _TEXTS:
            index.select(text, max_frames=chance.randint(1, 4)).to_messages("What is it?", "openai")

    def changed(video: Path, chance: random.Random) -> None:
        copy = folder / f"changed{video.suffix}"
        data = video.read_bytes()[:_LARGEST_MUTATED]
        copy.write_bytes(mutated(data, chance) if data else data)
        select_keyframes(copy)

    return [
        saved,
        indexed,
        changed,
        lambda video, chance: select_keyframes(video, question=chance.choice(_TEXTS), encoder="cartoon"),
        lambda video, chance: select_keyframes(video, cache=False, start_seconds=chance.uniform(0, 20)),
        lambda video, chance: llm.ask(video, "What does he do?", max_new_tokens=4),
        lambda video, chance: llm.classify(video, _LABELS),
        lambda video, chance: llm.caption(video),
    ]


def held(temporary: Path) -> dict[str, int]:
    """What this process holds."""
    with suppress(OSError, AttributeError):
        ctypes.CDLL("libc.so.6").malloc_trim(0)
    lines = Path("/proc/self/status").read_text(encoding="ascii").splitlines()
    resident = next(line.split()[1] for line in lines if line.startswith("VmRSS"))
    return {
        "MiB": int(resident) // 1024,
        "descriptors": len(list(Path("/proc/self/fd").iterdir())),
        "threads": threading.active_count(),
        "temporary entries": len(list(temporary.iterdir())),
    }


def main() -> None:
    """Call until the time is over, and print what is held."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("folders", nargs="+", type=Path)
    parser.add_argument("--minutes", type=float, default=60.0)
    parser.add_argument("--seed", type=int, default=1)
    args = parser.parse_args()
    files, chance, outcomes = files_of(args.folders), random.Random(args.seed), Counter[str]()
    with tempfile.TemporaryDirectory() as name:
        folder, temporary = Path(name), Path(name) / "tmp"
        temporary.mkdir()
        tempfile.tempdir = str(temporary)
        os.environ["KEYFRAME_LLM_CACHE"] = str(folder / "cache")
        llm = KeyframeLLM("cartoon", encoder="cartoon")
        kinds, began, shown = calls(llm, folder), time.monotonic(), 0
        while (minutes := (time.monotonic() - began) / 60) < args.minutes:
            try:
                chance.choice(kinds)(chance.choice(files), chance)
                outcomes["answers"] += 1
            except KeyframeError:
                outcomes["errors in one line"] += 1
            if minutes * 10 >= args.minutes * (shown + 1):
                shown += 1
                print(f"{minutes:.1f} min: {held(temporary)} {dict(outcomes)}", flush=True)
        print(f"end: {held(temporary)} {dict(outcomes)}")


if __name__ == "__main__":
    main()
