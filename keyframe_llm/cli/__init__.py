"""The `keyframe-llm` command: results on stdout, progress and warnings on stderr."""

from __future__ import annotations

from keyframe_llm.cli.main import command, main, parser

__all__ = ["command", "main", "parser"]
