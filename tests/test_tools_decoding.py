"""Files of strangers are read in a process whose memory is bounded, and which a job's end kills."""

from __future__ import annotations

import os
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from keyframe_llm import select_keyframes
from keyframe_llm.errors import VideoError
from keyframe_llm.tools import Limits, Toolbox, ToolError
from keyframe_llm.tools.decode_process import DecodePool
from keyframe_llm.tools.decode_remote import decoder_opener
from keyframe_llm.tools.job_pool import JobPool
from keyframe_llm.tools.jobs import Job
from keyframe_llm.words import read_words
from support.words import film

BOUND = 400 << 20

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="Windows cannot bound a process like this")


@pytest.fixture
def pool() -> Any:
    pool = DecodePool(BOUND, most_idle=1)
    yield pool
    pool.close()


def test_too_much_memory_is_one_line_and_the_next_call_is_served(pool: DecodePool) -> None:
    with pytest.raises(VideoError, match=r"a\.mp4 takes more than the 400 MiB of memory allowed"):
        pool.call("a.mp4", bytearray, 2 * BOUND)
    assert pool.call("a.mp4", bytearray, 3) == bytearray(3)


def test_a_crash_is_one_line_and_the_next_call_is_served(pool: DecodePool) -> None:
    with pytest.raises(VideoError, match=r"a\.mp4 ended the process that read it \(status -6\)"):
        pool.call("a.mp4", os.abort)
    assert pool.call("a.mp4", max, 2, 3) == 3


def test_a_process_is_used_again(pool: DecodePool) -> None:
    first = pool.call("a.mp4", os.getpid)
    assert pool.call("b.mp4", os.getpid) == first != os.getpid()


def test_a_call_that_never_returns_ends_with_its_job(pool: DecodePool) -> None:
    jobs = JobPool(2, 4)
    process = pool.take()
    future = jobs.submit(Job(1.0), lambda: process.call("a.mp4", time.sleep, 3600))
    with pytest.raises(ToolError, match="took longer than the 1 s allowed"):
        future.result(60)
    jobs.close()
    assert not process.alive


def test_modules_in_the_current_folder_are_not_imported(
    pool: DecodePool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "numpy.py").write_text("raise SystemExit('a stranger')\n")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", ["", *sys.path])
    assert pool.call("a.mp4", abs, -1) == 1


def test_frames_are_those_of_the_decoder_itself(pool: DecodePool, videos: Any, tmp_path: Path) -> None:
    path = videos.draw(tmp_path / "a.mp4", [i / 10 for i in range(60)], rate=10)
    there = select_keyframes(path, cache=False, backend=decoder_opener(pool, None))
    here = select_keyframes(path, cache=False)
    assert there.video == here.video and there.plan == here.plan
    np.testing.assert_array_equal(there.frames.images, here.frames.images)
    np.testing.assert_array_equal(there.proposals.sampled_seconds, here.proposals.sampled_seconds)


def test_words_are_read_in_the_process_and_are_those_read_here(
    pool: DecodePool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = film(tmp_path / "a.mkv", 8, subtitles=[([(2.0, 4.0, "the deadline")], "eng", True)])
    here = read_words(path).cues
    monkeypatch.setattr("keyframe_llm.words.subtitles.read_subtitles", lambda *_: pytest.fail("read here"))
    there = select_keyframes(
        path,
        question="when is the deadline?",
        cache=False,
        backend=decoder_opener(pool, None),
        encoder="cartoon",
    )
    assert there.words == here and [cue.text for cue in here] == ["the deadline"]


def test_sampling_may_end_early(pool: DecodePool, videos: Any, tmp_path: Path) -> None:
    path = videos.draw(tmp_path / "a.mp4", [i / 10 for i in range(60)], rate=10)
    with decoder_opener(pool, None)(str(path)) as decoder:
        samples = decoder.sample(0.1, short_side=32)
        assert next(samples)[0] == 0.0
        samples.close()
        assert len(list(decoder.sample(0.5, short_side=32))) == 12
        assert videos.number(decoder.decode_at([1.0]).images[0]) == 10


def test_a_video_that_takes_too_much_memory_is_refused_to_an_agent_and_the_next_is_not(
    videos: Any, tmp_path: Path
) -> None:
    videos.draw(tmp_path / "large.mp4", [0.0, 0.5], size=(4096, 2304), options={"preset": "ultrafast"})
    videos.draw(tmp_path / "small.mp4", [0.0, 0.5])
    limits = Limits(decode_memory_bytes=160 << 20)
    with Toolbox(roots=[tmp_path], limits=limits) as tools:
        with pytest.raises(ToolError, match=r"large\.mp4.*(memory|no frame)") as caught:
            tools.view_frames("large.mp4", [0.0])
        assert "\n" not in str(caught.value)
        assert tools.view_frames("small.mp4", [0.0])["frames"]
