"""What may be given as a video: every kind leads to the key frames of the file, or to one line."""

from __future__ import annotations

import base64
import io
import os
import socket
from collections.abc import Callable
from pathlib import Path
from threading import Thread
from typing import Any

import numpy as np
import pytest

from keyframe_llm import KeyframeLLM, OptionsError, VideoError, index_video, select_keyframes
from keyframe_llm.index import Indexer
from keyframe_llm.index.indexer import video_key
from keyframe_llm.options import SelectOptions
from keyframe_llm.selection import Selection
from keyframe_llm.video import as_source, open_video
from support.file_server import serving

Give = Callable[[Path], Any]

KINDS: dict[str, Give] = {
    "path": str,
    "PathLike": Path,
    "path as bytes": os.fsencode,
    "file address": lambda path: path.as_uri(),
    "file address without slashes": lambda path: f"file://{path}",
    "file address of localhost": lambda path: path.as_uri().replace("file://", "file://localhost"),
    "bytes": lambda path: path.read_bytes(),
    "bytearray": lambda path: bytearray(path.read_bytes()),
    "memoryview": lambda path: memoryview(path.read_bytes()),
    "BytesIO": lambda path: io.BytesIO(path.read_bytes()),
    "data address": lambda path: f"data:video/mp4;base64,{base64.b64encode(path.read_bytes()).decode()}",
}


@pytest.fixture
def odd(flags: Path, tmp_path: Path) -> Path:
    """The flags under a name that addresses must escape."""
    path = tmp_path / "a b%20c#d?é.mp4"
    path.write_bytes(flags.read_bytes())
    return path


def same(one: Selection, two: Selection) -> None:
    assert one.seconds.tolist() == two.seconds.tolist()
    np.testing.assert_array_equal(one.frames.images, two.frames.images)
    assert one.video.duration_seconds == two.video.duration_seconds


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_of_input_gives_the_key_frames_of_the_file(kind: str, odd: Path) -> None:
    same(select_keyframes(KINDS[kind](odd)), select_keyframes(odd, cache=False))


def test_an_open_file_is_read_from_its_start_and_stays_where_it_was(flags: Path) -> None:
    with flags.open("rb") as file:
        file.seek(1000)
        same(select_keyframes(file), select_keyframes(flags, cache=False))
        assert file.tell() == 1000
    with pytest.raises(VideoError, match=r"cannot be read \(.*closed.*\); give an open file object"):
        select_keyframes(file)


def test_a_stream_that_cannot_seek_is_read_once(flags: Path) -> None:
    here, there = socket.socketpair()
    sender = Thread(target=lambda: (there.sendall(flags.read_bytes()), there.close()))
    sender.start()
    with here, here.makefile("rb") as stream:
        index = index_video(stream)
        same(index.select(), select_keyframes(flags, cache=False))
    sender.join()


def test_an_index_finds_the_video_again_wherever_it_is(flags: Path, videos: Any) -> None:
    wanted = select_keyframes(flags, cache=False)
    with serving({"flags.mp4": flags.read_bytes()}) as server:
        for video in (flags.read_bytes(), io.BytesIO(flags.read_bytes()), server.url("flags.mp4")):
            index = index_video(video, encoder=videos.ColourEncoder())
            same(index.select(), wanted)
            seen = {videos.flag_of(image) for image in index.select(caption="blue").frames.images}
            assert "blue" in seen


@pytest.mark.parametrize("kind", ["bytes", "BytesIO", "address", "address without parts"])
def test_a_second_question_decodes_nothing_again(
    kind: str, flags: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from keyframe_llm.index import indexer as module

    built: list[str] = []
    original = module.build_index
    monkeypatch.setattr(module, "build_index", lambda *a, **k: (built.append(""), original(*a, **k))[1])
    with serving({"v.mp4": flags.read_bytes()}, ranges=kind == "address") as server:
        for _ in range(2):  # a new indexer each time, so that only the disk remembers
            video = KINDS[kind](flags) if kind in KINDS else server.url("v.mp4")
            select_keyframes(video)
        assert len(built) == 1
        indexer = Indexer()
        for _ in range(2):
            indexer.select(KINDS[kind](flags) if kind in KINDS else server.url("v.mp4"), SelectOptions())
        assert len(built) == 2


def test_a_call_asks_a_server_for_the_whole_file_only_once(flags: Path, videos: Any) -> None:
    class Model:
        name = "mine"

        def generate(self, messages: Any, *, max_new_tokens: int) -> str:
            return "blue"

    from keyframe_llm.vlm import load_vlm

    with serving({"v.mp4": flags.read_bytes()}, ranges=False, tagged=False) as server:
        llm = KeyframeLLM(load_vlm(Model()), videos.ColourEncoder())
        answer = llm.select(server.url("v.mp4"), generate_caption=True)
        assert answer.caption == "blue" and len(server.requests) == 1


def test_other_content_under_the_same_name_is_another_video(flags: Path, videos: Any, tmp_path: Path) -> None:
    other = videos.draw(tmp_path / "other.mp4", [i / 5 for i in range(20)])
    options = SelectOptions()
    one, two = flags.read_bytes(), other.read_bytes()
    assert video_key(one, options) == video_key(bytearray(one), options) != video_key(two, options)
    with serving({"v.mp4": one}) as server:
        before = select_keyframes(server.url("v.mp4"))
        server.files["v.mp4"] = two
        after = select_keyframes(server.url("v.mp4"))
        same(after, select_keyframes(other, cache=False))
        assert after.video.duration_seconds != before.video.duration_seconds
        server.files["v.mp4"], server.tagged = one, False  # nothing tells the versions apart: nothing is kept
        indexer = Indexer()
        same(indexer.select(server.url("v.mp4"), options), before)
        server.files["v.mp4"] = two
        same(indexer.select(server.url("v.mp4"), options), after)


@pytest.mark.parametrize(
    ("video", "error", "message"),
    [
        (17, OptionsError, r"the video is 17; give a path, an address, bytes, a file object or a FrameList"),
        (
            [np.zeros((4, 4, 3), np.uint8)],
            OptionsError,
            r"a list, and nothing says .*; give FrameList\(frames, fps=…\)",
        ),
        (np.zeros((2, 4, 4, 3), np.uint8), OptionsError, r"a ndarray, and nothing says"),
        (io.StringIO("text"), OptionsError, "which reads text; open it with mode 'rb'"),
        (bytearray(), VideoError, r"are empty \(0 bytes\)"),
        (io.BytesIO(), VideoError, r"is empty \(0 bytes\)"),
        (b"\0" * 5000, VideoError, "not a video|cannot be read as a video"),
        (b"nowhere.mp4", VideoError, "nowhere.mp4: no such file"),
        ("data:video/mp4,plain", VideoError, "holds no file"),
        ("data:video/mp4;base64,!!", VideoError, "holds no file"),
        ("s3://bucket/v.mp4", VideoError, "is an address of 's3'"),
        ("file:///no/where.mp4", VideoError, "/no/where.mp4: no such file"),
        ("file:///a%00b.mp4", VideoError, "cannot be read"),
    ],
)
def test_what_is_no_video_is_one_line(video: Any, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message) as caught:
        select_keyframes(video)
    assert "\n" not in str(caught.value) and len(str(caught.value)) < 300


@pytest.mark.parametrize("backend", ["decord", lambda path: open_video(path)])
def test_a_backend_that_reads_files_says_that_it_reads_no_others(backend: Any, flags: Path) -> None:
    with pytest.raises(OptionsError, match=r'reads local files.*; use backend="pyav"'):
        select_keyframes(flags.read_bytes(), backend=backend)
    same(select_keyframes(flags.as_uri(), backend=lambda path: open_video(path)), select_keyframes(flags))


def test_bytes_are_a_path_only_where_no_video_could_look_like_it(flags: Path) -> None:
    assert as_source(os.fsencode(flags)) == str(flags)
    assert as_source(flags.read_bytes()) != as_source(flags.read_bytes())
