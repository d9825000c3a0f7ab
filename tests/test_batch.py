"""A batch of many videos: what it writes, what it does not do twice, and what a broken file costs."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import textwrap
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from keyframe_llm.cli import main
from keyframe_llm.errors import OptionsError
from keyframe_llm.library.batch import BatchOptions, Task
from keyframe_llm.library.capacity import fitting, free_bytes, share
from keyframe_llm.library.database import sole_writer
from keyframe_llm.library.local_batch import run_locally
from keyframe_llm.library.results import Results
from keyframe_llm.library.workers import Limits, Worker
from keyframe_llm.options import SelectOptions
from keyframe_llm.prompts import Prompts
from support import videos
from support.deadly import deadly

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
    retried = batch(capsys, folder, "--out", out, "--jpeg", "--retry")
    assert (retried["done"], retried["known"]) == (1, 1) and retried["failures"] == first["failures"]
    videos.draw(folder / "b.mp4", range(4), rate=1)
    changed = batch(capsys, folder, "--out", out, "--jpeg")
    assert (changed["done"], changed["known"], changed["failures"]) == (1, 1, [])
    rows = [row for each in out.glob("part-*") for row in parquet.ParquetFile(each).read().to_pylist()]
    assert sorted(row["duration_seconds"] for row in rows) == [4, 6] and whole in rows
    with sole_writer(out / "_batch"):
        assert main(["batch", str(folder), "--out", str(out), "--jpeg"]) == 2
    assert f"the folder {str(out)!r} is being written to" in capsys.readouterr().err
    assert main(["batch", str(folder), "--out", str(out), "--max-frames", "1"]) == 2
    assert "other options" in capsys.readouterr().err


def test_rows_belong_to_the_texts_of_the_prompts_they_were_made_with(tmp_path: Path) -> None:
    own, rows = tmp_path / "own", Results(tmp_path / "rows")
    own.mkdir()
    for text, refused in (("Describe it.", False), ("Describe it.", False), ("Name it.", True)):
        (own / "caption.txt").write_text(text)
        told = pytest.raises(OptionsError, match="other options") if refused else nullcontext()
        with told, rows.opened(BatchOptions(model="cartoon", prompts=Prompts(own))):
            pass


def rows_of(folder: Path) -> dict[str, dict[str, Any]]:
    """The rows in a folder by the names of their videos."""
    rows = [row for path in folder.rglob("*.parquet") for row in parquet.ParquetFile(path).read().to_pylist()]
    assert len({row["key"] for row in rows}) == len(rows)
    return {Path(row["video"]).stem: row for row in rows}


POSIX = pytest.mark.skipif(sys.platform == "win32", reason="signals and limits of POSIX")


@POSIX
def test_a_video_that_ends_its_process_costs_its_row_and_no_other(tmp_path: Path) -> None:
    """A real segmentation fault, a real limit of memory, and a decoder that never comes back."""
    names = ("a", "segfault", "memory", "z")
    paths = {name: videos.draw(tmp_path / f"{name}.mp4", range(3), rate=1) for name in (*names, "hang")}
    options = BatchOptions(select=SelectOptions(backend=deadly))
    results, tasks = Results(tmp_path / "rows"), [Task(name, str(paths[name]), None, None) for name in names]
    with results.opened(options):
        done = list(run_locally(tasks, options, results, seconds=100, memory_bytes=768 << 20, workers=1))
    rows = rows_of(tmp_path / "rows")
    assert [row["key"] for row in done] == list(names) and list(sorted(rows)) == sorted(names)
    assert rows["a"]["error"] is None and rows["a"]["keyframes"] and rows["z"]["keyframes"]
    assert "ended the process that read it, twice (status -11)" in rows["segfault"]["error"]
    assert "takes more memory than a worker may have" in rows["memory"]["error"]
    worker = Worker(options, Limits(seconds=1))
    try:
        late = worker.row(Task("k", str(paths["hang"]), None, None))
    finally:
        worker.close()
    assert late["error"].startswith("it took longer than 1 s")


PROGRAM = """
    import resource, sys
    from pathlib import Path
    sys.path.insert(0, {tests!r})
    from keyframe_llm.errors import OptionsError
    from keyframe_llm.library.batch import BatchOptions, Task
    from keyframe_llm.library.local_batch import run_locally
    from keyframe_llm.library.results import Results
    from keyframe_llm.options import SelectOptions
    from support.deadly import deadly

    out, most, *names = sys.argv[1:]
    resource.setrlimit(resource.RLIMIT_FSIZE, (int(most), resource.RLIM_INFINITY))
    options = BatchOptions(jpeg=True, select=SelectOptions(backend=deadly))
    results = Results(Path(out))
    tasks = [Task(Path(name).stem, name, None, None) for name in names]
    try:
        with results.opened(BatchOptions()):
            for row in run_locally(tasks, options, results, seconds=100, workers=1):
                print(row["key"], flush=True)
    except OptionsError as error:
        print("error", error, flush=True)
"""


@POSIX
def test_a_full_disk_is_one_line_and_a_killed_program_loses_only_the_video_at_hand(tmp_path: Path) -> None:
    """The limit of a file's size stands for the end of the disk: a write beyond it fails."""
    noise = list(np.random.default_rng(0).integers(0, 256, (3, 240, 320, 3), np.uint8))
    videos.draw(tmp_path / "hang.mp4", range(3), rate=1)
    a, b = (videos.draw(tmp_path / f"{name}.mp4", range(3), rate=1) for name in "ab")
    big = videos.draw(tmp_path / "big.mp4", range(3), images=noise, size=(320, 240), rate=1)
    out = tmp_path / "rows"
    command = [sys.executable, "-c", textwrap.dedent(PROGRAM.format(tests=str(Path(__file__).parent)))]
    full = subprocess.run(
        [*command, out, "30000", a, big, b], stdout=subprocess.PIPE, text=True, timeout=300, check=True
    )
    first, error = full.stdout.splitlines()
    assert first == "a" and error.startswith(
        f"error cannot write to {str(out)!r} (File too large); make room"
    )
    assert list(rows_of(out)) == ["a"] and rows_of(out)["a"]["keyframes"]
    with subprocess.Popen(
        [*command, out, "10000000", b, tmp_path / "hang.mp4", big], stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None and process.stdout.readline() == "b\n"
        process.send_signal(signal.SIGKILL)
    assert sorted(rows_of(out)) == ["a", "b"] and rows_of(out)["b"]["keyframes"]
    results = Results(out)
    with results.opened(BatchOptions()):  # the lock is free, and what was begun is cleared away
        assert results.written() == {"a", "b"} and not list(out.rglob("*.tmp*"))
        results.join(least=1)
    assert sorted(rows_of(out)) == ["a", "b"]


def test_as_many_workers_as_the_memory_holds_share_it() -> None:
    gib = 1 << 30
    assert fitting(64 * gib, gib // 8, cores=16) == 16
    assert fitting(64 * gib, 15 * gib, cores=16) == 2
    assert fitting(4 * gib, 15 * gib, cores=16) == 1
    assert 2 * share(64 * gib, 2) < 64 * gib


@pytest.mark.parametrize("own", ["0::/a/b\n", "9:pids:/\n4:memory:/a/b\n"], ids=["v2", "v1"])
def test_free_memory_is_that_within_all_control_groups(tmp_path: Path, own: str) -> None:
    """The files of both versions, as the kernel's documents describe them."""
    mib, one = 1 << 20, own.startswith("0")
    names = ("memory.max", "memory.current") if one else ("memory.limit_in_bytes", "memory.usage_in_bytes")
    (tmp_path / "cgroup").write_text(own)
    top = tmp_path if one else tmp_path / "memory"
    none = "max" if one else str((1 << 63) - 4096)
    for folder, most, used in (
        (top, none, 99 * mib),
        (top / "a", 64 * mib, 32 * mib),
        (top / "a/b", none, 1),
    ):
        folder.mkdir(exist_ok=True)
        for name, value in zip(names, (most, used), strict=True):
            (folder / name).write_text(f"{value}\n")
        cached = "inactive_file" if one else "total_inactive_file"
        (folder / "memory.stat").write_text(f"anon 7\n{cached} {8 * mib}\n")
    assert free_bytes(tmp_path, tmp_path / "cgroup") == 40 * mib
    assert free_bytes(tmp_path, tmp_path / "missing") > 40 * mib
