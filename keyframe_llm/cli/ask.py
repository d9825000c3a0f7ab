"""`keyframe-llm ask`: the answer to a question about a video."""

from __future__ import annotations

import argparse
from typing import Any

from keyframe_llm.cli import flags
from keyframe_llm.cli.llm import new_llm
from keyframe_llm.cli.output import answer_dict, show
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
    flags.add_output(command)
    flags.add_selection(command)


def run(args: argparse.Namespace) -> None:
    """Answer from the key frames: for people piece by piece, as JSON all at once."""
    llm = new_llm(args)
    if args.json:
        answer = llm.ask(args.video, args.question, caption=args.caption)
        show(args, answer.selection, answer_dict(answer))
        return
    selection, pieces = llm.stream(args.video, args.question, caption=args.caption)
    show(args, selection, {})
    for piece in pieces:
        print(piece, end="", flush=True)
    print()
