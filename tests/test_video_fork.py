"""Decoding and arithmetic in child processes: forked ones too, whatever the parent's threads are doing."""

from __future__ import annotations

import multiprocessing
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from keyframe_llm.errors import VideoError
from keyframe_llm.video import Decoder, open_video

HANGS_AFTER_SECONDS = 60
CAN_FORK = "fork" in multiprocessing.get_all_start_methods()
TIMES = [i * 0.125 for i in range(200)]

LOADER = """
import multiprocessing
import sys
import torch
from keyframe_llm.video import open_video


class Clips(torch.utils.data.Dataset):
    def __init__(self, path):
        self.path = path

    def __len__(self):
        return 4

    def __getitem__(self, i):
        with open_video(self.path) as video:
            samples = list(video.sample(0.5, short_side=32))
            return len(samples), int(video.decode_at([0.5 * i]).images.sum())


if __name__ == "__main__":
    clips = Clips(sys.argv[1])
    expected = [clips[i] for i in range(4)]
    method, workers = sys.argv[2], int(sys.argv[3])
    multiprocessing.set_forkserver_preload(["torch", "keyframe_llm.video"])
    loader = torch.utils.data.DataLoader(
        clips, batch_size=None, num_workers=workers, multiprocessing_context=method, timeout=40
    )
    assert [tuple(int(value) for value in row) for row in loader] == expected
    print("equal")
"""

FORKING = """
import os
import signal
from threading import Event, Thread
from keyframe_llm.arrays import one_thread

over = Event()


def in_and_out():
    while not over.is_set():
        with one_thread():
            pass


Thread(target=in_and_out).start()
statuses = set()
for _ in range(20):
    if (child := os.fork()) == 0:
        signal.alarm(10)
        with one_thread():
            pass
        os._exit(0)
    statuses.add(os.waitpid(child, 0)[1])
over.set()
print(statuses)
"""


@pytest.fixture(scope="module")
def clip(videos: Any, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path: Path = videos.draw(tmp_path_factory.mktemp("fork") / "clip.mp4", TIMES, options={"g": "20"})
    return path


def in_a_fork(work: Callable[[], bytes]) -> bytes:
    """What `work` returns in a forked child, which must end in time."""
    reading, writing = os.pipe()
    child = multiprocessing.get_context("fork").Process(
        target=lambda: os.write(writing, work()), name="forked"
    )
    child.start()
    child.join(HANGS_AFTER_SECONDS)
    hangs = child.is_alive()
    child.kill()
    child.join()
    os.close(writing)
    with os.fdopen(reading, "rb") as answer:
        result = answer.read()
    assert not hangs, "the forked child hangs"
    assert child.exitcode == 0
    return result


def decoded(path: Path) -> bytes:
    with open_video(path) as video:
        samples = list(video.sample(0.5, short_side=32))
        return f"{len(samples)} {video.decode_at([1.0]).images.sum()}".encode()


@pytest.mark.skipif(not CAN_FORK, reason="no fork on this system")
def test_a_forked_child_decodes_what_its_parent_decoded_before(clip: Path) -> None:
    expected = decoded(clip)
    assert in_a_fork(lambda: decoded(clip)) == expected


@pytest.mark.skipif(not CAN_FORK, reason="no fork on this system")
def test_a_video_opened_before_a_fork_is_refused_in_the_child_and_goes_on_in_the_parent(clip: Path) -> None:
    def use(video: Decoder) -> bytes:
        try:
            video.decode_at([0.5])
        except VideoError as error:
            return str(error).encode()
        finally:
            video.close()
        return b"decoded"

    with open_video(clip) as video:
        video.decode_at([0.0])
        answer = in_a_fork(lambda: use(video)).decode()
        assert "was opened before this process was forked; open it again" in answer and "\n" not in answer
        assert len(video.decode_at([0.5])) == 1


@pytest.mark.skipif(not CAN_FORK, reason="no fork on this system")
def test_a_fork_in_the_middle_of_a_sampling_disturbs_neither_process(clip: Path) -> None:
    with open_video(clip) as video:
        samples = video.sample(0.5, short_side=32)
        first = next(samples)
        in_a_fork(lambda: decoded(clip))
        assert len([first, *samples]) == 50


@pytest.mark.parametrize("method", multiprocessing.get_all_start_methods())
def test_a_data_loader_with_workers_reads_videos(method: str, clip: Path, tmp_path: Path) -> None:
    """With two of them, or one where each imports everything anew."""
    script = tmp_path / "loader.py"
    script.write_text(LOADER)
    command = [sys.executable, str(script), str(clip), method, "1" if method == "spawn" else "2"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=3 * HANGS_AFTER_SECONDS)
    assert done.stdout == "equal\n", done.stderr


@pytest.mark.skipif(not CAN_FORK, reason="this system cannot fork")
def test_a_child_forked_while_another_thread_limits_numpy_may_limit_it_too() -> None:
    script = [sys.executable, "-W", "ignore", "-c", FORKING]
    done = subprocess.run(script, capture_output=True, text=True, timeout=HANGS_AFTER_SECONDS, check=True)
    assert done.stdout == "{0}\n"
