"""`keyframe-llm demo`: caption, key frames and an answer for a bundled video, offline."""

from __future__ import annotations

import argparse
from typing import Any

from keyframe_llm.cli import flags
from keyframe_llm.cli.llm import new_llm
from keyframe_llm.cli.output import answer_dict, clear_progress, print_keyframes, show

__all__ = ["add", "run"]


def add(commands: Any) -> None:
    """Declare the command and its flags."""
    command = flags.new_command(commands, "demo", run, "the whole job on a bundled video, offline")
    command.set_defaults(model="cartoon")
    flags.add_device(command)
    flags.add_prompts(command)
    flags.add_output(command)
    flags.add_selection(command)


def run(args: argparse.Namespace) -> None:
    """Describe the video, then answer a question about two seconds that the caption does not mention."""
    from keyframe_llm.demos.videos import DEMO_QUESTION, demo_video

    llm, video = new_llm(args, preload=True), str(demo_video())
    described = llm.select(video, generate_caption=True)
    answer = llm.ask(video, DEMO_QUESTION, caption=described.caption)
    if not args.json:
        clear_progress()
        print(f"video     {video}")
        print(f"caption   {described.caption}")
        print_keyframes(described.to_dict()["keyframes"])
        print(f"question  {DEMO_QUESTION}")
    show(args, answer.selection, {**answer_dict(answer), "caption_source": "generated"}, answer.text)
