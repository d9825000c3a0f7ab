"""`keyframe-llm mcp`: the tools for agents, over the Model Context Protocol."""

from __future__ import annotations

import argparse
from typing import Any

from keyframe_llm.cli import flags
from keyframe_llm.pipeline import DEFAULT_MODEL

__all__ = ["add", "run"]

_SUMMARY = "Serve the tools to agents over the Model Context Protocol: stdio, or HTTP with --http."


def add(commands: Any) -> None:
    """Declare the command and its flags; its limits are the fields of `Limits`."""
    from keyframe_llm.tools.limits import Limits

    command = commands.add_parser("mcp", help="serve the tools to agents", description=_SUMMARY)
    command.set_defaults(run=run)
    command.add_argument(
        "--root", action="append", metavar="DIR", help="folder of videos (default: this one)"
    )
    flags.add_models(command, f"Video-LLM (default {DEFAULT_MODEL})")
    flags.add_shown(command)
    flags.add_prompts(command)
    command.add_argument(
        "--url-host", action="append", metavar="HOST", help="allow videos from this host's URLs"
    )
    command.add_argument(
        "--library",
        metavar="FILE",
        help="library of indexed videos that agents may search, as far as its videos lie below the roots",
    )
    command.add_argument(
        "--save-folder", metavar="DIR", help="folder that agents may save key frames and clips into"
    )
    _add_http(command.add_argument_group("HTTP"))
    flags.add_fields(command.add_argument_group("limits"), Limits)


def run(args: argparse.Namespace) -> None:
    """Serve until the client goes."""
    from keyframe_llm.tools.serve import run as serve

    serve(args)


def _add_http(group: Any) -> None:
    group.add_argument("--http", action="store_true", help="serve at http://HOST:PORT/mcp")
    group.add_argument("--host", default="127.0.0.1", help="address to bind to (default: %(default)s)")
    group.add_argument(
        "--port", type=int, default=8000, metavar="N", help="port to bind to (default: %(default)s)"
    )
    group.add_argument("--token-file", metavar="FILE", help="file with the bearer token requests must have")
    group.add_argument(
        "--public-name", action="append", metavar="HOST", help="a further name it is called by"
    )
