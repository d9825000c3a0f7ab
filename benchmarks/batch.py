"""What a batch costs beside a plain loop over `select`, and whether its memory stays flat.

    python benchmarks/make_video.py CLIPS VIDEOS/1.mp4 --minutes 1 --seed 1     # and more of them, in 720p
    python benchmarks/batch.py VIDEOS
    python benchmarks/batch.py VIDEOS --text "Who eats?"      # chosen for a text, with the embedded encoder
    python benchmarks/batch.py --many 200,2000                # memory with so many short videos

Every way runs as a whole process, in turn, `--repeat` times; the median counts.
"""

from __future__ import annotations

import argparse
import shutil
import statistics
import struct
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

import psutil
from batch_runs import command
from measuring import Cost, machine, measured, table

from keyframe_llm.demos.videos import demo_video

__all__ = ["main"]

PROGRAM = str(Path(sys.executable).with_name("keyframe-llm"))
ENCODER = "cartoon"
LOOP = """
import sys
from keyframe_llm import KeyframeLLM
text, *videos = sys.argv[1:]
llm = KeyframeLLM(encoder="cartoon", cache=False)
for video in videos:
    llm.select(video, question=text or None, generate_caption=False)
"""


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description="Measure a batch.")
    parser.add_argument("videos", type=Path, nargs="?", help="a folder of videos")
    parser.add_argument("--text", default="", help="choose key frames for this question")
    parser.add_argument("--repeat", type=int, default=3, help="runs of each way (default 3)")
    parser.add_argument("--many", default="", metavar="N,M,…", help="measure memory with so many videos")
    arguments = parser.parse_args()
    print(f"{machine()}\n")
    with tempfile.TemporaryDirectory() as folder:
        if arguments.videos is not None:
            speed(arguments.videos.resolve(), arguments.text, arguments.repeat, Path(folder))
        if arguments.many:
            memory([int(count) for count in arguments.many.split(",")], Path(folder))


def speed(videos: Path, text: str, repeat: int, folder: Path) -> None:
    """Print what each way costs, and what it leaves on disk."""
    where, out, paths = [videos], folder / "rows", sorted(map(str, videos.iterdir()))
    more = ["--question", text, "--encoder", ENCODER] if text else []
    ways = {
        "a loop over select": [sys.executable, "-c", LOOP, text, *paths],
        "batch, one process": command(PROGRAM, where, out, *more, "--workers", 1),
        "batch, two processes": command(PROGRAM, where, out, *more, "--workers", 2),
    }
    costs: dict[str, list[Cost]] = {name: [] for name in ways}
    for _ in range(repeat):
        for name, arguments in ways.items():
            shutil.rmtree(out, ignore_errors=True)
            costs[name].append(measured(arguments, folder=folder))
    base = statistics.median(cost.wall_seconds for cost in costs["a loop over select"])
    print(
        table(
            ("", "wall s", "cpu s", "an hour", "an hour and core", "to the loop"),
            _lines(costs, len(paths), base),
        )
    )
    print(f"\na row: {size(out) / len(paths) / 1000:.1f} kB; ", end="")
    shutil.rmtree(out)
    measured(command(PROGRAM, where, out, *more, "--jpeg"), folder=folder)
    print(f"with its key frames as JPEG {size(out) / len(paths) / 1000:.0f} kB\n")


def _lines(costs: dict[str, list[Cost]], count: int, base: float) -> list[tuple[object, ...]]:
    lines: list[tuple[object, ...]] = []
    for name, runs in costs.items():
        wall = statistics.median(cost.wall_seconds for cost in runs)
        spent = statistics.median(cost.cpu_seconds for cost in runs)
        an_hour, a_core = (f"{count * 3600 / seconds:,.0f}" for seconds in (wall, spent))
        lines.append((name, f"{wall:.1f}", f"{spent:.1f}", an_hour, a_core, f"{base / wall:.2f}×"))
    return lines


def size(folder: Path) -> int:
    """The bytes of all files in a folder."""
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


def memory(counts: Sequence[int], folder: Path) -> None:
    """Print how much memory `batch` and `index` take with so many short videos of different content."""
    clip = demo_video("one_walk.mp4").read_bytes()
    print("|  | videos | program, peak MB | worker, peak MB |\n| --- | --- | --- | --- |")
    for count in counts:
        many = folder / f"many{count}"
        many.mkdir()
        for number in range(count):  # a free box at the end makes each file another one
            box = struct.pack(">I4sQ", 16, b"free", number)
            (many / f"{number}.mp4").write_bytes(clip + box)
        library = folder / f"{count}.sqlite"
        for name, arguments in (
            ("batch", command(PROGRAM, [many], folder / f"rows{count}", "--workers", 1)),
            ("index", [PROGRAM, "index", str(many), "--library", str(library), "--encoder", ENCODER]),
        ):
            program, worker = peaks([*arguments, "--quiet"])
            second = f"{worker / 1e6:.0f}" if worker else "–"
            print(f"| {name} | {count} | {program / 1e6:.0f} | {second} |", flush=True)


def peaks(arguments: Sequence[str]) -> tuple[int, int]:
    """The most memory, in bytes, of a program and of its child, looked at ten times a second."""
    process = psutil.Popen(arguments, stdout=subprocess.DEVNULL)
    program = worker = 0
    while process.poll() is None:
        try:
            program = max(program, process.memory_info().rss)
            worker = max([worker, *(child.memory_info().rss for child in process.children())])
        except psutil.Error:  # it has ended
            pass
        try:
            process.wait(timeout=0.1)
        except psutil.TimeoutExpired:
            continue
    if process.returncode:
        raise RuntimeError(f"{arguments[1]} ended with {process.returncode}")
    return program, worker


if __name__ == "__main__":
    main()
