"""`keyframe-llm transcript`: what is subtitled and said in a video, or the part that fits a query."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import fields
from typing import Any

from keyframe_llm.cli import flags
from keyframe_llm.cli.output import ProgressBar, clear_progress, note, print_json
from keyframe_llm.errors import check_whole
from keyframe_llm.index.cached_words import cached_words
from keyframe_llm.index.feature_cache import FeatureCache
from keyframe_llm.index.store import Store
from keyframe_llm.options import WordOptions
from keyframe_llm.words import Cue
from keyframe_llm.words.transcript import FORMATS, write_cues

__all__ = ["add", "run"]

_TOP = 5


def add(commands: Any) -> None:
    """Declare the command and its flags."""
    command = flags.new_command(commands, "transcript", run, "print what is subtitled and said in a video")
    flags.add_video(command)
    command.add_argument(
        "--query", type=flags.text, metavar="TEXT", help="print only the lines that fit this text best"
    )
    command.add_argument(
        "--top", type=int, default=_TOP, metavar="N", help="at most this many of them (default %(default)s)"
    )
    command.add_argument(
        "--format", choices=[*FORMATS, "json"], default="text", help="how to print (default %(default)s)"
    )
    flags.add_fields(command.add_argument_group("words options"), WordOptions)
    command.add_argument("--no-cache", action="store_true", help="keep nothing on disk")
    command.add_argument("--quiet", action="store_true", help="show no progress")


def run(args: argparse.Namespace) -> None:
    """Print the cues in time order. A video without words prints none, and a line on stderr says so."""
    top = check_whole("top", args.top, 1)
    given = {each.name: vars(args)[each.name] for each in fields(WordOptions) if each.name in vars(args)}
    cache = FeatureCache(None if args.no_cache else Store())
    words = cached_words(args.video, WordOptions(**given), cache=cache, progress=ProgressBar(args.quiet))
    clear_progress()
    for warning in (*words.warnings, *cache.warnings):
        note(f"keyframe-llm: warning: {warning}")
    if not words.cues and not words.warnings:
        note(f"keyframe-llm: {args.video} has no subtitles; --listen NAME recognises what is said")
    cues, scores = _fitting(words.cues, args.query, top, given.get("text_encoder"))
    if args.format == "json":
        print_json({"video": args.video, "query": args.query, "cues": _entries(cues, scores)})
    elif cues or args.format == "vtt":
        print(write_cues(cues, args.format))


def _fitting(
    cues: Sequence[Cue], query: str | None, top: int, text_encoder: str | None
) -> tuple[Sequence[Cue], Sequence[float]]:
    """The cues that fit the query best, in time order, with their scores; without one all of them."""
    if query is None:
        return cues, []
    from keyframe_llm.encoders.meaning import load_meaning_encoder
    from keyframe_llm.words.matching import match_cues

    scores = match_cues(query, cues, load_meaning_encoder(text_encoder))
    best = sorted(sorted(range(len(cues)), key=lambda i: -scores[i])[:top])
    chosen = [i for i in best if scores[i] > 0]
    if cues and not chosen:
        note("keyframe-llm: no line fits the query")
    return [cues[i] for i in chosen], [float(scores[i]) for i in chosen]


def _entries(cues: Sequence[Cue], scores: Sequence[float]) -> list[dict[str, Any]]:
    entries = [cue.to_dict() for cue in cues]
    for entry, score in zip(entries, scores, strict=False):
        entry["score"] = round(score, 3)
    return entries
