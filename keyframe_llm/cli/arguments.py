"""What `keyframe-llm` can be told on the command line."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, get_args

from keyframe_llm import __version__
from keyframe_llm.classification import By
from keyframe_llm.options import Backend, Guide, Pooling, Proposer, Task
from keyframe_llm.pipeline import DEFAULT_ENCODER, DEFAULT_MODEL

__all__ = ["new_parser"]

Run = Callable[[argparse.Namespace], None]


def _weights(text: str) -> tuple[float, ...]:
    try:
        return tuple(float(part) for part in text.split(","))
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r}; give three numbers such as 0.5,0,0.5") from None


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> Any:
        """Say what was wrong in one line, without the usage."""
        self.exit(2, f"keyframe-llm: error: {message}; see `{self.prog} --help`\n")


def new_parser(run: Mapping[str, Run]) -> argparse.ArgumentParser:
    """The parser of the whole program; `run` of what it returns is the function of the command asked for."""
    parser = _Parser(prog="keyframe-llm", description="Give a Video-LLM the two or three frames that matter.")
    parser.add_argument("--version", action="version", version=f"keyframe-llm {__version__}")
    commands = parser.add_subparsers(metavar="COMMAND", required=True, parser_class=_Parser)
    _command(commands, "select", run["select"], "choose the key frames of a video", question="--question")
    _command(commands, "caption", run["caption"], "describe a video in one sentence", caption=False)
    _command(commands, "ask", run["ask"], "answer a question about a video", question="question")
    classify = _command(commands, "classify", run["classify"], "say which action a video shows")
    classify.add_argument(
        "--labels",
        required=True,
        metavar="A,B,…",
        help="the actions to choose from, or @FILE with one a line",
    )
    judges = "the Video-LLM's likelihoods, its answer (all a server can do), or the encoder"
    classify.add_argument("--by", choices=get_args(By), default="model", help=f"who judges: {judges}")
    classify.add_argument(
        "--normalise", choices=("mean", "sum"), default="mean", help="over a label's tokens"
    )
    classify.add_argument(
        "--top", type=int, metavar="N", help="how many labels to tell (default 5; all as JSON)"
    )
    _command(
        commands, "demo", run["demo"], "the whole job on a bundled video, offline", video=False, caption=False
    )
    summary = "show what is kept of videos on disk, or clear it"
    cache = commands.add_parser("cache", help=summary, description=summary)
    cache.set_defaults(run=run["cache"])
    cache.add_argument("--clear", action="store_true", help="delete all of it")
    cache.add_argument("--json", action="store_true", help="print one JSON object")
    mcp = commands.add_parser("mcp", help="serve the tools to agents", description=_MCP_SUMMARY)
    mcp.set_defaults(run=run["mcp"])
    _mcp_arguments(mcp)
    chat = commands.add_parser("chat", help="chat with videos in the browser", description=_CHAT)
    chat.set_defaults(run=run["chat"])
    _chat_arguments(chat)
    from keyframe_llm.evaluation.runner import EVAL, add_arguments

    add_arguments(commands.add_parser("eval", help="measure selectors side by side", description=EVAL))
    return parser


_CHAT = (
    "Serve a page to chat with videos on. --model and --encoder given twice or more are offered to choose."
)


def _chat_arguments(chat: argparse.ArgumentParser) -> None:
    chat.add_argument("--model", action="append", metavar="NAME", help="Video-LLM (default: cartoon)")
    chat.add_argument("--encoder", action="append", metavar="NAME", help="encoder (default: fits the model)")
    chat.add_argument("--host", default="127.0.0.1", help="address to bind to (default 127.0.0.1)")
    chat.add_argument("--port", type=int, metavar="N", help="port (default: the first free one from 7860)")
    chat.add_argument("--auth", action="append", metavar="NAME:PASSWORD", help="who may come in; repeatable")
    chat.add_argument("--share", action="store_true", help="make a public link through Gradio's servers")


_MCP_SUMMARY = "Serve the tools to agents over the Model Context Protocol: stdio, or HTTP with --http."


def _mcp_arguments(mcp: argparse.ArgumentParser) -> None:
    mcp.add_argument("--root", action="append", metavar="DIR", help="folder of videos (default: this one)")
    mcp.add_argument("--model", help=f"Video-LLM (default {DEFAULT_MODEL})")
    mcp.add_argument("--encoder", help=f"image-text encoder (default {DEFAULT_ENCODER})")
    mcp.add_argument("--device", help="where models run: cpu, cuda, mps (default: the best there is)")
    mcp.add_argument("--url-host", action="append", metavar="HOST", help="allow videos from this host's URLs")
    http = mcp.add_argument_group("HTTP")
    http.add_argument("--http", action="store_true", help="serve at http://HOST:PORT/mcp")
    http.add_argument("--host", default="127.0.0.1", help="address to bind to (default 127.0.0.1)")
    http.add_argument("--port", type=int, default=8000, metavar="N", help="port to bind to (default 8000)")
    http.add_argument("--token-file", metavar="FILE", help="file with the bearer token requests must have")
    http.add_argument("--public-name", action="append", metavar="HOST", help="a further name it is called by")
    limits = mcp.add_argument_group("limits")
    for name, kind, text in (
        ("max-duration-seconds", float, "longest video opened (default 14400)"),
        ("max-pixels", int, "largest picture, width times height (default 4096 x 2304)"),
        ("max-frames", int, "most key frames of one call (default 8)"),
        ("concurrent-calls", int, "calls worked on at once (default 2)"),
        ("timeout-seconds", float, "longest a call may take (default 300)"),
    ):
        limits.add_argument(f"--{name}", type=kind, metavar="N", help=text)


def _command(
    commands: Any,
    name: str,
    run: Run,
    summary: str,
    *,
    video: bool = True,
    caption: bool = True,
    question: str | None = None,
) -> argparse.ArgumentParser:
    command: argparse.ArgumentParser = commands.add_parser(name, help=summary, description=summary)
    command.set_defaults(run=run, caption=None, question=None, model=None, encoder=None)
    if video:
        command.add_argument("video", metavar="VIDEO", help="path of a video file")
        command.add_argument("--encoder", help=f"image-text encoder (default {DEFAULT_ENCODER})")
        command.add_argument("--model", help=f"Video-LLM (default {DEFAULT_MODEL})")
    if question:
        command.add_argument(question, metavar="QUESTION" if question == "question" else "TEXT")
    if caption:
        command.add_argument("--caption", metavar="TEXT", help="what the frames should show")
    command.add_argument("--out", type=Path, metavar="DIR", help="write frames, contact sheet and score plot")
    command.add_argument("--json", action="store_true", help="print one JSON object")
    command.add_argument("--quiet", action="store_true", help="no progress on stderr")
    command.add_argument("--no-cache", action="store_true", help="keep nothing on disk, and use nothing kept")
    command.add_argument("--device", help="where models run: cpu, cuda, mps (default: the best there is)")
    _selection_arguments(command.add_argument_group("selection"))
    return command


def _selection_arguments(group: Any) -> None:
    whole, number = ("N", int), ("X", float)
    options: list[tuple[str, tuple[str, Any], str]] = [
        ("max-frames", whole, "at most this many key frames (default 3)"),
        ("fps", number, "frames looked at per second of video (default 2)"),
        ("max-samples", whole, "at most this many frames looked at (default 2000)"),
        ("start-seconds", number, "look at nothing before"),
        ("end-seconds", number, "look at nothing after"),
        ("gamma-time", number, "weight of time against colour in STACFP, 0–50 (default 5)"),
        ("k-max", whole, "at most this many proposals (default: follows the video)"),
        ("threshold", number, "keep proposals scoring at least this, 0–1 (default: adaptive)"),
        ("min-gap-seconds", number, "least distance between key frames (default: follows the video)"),
        ("max-images", whole, "embed about this many frames of a video at most (default 128)"),
        ("seed", whole, "seed of the clustering (default 0)"),
        ("weights", ("S,T,D", _weights), "semantic, temporal and drop weight, summing to 1"),
    ]
    for name, (metavar, kind), text in options:
        group.add_argument(f"--{name}", type=kind, metavar=metavar, help=text)
    for name, allowed in (
        ("proposer", Proposer),
        ("pooling", Pooling),
        ("guide", Guide),
        ("task", Task),
        ("backend", Backend),
    ):
        group.add_argument(f"--{name}", choices=get_args(allowed))
    group.add_argument("--hardware", metavar="KIND", help="decode on a device: cuda, vaapi, videotoolbox, …")
    group.add_argument(
        "--exhaustive",
        action="store_true",
        default=None,
        help="look as densely at every part of a long video",
    )
    group.add_argument("--preset", choices=["paper"], help="the method exactly as published")
