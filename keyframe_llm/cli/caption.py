"""`keyframe-llm caption`: one sentence about a video."""

from __future__ import annotations

import argparse
from typing import Any

from keyframe_llm.cli import flags
from keyframe_llm.cli.llm import new_llm
from keyframe_llm.cli.output import show
from keyframe_llm.pipeline import DEFAULT_MODEL

__all__ = ["add", "run"]


def add(commands: Any) -> None:
    """Declare the command and its flags."""
    command = flags.new_command(commands, "caption", run, "describe a video in one sentence")
    flags.add_video(command)
    flags.add_models(command, f"Video-LLM (default {DEFAULT_MODEL})")
    flags.add_shown(command)
    flags.add_prompts(command)
    flags.add_output(command)
    flags.add_selection(command)


def run(args: argparse.Namespace) -> None:
    """Have the Video-LLM describe key frames that were chosen without a text."""
    llm = new_llm(args, preload=True)
    caption = llm.caption(flags.given_video(args))
    show(args, caption.selection, {"model": llm.model_name}, headline=caption.text)
