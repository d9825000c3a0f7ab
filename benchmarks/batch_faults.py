"""A batch of real, odd and broken files that is interrupted in every way: no row that was made is lost.

    KEYFRAME_LLM_TEST_DATA=… python benchmarks/batch_faults.py      # or: … FOLDER…

One whole run gives the rows. Then a worker is killed, the program itself is killed, and the disk is full
(a memory file system that is too small, mounted where the user is root); each time the rows must be the same
in the end. Each line is a claim and what was seen. The exit status is 1 where one is false.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psutil
from batch_runs import command, finished, kept, rows, sources, started
from measuring import Claims

__all__ = ["main"]

PROGRAM = Path(sys.executable).with_name("keyframe-llm")
Rows = dict[str, dict[str, Any]]


def main() -> int:
    """Check every claim; 1 where one is false."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("folders", type=Path, nargs="*", help="folders of videos")
    folders, claims = sources(parser.parse_args().folders), Claims()
    with tempfile.TemporaryDirectory() as place:
        whole = whole_run(claims, folders, Path(place) / "whole")
        killed_worker(claims, folders, Path(place) / "worker", whole)
        killed_program(claims, folders, Path(place) / "program", whole)
        if (Path(place).stat().st_uid, sys.platform) == (0, "linux"):
            full_disk(claims, folders, Path(place) / "disk", whole)
        else:
            print("not checked: a full disk (needs Linux, and the right to mount)")
    return int(bool(claims.false))


def whole_run(claims: Claims, folders: list[Path], out: Path) -> Rows:
    """The rows of a run that nothing interrupts."""
    done = finished(command(PROGRAM, folders, out))
    found = rows(out)
    failed = [Path(each["video"]).name for each in done["failures"]]
    claims("every file has its row", len(found) == done["done"], f"{len(found)} rows, failed: {failed}")
    again = finished(command(PROGRAM, folders, out))
    claims("a second run does nothing", (again["done"], again["known"]) == (0, len(found)), again["known"])
    return found


def killed_worker(claims: Claims, folders: list[Path], out: Path, whole: Rows) -> None:
    """Kill a worker process three times."""
    process, killed = started(command(PROGRAM, folders, out), out, 5), 0
    for number in range(1, 4):
        while kept(out) < 10 * number and process.is_running() and process.poll() is None:
            time.sleep(0.02)
        for worker in process.children()[:1]:
            worker.kill()
            killed += 1
    process.wait()
    claims(f"{killed} workers killed with -9 change no row", rows(out) == whole, f"{len(rows(out))} rows")


def killed_program(claims: Claims, folders: list[Path], out: Path, whole: Rows) -> None:
    """Kill the program in the middle, then run it again."""
    process = started(command(PROGRAM, folders, out), out, len(whole) // 2)
    workers = process.children()
    process.kill()
    process.wait()
    before = rows(out)
    _, alive = psutil.wait_procs(workers, timeout=10)
    claims("workers end with their program", not alive, f"{len(workers)} ended")
    again = finished(command(PROGRAM, folders, out))
    same = before.items() <= whole.items() and rows(out) == whole
    holds = same and (again["known"], again["done"]) == (len(before), len(whole) - len(before))
    claims("a program killed with -9 goes on", holds, f"{len(before)} kept, {again['done']} done then")


def full_disk(claims: Claims, folders: list[Path], out: Path, whole: Rows) -> None:
    """Run on a disk that is too small, then make it larger."""
    with mounted(out, "200k"):
        failed = finished(command(PROGRAM, folders, out))
        before = rows(out)
        line = str(failed.get("error", ""))
        one = failed.get("status") == 2 and "No space left" in line and "\n" not in line
        claims("a full disk is one line", one, line.replace(str(out), "DIR"))
        claims("what was written is kept", before.items() <= whole.items(), f"{len(before)} rows")
        subprocess.run(["mount", "-o", "remount,size=64m", str(out)], check=True)
        again = finished(command(PROGRAM, folders, out))
        holds = rows(out) == whole and again["known"] == len(before)
        claims("with more room it goes on", holds, f"{again['done']} done then")


@contextmanager
def mounted(folder: Path, size: str) -> Iterator[None]:
    """A file system of this size in memory."""
    folder.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", str(folder)], check=True)
    try:
        yield
    finally:
        subprocess.run(["umount", str(folder)], check=True)


if __name__ == "__main__":
    sys.exit(main())
