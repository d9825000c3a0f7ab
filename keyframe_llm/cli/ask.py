"""`keyframe-llm ask`: the answer to a question about a video, or from a library of videos."""

from __future__ import annotations

import argparse
from dataclasses import asdict
from typing import Any

from keyframe_llm.cli import ask_library, flags
from keyframe_llm.cli.llm import new_llm
from keyframe_llm.cli.output import answer_dict, cost_line, show
from keyframe_llm.errors import OptionsError
from keyframe_llm.pipeline import DEFAULT_MODEL

__all__ = ["add", "run"]


def add(commands: Any) -> None:
    """Declare the command and its flags."""
    command = flags.new_command(commands, "ask", run, "answer a question about a video")
    flags.add_video(command)
    command.add_argument("question", type=flags.text, metavar="QUESTION", help="what to answer")
    flags.add_caption(command)
    flags.add_models(command, f"Video-LLM (default {DEFAULT_MODEL})")
    flags.add_prompts(command)
    flags.add_shown(command)
    command.add_argument(
        "--dry-run", action="store_true", help="ask nothing: print what the question would cost"
    )
    command.add_argument(
        "--price",
        type=float,
        metavar="X",
        help="price of a million prompt tokens, for --dry-run; any currency",
    )
    ask_library.add_library(command)
    flags.add_output(command)
    flags.add_selection(command)


def run(args: argparse.Namespace) -> None:
    """Answer from the key frames: for people piece by piece, as JSON all at once."""
    if args.price is not None and not args.dry_run:
        raise OptionsError(f"price is {args.price:g} without --dry-run; add --dry-run to see what it costs")
    if args.library is not None:
        ask_library.run(args)
        return
    if args.videos is not None or args.within is not None:
        raise OptionsError("--videos and --in are for a library; give --library FILE, or leave them out")
    llm = new_llm(args, preload=not args.dry_run)
    if args.dry_run:
        selection, cost = llm.cost(
            flags.given_video(args), args.question, caption=args.caption, price_per_million=args.price
        )
        facts = {"model": llm.model_name, **asdict(cost)}
        show(args, selection, {"question": args.question, "cost": facts}, headline=cost_line(cost))
        return
    if args.json:
        answer = llm.ask(flags.given_video(args), args.question, caption=args.caption)
        show(args, answer.selection, answer_dict(answer))
        return
    selection, pieces = llm.stream(flags.given_video(args), args.question, caption=args.caption)
    show(args, selection, {})
    for piece in pieces:
        print(piece, end="", flush=True)
    print()
