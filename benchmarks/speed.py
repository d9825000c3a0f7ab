"""How fast `keyframe-llm select` is beside a full decode with ffmpeg, and beside programs that pick frames.

    python benchmarks/speed.py two.mp4 ten.mp4 hour.mp4             # ratios to ffmpeg
    python benchmarks/speed.py two.mp4 --peers all                  # and to the others
    python benchmarks/speed.py two.mp4 --caption "a dog eats" --encoder FOLDER   # and guided by a text

Every command runs as a whole process, in turn, `--repeat` times; the median counts. Each peer is installed
into its own environment below the user's cache folder the first time; one that cannot be had is left out,
and a line says so. Needs `ffmpeg` on the path.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import tempfile
from pathlib import Path

from measuring import Cost, machine, measured, table
from peers import PEERS, install

__all__ = ["main"]

FFMPEG, OURS, GUIDED = "ffmpeg, full decode", "keyframe-llm select", "keyframe-llm select --caption"


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description="Compare the speed of picking frames.")
    parser.add_argument("videos", nargs="+", type=Path)
    parser.add_argument("--repeat", type=int, default=3, help="runs of each command (default 3)")
    parser.add_argument(
        "--peers", default="", metavar="A,B,…", help=f"`all`, or some of {', '.join(PEERS)} (default: none)"
    )
    parser.add_argument("--caption", metavar="TEXT", help="also time a selection guided by this text")
    parser.add_argument(
        "--encoder", metavar="NAME", default="cartoon", help="with --caption (default cartoon)"
    )
    asked = parser.parse_args()
    wanted = list(PEERS) if asked.peers == "all" else [name for name in asked.peers.split(",") if name]
    print(f"{machine()}\n")
    text = ["--caption", asked.caption, "--encoder", asked.encoder] if asked.caption else []
    rows = [row for video in asked.videos for row in compare(video.resolve(), wanted, asked.repeat, text)]
    print(table(("video", "", "wall s", "cpu s", "peak MB", "to ffmpeg", "to keyframe-llm"), rows))


def compare(video: Path, peers: list[str], repeat: int, text: list[str]) -> list[tuple[object, ...]]:
    """One row a command, from runs that took turns; `text` are the arguments of a guided one, or none."""
    commands = {FFMPEG: _ffmpeg(video), OURS: _ours(video)}
    if text:
        commands[GUIDED] = [*_ours(video), *text]
    with tempfile.TemporaryDirectory() as out:
        for name in peers:
            try:
                commands[name] = PEERS[name].command(install(name), str(video), out)
            except RuntimeError as error:
                print(f"{name} is left out: {error}", file=sys.stderr)
        costs: dict[str, list[Cost]] = {name: [] for name in commands}
        for _ in range(repeat):
            for name, command in commands.items():
                try:
                    costs[name].append(measured(command, folder=Path(out)))
                except RuntimeError as error:
                    print(f"{name} is left out: {error}", file=sys.stderr)
    middle = {name: _middle(runs) for name, runs in costs.items() if runs}
    whole, ours = middle[FFMPEG].wall_seconds, middle[OURS].wall_seconds
    return [
        (
            *(video.name, name, f"{c.wall_seconds:.2f}", f"{c.cpu_seconds:.1f}", f"{c.peak_mb:.0f}"),
            *(f"{c.wall_seconds / whole:.2f}", f"{c.wall_seconds / ours:.1f}"),
        )
        for name, c in middle.items()
    ]


def _middle(runs: list[Cost]) -> Cost:
    return Cost(*(statistics.median(values) for values in zip(*runs, strict=True)))


def _ffmpeg(video: Path) -> list[str]:
    return ["ffmpeg", "-v", "error", "-nostdin", "-i", str(video), "-map", "0:v:0", "-f", "null", "-"]


def _ours(video: Path) -> list[str]:
    command = Path(sys.executable).parent / "keyframe-llm"
    # Nothing kept on disk: a second run would only read what the first one found.
    return [str(command), "select", str(video), "--no-cache", "--json", "--quiet"]


if __name__ == "__main__":
    main()
