"""What the chat page's server holds after many videos: memory and files, beside what it held before.

    python benchmarks/chat_memory.py small.mp4 --uploads 30 --then hour.mp4 4k.mp4 empty.mp4

A browser tab brings a video, waits until it was read, and is closed; then the next one. The server is a
process of its own, which ends a session a second after its tab was closed; then its resident memory is noted.
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from measuring import table

_PATIENCE = 550_000
_SETTLE_SECONDS = 4.0
_SERVE = """
import time
from keyframe_llm.demos.chat import serving
from keyframe_llm.demos.models import Models
with serving(Models(["cartoon"]), grace_seconds=1.0) as addresses:
    print(addresses[0], flush=True)
    time.sleep(86_400)
"""


def resident_mb(process: int, field: str = "VmRSS") -> float:
    """The resident set of a process; with `VmHWM` its peak since the last reset."""
    lines = Path(f"/proc/{process}/status").read_text(encoding="ascii").splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(f"{field}:")) / 1024


def bring(browser: Any, address: str, video: Path) -> float:
    """Upload a video in a tab, wait until it was read or refused, close the tab; return the seconds."""
    page = browser.new_page(viewport={"width": 1280, "height": 900})
    page.goto(address)
    page.wait_for_selector("#kf-examples button", timeout=_PATIENCE)
    began = time.perf_counter()
    page.set_input_files("#kf-upload input[type=file]", str(video))
    page.wait_for_selector("#kf-question textarea:not([disabled]), .kf-trouble", timeout=_PATIENCE)
    spent = time.perf_counter() - began
    page.close()
    return spent


def files_left(folder: Path) -> int:
    """Files of videos and pictures that are still there, less those of the examples."""
    return sum(path.is_file() and "examples" not in path.parts for path in folder.rglob("*"))


def main() -> None:
    """Print a row after each step."""
    from playwright.sync_api import sync_playwright

    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("video", type=Path)
    parser.add_argument("--uploads", type=int, default=30)
    parser.add_argument("--then", type=Path, nargs="*", default=[])
    args = parser.parse_args()
    chromium = shutil.which("chromium") or shutil.which("google-chrome")
    rows = []
    with tempfile.TemporaryDirectory() as folder, sync_playwright() as driver:
        command = [sys.executable, "-c", _SERVE]
        environment = {**os.environ, "TMPDIR": folder}
        process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment)
        assert process.stdout is not None
        address = process.stdout.readline().strip()
        browser = driver.chromium.launch(executable_path=chromium, args=["--no-sandbox", "--disable-gpu"])

        def note(what: str, seconds: float) -> None:
            time.sleep(_SETTLE_SECONDS)
            held, peak = resident_mb(process.pid), resident_mb(process.pid, "VmHWM")
            rows.append([what, f"{seconds:.1f} s", f"{held:.0f}", f"{peak:.0f}", files_left(Path(folder))])
            print(*rows[-1], sep=", ", flush=True)
            Path(f"/proc/{process.pid}/clear_refs").write_text("5", encoding="ascii")  # the peak starts anew

        steps = [args.video] * args.uploads + args.then
        for i, video in enumerate(steps):
            spent = bring(browser, address, video)
            if i in (0, 4, args.uploads - 1) or i >= args.uploads:
                note(f"{video.name}, upload {i + 1}", spent)
        browser.close()
        process.terminate()
        process.wait(120)
    print(table(["after", "taken", "MiB held", "peak", "files left"], rows))


if __name__ == "__main__":
    main()
