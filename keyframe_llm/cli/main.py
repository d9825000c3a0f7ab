"""The `keyframe-llm` command: results on stdout, progress and warnings on stderr.

Exit status: 0 done; 2 a mistake the user can mend, told in one line; 130 interrupted.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Sequence
from dataclasses import asdict, fields
from pathlib import Path
from typing import Any

from keyframe_llm.cli.arguments import new_parser
from keyframe_llm.data import Selection
from keyframe_llm.errors import KeyframeError, OptionsError
from keyframe_llm.options import SelectOptions
from keyframe_llm.pipeline import DEFAULT_ENCODER, DEFAULT_MODEL, KeyframeLLM

__all__ = ["main", "parser"]


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; returns the exit status."""
    asked = parser().parse_args(arguments)
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
    from keyframe_llm.cli.cache import run

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


def parser() -> argparse.ArgumentParser:
    """The parser of the whole program, each command with the function that runs it."""
    return new_parser(
        {
            "select": _select,
            "caption": _caption,
            "ask": _ask,
            "classify": _classify,
            "demo": _demo,
            "cache": _cache,
            "mcp": _mcp,
            "chat": _chat,
        }
    )


# What all commands share -------------------------------------------------------------------------------


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


def _quiet_libraries() -> None:
    """Keep the libraries' own progress bars and notices off stderr; errors still come through."""
    os.environ.setdefault("HF_HUB_DISABLE_PROGRESS_BARS", "1")
    os.environ.setdefault("TRANSFORMERS_VERBOSITY", "error")
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")


def _one_line(error: Exception) -> str:
    return " ".join(str(error).split())
