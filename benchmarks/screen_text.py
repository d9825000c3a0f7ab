"""How much planted text is found in a screen recording: lines of code that stand there for two seconds.

    python benchmarks/screen_text.py [--minutes 10] [--pixels 20] [--lines 40] [--footage VIDEO]

A screen recording of 1280 × 720 is drawn: an editor, light or dark, in which a line of code of that many
pixels appears at a random time, stays for two seconds and goes, while a cursor blinks; every minute the page
changes. A line is found where a cue holds it (nine letters in ten) within a second of its time. With
`--footage`, the time that moving pictures take is printed, too.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from difflib import SequenceMatcher
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
from PIL import Image, ImageDraw, ImageFont

from keyframe_llm.video import open_video
from keyframe_llm.words.cues import Cue
from keyframe_llm.words.screen import read_screen

FPS = 5
SHOWN_SECONDS = 2.0
NAMES = ["buffer", "cursor", "widget", "parser", "socket", "ledger", "matrix", "kernel", "bucket", "folder"]
VERBS = ["update", "delete", "insert", "render", "filter", "reduce", "rotate", "select", "verify", "deploy"]


def line_of_code(rng: np.random.Generator) -> str:
    """A line that occurs nowhere else."""
    name, verb, number = rng.choice(NAMES), rng.choice(VERBS), int(rng.integers(1000, 9999))
    return f"{verb}_{name} = {rng.choice(NAMES)}.{verb}({number})"


def page(rng: np.random.Generator, pixels: int, dark: bool) -> Image.Image:
    """An editor full of code, with every third row empty."""
    back, ink = ((30, 30, 34), (205, 205, 205)) if dark else ((250, 250, 248), (40, 40, 40))
    image = Image.new("RGB", (1280, 720), back)
    draw = ImageDraw.Draw(image)
    font = ImageFont.load_default(pixels)
    for row in range(int(700 / (pixels * 1.6))):
        if row % 3:
            draw.text((60, 10 + row * pixels * 1.6), line_of_code(rng), font=font, fill=ink)
    return image


def record(path: Path, *, minutes: float, pixels: int, lines: int) -> list[tuple[float, str]]:
    """Draw the recording; returns the start and the text of every planted line."""
    rng = np.random.default_rng(0)
    length = minutes * 60
    slots = rng.permutation(int(length / (SHOWN_SECONDS + 1)))[:lines]
    planted = sorted(
        (float(slot * (SHOWN_SECONDS + 1) + rng.uniform(0, 1)), line_of_code(rng)) for slot in slots
    )
    font = ImageFont.load_default(pixels)
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=FPS, options={"crf": "26", "preset": "veryfast"})
        stream.width, stream.height, stream.pix_fmt = 1280, 720, "yuv420p"
        rows = {start: 3 * int(rng.integers(0, int(700 / (pixels * 4.8)))) for start, _ in planted}
        shown = page(rng, pixels, False)
        for i in range(int(length * FPS)):
            second = i / FPS
            minute = i // (60 * FPS)
            if i % (60 * FPS) == 0:
                shown = page(rng, pixels, minute % 2 == 1)
            image = shown.copy()
            draw = ImageDraw.Draw(image)
            ink = (230, 190, 120) if minute % 2 else (150, 40, 40)
            for start, text in planted:
                if start <= second < start + SHOWN_SECONDS:
                    draw.text((60, 10 + rows[start] * pixels * 1.6), text, font=font, fill=ink)
            if i % 4 < 2:
                draw.rectangle((1000, 300, 1001, 300 + pixels), fill=ink)
            frame = av.VideoFrame.from_ndarray(np.asarray(image), format="rgb24")
            frame.pts, frame.time_base = i, Fraction(1, FPS)
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return planted


def is_found(start: float, text: str, cues: tuple[Cue, ...]) -> bool:
    """Whether a cue of about that time holds the line."""
    near = [cue for cue in cues if abs(cue.start - start) <= 1 and abs(cue.end - start - SHOWN_SECONDS) <= 1]
    read = [line for cue in near for line in cue.text.splitlines()]
    return any(SequenceMatcher(None, text, line, autojunk=False).ratio() >= 0.9 for line in read)


def measure(path: Path) -> tuple[tuple[Cue, ...], float]:
    """The cues of a video, and the seconds that they took."""
    began = time.perf_counter()
    with open_video(path) as decoder:
        words = read_screen(decoder)
    for warning in words.warnings:
        print(warning)
    return words.cues, time.perf_counter() - began


def main() -> None:
    """Draw, read, count."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--minutes", type=float, default=10)
    parser.add_argument("--pixels", type=int, nargs="+", default=[20])
    parser.add_argument("--lines", type=int, default=40)
    parser.add_argument("--footage", type=Path)
    args = parser.parse_args()
    for pixels in args.pixels:
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "screen.mp4"
            planted = record(path, minutes=args.minutes, pixels=pixels, lines=args.lines)
            cues, seconds = measure(path)
        lost = [(round(start, 1), text) for start, text in planted if not is_found(start, text, cues)]
        print(
            f"{pixels} px, {args.minutes:g} min: {len(planted) - len(lost)} of {len(planted)} lines found, "
            f"{len(cues)} cues, {seconds:.0f} s; not found: {lost}"
        )
    if args.footage:
        cues, seconds = measure(args.footage)
        print(f"{args.footage.name}: {len(cues)} cues, {seconds:.0f} s: {[cue.text for cue in cues][:20]}")


if __name__ == "__main__":
    main()
