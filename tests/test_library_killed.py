"""A library whose writer is killed, is killed by a file, or finds the disk full: what is done is kept."""

from __future__ import annotations

import signal
import subprocess
import sys
import textwrap
from pathlib import Path

import numpy as np
import pytest

from keyframe_llm.library import Library
from support import videos
from support.encoders import ColourEncoder

ROOT = Path(__file__).parent
PROGRAM = """
    import os, resource, signal, sys
    sys.path.insert(0, {tests!r})
    from keyframe_llm.errors import OptionsError
    from keyframe_llm.library import Library
    from support.encoders import ColourEncoder

    class Deadly(ColourEncoder):
        '''Kills the process at a picture that is nearly black, as a segmentation fault would.'''
        def embed_images(self, images, /):
            if any(image.mean() < 20 for image in images):
                os.kill(os.getpid(), signal.SIGKILL)
            return super().embed_images(images)

    library, folder, most = sys.argv[1:]
    if int(most):
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (int(most), int(most)))
    try:
        for step in Library(library, encoder=Deadly()).index([folder]):
            print(step.outcome.status, os.path.basename(step.outcome.path), flush=True)
    except OptionsError as error:
        print("error", error, flush=True)
"""

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="SIGKILL and RLIMIT_FSIZE are of POSIX")


def make(folder: Path, count: int, *, black: int | None = None, seconds: int = 4) -> None:
    folder.mkdir()
    for i in range(count):
        images = [
            np.full((48, 64, 3), 0 if i == black else 40 + 20 * i + j % 7, np.uint8) for j in range(seconds)
        ]
        videos.draw(folder / f"{i}.mp4", range(seconds), images=images, size=(64, 48), rate=1)


def command(library: Path, folder: Path, most_bytes: int = 0) -> list[str]:
    program = textwrap.dedent(PROGRAM.format(tests=str(ROOT)))
    return [sys.executable, "-c", program, str(library), str(folder), str(most_bytes)]


def run(library: Path, folder: Path, most_bytes: int = 0) -> tuple[int, list[str]]:
    """The exit status and the lines of one run."""
    done = subprocess.run(
        command(library, folder, most_bytes), stdout=subprocess.PIPE, text=True, timeout=300, check=False
    )
    return done.returncode, done.stdout.splitlines()


def held(library: Path) -> list[str]:
    return [Path(path).name for path in Library(library, encoder=ColourEncoder()).paths()]


def test_kill_9_loses_at_most_the_video_at_hand(tmp_path: Path) -> None:
    path, folder = tmp_path / "library.sqlite", tmp_path / "videos"
    make(folder, 6)
    process = subprocess.Popen(command(path, folder), stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    done = [process.stdout.readline().split()[1] for _ in range(2)]
    process.send_signal(signal.SIGKILL)
    done += [line.split()[1] for line in process.stdout]  # what was told before the end
    process.wait()
    process.stdout.close()
    assert process.returncode == -signal.SIGKILL
    kept = held(path)
    assert set(done) <= set(kept) and len(kept) <= len(done) + 1
    status, lines = run(path, folder)
    assert status == 0 and len(held(path)) == 6
    assert [line for line in lines if line.startswith("unchanged")] == [f"unchanged {name}" for name in kept]
    assert len(Library(path, encoder=ColourEncoder()).search("red")) == 6


def test_a_file_that_kills_the_program_is_left_out_from_the_third_run_on(tmp_path: Path) -> None:
    path, folder = tmp_path / "library.sqlite", tmp_path / "videos"
    make(folder, 3, black=1)
    assert run(path, folder) == (-signal.SIGKILL, ["indexed 0.mp4"])
    assert run(path, folder) == (-signal.SIGKILL, ["unchanged 0.mp4"])
    assert run(path, folder) == (0, ["unchanged 0.mp4", "failed 1.mp4", "indexed 2.mp4"])
    assert run(path, folder) == (0, ["unchanged 0.mp4", "failed 1.mp4", "unchanged 2.mp4"])
    (outcome,) = (
        step.outcome
        for step in Library(path, encoder=ColourEncoder()).index([folder])
        if step.outcome.status == "failed"
    )
    assert outcome.error == "the program ended twice while it read this file; touch it to have it tried again"


def test_a_full_disk_is_one_line_and_what_was_done_is_kept(tmp_path: Path) -> None:
    """The limit of a file's size stands for the end of the disk: a write beyond it fails."""
    path, folder = tmp_path / "library.sqlite", tmp_path / "videos"
    make(folder, 6)
    status, lines = run(path, folder, 160_000)
    *done, error = lines
    assert status == 0 and 1 <= len(done) < 6
    assert error.startswith(f"error the library '{path}' cannot be used (") and "free some space" in error
    kept = held(path)
    assert kept == [line.split()[1] for line in done]
    assert run(path, folder)[0] == 0 and len(held(path)) == 6
