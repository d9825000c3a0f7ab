"""Annotation files in the formats that data sets use."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from keyframe_llm.errors import OptionsError

__all__ = ["numbered_json_lines", "read_json", "read_json_lines", "read_parquet"]


def read_json(path: Path) -> Any:
    """What a JSON file holds."""
    return json.loads(path.read_text(encoding="utf-8-sig"))


def read_json_lines(path: Path) -> list[Any]:
    """What the lines of a JSON Lines file hold; raises `OptionsError` with the number of a damaged line."""
    return [row for _, row in numbered_json_lines(path)]


def numbered_json_lines(path: Path) -> list[tuple[int, Any]]:
    """As `read_json_lines`, with the number of each line, from 1; empty ones are counted."""
    rows = []
    # Not `splitlines`, which also splits at characters that a JSON text may hold, such as U+2028.
    for number, line in enumerate(path.read_text(encoding="utf-8-sig").split("\n"), 1):
        try:
            rows += [(number, json.loads(line))] if line.strip() else []
        except json.JSONDecodeError as error:
            raise OptionsError(f"{path}, line {number} is not JSON: {error}") from error
    return rows


def read_parquet(path: Path) -> list[dict[str, Any]]:
    """The rows of a Parquet file; raises `OptionsError` where pyarrow is missing."""
    try:
        from pyarrow import parquet
    except ImportError as error:
        raise OptionsError(
            f"{path} is a Parquet file, which needs pyarrow; `pip install pyarrow`, or save it as test.jsonl"
        ) from error
    rows: list[dict[str, Any]] = parquet.read_table(path).to_pylist()
    return rows
