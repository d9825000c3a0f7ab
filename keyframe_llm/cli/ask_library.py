"""`keyframe-llm ask --library`: the answer to a question, from the best moments of several videos."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from keyframe_llm.cli.llm import new_llm
from keyframe_llm.cli.output import clear_progress, note, print_json
from keyframe_llm.errors import OptionsError, as_one_line
from keyframe_llm.library import Library, ShownVideo
from keyframe_llm.options import option_fields

__all__ = ["add_library", "run"]

_OF_ONE_VIDEO = ("caption", "frame_rate", "layout", "dry_run", "out", "preset")
_VIDEOS, _FRAMES = 3, 6


class _TakesNoVideo(argparse.Action):
    """Keeps the library's path; then one text is enough, the question."""

    def __call__(self, parser: argparse.ArgumentParser, args: Any, values: Any, option: Any = None) -> None:
        """Note the path, and ask for one text only."""
        setattr(args, self.dest, values)
        for action in parser._actions:
            if action.dest == "question":
                action.required = False


def add_library(command: argparse.ArgumentParser) -> None:
    """The library that is asked in place of one video."""
    group = command.add_argument_group("library", "ask a library of indexed videos in place of one video")
    group.add_argument(
        "--library",
        action=_TakesNoVideo,
        metavar="FILE",
        help="the library to ask; then no video is given, and --max-frames bounds the frames of all videos "
        f"together (default {_FRAMES})",
    )
    group.add_argument(
        "--videos", type=int, metavar="N", help=f"at most this many videos are shown (default {_VIDEOS})"
    )
    group.add_argument("--in", dest="within", metavar="DIR", help="only videos below this folder")


def run(args: argparse.Namespace) -> None:
    """Print the videos and seconds that are shown to the model, then its answer; as JSON all at once."""
    question = _question(args)
    given = {name: value for name, value in vars(args).items() if name in option_fields()}
    where = {name: given.pop(name) for name in ("start_seconds", "end_seconds") if name in given}
    shown = {
        "max_videos": _VIDEOS if args.videos is None else args.videos,
        "max_frames": given.pop("max_frames", _FRAMES),
    }
    library = Library(args.library, encoder=args.encoder, device=args.device, **given)
    llm = new_llm(args)
    if args.json:
        print_json(library.ask(question, llm, within=args.within, **shown, **where).to_dict())
        return
    evidence = library.evidence(question, within=args.within, **shown, **where)
    clear_progress()
    for line in (*evidence.problems, *library.warnings_of(evidence, llm.model_name)):
        note(f"keyframe-llm: warning: {line}")
    messages = evidence.messages(llm.prompts)
    for number, video in enumerate(evidence.videos, 1):
        print(_row(number, video))
    for piece in llm.model.stream(messages, max_new_tokens=256):
        print(piece, end="", flush=True)
    print()


def _question(args: argparse.Namespace) -> str:
    """The one text that was given. Raises `OptionsError` where there is more, or a flag of one video."""
    if args.question is not None:
        raise OptionsError(
            f"a library is asked, and the video {args.video!r} is given too; leave one of them out"
        )
    for name in _OF_ONE_VIDEO:
        if getattr(args, name):
            raise OptionsError(f"--{name.replace('_', '-')} is for one video; leave it out with --library")
    return str(args.video)


def _row(number: int, video: ShownVideo) -> str:
    times = ", ".join(f"{second:.2f}s" for second in video.frames.seconds)
    return f"{number:3}  {as_one_line(Path(video.path).name)}  {times}"
