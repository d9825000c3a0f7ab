"""`keyframe-llm classify`: which of several actions a video shows."""

from __future__ import annotations

import argparse
import inspect
from typing import Any, get_args

from keyframe_llm.classification import By, parse_labels
from keyframe_llm.cli import flags
from keyframe_llm.cli.llm import new_llm
from keyframe_llm.cli.output import show
from keyframe_llm.errors import check_whole
from keyframe_llm.pipeline import DEFAULT_MODEL, KeyframeLLM

__all__ = ["add", "run"]

_DEFAULTS = inspect.signature(KeyframeLLM.classify).parameters
_PRINTED = 5


def add(commands: Any) -> None:
    """Declare the command and its flags."""
    command = flags.new_command(commands, "classify", run, "say which action a video shows")
    flags.add_video(command)
    command.add_argument(
        "--labels",
        type=flags.text,
        required=True,
        metavar="A,B,…",
        help="the actions to choose from, or @FILE with one a line",
    )
    command.add_argument(
        "--by",
        choices=get_args(By),
        default=_DEFAULTS["by"].default,
        help="what judges: the Video-LLM's likelihoods (model), its answer, which is all a server can do, "
        "or the encoder (default: %(default)s)",
    )
    flags.add_normalise(command)
    command.add_argument(
        "--top", type=int, metavar="N", help=f"how many labels to print (default {_PRINTED}; as JSON, all)"
    )
    flags.add_caption(command)
    flags.add_models(
        command,
        f"Video-LLM that judges, and writes a caption where none is given (default {DEFAULT_MODEL}; "
        "with --by encoder none is used)",
    )
    flags.add_shown(command)
    flags.add_prompts(command)
    flags.add_output(command)
    flags.add_selection(command)


def run(args: argparse.Namespace) -> None:
    """Print the likeliest labels. With `--by encoder` a caption is written only where `--model` is given."""
    top = None if args.top is None else check_whole("top", args.top, 1)
    result = new_llm(args).classify(
        flags.given_video(args),
        parse_labels(args.labels),
        by=args.by,
        caption=args.caption,
        generate_caption=True if args.model else None,
        normalise=args.normalise,
    )
    shares = dict(result.top(top or len(result.probabilities)))
    more = {"label": result.label, "probabilities": shares, "model": result.model, "by": result.by}
    lines = [f"{share:6.1%}  {label}" for label, share in result.top(top or _PRINTED)]
    show(args, result.selection, more, headline="\n".join(lines) or result.label)
