"""What commands print and save: results on stdout, progress and warnings on stderr."""

from __future__ import annotations

import argparse
import contextlib
import io
import json
import os
import sys
import time
from collections.abc import Iterable
from dataclasses import asdict
from decimal import Decimal
from pathlib import Path
from typing import Any, TextIO

from keyframe_llm.cost import PromptCost
from keyframe_llm.data import STAGES
from keyframe_llm.errors import as_one_line
from keyframe_llm.pipeline import Answer
from keyframe_llm.selection import Selection

__all__ = [
    "ProgressBar",
    "RunProgress",
    "answer_dict",
    "clear_progress",
    "cost_line",
    "discard",
    "note",
    "print_json",
    "print_keyframes",
    "ready_streams",
    "show",
]

_LINE_SECONDS = 5.0
_COUNTED = ("download", "decode", "convert", "listen")
_ERASE_LINE = "\r\033[K"


# Streams -----------------------------------------------------------------------------------------------


def ready_streams() -> None:
    """Make stdin, stdout and stderr take whatever is read or printed.

    A stream that was closed becomes the null device: otherwise the next file opened would get its number. A
    character that the stream's encoding lacks is printed as a backslash escape.
    """
    for name, mode in (("stdin", "r"), ("stdout", "w"), ("stderr", "w")):
        if getattr(sys, name) is None:
            setattr(sys, name, os.fdopen(os.open(os.devnull, os.O_RDWR), mode, encoding="utf-8"))
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")


def discard(stream: TextIO) -> None:
    """Send what a stream still holds, and what follows, to the null device."""
    with contextlib.suppress(OSError, ValueError):
        null = os.open(os.devnull, os.O_WRONLY)
        os.dup2(null, stream.fileno())
        os.close(null)


def note(text: str, end: str = "\n") -> None:
    """Print a line on stderr, over a line of progress. A stderr that takes nothing is no error."""
    try:
        start = _ERASE_LINE if sys.stderr.isatty() else ""
        print(start + text, end=end, file=sys.stderr, flush=True)
    except OSError:
        discard(sys.stderr)


def clear_progress() -> None:
    """Take a line of progress off the terminal, before something is printed on stdout."""
    note("", end="")


class ProgressBar:
    """Progress on stderr: one line that is rewritten on a terminal, one line for each stage elsewhere."""

    def __init__(self, quiet: bool) -> None:
        self._quiet, self._stage, self._live = quiet, "", sys.stderr.isatty()

    def __call__(self, stage: str, share: float) -> None:
        """Show a stage by its words, and how much of the video is downloaded, decoded or heard, 0–1."""
        if self._quiet:
            return
        words = STAGES.get(stage, "")
        if self._live:
            note(f"{words} {share:4.0%}" if stage in _COUNTED else words, end="")
        elif words and stage != self._stage:
            note(f"{words} …")
        self._stage = stage


class RunProgress:
    """How far a run over many videos is, how fast, and how long it will take, on stderr."""

    def __init__(self, quiet: bool) -> None:
        self._quiet, self._began, self._said, self._done = quiet, time.monotonic(), 0.0, 0

    def __call__(self, number: int, total: int) -> None:
        """Count a video that was worked on, the `number`-th of all; say so at most every few seconds."""
        self._done += 1
        now = time.monotonic()
        if self._quiet or (now - self._said < _LINE_SECONDS and number < total):
            return
        self._said = now
        rate = self._done / max(now - self._began, 1e-3)
        left = _span((total - number) / rate)
        note(f"{number} of {total} videos, {rate * 3600:,.0f} an hour, {left} left")


def _span(seconds: float) -> str:
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"


# Results -----------------------------------------------------------------------------------------------


def show(args: argparse.Namespace, selection: Selection, more: dict[str, Any], headline: str = "") -> None:
    """Print a selection, for people or as one JSON object, and save it where `--out` says."""
    clear_progress()
    for warning in selection.warnings:
        note(f"keyframe-llm: warning: {warning}")
    result = {**selection.to_dict(), **more}
    if args.out:
        saved = selection.save(args.out)
        for entry, image in zip(result["keyframes"], _pictures(saved.values()), strict=True):
            entry["image"] = str(image)
    if args.json:
        print_json(result)
        return
    print_keyframes(result["keyframes"])
    for cue in result.get("words", ()):
        print(f"{cue['start']:.1f}–{cue['end']:.1f} s, {cue['source']}: {as_one_line(cue['text'])}")
    if selection.found is not None:
        print(f"found: {selection.found} ({selection.found.score:.2f})")
    if headline:
        print(headline)
    if args.out:
        note(f"written to {args.out}")


def answer_dict(answer: Answer) -> dict[str, Any]:
    """What `ask --json` prints of an answer, beside its selection."""
    return {
        "question": answer.question,
        "answer": answer.text,
        "model": answer.model,
        "prompt_tokens": answer.prompt_tokens,
        "visual_tokens": answer.visual_tokens,
        "default_sampling": answer.default_sampling and asdict(answer.default_sampling),
        "frames_as": answer.frames_as,
    }


def cost_line(cost: PromptCost) -> str:
    """What a prompt costs, in one line for people."""
    sizes = [f"{width} × {height}" for width, height in dict.fromkeys(cost.pictures)]
    pictures = f"{len(cost.pictures)} picture{'s' if len(cost.pictures) > 1 else ''} of {', '.join(sizes)}"
    frames = f"{cost.frames} key frame{'s' if cost.frames > 1 else ''}"
    parts = [frames, pictures, f"{cost.picture_bytes / 1000:.0f} kB as JPEG"]
    if cost.prompt_tokens is None:
        return ", ".join([*parts, "tokens not known: the model's processor is not on this machine"])
    parts.append(f"{cost.prompt_tokens} prompt tokens ({cost.visual_tokens} visual)")
    if cost.default_sampling is not None:
        parts.append(f"{cost.default_sampling.prompt_tokens} with two frames a second")
    return ", ".join([*parts, *([] if cost.price is None else [f"price {Decimal(f'{cost.price:.6g}'):f}"])])


def print_keyframes(keyframes: Iterable[dict[str, Any]]) -> None:
    """Print a line for each key frame of `Selection.to_dict()`: its time, and what chose it."""
    for entry in keyframes:
        print("  ".join([f"{entry['seconds']:9.2f}s", *_reasons(entry)]))


def print_json(result: dict[str, Any]) -> None:
    """Print one JSON object; what stdout cannot encode is written in JSON's own escapes."""
    text = json.dumps(result, ensure_ascii=False, allow_nan=False)
    try:
        text.encode(sys.stdout.encoding or "utf-8")
    except UnicodeEncodeError:
        text = json.dumps(result, allow_nan=False)
    print(text)


def _reasons(entry: dict[str, Any]) -> list[str]:
    """The score and its parts; where no text scored, the share of the video that the frame stands for."""
    parts = [
        f"{name} {entry[name]:.3f}" for name in ("semantic", "temporal", "drop") if entry[name] is not None
    ]
    if entry["score"] is None or parts:
        order = [entry["order"]] if "order" in entry else []
        return parts if entry["score"] is None else [f"score {entry['score']:.3f}", *parts, *order]
    return [f"stands for {100 * entry['score']:.0f} %"]


def _pictures(paths: Iterable[Path]) -> list[Path]:
    return [path for path in paths if path.suffix == ".jpg"]
