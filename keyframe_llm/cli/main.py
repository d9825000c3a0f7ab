"""The entry of `keyframe-llm`: parse the command line, run one command, make errors one line.

Exit status: 0 done; 1 a fault of the program; 2 a mistake that the user can correct; 130 interrupted.
"""

from __future__ import annotations

import argparse
import atexit
import errno
import gc
import logging
import os
import sys
import traceback
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Any, NoReturn

from keyframe_llm import __version__
from keyframe_llm.cli import (
    ask,
    batch,
    cache,
    caption,
    chat,
    classify,
    demo,
    index,
    mcp,
    search,
    select,
    transcript,
)
from keyframe_llm.cli import eval as evaluate
from keyframe_llm.cli.output import discard, note, ready_streams
from keyframe_llm.errors import KeyframeError
from keyframe_llm.memory import keep_memory_in_one_place

__all__ = ["command", "exit_status", "main", "parser"]

_COMMANDS = (
    select,
    caption,
    ask,
    classify,
    index,
    search,
    batch,
    transcript,
    demo,
    cache,
    mcp,
    chat,
    evaluate,
)
_LETTERS = 1000
_COLLECT_AFTER = (50_000, 20, 20)
"""Objects made before garbage is looked for: imports make a million that stay, and each search costs time."""
_NO_SPACE = {errno.ENOSPC, errno.EDQUOT}


def command() -> NoReturn:
    """What the shell runs: `main`, then the end of the process."""
    keep_memory_in_one_place()
    ended: list[int] = []
    atexit.register(_leave, ended)  # the first one given runs last
    ended.append(main())
    sys.exit(ended[0])


def _leave(ended: Sequence[int]) -> None:
    """End here after torch: to take its modules apart costs 0.25 s and 100 MB, and frees what ends anyway."""
    if ended and "torch" in sys.modules:
        logging.shutdown()
        for stream in (sys.stdout, sys.stderr):
            with suppress(OSError, ValueError):
                stream.flush()
        os._exit(ended[0])


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; returns the exit status.

    Raises `SystemExit`, as argparse does, after `--help` and on arguments that it does not understand.
    """
    ready_streams()
    _quiet_libraries()
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")  # torch's idle threads sleep: they kept a core busy
    gc.set_threshold(*_COLLECT_AFTER)
    atexit.register(gc.freeze)  # the last search for garbage took a second of processor time after torch
    args = argparse.Namespace()

    def work() -> None:
        parser().parse_args(arguments, args)
        args.run(args)

    return exit_status(work, args)


def parser() -> argparse.ArgumentParser:
    """The parser of the whole program; `run` of what it returns is the function of the command given."""
    whole = _Parser(prog="keyframe-llm", description="Give a Video-LLM the two or three frames that matter.")
    whole.add_argument("--version", action="version", version=f"keyframe-llm {__version__}")
    _add_debug(whole, False)
    commands = whole.add_subparsers(metavar="COMMAND", required=True, parser_class=_Parser)
    for command in _COMMANDS:
        command.add(commands)
    for each in commands.choices.values():
        _add_debug(each, argparse.SUPPRESS)
    return whole


def exit_status(work: Callable[[], None], args: argparse.Namespace) -> int:
    """Do the work, and make of every error one line on stderr and a status.

    With `args.debug` the traceback is printed before that line.
    """
    try:
        try:
            work()
        finally:
            sys.stdout.flush()
    except KeyboardInterrupt:
        note("keyframe-llm: interrupted")
        return 130
    except BrokenPipeError:  # the reader of our output has gone, as `| head` does
        discard(sys.stdout)
        return 0
    except Exception as error:
        if getattr(args, "debug", False):
            note(traceback.format_exc())
        return _failed(error)
    return 0


def _failed(error: Exception) -> int:
    """Print the one line of an error; returns the exit status."""
    if isinstance(error, KeyframeError):
        note(f"keyframe-llm: error: {_one_line(error)}")
        return 2
    if isinstance(error, OSError) and error.errno in _NO_SPACE:
        discard(sys.stdout)
        note(f"keyframe-llm: error: {_one_line(error)}; free some space, or write elsewhere")
        return 2
    note(
        f"keyframe-llm: a fault of the program: {type(error).__name__}: {_one_line(error)}; "
        'please report it, see "Contributing" in the README; --debug shows the traceback'
    )
    return 1


def _one_line(error: Exception) -> str:
    line = " ".join(str(error).split())
    return line if len(line) <= _LETTERS else f"{line[:_LETTERS]}…"


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        """Say what was wrong in one line, without the usage."""
        note(f"keyframe-llm: error: {' '.join(message.split())}; see `{self.prog} --help`")
        raise SystemExit(2)


def _add_debug(command: argparse.ArgumentParser, default: Any) -> None:
    command.add_argument(
        "--debug", action="store_true", default=default, help="show the traceback of an error"
    )


def _quiet_libraries() -> None:
    """Keep the libraries' own progress bars and notices off stderr; errors still come through."""
    os.environ.setdefault("HF_HUB_DISABLE_PROGRESS_BARS", "1")
    os.environ.setdefault("TRANSFORMERS_VERBOSITY", "error")
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
