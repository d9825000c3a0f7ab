"""Reading a video on a device beside the processor: the same proposals with no text, in one run.

    python benchmarks/hardware.py FILE... --device cuda

Each file is read by turns; the figures are medians. The pictures of both are compared as well.
"""

from __future__ import annotations

import argparse
import os
import statistics
import time
from pathlib import Path

import numpy as np
from measuring import machine, table

from keyframe_llm import KeyframeError, KeyframeLLM, SelectOptions
from keyframe_llm.data import Frames
from keyframe_llm.options import DecodeOptions

__all__ = ["main"]


def main() -> None:
    """Measure and print a line for each file."""
    parser = argparse.ArgumentParser(description="Compare decoding on a device with decoding in software.")
    parser.add_argument("files", nargs="+", type=Path)
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--repeat", type=int, default=3)
    asked = parser.parse_args()
    print(f"{machine()}\n")
    rows = [row(path, asked.device, asked.repeat) for path in asked.files]
    head = ("file", "processor s", "busy s", f"{asked.device} s", "busy s", "pictures differ by")
    print(table(head, rows))


def row(path: Path, device: str, repeat: int) -> tuple[object, ...]:
    """Wall and processor seconds of both ways, and the mean difference of the pictures they keep (0–255)."""
    ways: dict[str | None, list[tuple[float, float]]] = {None: [], device: []}
    kept: dict[str | None, Frames] = {}
    try:
        for _ in range(repeat):
            for hardware, took in ways.items():
                began, busy = time.perf_counter(), sum(os.times()[:2])
                kept[hardware] = chosen(path, hardware)
                took.append((time.perf_counter() - began, sum(os.times()[:2]) - busy))
    except KeyframeError as error:
        return (path.name, str(error), "", "", "", "")
    figures = [f"{statistics.median(side):.2f}" for took in ways.values() for side in zip(*took, strict=True)]
    return (path.name, *figures, _difference(*kept.values()))


def chosen(path: Path, hardware: str | None) -> Frames:
    """The frames that represent the video."""
    options = SelectOptions(max_frames=3, decode=DecodeOptions(hardware=hardware))
    return KeyframeLLM(options=options, cache=False).select(path).frames


def _difference(first: Frames, second: Frames) -> str:
    if not np.array_equal(first.seconds, second.seconds):
        return f"other frames: {first.seconds.round(2).tolist()} and {second.seconds.round(2).tolist()}"
    return f"{np.abs(first.images.astype(np.int16) - second.images).mean():.2f}"


if __name__ == "__main__":
    main()
