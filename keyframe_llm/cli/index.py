"""`keyframe-llm index`: many videos looked at once, and kept to be searched."""

from __future__ import annotations

import argparse
from collections import Counter
from collections.abc import Mapping
from typing import Any

from keyframe_llm.cli import flags
from keyframe_llm.cli.output import RunProgress, clear_progress, note, print_json
from keyframe_llm.library import Library, Outcome
from keyframe_llm.library.builder import Status
from keyframe_llm.library.database import LIBRARY_VARIABLE
from keyframe_llm.library.library import STORES
from keyframe_llm.options import DecodeOptions, ProposeOptions, WordOptions, option_fields
from keyframe_llm.pipeline import DEFAULT_ENCODER

__all__ = ["add", "add_library", "run"]

_WORDS: Mapping[Status, str] = {
    "indexed": "indexed",
    "unchanged": "unchanged",
    "known": "known by their content",
    "gone": "gone",
    "failed": "failed",
}


def add(commands: Any) -> None:
    """Declare the command and its flags."""
    command = flags.new_command(commands, "index", run, "index many videos, to search them")
    command.add_argument(
        "sources",
        nargs="+",
        metavar="SOURCE",
        help="a folder, a video, a text file with a path on each line, or JSON Lines of "
        '{"video": path, "caption": text}',
    )
    add_library(command)
    command.add_argument(
        "--encoder",
        metavar="NAME",
        help=f"image-text encoder (default: the library's, else {DEFAULT_ENCODER})",
    )
    command.add_argument(
        "--store",
        choices=STORES,
        help="search in memory (sqlite), or on disk for a million videos (lancedb); the library remembers it",
    )
    flags.add_device(command)
    command.add_argument("--json", action="store_true", help="print one JSON object")
    command.add_argument("--quiet", action="store_true", help="no progress on stderr")
    for stage in (DecodeOptions, ProposeOptions, WordOptions):
        title = stage.__name__.replace("Options", " options").lower()
        flags.add_fields(command.add_argument_group(title), stage)


def add_library(command: argparse.ArgumentParser) -> None:
    """The library's file."""
    command.add_argument(
        "--library",
        metavar="FILE",
        help=f"the library (default: ${LIBRARY_VARIABLE}, else a file in the user's data folder)",
    )


def run(args: argparse.Namespace) -> None:
    """Index what is new, and say at the end what became of everything."""
    given = {name: value for name, value in vars(args).items() if name in option_fields()}
    library = Library(args.library, encoder=args.encoder, device=args.device, store=args.store, **given)
    outcomes: list[Outcome] = []
    progress = RunProgress(args.quiet or args.json)
    for step in library.index(args.sources):
        outcomes.append(step.outcome)
        if step.outcome.status != "unchanged":  # what was known already is no measure of speed
            progress(step.number, step.total)
    clear_progress()
    _show(args, library, outcomes)


def _show(args: argparse.Namespace, library: Library, outcomes: list[Outcome]) -> None:
    counts = Counter(outcome.status for outcome in outcomes)
    failures = [outcome for outcome in outcomes if outcome.error]
    if args.json:
        listed = [{"video": outcome.path, "error": outcome.error} for outcome in failures]
        warnings = [
            {"video": outcome.path, "warning": text} for outcome in outcomes for text in outcome.warnings
        ]
        numbers = {str(name): counts.get(name, 0) for name in _WORDS}
        print_json({"library": str(library.path), **numbers, "failures": listed, "warnings": warnings})
        return
    parts = [f"{counts[name]} {words}" for name, words in _WORDS.items() if counts.get(name)]
    print(f"{library.path}: {', '.join(parts) or 'no video found'}")
    for outcome in [] if args.quiet else outcomes:
        for text in outcome.warnings:
            note(f"keyframe-llm: warning: {outcome.path}: {text}")
    for outcome in failures:
        print(f"failed  {outcome.path}: {outcome.error.removeprefix(outcome.path + ': ')}")
