"""The `keyframe-llm` command: results on stdout, progress and warnings on stderr.

Exit status: 0 done; 2 a mistake the user can mend, told in one line; 130 interrupted.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Callable, Sequence
from dataclasses import asdict, fields
from pathlib import Path
from typing import Any, get_args

from keyframe_llm import __version__
from keyframe_llm.classification import By
from keyframe_llm.data import Selection
from keyframe_llm.errors import KeyframeError, OptionsError
from keyframe_llm.options import Backend, Guide, Pooling, Proposer, SelectOptions, Task
from keyframe_llm.pipeline import DEFAULT_ENCODER, DEFAULT_MODEL, KeyframeLLM

__all__ = ["main"]


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; returns the exit status."""
    parser = _parser()
    asked = parser.parse_args(arguments)
    try:
        _quiet_libraries()
        asked.run(asked)
        sys.stdout.flush()
    except KeyframeError as error:
        print(f"keyframe-llm: error: {_one_line(error)}", file=sys.stderr)
        return 2
    except BrokenPipeError:
        # The reader of our output has gone, e.g. `| head`; keep Python from complaining at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except KeyboardInterrupt:
        print("keyframe-llm: interrupted", file=sys.stderr)
        return 130
    return 0


# Commands ----------------------------------------------------------------------------------------------


def _select(asked: argparse.Namespace) -> None:
    llm = _llm(asked)
    selection = llm.select(
        asked.video, caption=asked.caption, question=asked.question, generate_caption=asked.model is not None
    )
    _show(asked, selection, {})


def _caption(asked: argparse.Namespace) -> None:
    said = _llm(asked).caption(asked.video)
    _show(asked, said.selection, {"model": asked.model or DEFAULT_MODEL}, headline=said.text)


def _ask(asked: argparse.Namespace) -> None:
    llm = _llm(asked)
    if asked.json:
        _show_answer(asked, llm.ask(asked.video, asked.question, caption=asked.caption))
        return
    selection, pieces = llm.stream(asked.video, asked.question, caption=asked.caption)
    _show(asked, selection, {})
    for piece in pieces:
        print(piece, end="", flush=True)
    print()


def _classify(asked: argparse.Namespace) -> None:
    from keyframe_llm.labels import parse_labels

    if asked.top is not None and asked.top < 1:
        raise OptionsError(f"top is {asked.top}; give how many labels to tell, at least 1")
    result = _llm(asked).classify(
        asked.video,
        parse_labels(asked.labels),
        by=asked.by,
        caption=asked.caption,
        generate_caption=asked.by != "encoder" or asked.model is not None,
        normalise=asked.normalise,
    )
    shares = dict(result.top(asked.top or len(result.probabilities)))
    more = {"label": result.label, "probabilities": shares, "model": result.model, "by": result.by}
    lines = [f"{share:6.1%}  {label}" for label, share in result.top(asked.top or 5)]
    _show(asked, result.selection, more, headline="\n".join(lines) or result.label)


def _demo(asked: argparse.Namespace) -> None:
    from keyframe_llm.demos.videos import DEMO_QUESTION, demo_video

    asked.model = asked.encoder = "cartoon"
    llm = _llm(asked)
    video = str(demo_video())
    told = llm.select(video, generate_caption=True)
    # The question is about two seconds that the caption does not know of: it alone guides the selection.
    answer = llm.ask(video, DEMO_QUESTION, caption=told.caption, guide="question")
    if not asked.json:
        print(f"video     {video}")
        print(f"caption   {told.caption}")
        _print_keyframes(told.to_dict()["keyframes"])
        print(f"question  {DEMO_QUESTION}")
    _show_answer(asked, answer, {"caption_source": "generated"})


def _chat(asked: argparse.Namespace) -> None:
    from keyframe_llm.demos.chat import run

    run(asked)


def _mcp(asked: argparse.Namespace) -> None:
    from keyframe_llm.tools.serve import run

    run(asked)


def _cache(asked: argparse.Namespace) -> None:
    from keyframe_llm.cache_report import run

    run(asked)


def _show_answer(asked: argparse.Namespace, answer: Any, more: dict[str, Any] | None = None) -> None:
    told = {
        "question": answer.question,
        "answer": answer.text,
        "model": answer.model,
        "prompt_tokens": answer.prompt_tokens,
        "visual_tokens": answer.visual_tokens,
        "default_sampling": answer.default_sampling and asdict(answer.default_sampling),
    }
    _show(asked, answer.selection, {**told, **(more or {})}, headline=answer.text)


# Output ------------------------------------------------------------------------------------------------


def _show(asked: argparse.Namespace, selection: Selection, more: dict[str, Any], headline: str = "") -> None:
    """Print a selection as one JSON object or for people, and write the pictures where `--out` says."""
    warnings = [*selection.warnings, *_outside_world(asked, selection)]
    for warning in warnings:
        print(f"keyframe-llm: warning: {warning}", file=sys.stderr)
    result = {**selection.to_dict(), **more, "warnings": warnings}
    if asked.out:
        written = selection.save(asked.out)
        for entry, image in zip(result["keyframes"], _saved_images(written), strict=True):
            entry["image"] = str(image)
    if asked.json:
        print(json.dumps(result, ensure_ascii=False, allow_nan=False))
        return
    _print_keyframes(result["keyframes"])
    if headline:
        print(headline)
    if asked.out:
        print(f"written to {asked.out}", file=sys.stderr)


def _print_keyframes(keyframes: list[dict[str, Any]]) -> None:
    for entry in keyframes:
        parts = [f"{entry['seconds']:9.2f}s", f"score {entry['score']:.3f}"]
        parts += [f"{n} {entry[n]:.3f}" for n in ("semantic", "temporal", "drop") if entry[n] is not None]
        print("  ".join(parts))


def _saved_images(written: dict[str, Path]) -> list[Path]:
    return [path for path in written.values() if path.suffix == ".jpg"]


def _outside_world(asked: argparse.Namespace, selection: Selection) -> list[str]:
    from keyframe_llm.cartoon import OUTSIDE_WORLD, is_drawn

    used = "cartoon" in (asked.model, asked.encoder if selection.caption or selection.question else None)
    return [OUTSIDE_WORLD] if used and not is_drawn(selection.video.path) else []


_STAGES = {"decode": "reading the video", "propose": "proposing frames", "caption": "writing the caption"} | {
    "embed": "looking at the proposals",
    "answer": "answering",
    "classify": "comparing labels",
}


class _Bar:
    """Progress on stderr: one line that is rewritten on a terminal, one line a stage elsewhere."""

    def __init__(self, quiet: bool) -> None:
        self.quiet, self.stage, self.live = quiet, "", sys.stderr.isatty()

    def __call__(self, stage: str, share: float) -> None:
        if self.quiet:
            return
        told = _STAGES.get(stage, "")
        if self.live:
            percent = f" {share:4.0%}" if stage == "decode" and told else ""
            print(f"\r\033[K{told}{percent}", end="", file=sys.stderr, flush=True)
        elif told and stage != self.stage:
            print(f"{told} …", file=sys.stderr, flush=True)
        self.stage = stage


# Arguments ---------------------------------------------------------------------------------------------


def _llm(asked: argparse.Namespace) -> KeyframeLLM:
    names = {field.name for field in fields(SelectOptions)}
    given = {name: value for name, value in vars(asked).items() if name in names and value is not None}
    options = SelectOptions.paper(**given) if asked.preset == "paper" else SelectOptions(**given)
    return KeyframeLLM(
        asked.model or DEFAULT_MODEL,
        asked.encoder or ("cartoon" if asked.model == "cartoon" else DEFAULT_ENCODER),
        options=options,
        progress=_Bar(asked.quiet),
        device=asked.device,
        cache=not asked.no_cache,
    )


def _weights(text: str) -> tuple[float, ...]:
    try:
        return tuple(float(part) for part in text.split(","))
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r}; give three numbers such as 0.5,0,0.5") from None


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> Any:
        """Say what was wrong in one line, without the usage."""
        self.exit(2, f"keyframe-llm: error: {message}; see `{self.prog} --help`\n")


def _parser() -> argparse.ArgumentParser:
    parser = _Parser(prog="keyframe-llm", description="Give a Video-LLM the two or three frames that matter.")
    parser.add_argument("--version", action="version", version=f"keyframe-llm {__version__}")
    commands = parser.add_subparsers(metavar="COMMAND", required=True, parser_class=_Parser)
    _command(commands, "select", _select, "choose the key frames of a video", question="--question")
    _command(commands, "caption", _caption, "describe a video in one sentence", caption=False)
    _command(commands, "ask", _ask, "answer a question about a video", question="question")
    classify = _command(commands, "classify", _classify, "say which action a video shows")
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
    _command(commands, "demo", _demo, "the whole job on a bundled video, offline", video=False, caption=False)
    summary = "show what is kept of videos on disk, or clear it"
    cache = commands.add_parser("cache", help=summary, description=summary)
    cache.set_defaults(run=_cache)
    cache.add_argument("--clear", action="store_true", help="delete all of it")
    cache.add_argument("--json", action="store_true", help="print one JSON object")
    _mcp_arguments(commands.add_parser("mcp", help="serve the tools to agents", description=_MCP_SUMMARY))
    _chat_arguments(commands.add_parser("chat", help="chat with videos in the browser", description=_CHAT))
    from keyframe_llm.evaluation.runner import EVAL, add_arguments

    add_arguments(commands.add_parser("eval", help="measure selectors side by side", description=EVAL))
    return parser


_CHAT = (
    "Serve a page to chat with videos on. --model and --encoder given twice or more are offered to choose."
)


def _chat_arguments(chat: argparse.ArgumentParser) -> None:
    chat.set_defaults(run=_chat)
    chat.add_argument("--model", action="append", metavar="NAME", help="Video-LLM (default: cartoon)")
    chat.add_argument("--encoder", action="append", metavar="NAME", help="encoder (default: fits the model)")
    chat.add_argument("--host", default="127.0.0.1", help="address to bind to (default 127.0.0.1)")
    chat.add_argument("--port", type=int, metavar="N", help="port (default: the first free one from 7860)")
    chat.add_argument("--auth", action="append", metavar="NAME:PASSWORD", help="who may come in; repeatable")
    chat.add_argument("--share", action="store_true", help="make a public link through Gradio's servers")


_MCP_SUMMARY = "Serve the tools to agents over the Model Context Protocol: stdio, or HTTP with --http."


def _mcp_arguments(mcp: argparse.ArgumentParser) -> None:
    mcp.set_defaults(run=_mcp)
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
    run: Callable[[argparse.Namespace], None],
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


def _quiet_libraries() -> None:
    """Keep the libraries' own progress bars and notices off stderr; errors still come through."""
    os.environ.setdefault("HF_HUB_DISABLE_PROGRESS_BARS", "1")
    os.environ.setdefault("TRANSFORMERS_VERBOSITY", "error")
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")


def _one_line(error: Exception) -> str:
    return " ".join(str(error).split())


if __name__ == "__main__":
    sys.exit(main())
