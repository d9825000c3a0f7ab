"""`keyframe-llm select`: the key frames of a video, with a text or without."""

from __future__ import annotations

import argparse
from typing import Any

from keyframe_llm.cli import flags
from keyframe_llm.cli.llm import new_llm
from keyframe_llm.cli.output import show

__all__ = ["add", "run"]

_MODEL = "Video-LLM that writes a caption to guide the choice (default: no Video-LLM is used)"


def add(commands: Any) -> None:
    """Declare the command and its flags."""
    command = flags.new_command(commands, "select", run, "choose the key frames of a video")
    flags.add_video(command)
    flags.add_caption(command)
    command.add_argument(
        "--question", type=flags.text, metavar="TEXT", help="the question that the frames shall answer"
    )
    flags.add_models(command, _MODEL)
    flags.add_shown(command)
    flags.add_prompts(command)
    flags.add_output(command)
    flags.add_selection(command)


def run(args: argparse.Namespace) -> None:
    """Choose key frames by the texts that were given; with `--model`, by a caption that it writes."""
    selection = new_llm(args).select(
        flags.given_video(args),
        caption=args.caption,
        question=args.question,
        generate_caption=bool(args.model),
    )
    show(args, selection, {})
