"""Make footage to measure on: cuts of the clips in a folder, joined at random into one 720p H.264 file.

    python benchmarks/make_video.py FOLDER ten.mp4 --minutes 10
    python benchmarks/make_video.py ten.mp4 hour.mp4 --minutes 60   # repeats a file, without encoding

Needs `ffmpeg` and `ffprobe` on the path.
"""

from __future__ import annotations

import argparse
import random
import subprocess
from pathlib import Path
from typing import NamedTuple

__all__ = ["Cut", "clip_seconds", "encode", "main", "random_cuts", "repeat"]

RATE = 30
CUT_SECONDS = (2.0, 20.0)


class Cut(NamedTuple):
    """A part of a clip, in seconds."""

    clip: Path
    start: float
    seconds: float


def main() -> None:
    """Read the command line and make one file."""
    parser = argparse.ArgumentParser(description="Make footage to measure on.")
    parser.add_argument("source", type=Path, help="a folder of clips to cut and join, or one file to repeat")
    parser.add_argument("out", type=Path, help="the .mp4 to write")
    parser.add_argument("--minutes", type=float, default=10.0, help="length (default 10)")
    parser.add_argument("--seed", type=int, default=0, help="of the choice of cuts (default 0)")
    parser.add_argument("--encoder", default="-preset medium", help="options for libx264")
    asked = parser.parse_args()
    if asked.source.is_dir():
        clips = sorted(p for p in asked.source.iterdir() if p.suffix in (".mp4", ".mkv", ".mov", ".webm"))
        encode(random_cuts(clips, 60 * asked.minutes, asked.seed), asked.out, asked.encoder.split())
    else:
        repeat(asked.source, asked.out, 60 * asked.minutes)


def random_cuts(clips: list[Path], seconds: float, seed: int) -> list[Cut]:
    """Cuts of 2–20 s, most of them short, in random order until `seconds` are full."""
    rng = random.Random(seed)
    lengths = {clip: clip_seconds(clip) for clip in clips}
    cuts: list[Cut] = []
    left = seconds
    while left > 1 / RATE:
        clip = rng.choice(clips)
        low, high = CUT_SECONDS
        length = min(low + (high - low) * rng.random() ** 2, lengths[clip], left)
        cuts.append(Cut(clip, rng.uniform(0, lengths[clip] - length), length))
        left -= length
    return cuts


def encode(cuts: list[Cut], out: Path, options: list[str], height: int = 720) -> list[float]:
    """Encode the cuts one after the other; returns when each begins, in seconds, and the end of all."""
    size = f"{height * 16 // 9 // 2 * 2}x{height}"
    command = ["ffmpeg", "-v", "error", "-y", "-f", "rawvideo", "-pix_fmt", "yuv420p", "-s", size]
    command += ["-r", str(RATE), "-i", "-", "-c:v", "libx264", *options, str(out)]
    encoder = subprocess.Popen(command, stdin=subprocess.PIPE)
    assert encoder.stdin is not None
    frames = [0]
    for cut in cuts:
        picture = _pictures(cut, size)
        encoder.stdin.write(picture)
        frames.append(frames[-1] + len(picture) * 2 // 3 // (height * (height * 16 // 9 // 2 * 2)))
    encoder.stdin.close()
    if encoder.wait():
        raise SystemExit("ffmpeg could not encode; see above")
    return [frame / RATE for frame in frames]


def clip_seconds(clip: Path) -> float:
    """How long a clip is."""
    ask = ["ffprobe", "-v", "error", "-show_entries", "format=duration", "-of", "csv=p=0", str(clip)]
    return float(subprocess.run(ask, capture_output=True, text=True, check=True).stdout)


def repeat(source: Path, out: Path, seconds: float) -> None:
    """Repeat a file to a length, by copying its packets."""
    more = ["-stream_loop", "-1", "-i", str(source), "-t", f"{seconds:g}", "-map", "0:v:0", "-c", "copy"]
    subprocess.run(["ffmpeg", "-v", "error", "-y", *more, str(out)], check=True)


def _pictures(cut: Cut, size: str) -> bytes:
    wide, high = size.split("x")
    fit = (
        f"fps={RATE},scale={wide}:{high}:force_original_aspect_ratio=decrease:flags=bicubic,"
        f"pad={wide}:{high}:-1:-1,setsar=1"
    )
    window = ["-ss", f"{cut.start:.3f}", "-i", str(cut.clip), "-t", f"{cut.seconds:.3f}"]
    to_raw = ["-vf", fit, "-an", "-sn", "-pix_fmt", "yuv420p", "-f", "rawvideo", "-"]
    done = subprocess.run(["ffmpeg", "-v", "error", *window, *to_raw], stdout=subprocess.PIPE, check=True)
    return done.stdout


if __name__ == "__main__":
    main()
