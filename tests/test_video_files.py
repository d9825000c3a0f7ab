"""Files that are no videos, or must not be opened, are refused in one line that names them."""

from __future__ import annotations

import os
import pickle
import sys
import threading
from pathlib import Path
from typing import Any

import av
import av.error
import numpy as np
import pytest

from keyframe_llm.errors import OptionsError, VideoError
from keyframe_llm.video import open_video
from keyframe_llm.video.source import av_errors

BACKENDS = ["pyav", "decord"]


@pytest.fixture(params=BACKENDS)
def backend(request: pytest.FixtureRequest) -> Any:
    if request.param == "decord":
        pytest.importorskip("decord", reason="decord is not installed")
    return request.param


@pytest.fixture(scope="module")
def clip(videos: Any, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path: Path = videos.draw(tmp_path_factory.mktemp("clip") / "clip.mp4", [i * 0.04 for i in range(10)])
    return path


def refuse(path: str | Path, backend: Any, message: str) -> None:
    with pytest.raises(VideoError, match=message) as caught:
        open_video(path, backend)
    assert "\n" not in str(caught.value)
    assert str(path) in str(caught.value)


def test_a_missing_file_is_refused(backend: Any, tmp_path: Path) -> None:
    refuse(tmp_path / "none.mp4", backend, "no such file; check the path")


def test_a_folder_is_refused(backend: Any, tmp_path: Path) -> None:
    refuse(tmp_path, backend, "is a folder")


def test_an_empty_file_is_refused(backend: Any, tmp_path: Path) -> None:
    path = tmp_path / "empty.mp4"
    path.touch()
    refuse(path, backend, "is empty")


@pytest.mark.parametrize(
    "content", [b"this is no video\n" * 100, bytes(5000), b"\x00\x00\x00\x18ftypmp42" + bytes(99)]
)
def test_a_file_of_another_kind_is_refused(backend: Any, content: bytes, tmp_path: Path, capfd: Any) -> None:
    path = tmp_path / "text.mp4"
    path.write_bytes(content)
    refuse(path, backend, "not a video|cannot be read as a video|holds no video")
    assert capfd.readouterr().err == ""


def test_sound_alone_is_refused(backend: Any, tmp_path: Path) -> None:
    path = tmp_path / "sound.wav"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("pcm_s16le", rate=8000)
        frame = av.AudioFrame.from_ndarray(np.zeros((1, 8000), np.int16), format="s16", layout="mono")
        frame.sample_rate = 8000
        container.mux(stream.encode(frame))
    refuse(path, backend, r"holds no video \(only audio\)")


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no named pipes here")
def test_a_pipe_is_refused_and_not_waited_for(backend: Any, tmp_path: Path) -> None:
    path = tmp_path / "pipe.mp4"
    os.mkfifo(path)
    refuse(path, backend, "is not a regular file")


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="root may read everything")
def test_an_unreadable_file_is_refused(backend: Any, clip: Path, tmp_path: Path) -> None:
    path = tmp_path / "locked.mp4"
    path.write_bytes(clip.read_bytes())
    path.chmod(0)
    refuse(path, backend, "permission denied")


@pytest.mark.parametrize("url", ["rtsp://127.0.0.1/v", "concat://a|b", "FTP://127.0.0.1/v.mp4"])
def test_addresses_of_other_protocols_are_refused(backend: Any, url: str) -> None:
    refuse(url, backend, "give one of http, https or file, or a local path")


@pytest.mark.parametrize(
    ("name", "script"),
    [
        ("list.m3u8", "#EXTM3U\n#EXT-X-TARGETDURATION:10\n#EXTINF:1.0,\n{clip}\n#EXT-X-ENDLIST\n"),
        (
            "list.m3u8",
            "#EXTM3U\n#EXT-X-TARGETDURATION:10\n#EXTINF:1.0,\nhttp://127.0.0.1:9/a.ts\n#EXT-X-ENDLIST\n",
        ),
        ("list.mp4", "ffconcat version 1.0\nfile '{clip}'\n"),
        ("list.mpd", '<?xml version="1.0"?><MPD xmlns="urn:mpeg:dash:schema:mpd:2011"></MPD>\n'),
        ("list.sdp", "v=0\no=- 0 0 IN IP4 127.0.0.1\ns=x\nc=IN IP4 127.0.0.1\nt=0 0\nm=video 9 RTP/AVP 96\n"),
    ],
)
def test_playlists_are_not_followed(backend: Any, name: str, script: str, clip: Path, tmp_path: Path) -> None:
    path = tmp_path / name
    path.write_text(script.format(clip=clip))
    refuse(path, backend, "not a video|cannot be read as a video")


@pytest.mark.parametrize("name", ["a:b c.mp4", "héllo 视频.mp4", "50%03d.mp4", "http:x.mp4", "no_suffix"])
def test_unusual_names_are_opened(backend: Any, name: str, clip: Path, tmp_path: Path) -> None:
    if sys.platform == "win32" and ":" in name:
        pytest.skip("Windows allows no colon in a name")
    path = tmp_path / name
    path.write_bytes(clip.read_bytes())
    with open_video(path, backend) as video:
        assert len(video.decode_at([0.0, 0.2])) == 2


def test_an_unknown_backend_is_refused(clip: Path) -> None:
    with pytest.raises(OptionsError, match="backend is 'cv2'; choose pyav or decord, or give a function"):
        open_video(clip, "cv2")


def test_a_missing_decord_names_what_to_install(clip: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "decord", None)
    with pytest.raises(VideoError, match=r'pip install decord .*use backend="pyav"'):
        open_video(clip, "decord")


def test_a_decord_that_does_not_answer_is_given_up(clip: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    decord = pytest.importorskip("decord", reason="decord is not installed")
    from keyframe_llm.video import decord_backend

    released = threading.Event()
    monkeypatch.setattr(decord, "VideoReader", lambda *_args, **_options: released.wait())
    monkeypatch.setattr(decord_backend, "ANSWER_SECONDS", 0.05)
    with pytest.raises(VideoError, match=r'not opened by decord within 0.05 s; use backend="pyav"'):
        open_video(clip, "decord")
    released.set()


def _all_subclasses(kind: type) -> set[type]:
    return {kind, *(each for sub in kind.__subclasses__() for each in _all_subclasses(sub))}


def test_every_error_of_ffmpeg_becomes_a_video_error() -> None:
    kinds = _all_subclasses(av.error.FFmpegError) | set(av.error.classes.values())
    assert len(kinds) > 30
    for kind in kinds:
        with pytest.raises(VideoError, match=r"^v\.mp4: .*; ") as caught, av_errors("v.mp4"):
            raise kind(1, "some\nreason")
        assert "\n" not in str(caught.value)


def test_errors_of_the_system_become_video_errors_too() -> None:
    for error in (
        PermissionError(13, "denied"),
        FileNotFoundError(2, "gone"),
        OSError(5, "input/output error"),
    ):
        with pytest.raises(VideoError, match=r"^v\.mp4: "), av_errors("v.mp4"):
            raise error


def test_colours_that_ffmpeg_cannot_convert_are_one_line(videos: Any, tmp_path: Path) -> None:
    constant_luminance = {"colorspace": "bt2020c"}
    path = videos.draw(tmp_path / "matrix.mp4", [0.0, 0.5, 1.0], options=constant_luminance)
    reads = (lambda video: video.decode_at([0.0]), lambda video: list(video.sample(0.5, short_side=32)))
    for read in reads:
        with (
            open_video(path) as video,
            pytest.raises(VideoError, match=r"matrix\.mp4: cannot be read") as caught,
        ):
            read(video)
        assert "\n" not in str(caught.value)


def test_an_error_is_one_line_whatever_the_name_of_the_file(tmp_path: Path) -> None:
    with pytest.raises(VideoError, match=r"a\\nb\\x1b\[31m\\u202e\\udce9\.mp4: no such file") as caught:
        open_video(tmp_path / "a\nb\x1b[31m\u202e\udce9.mp4")
    assert str(caught.value).isprintable()
    assert str(pickle.loads(pickle.dumps(caught.value))) == str(caught.value)
