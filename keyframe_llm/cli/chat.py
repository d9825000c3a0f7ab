"""`keyframe-llm chat`: a page in the browser to talk about videos."""

from __future__ import annotations

import argparse
from typing import Any

from keyframe_llm.cli import flags
from keyframe_llm.options import WordOptions

__all__ = ["add", "run"]

_SUMMARY = (
    "Serve a page to chat with videos on. --model and --encoder given twice or more are offered to choose."
)


def add(commands: Any) -> None:
    """Declare the command and its flags."""
    command = commands.add_parser("chat", help="chat with videos in the browser", description=_SUMMARY)
    command.set_defaults(run=run)
    command.add_argument("--model", action="append", metavar="NAME", help="Video-LLM (default: cartoon)")
    command.add_argument(
        "--encoder", action="append", metavar="NAME", help="encoder (default: fits the model)"
    )
    command.add_argument(
        "--library", metavar="FILE", help="begin with a search of this library; who comes in sees its videos"
    )
    flags.add_device(command)
    flags.add_shown(command)
    flags.add_prompts(command)
    command.add_argument("--host", default="127.0.0.1", help="address to bind to (default: %(default)s)")
    command.add_argument("--port", type=int, metavar="N", help="port (default: the first free one from 7860)")
    command.add_argument(
        "--auth", action="append", metavar="NAME:PASSWORD", help="who may come in; repeatable"
    )
    command.add_argument("--share", action="store_true", help="make a public link through Gradio's servers")
    command.add_argument(
        "--allow-addresses",
        action="store_true",
        help="let visitors give addresses of videos; this machine fetches whatever it reaches for them",
    )
    flags.add_fields(command.add_argument_group("words options"), WordOptions)


def run(args: argparse.Namespace) -> None:
    """Serve the page until it is interrupted."""
    from keyframe_llm.demos.chat import run as serve

    serve(args)
