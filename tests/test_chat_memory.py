"""What the chat page holds: memory and files of large videos, while they are open and afterwards."""

from __future__ import annotations

import platform
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from threading import Event, Thread
from typing import Any

import numpy as np
import pytest
from PIL import Image
from test_chat import SETTINGS, Colours, Listener

from keyframe_llm.data import VideoInfo
from keyframe_llm.demos import decoding, render
from keyframe_llm.demos.decoding import ChatDecoder
from keyframe_llm.demos.models import Models
from keyframe_llm.demos.preview import Preview, _longest
from keyframe_llm.demos.session import Session, Settings
from keyframe_llm.demos.sessions import Sessions
from keyframe_llm.demos.videos import demo_video
from keyframe_llm.errors import VideoError
from keyframe_llm.video import open_video
from support.file_server import serving as file_serving
from support.packages import needs
from support.videos import draw

_THREADS_THAT_DECODE = """
from threading import Thread
import numpy as np
from keyframe_llm import memory

def resident_mb():
    return int(open("/proc/self/statm").read().split()[1]) * 4096 // 1_000_000

def decode():
    kept.append(np.ones(3_000, np.uint8))
    pictures = [np.ones(3_000_000, np.uint8) for _ in range(15)]

kept = []
memory.keep_memory_in_one_place()
np.ones(30_000_000, np.uint8)  # after this, glibc takes smaller blocks for worth keeping
before = resident_mb()
threads = [Thread(target=decode) for _ in range(4)]
for thread in threads:
    thread.start()
for thread in threads:
    thread.join()
memory.trim_memory()
print(resident_mb() - before)
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="a setting of glibc")
def test_pictures_that_threads_decoded_are_given_back_to_the_system() -> None:
    held = subprocess.run([sys.executable, "-c", _THREADS_THAT_DECODE], capture_output=True, text=True)
    assert held.stderr == "" and int(held.stdout) < 20


@needs("gradio", "the `demo` extra")
def test_the_model_is_shown_a_bounded_size_which_is_decoded_once_and_a_saved_frame_has_its_own(
    tmp_path: Path,
) -> None:
    from keyframe_llm.demos.downloads import _written

    model = Listener()
    sessions = Sessions(Models([model], [Colours()]), tmp_path)
    session = sessions.add_video("ann", draw(tmp_path / "large.mp4", [0.0, 0.5, 1.0], size=(1944, 1296)))
    session.watch(SETTINGS)
    session.ask("Who is it?", SETTINGS)
    for messages in model.conversations:
        shown = [part["image"].size for part in messages[-1]["content"] if part["type"] == "image"]
        assert shown and set(shown) == {(1620, 1080)}
    for selection in (session.overview, session.turns[0].selection):
        assert selection is not None and selection.frames.images.shape[1:] == (427, 640, 3)
    second = session.turns[0].selection.seconds[0]
    with ChatDecoder(str(session.video)) as decoder, open_video(session.video) as other:
        frames = decoder.decode_at([second])
        before = decoder._decoder.decoded_packets
        assert np.array_equal(decoder.decode_at([second]).images, frames.images)
        assert decoder._decoder.decoded_packets == before
        full = other.decode_at([second]).images[0]
    saved = Image.open(_written(session, tmp_path, f"frame {session.turns[0].name} 0"))
    assert np.abs(np.asarray(saved).astype(float) - full).mean() < 2
    video = str(session.video)
    sessions.remove_files("ann")
    assert [key for key in decoding._kept._pictures if key[0] == video] == []


@needs("gradio", "the `demo` extra")
@pytest.mark.parametrize("states_length", [True, False])
def test_an_address_of_too_much_is_given_up_while_it_is_copied(tmp_path: Path, states_length: bool) -> None:
    from keyframe_llm.demos.fetched import Fetch

    clip = bytes(20_000_000)
    with file_serving({"clip.mp4": clip}, ranges=False, states_length=states_length) as server:
        fetch = Fetch(server.url("clip.mp4"), tmp_path, Session(Models([Listener()], [Colours()])), 1_000_000)
        with pytest.raises(VideoError, match="more than the 1 MB that are taken here"):
            fetch.work()
        assert server.sent_bytes < len(clip)
    assert fetch.path is None and list(tmp_path.iterdir()) == []


def test_a_preview_waits_while_the_video_is_read_and_is_made_of_no_more_than_can_be_decoded_soon(
    tmp_path: Path,
) -> None:
    clip = draw(tmp_path / "clip.mp4", [0.0, 0.1, 0.2])
    preview, still_read = Preview(clip), [True, True, False]
    preview.make(clip.exists, lambda: still_read.pop(0))
    assert preview.path is not None and still_read == []
    hd, uhd = (VideoInfo("v", 60.0, 60.0, *size, "hevc") for size in ((1280, 720), (3840, 2160)))
    assert _longest(hd) == 900 and 100 < _longest(uhd) < 120


def test_a_question_that_waits_for_another_answer_says_so(tmp_path: Path) -> None:
    free = Event()

    class Slow(Listener):
        def stream(self, messages: Any, *, max_new_tokens: int = 128) -> Iterator[str]:
            free.wait(60)
            yield "answer"

    models = Models([Slow()], [Colours()])
    video = shutil.copy(demo_video("one_walk.mp4"), tmp_path / "walk.mp4")  # pictures are written beside it
    sessions, settings = [Session(models), Session(models)], Settings("Slow", "Colours")
    threads = []
    for session in sessions:
        session.open(video)
        work = partial(list, session.work(partial(session.ask, "Who is it?", settings)))
        threads.append(Thread(target=work))
        threads[-1].start()
    end = time.monotonic() + 60
    while not any(session.waiting for session in sessions) and time.monotonic() < end:
        time.sleep(0.02)
    drawn = [str(render.messages(session)) for session in sessions]
    free.set()
    for thread in threads:
        thread.join()
    assert sum("Waiting for the model, which answers one question at a time" in each for each in drawn) == 1
    assert [session.turns[0].answer for session in sessions] == ["answer", "answer"]
