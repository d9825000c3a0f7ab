"""The options and the `KeyframeLLM` that the flags of a command describe."""

from __future__ import annotations

import argparse

from keyframe_llm.cli.output import ProgressBar
from keyframe_llm.options import SelectOptions, option_fields
from keyframe_llm.pipeline import KeyframeLLM

__all__ = ["new_llm", "select_options"]


def select_options(args: argparse.Namespace) -> SelectOptions:
    """The options that were given. Raises `OptionsError` on a value out of range."""
    given = {name: value for name, value in vars(args).items() if name in option_fields()}
    return SelectOptions.paper(**given) if args.preset == "paper" else SelectOptions(**given)


def new_llm(args: argparse.Namespace) -> KeyframeLLM:
    """The library with what was given; what was not keeps the library's own defaults."""
    names = ("model", "encoder", "device", "prompts", "layout")
    given = {name: getattr(args, name) for name in names if getattr(args, name, None)}
    return KeyframeLLM(
        **given, options=select_options(args), progress=ProgressBar(args.quiet), cache=not args.no_cache
    )
