"""What a text costs: reading, proposing, embedding and choosing, with encoders of real shapes.

    python benchmarks/encode.py                              # default and fast encoder, two minutes of 720p
    python benchmarks/encode.py two.mp4 --encoders fast,balanced,best --hardware cuda --limit 300
    python benchmarks/encode.py --pictures --encoders all    # pictures a second alone

Every row is a whole process, from the start of Python to the result, in turn, `--repeat` times; the median
counts. Beside them stands what most published selectors do: every frame at one a second is embedded, and the
three most similar ones are taken. Weights are random, which changes no time. Runs where torch finds a GPU or
not. Without a video, two minutes are made of the bundled clips.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from encoder_shapes import SHAPES
from measuring import Cost, machine, measured, one_line, table

from keyframe_llm.errors import KeyframeError
from keyframe_llm.hub import FOLDER_VARIABLE

__all__ = ["main"]

CAPTION = "a dog eats from a bowl in the kitchen"
STAGES = ("decode", "propose", "embed", "score")


class Run(NamedTuple):
    """What one command cost, and what it says of its stages in seconds, where it does."""

    cost: Cost
    stages: dict[str, float]
    pictures: int
    """How many pictures were embedded; with no text, how many were proposed."""


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description="Measure what a text costs.")
    parser.add_argument("video", nargs="?", type=Path, help="default: two minutes made of the bundled clips")
    parser.add_argument("--encoders", default="fast,balanced", help=f"all, or some of {', '.join(SHAPES)}")
    parser.add_argument("--repeat", type=int, default=1, help="runs of each command (default 1)")
    parser.add_argument("--limit", type=float, default=1800.0, help="seconds for everything (default 1800)")
    parser.add_argument("--hardware", metavar="NAME", help="also decode on this device (cuda, vaapi, …)")
    parser.add_argument("--pictures", action="store_true", help="measure pictures a second and no video")
    parser.add_argument("--keep", type=Path, metavar="DIR", help="keep the encoders here for the next run")
    parser.add_argument("--dense", metavar="ENCODER", help=argparse.SUPPRESS)
    asked = parser.parse_args()
    if asked.dense:
        _embed_every_second(asked.video, asked.dense)
        return
    names = list(SHAPES) if asked.encoders == "all" else asked.encoders.split(",")
    ends = time.monotonic() + asked.limit
    with tempfile.TemporaryDirectory() as scratch:
        folder = asked.keep or Path(scratch)
        os.environ[FOLDER_VARIABLE] = str(folder.resolve() / "cache")  # for converted encoders
        encoders, failed = _all_made(names, folder.resolve())
        print(f"{machine()}; {_torch()}\n", flush=True)
        if asked.pictures:
            _print_pictures(encoders, failed, ends)
            return
        video = (asked.video or make_clip(folder.resolve() / "two_minutes.mp4")).resolve()
        commands = _commands(video, encoders, asked.hardware)
        runs = _run_in_turn(commands, asked.repeat, ends, Path(scratch))
    rows: list[Sequence[object]] = [*_rows(runs), *((f"a text, {name}", "failed") for name in failed)]
    print(table(("", "wall s", "cpu s", "peak MB", *STAGES, "pictures", "to no text"), rows))


def _commands(video: Path, encoders: dict[str, str], hardware: str | None) -> dict[str, list[str]]:
    """Every command by the name of its row; the first is the one that others are compared with."""
    ours = [str(Path(sys.executable).parent / "keyframe-llm"), "select", str(video)]
    ours += ["--no-cache", "--json", "--quiet"]
    commands = {"no text": ours}
    if hardware:
        commands[f"no text, decoded on {hardware}"] = [*ours, "--hardware", hardware]
    for name, source in encoders.items():
        commands[f"a text, {name}"] = [*ours, "--caption", CAPTION, "--encoder", source]
        every = [sys.executable, str(Path(__file__).resolve()), str(video), "--dense", source]
        commands[f"every frame at 1 a second, {name}"] = every
    return commands


def _run_in_turn(
    commands: dict[str, list[str]], repeat: int, ends: float, folder: Path
) -> dict[str, list[Run]]:
    runs: dict[str, list[Run]] = {name: [] for name in commands}
    for _ in range(repeat):
        for name, command in commands.items():
            left = ends - time.monotonic()
            out = folder / "result.json"
            try:
                cost = measured(command, folder=folder, timeout=left, out=out)
            except (RuntimeError, TimeoutError) as error:
                print(f"{name} is left out: {error}", file=sys.stderr, flush=True)
                continue
            runs[name].append(_run(cost, json.loads(out.read_text(encoding="utf-8").splitlines()[-1])))
    return {name: each for name, each in runs.items() if each}


def _run(cost: Cost, result: dict[str, Any]) -> Run:
    return Run(cost, result["timings"], result.get("pictures", len(result.get("proposals", ()))))


def _rows(runs: dict[str, list[Run]]) -> list[tuple[object, ...]]:
    rows = []
    least: float | None = None
    for name, each in runs.items():
        cost = Cost(*(statistics.median(values) for values in zip(*(run.cost for run in each), strict=True)))
        least = cost.wall_seconds if least is None else least
        stages = (statistics.median(run.stages.get(stage, 0.0) for run in each) for stage in STAGES)
        figures = (f"{cost.wall_seconds:.2f}", f"{cost.cpu_seconds:.1f}", f"{cost.peak_mb:.0f}")
        ratio = f"{cost.wall_seconds / least:.2f}"
        rows.append((name, *figures, *(f"{one:.2f}" for one in stages), each[0].pictures, ratio))
    return rows


def _embed_every_second(video: Path, encoder: str) -> None:
    """What most published selectors do: embed a frame of every second, take the three most similar."""
    import av

    from keyframe_llm.encoders import load_encoder

    began = time.perf_counter()
    model = load_encoder(encoder)
    loaded = time.perf_counter()
    images: list[Any] = []
    with av.open(str(video)) as container:
        for frame in container.decode(video=0):
            if frame.time is not None and frame.time >= len(images):
                images.append(frame.to_ndarray(format="rgb24"))
    decoded = time.perf_counter()
    scores = model.embed_images(images) @ model.embed_texts([CAPTION])[0]
    embedded = time.perf_counter()
    timings = {"decode": decoded - loaded, "embed": embedded - decoded + loaded - began}
    chosen = sorted(np.argsort(-scores)[:3].tolist())
    print(json.dumps({"timings": timings, "pictures": len(images), "seconds": chosen}))


def _print_pictures(encoders: dict[str, str], failed: list[str], ends: float) -> None:
    """How long an encoder takes to load, and to embed a text and pictures of 720p, in this process."""
    from keyframe_llm.encoders import load_encoder

    rng = np.random.default_rng(0)
    pictures = rng.integers(0, 256, (32, 360, 640, 3), np.uint8)
    rows: list[tuple[str, ...]] = []
    for name, source in encoders.items():
        if time.monotonic() > ends:
            print(f"{name} is left out: no time is left", file=sys.stderr)
            continue
        began = time.perf_counter()
        try:
            model = load_encoder(source)
        except KeyframeError as error:
            print(f"{name} failed: {error}", file=sys.stderr, flush=True)
            failed.append(name)
            continue
        model.embed_texts([CAPTION])
        ready = time.perf_counter()
        model.embed_texts([CAPTION])
        text = time.perf_counter()
        model.embed_images(pictures[:8])
        warm, used = time.perf_counter(), time.process_time()
        model.embed_images(pictures)
        took, cpu = time.perf_counter() - warm, time.process_time() - used
        each = (f"{1000 * took / 32:.1f}", f"{1000 * cpu / 32:.1f}", f"{32 / took:.1f}")
        rows.append((name, f"{ready - began:.2f}", f"{1000 * (text - ready):.0f}", *each))
    rows += [(name, "failed") for name in failed]
    print(table(("", "load s", "a text, ms", "a picture, ms", "its cpu ms", "pictures a second"), rows))


def make_clip(path: Path, seconds: int = 120) -> Path:
    """Two minutes of 720p at 30 frames a second, H.264, made of the bundled clips one after the other."""
    import av

    from keyframe_llm.demos import videos

    if path.is_file():
        return path
    path.parent.mkdir(parents=True, exist_ok=True)
    clips = sorted((Path(videos.__file__).parent / "clips").glob("*.mp4"))
    with av.open(str(path), "w") as out:
        stream = out.add_stream("libx264", rate=30, options={"preset": "veryfast"})
        stream.width, stream.height, stream.pix_fmt = 1280, 720, "yuv420p"
        written = 0
        while written < 30 * seconds:
            with av.open(str(clips[written % len(clips)])) as clip:
                rate = float(clip.streams.video[0].average_rate or 30)
                for frame in clip.decode(video=0):
                    large = frame.reformat(1280, 720, "yuv420p")
                    for _ in range(max(1, round(30 / rate))):
                        if written == 30 * seconds:
                            break
                        large.pts, large.time_base = written, Fraction(1, 30)
                        out.mux(stream.encode(large))
                        written += 1
        out.mux(stream.encode())
    return path


def _all_made(names: list[str], folder: Path) -> tuple[dict[str, str], list[str]]:
    """The encoders by their names, and the names of those that could not be made."""
    made, failed = dict[str, str](), list[str]()
    for name in names:
        try:
            made[name] = _made(name, folder / name)
        except RuntimeError as error:
            print(f"{name} failed: {error}", file=sys.stderr, flush=True)
            failed.append(name)
    return made, failed


def _made(name: str, folder: Path) -> str:
    """The encoder's name, written by a process of its own: memory of this one counts as its children's."""
    return _printed(str(Path(__file__).with_name("encoder_shapes.py")), name, str(folder))


def _torch() -> str:
    device = "torch.cuda.get_device_name() if torch.cuda.is_available() else 'no GPU'"
    return _printed("-c", f"import torch; print('torch', torch.__version__, {device})")


def _printed(*arguments: str) -> str:
    """The last line that Python prints."""
    done = subprocess.run([sys.executable, *arguments], capture_output=True, text=True)
    if done.returncode:
        raise RuntimeError(one_line(done.stderr))
    return one_line(done.stdout)


if __name__ == "__main__":
    main()
