"""What the checks of a batch share: their videos, runs of the command, rows, and claims that are printed."""

from __future__ import annotations

import json
import os
import subprocess
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import psutil
from pyarrow import parquet

__all__ = ["command", "finished", "kept", "rows", "sources", "started"]

DATA = "KEYFRAME_LLM_TEST_DATA"
WAIT_SECONDS = 300


def sources(given: Sequence[Path]) -> list[Path]:
    """The folders that were given, else those of the test data."""
    if given:
        return list(given)
    if DATA not in os.environ:
        raise SystemExit(f"name folders of videos, or set {DATA}")
    return [Path(os.environ[DATA]) / name for name in ("real", "formats", "broken")]


def command(program: Path | str, folders: Sequence[Path], out: Path, *more: object) -> list[str]:
    """The command of a batch that prints one JSON object."""
    return [str(program), "batch", *map(str, folders), "--out", str(out), "--json", *map(str, more)]


def finished(arguments: Sequence[str]) -> dict[str, Any]:
    """What a run prints, with its seconds."""
    began = time.monotonic()
    done = subprocess.run(arguments, capture_output=True, text=True, check=False)
    if done.returncode:
        return {"error": done.stderr.strip(), "status": done.returncode}
    result: dict[str, Any] = json.loads(done.stdout)
    return {**result, "seconds": time.monotonic() - began}


def started(arguments: Sequence[str], out: Path, least: int) -> psutil.Popen:
    """A run that has written so many rows."""
    process = psutil.Popen(arguments, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    limit = time.monotonic() + WAIT_SECONDS
    while kept(out) < least and process.poll() is None and time.monotonic() < limit:
        time.sleep(0.02)
    return process


def kept(out: Path) -> int:
    """How many rows lie in files of their own."""
    return len(list((out / "_rows").glob("*.parquet")))


def rows(out: Path) -> dict[str, dict[str, Any]]:
    """All rows of a folder by their keys."""
    found = [row for path in out.rglob("*.parquet") for row in parquet.ParquetFile(path).read().to_pylist()]
    by_key = {row["key"]: row for row in found}
    if len(by_key) != len(found):
        raise ValueError(f"{out} holds {len(found)} rows of {len(by_key)} keys")
    return by_key
