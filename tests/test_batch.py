"""A batch of many videos: what it writes, what it does not do twice, and what a broken file costs."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from keyframe_llm.cli import main
from keyframe_llm.library.batch import BatchOptions, Task
from keyframe_llm.library.workers import Limits, Worker
from support import videos

parquet = pytest.importorskip("pyarrow.parquet")
Capture = pytest.CaptureFixture[str]


def batch(capsys: Capture, *arguments: object) -> dict[str, object]:
    """What `batch --json` prints."""
    assert main(["batch", *map(str, arguments), "--json", "--workers", "1"]) == 0
    result: dict[str, object] = json.loads(capsys.readouterr().out)
    return result


def test_a_broken_file_costs_one_row_and_a_second_run_does_only_what_is_new(
    tmp_path: Path, capsys: Capture
) -> None:
    folder, out = tmp_path / "videos", tmp_path / "rows"
    folder.mkdir()
    good = videos.draw(folder / "a.mp4", range(6), rate=1)
    (folder / "b.mp4").write_bytes(b"no video")
    first = batch(capsys, folder, "--out", out, "--jpeg")
    assert (first["done"], first["known"]) == (2, 0)
    (part,) = out.glob("part-*.parquet")
    whole, broken = parquet.ParquetFile(part).read().to_pylist()
    assert whole["video"] == str(good) and whole["error"] is None
    times = [each["seconds"] for each in whole["candidates"] if each["chosen"]]
    assert times == [each["seconds"] for each in whole["keyframes"]] and times
    assert all(each["jpeg"].startswith(b"\xff\xd8") for each in whole["keyframes"])
    assert broken["video"].endswith("b.mp4") and "\n" not in broken["error"]
    again = batch(capsys, folder, "--out", out, "--jpeg")
    assert (again["done"], again["known"]) == (0, 2) and again["failures"] == first["failures"]
    assert main(["batch", str(folder), "--out", str(out), "--max-frames", "1"]) == 2
    assert "other options" in capsys.readouterr().err


def test_a_process_that_cannot_live_makes_a_row_with_an_error(tmp_path: Path) -> None:
    path = videos.draw(tmp_path / "a.mp4", range(3), rate=1)
    worker = Worker(BatchOptions(), Limits(seconds=60, memory_bytes=1 << 20))
    try:
        row = worker.row(Task("k", str(path), None, None))
    finally:
        worker.close()
    assert "it ended the process that read it, twice" in row["error"] and row["key"] == "k"
