"""`keyframe-llm eval`: selectors measured side by side."""

from __future__ import annotations

import argparse
from typing import Any

from keyframe_llm.evaluation import runner

__all__ = ["add", "run"]


def add(commands: Any) -> None:
    """Declare the command; its flags are the runner's."""
    command = commands.add_parser("eval", help="measure selectors side by side", description=runner.EVAL)
    runner.add_arguments(command)
    command.set_defaults(run=run)


def run(args: argparse.Namespace) -> None:
    """Measure the parts that were named."""
    runner.run(args)
