"""Flags of the command line. Those of a selection are made from the fields of the option stages."""

from __future__ import annotations

import argparse
import ast
import inspect
import math
import textwrap
from collections.abc import Callable, Mapping, Sequence
from dataclasses import Field, fields
from itertools import pairwise
from pathlib import Path
from typing import Any, Literal, get_args, get_origin

from keyframe_llm.messages import Layout
from keyframe_llm.options import option_fields, option_type
from keyframe_llm.pipeline import DEFAULT_ENCODER
from keyframe_llm.scoring.selectors import selector_names
from keyframe_llm.video import FrameList
from keyframe_llm.vlm import Normalise
from keyframe_llm.vlm.served_request import FramesAs

__all__ = [
    "add_caption",
    "add_device",
    "add_fields",
    "add_models",
    "add_normalise",
    "add_output",
    "add_prompts",
    "add_selection",
    "add_shown",
    "add_video",
    "folder",
    "given_video",
    "new_command",
    "text",
]

Run = Callable[[argparse.Namespace], None]

_NAMES: Mapping[str, Callable[[], Sequence[str]]] = {"method": selector_names}
"""Fields whose names are kept by another part of the library."""
_METAVARS: Mapping[Any, str] = {int: "N", float: "X", str: "TEXT"}


# Flags that several commands share ---------------------------------------------------------------------


def new_command(commands: Any, name: str, run: Run, summary: str) -> argparse.ArgumentParser:
    """A command of the program; `run` of the parsed arguments is the function that does it."""
    command: argparse.ArgumentParser = commands.add_parser(name, help=summary, description=summary)
    command.set_defaults(run=run)
    return command


def add_video(command: argparse.ArgumentParser) -> None:
    """The video, given by its place (see `given_video`)."""
    command.add_argument(
        "video", metavar="VIDEO", help="path or address of a video, or a folder of numbered pictures"
    )
    command.add_argument(
        "--frame-rate", type=float, metavar="X", help="frames per second of a folder of numbered pictures"
    )


def given_video(args: argparse.Namespace) -> str | FrameList:
    """The video that was given: a path or an address, or the pictures in a folder at the rate given."""
    video: str = args.video
    return video if args.frame_rate is None else FrameList(video, fps=args.frame_rate)


def add_models(command: argparse.ArgumentParser, model_help: str) -> None:
    """The Video-LLM and the encoder by their names, and where they run."""
    command.add_argument("--model", metavar="NAME", help=model_help)
    default = f"{DEFAULT_ENCODER}, or the one that belongs to an embedded model"
    command.add_argument(
        "--encoder", metavar="NAME", help=f"image-text encoder, or fast, balanced, best (default {default})"
    )
    add_device(command)


def add_device(command: argparse.ArgumentParser) -> None:
    """Where models run."""
    command.add_argument("--device", help="where models run: cpu, cuda, mps (default: the best there is)")


def add_prompts(command: argparse.ArgumentParser) -> None:
    """A folder of prompts of one's own."""
    command.add_argument(
        "--prompts",
        type=folder,
        metavar="DIR",
        help="folder of your own prompt files; each replaces the built-in prompt of the same file name",
    )


def add_shown(command: argparse.ArgumentParser) -> None:
    """How the Video-LLM is shown key frames, and how a server is sent them."""
    command.add_argument(
        "--layout",
        choices=get_args(Layout),
        help="how the model is shown key frames: one picture each (default), or all on one sheet",
    )
    command.add_argument(
        "--frames-as",
        choices=get_args(FramesAs),
        help="how a server is sent key frames: images, or a video with true times, which vLLM takes "
        "(default: what the served model's name asks for)",
    )


def add_normalise(command: argparse.ArgumentParser) -> None:
    """How labels of several tokens are compared."""
    command.add_argument(
        "--normalise",
        choices=get_args(Normalise),
        default="mean",
        help="how the likelihoods of a label's tokens are put together (default: %(default)s)",
    )


def add_caption(command: argparse.ArgumentParser) -> None:
    """The text that the frames should show."""
    command.add_argument("--caption", type=text, metavar="TEXT", help="what the frames should show")


def add_output(command: argparse.ArgumentParser) -> None:
    """Where results go, and what is kept on disk."""
    command.add_argument(
        "--out", type=folder, metavar="DIR", help="write frames, contact sheet and score plot"
    )
    command.add_argument("--json", action="store_true", help="print one JSON object")
    command.add_argument("--quiet", action="store_true", help="no progress on stderr")
    command.add_argument("--no-cache", action="store_true", help="keep nothing on disk, and use nothing kept")


def text(value: str) -> str:
    """A text given on the command line; refuses bytes that are not valid in the locale's encoding."""
    if any("\ud800" <= sign <= "\udfff" for sign in value):
        raise argparse.ArgumentTypeError(f"{value!a} is not valid Unicode; give it in UTF-8")
    return value


def folder(value: str) -> Path:
    """A folder given on the command line; refuses an empty name, which would be the current folder."""
    if not value:
        raise argparse.ArgumentTypeError("the name is empty; give a folder, or . for the current one")
    return Path(value)


# Flags from fields -------------------------------------------------------------------------------------


def add_selection(command: argparse.ArgumentParser) -> None:
    """A flag for every option of the library, in a group for each stage, and the preset."""
    for stage in dict.fromkeys(stage for stage, _ in option_fields().values()):
        title = stage.__name__.replace("Options", " options").lower()
        summary = (stage.__doc__ or "").strip().split(". ")[0]
        add_fields(command.add_argument_group(title, summary), stage)
    command.add_argument("--preset", choices=["paper"], help="the method exactly as published")


def add_fields(group: Any, kind: type[Any]) -> None:
    """A flag for each field of a dataclass. The arguments hold no value of a flag that was not given."""
    described = all("help" in each.metadata for each in fields(kind))
    documents = {} if described else _documents(kind)
    for each in fields(kind):
        words = each.metadata.get("help") or documents.get(each.name, "")
        group.add_argument(
            f"--{each.name.replace('_', '-')}",
            dest=each.name,
            default=argparse.SUPPRESS,
            help=_help(each, words).replace("%", "%%"),
            **_settings(each, option_type(kind, each.name)[0]),
        )


def _settings(each: Field[Any], hint: Any) -> dict[str, Any]:
    """How argparse reads the value of a field. A function, which some fields may be, has no name to give."""
    kind = hint if hint in (int, float, bool, str) or get_origin(hint) in (Literal, tuple) else None
    if kind is None:
        kind = next(one for one in get_args(hint) if one in (bool, str) or get_origin(one) is Literal)
    metavar = each.metadata.get("metavar")
    if kind is bool:
        return {"action": argparse.BooleanOptionalAction if each.default is True else "store_true"}
    if get_origin(kind) is tuple:
        return {"type": _numbers, "metavar": metavar or "X,X,…"}
    if each.name in _NAMES:
        return {"choices": list(_NAMES[each.name]()), "metavar": metavar}
    if get_origin(kind) is Literal:
        return {"choices": get_args(kind)}
    return {"type": text if kind is str else kind, "metavar": metavar or _METAVARS[kind]}


def _help(each: Field[Any], words: str) -> str:
    """The help of a field with its range and its default, where it has them."""
    names = ", ".join(_NAMES[each.name]()) if each.name in _NAMES else ""
    plain = each.default is None or each.default is False or each.default == ()
    default = "" if plain else f"default {_shown(each.default)}"
    facts = "; ".join(fact for fact in (names, _range(each), default) if fact)
    return f"{words.strip().rstrip('.')} ({facts})" if facts else words.strip().rstrip(".")


def _range(each: Field[Any]) -> str:
    low, high = each.metadata.get("low"), each.metadata.get("high", math.inf)
    if low is None:
        return ""
    above = bool(each.metadata.get("above"))
    if high == math.inf:
        return f"{'above' if above else 'at least'} {_shown(low)}"
    return f"above {_shown(low)}, up to {_shown(high)}" if above else f"{_shown(low)} to {_shown(high)}"


def _shown(value: Any) -> str:
    if isinstance(value, tuple):
        return ",".join(map(_shown, value))
    return str(int(value)) if isinstance(value, float) and value.is_integer() else str(value)


def _numbers(value: str) -> tuple[float, ...]:
    try:
        return tuple(float(part) for part in value.split(","))
    except ValueError:
        raise argparse.ArgumentTypeError(
            f"{value!r}; give numbers with commas between, as 0.5,0,0.5"
        ) from None


def _documents(kind: type[Any]) -> dict[str, str]:
    """The docstrings below the fields of a dataclass, by the fields' names."""
    body = ast.parse(textwrap.dedent(inspect.getsource(kind))).body[0]
    assert isinstance(body, ast.ClassDef)
    return {
        field.target.id: str(ast.literal_eval(document.value))
        for field, document in pairwise(body.body)
        if isinstance(field, ast.AnnAssign)
        and isinstance(field.target, ast.Name)
        and isinstance(document, ast.Expr)
        and isinstance(document.value, ast.Constant)
    }
