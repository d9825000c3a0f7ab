"""`keyframe-llm search`: the videos of a library that fit a text, and their moments."""

from __future__ import annotations

import argparse
from datetime import datetime
from typing import Any

from keyframe_llm.cli import flags
from keyframe_llm.cli.index import add_library
from keyframe_llm.cli.output import note, print_json
from keyframe_llm.errors import OptionsError, user_path
from keyframe_llm.library import FoundMoment, FoundVideo, Library

__all__ = ["add", "run"]

_SHEET = "search.png"
_LETTERS = 80


def add(commands: Any) -> None:
    """Declare the command and its flags."""
    command = flags.new_command(commands, "search", run, "find videos and their moments by words")
    command.add_argument("text", type=flags.text, metavar="TEXT", help="what to look for")
    add_library(command)
    command.add_argument("--in", dest="within", metavar="DIR", help="only videos below this folder")
    command.add_argument("--k", type=int, default=10, metavar="N", help="how many videos (default 10)")
    command.add_argument("--start-seconds", type=float, metavar="X", help="only moments from this second on")
    command.add_argument("--end-seconds", type=float, metavar="X", help="only moments up to this second")
    command.add_argument(
        "--after", type=_date, metavar="DATE", help="only files changed at this time or later: 2026-11-27"
    )
    command.add_argument("--before", type=_date, metavar="DATE", help="only files changed before this time")
    command.add_argument("--encoder", metavar="NAME", help="image-text encoder (default: the library's)")
    flags.add_device(command)
    command.add_argument(
        "--out", type=flags.folder, metavar="DIR", help=f"write {_SHEET}, a sheet of the moments found"
    )
    command.add_argument("--json", action="store_true", help="print one JSON object")


def run(args: argparse.Namespace) -> None:
    """Print the videos found, the best first, and below each its moments."""
    library = Library(args.library, encoder=args.encoder, device=args.device)
    found = library.search(
        args.text,
        k=args.k,
        within=args.within,
        start_seconds=args.start_seconds,
        end_seconds=args.end_seconds,
        after=args.after,
        before=args.before,
    )
    sheet = None if args.out is None else _save(args, library, found)
    if args.json:
        listed = [video.to_dict() for video in found]
        print_json({"text": args.text, "videos": listed, **({"sheet": sheet} if sheet else {})})
        return
    for number, video in enumerate(found, 1):
        print(f"{number:3}  {video.score:.3f}  {_plain(video.path)}")
        for moment in video.moments:
            print(_row(moment))
    if not found:
        note("nothing found: no video of the library lies there")
    if sheet is not None:
        note(f"written to {sheet}")


def _row(moment: FoundMoment) -> str:
    words = _plain(moment.text)
    words = words if len(words) <= _LETTERS else words[: _LETTERS - 1] + "…"
    shown = f'  "{words}"' if words else ""
    return f"     {moment.start:9.2f}s – {moment.end:.2f}s  {moment.source} {moment.score:.3f}{shown}"


def _plain(text: str) -> str:
    """A text of a video or a name on one line, its control characters in escapes."""
    return "".join(sign if sign.isprintable() else ascii(sign)[1:-1] for sign in " ".join(text.split()))


def _save(args: argparse.Namespace, library: Library, found: list[FoundVideo]) -> str:
    from keyframe_llm.library.sheet import search_sheet

    target = user_path("the folder", args.out) / _SHEET
    sheet, problems = search_sheet(args.text, found, library.options.decode)
    for problem in problems:
        note(f"keyframe-llm: warning: {problem}")
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        sheet.save(target)
    except OSError as error:
        raise OptionsError(
            f"cannot write to {str(target)!r} ({error.strerror or error}); give a folder you may write to"
        ) from error
    return str(target)


def _date(value: str) -> float:
    """A date or a time in ISO 8601, of this machine's time zone where it names none, as a timestamp."""
    try:
        return datetime.fromisoformat(value).timestamp()
    except (ValueError, OverflowError, OSError):
        raise argparse.ArgumentTypeError(
            f"{value!r}; give a date as 2026-11-27 or 2026-11-27T18:30"
        ) from None
