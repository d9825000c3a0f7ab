"""The options and the `KeyframeLLM` that the flags of a command describe."""

from __future__ import annotations

import argparse
from contextlib import suppress
from threading import Thread

from keyframe_llm.cli.output import ProgressBar
from keyframe_llm.options import SelectOptions, option_fields
from keyframe_llm.pipeline import KeyframeLLM

__all__ = ["new_llm", "select_options"]


def select_options(args: argparse.Namespace) -> SelectOptions:
    """The options that were given. Raises `OptionsError` on a value out of range."""
    given = {name: value for name, value in vars(args).items() if name in option_fields()}
    return SelectOptions.paper(**given) if args.preset == "paper" else SelectOptions(**given)


def new_llm(args: argparse.Namespace, *, preload: bool = False) -> KeyframeLLM:
    """The library with what was given; what was not keeps the library's own defaults.

    With `preload` the Video-LLM is loaded while the video is read, which is then known to be one.
    """
    names = ("model", "encoder", "device", "prompts", "layout", "frames_as")
    given = {name: getattr(args, name) for name in names if getattr(args, name, None)}
    shown = ProgressBar(args.quiet)
    loading: Thread | None = None

    def progress(stage: str, share: float) -> None:
        nonlocal loading
        if preload and loading is None and stage in ("decode", "embed"):
            loading = Thread(target=_load, args=(llm,), name="keyframe-llm-load")
            loading.start()
        shown(stage, share)

    llm = KeyframeLLM(**given, options=select_options(args), progress=progress, cache=not args.no_cache)
    return llm


def _load(llm: KeyframeLLM) -> None:
    with suppress(Exception):  # whoever needs the model tries again, and is told
        _ = llm.model
