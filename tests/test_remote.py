"""Videos behind addresses: the frames of the same local file, or one line."""

from __future__ import annotations

import gc
import re
import sys
import tempfile
import weakref
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, suppress
from fractions import Fraction
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from keyframe_llm.errors import VideoError
from keyframe_llm.video import Decoder, as_source, open_video
from keyframe_llm.video.remote import RemoteFile
from keyframe_llm.video.server import RemoteLimits
from support.file_server import FileServer, serving

QUICK = RemoteLimits(silent_seconds=0.3, retry_seconds=0.0)
_BLOCK = 1 << 18

Serve = Callable[..., AbstractContextManager[FileServer]]


@pytest.fixture(scope="module")
def clip(videos: Any, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Forty seconds of noise in over a megabyte, with its index at the end."""
    rng = np.random.default_rng(0)
    images = [rng.integers(0, 255, (120, 160, 3)).astype(np.uint8) for _ in range(80)]
    path: Path = videos.draw(
        tmp_path_factory.mktemp("clip") / "clip.mp4",
        [i / 2 for i in range(80)],
        images=images,
        size=(160, 120),
        rate=2,
        options={"g": "8", "bf": "2", "preset": "ultrafast"},
    )
    assert path.stat().st_size > 4 * _BLOCK
    return path


@pytest.fixture
def serve(clip: Path) -> Serve:
    return partial(serving, {"clip.mp4": clip.read_bytes()})


def seen(video: Decoder) -> list[tuple[float, bytes]]:
    """Times and pixels of both passes."""
    samples = [(second, image.tobytes()) for second, image in video.sample(2.0, short_side=32)]
    frames = video.decode_at([0.0, 11.3, 25.0])
    return samples + [
        (float(s), image.tobytes()) for s, image in zip(frames.seconds, frames.images, strict=True)
    ]


def remote(server: FileServer, name: str = "clip.mp4", limits: RemoteLimits = QUICK) -> RemoteFile:
    return RemoteFile(server.url(name), limits)


def refuse(server: FileServer, message: str, name: str = "clip.mp4", limits: RemoteLimits = QUICK) -> None:
    """Opening or reading ends in one line that names the address."""
    with (
        pytest.raises(VideoError, match=message) as caught,
        open_video(remote(server, name, limits)) as video,
    ):
        seen(video)
    assert "\n" not in str(caught.value) and server.url(name) in str(caught.value)


@pytest.mark.parametrize("ranges", [True, False])
def test_an_address_gives_the_frames_of_the_local_file(ranges: bool, clip: Path, serve: Serve) -> None:
    with (
        serve(ranges=ranges) as server,
        open_video(server.url("clip.mp4")) as video,
        open_video(clip) as local,
    ):
        assert seen(video) == seen(local)
        assert video.info.path == server.url("clip.mp4")
        assert video.info.duration_seconds == local.info.duration_seconds
        assert video.warnings == local.warnings == []
        # No byte is sent twice, however many readers there are.
        assert server.sent_bytes <= clip.stat().st_size
        assert ranges or len(server.requests) == 1


def test_readers_at_work_at_once_ask_for_no_byte_twice(clip: Path, serve: Serve) -> None:
    with open_video(clip) as local:
        wanted = seen(local)
    with serve(pause_seconds=0.02) as server, ThreadPoolExecutor(4) as pool:
        source = as_source(server.url("clip.mp4"))

        def read(_: int) -> list[tuple[float, bytes]]:
            with open_video(source) as video:
                return seen(video)

        assert all(found == wanted for found in pool.map(read, range(4)))
        assert server.sent_bytes <= clip.stat().st_size


@pytest.mark.parametrize("suffix", [".mkv", ".webm", ".ts", ".avi", ".flv", ".mpg"])
def test_every_container_is_read_from_an_address(suffix: str, videos: Any, tmp_path: Path) -> None:
    codec = {".webm": "libvpx", ".mpg": "mpeg2video"}.get(suffix, "libx264")
    times = [i / 25 for i in range(100)]
    path = videos.draw(tmp_path / f"clip{suffix}", times, codec=codec, time_base=Fraction(1, 25))
    with (
        serving({path.name: path.read_bytes()}) as server,
        open_video(server.url(path.name)) as video,
        open_video(path) as local,
    ):
        for second in (0.0, 1.0, 3.2):
            mine, theirs = video.decode_at([second]), local.decode_at([second])
            assert mine.seconds.tolist() == theirs.seconds.tolist()
            np.testing.assert_array_equal(mine.images, theirs.images)


def test_only_the_parts_that_are_needed_are_fetched(clip: Path, serve: Serve) -> None:
    with serve() as server, open_video(server.url("clip.mp4")) as video:
        video.decode_at([0.0])
        assert server.sent_bytes < clip.stat().st_size / 2


def test_little_room_on_disk_costs_repeated_reading_and_no_frames(clip: Path, serve: Serve) -> None:
    limits = RemoteLimits(kept_bytes=_BLOCK)
    with serve() as server, open_video(remote(server, limits=limits)) as video, open_video(clip) as local:
        assert seen(video) == seen(local)
        assert server.sent_bytes > clip.stat().st_size


@pytest.mark.parametrize(
    "where", ["file:///etc/passwd", "ftp://127.0.0.1/clip.mp4", "data:video/mp4;base64,AA=="]
)
def test_a_redirect_to_another_protocol_is_not_followed(where: str, serve: Serve) -> None:
    with serve(redirects={"elsewhere.mp4": where}) as server:
        refuse(server, "not http or https, which is not followed", "elsewhere.mp4")


def test_redirects_are_followed_but_not_for_ever(clip: Path, serve: Serve) -> None:
    with serve(redirects={"a.mp4": "/b.mp4", "b.mp4": "/clip.mp4", "loop.mp4": "/loop.mp4"}) as server:
        with open_video(remote(server, "a.mp4")) as video, open_video(clip) as local:
            assert seen(video) == seen(local)
        refuse(server, "leads from one address to the next more than 10 times", "loop.mp4")


@pytest.mark.parametrize(
    ("status", "message"),
    [
        (404, r"answers 404 \(Not Found\); check the address"),
        (403, r"answers 403 \(Forbidden\); see whether a browser shows it"),
        (500, r"answers 500 \(Internal Server Error\), 3 times; try again later"),
    ],
)
def test_a_status_other_than_success_is_one_line(status: int, message: str, serve: Serve) -> None:
    with serve(status=status) as server:
        refuse(server, message)
        assert len(server.requests) == (3 if status == 500 else 1)


@pytest.mark.parametrize("ranges", [True, False])
def test_a_busy_server_is_asked_again(ranges: bool, clip: Path, serve: Serve) -> None:
    with (
        serve(failures=(503, 429), ranges=ranges) as server,
        open_video(remote(server)) as video,
        open_video(clip) as local,
    ):
        assert seen(video) == seen(local)


def test_a_connection_that_is_cut_is_taken_up_where_it_ended(clip: Path, serve: Serve) -> None:
    with (
        serve(cuts_after=_BLOCK + 1000) as server,
        open_video(remote(server)) as video,
        open_video(clip) as local,
    ):
        assert seen(video) == seen(local)


@pytest.mark.parametrize("ranges", [True, False])
def test_a_transfer_that_is_always_cut_is_one_line(ranges: bool, serve: Serve) -> None:
    with serve(cuts_after=100_000, ranges=ranges) as server:
        refuse(server, "ended the connection early, 3 times")


def test_a_transfer_that_is_cut_later_gives_no_frame_that_is_wrong(clip: Path, serve: Serve) -> None:
    with serve() as server, open_video(remote(server)) as video, open_video(clip) as local:
        server.cuts_after = 1000
        truth = dict(seen(local))
        with pytest.raises(VideoError, match="ended the connection early, 3 times") as first:
            for second, image in video.sample(2.0, short_side=32):
                assert truth[second] == image.tobytes()
        server.cuts_after = None
        with pytest.raises(VideoError, match=re.escape(str(first.value))):
            video.decode_at([30.0])


@pytest.mark.parametrize("ranges", [True, False])
def test_an_announced_length_that_is_not_sent_is_one_line(ranges: bool, serve: Serve) -> None:
    with serve(more_bytes=5000, ranges=ranges) as server:
        refuse(
            server, "ended the connection early, 3 times" if not ranges else "more bytes|ended the connection"
        )


@pytest.mark.parametrize(
    ("fault", "message"),
    [
        ({"shifts": 7}, "answers with other bytes than it was asked for"),
        ({"shorter_by": 7}, "answers with other bytes than it was asked for"),
    ],
)
def test_answers_with_other_bytes_are_refused(fault: dict[str, int], message: str, serve: Serve) -> None:
    with serve(**fault) as server:
        refuse(server, message)


def test_a_file_that_changes_while_it_is_read_is_refused(clip: Path, serve: Serve) -> None:
    with serve() as server, open_video(remote(server)) as video:
        server.files["clip.mp4"] = clip.read_bytes()[::-1]
        with pytest.raises(VideoError, match="has another version of the file than before; start again"):
            seen(video)


@pytest.mark.parametrize("ranges", [True, False])
def test_a_server_that_is_silent_or_too_slow_is_given_up(ranges: bool, serve: Serve) -> None:
    with serve(pause_seconds=1.0, ranges=ranges) as server:
        refuse(server, "did not answer for 0.3 s")
    with serve(pause_seconds=0.1, piece_bytes=10, ranges=ranges) as server:
        refuse(server, r"sent only \d+ bytes in 0.3 s")


def test_an_answer_that_never_really_begins_is_given_up(serve: Serve) -> None:
    limits = RemoteLimits(answer_seconds=0.5)
    with serve(pause_seconds=0.05, pause_in_heads=True) as server:
        refuse(server, "did not answer within 0.5 s", limits=limits)


def test_a_slow_server_that_keeps_sending_is_waited_for(clip: Path, serve: Serve) -> None:
    limits = RemoteLimits(silent_seconds=0.3, least_bytes=1)
    with (
        serve(pause_seconds=0.005, piece_bytes=1 << 16) as server,
        open_video(remote(server, limits=limits)) as video,
        open_video(clip) as local,
    ):
        assert seen(video) == seen(local)


def test_a_file_too_large_to_be_copied_is_refused_before_and_while_it_is_copied(serve: Serve) -> None:
    limits = RemoteLimits(most_bytes=1000)
    with serve(ranges=False) as server:
        refuse(server, "does not give parts of the file.* save it yourself, and give the path", limits=limits)
        server.states_length = False
        refuse(server, "has more than the 1,000 bytes that are copied to a temporary file", limits=limits)


def test_a_server_that_states_no_length_is_read_to_the_end(clip: Path, serve: Serve) -> None:
    with serve(ranges=False, states_length=False) as server, open_video(remote(server)) as video:
        assert video.info.duration_seconds == 40.0


def test_copying_reports_its_progress(serve: Serve) -> None:
    heard: list[tuple[str, float]] = []
    with serve(ranges=False) as server:
        RemoteFile(server.url("clip.mp4"), progress=lambda stage, share: heard.append((stage, share)))
    shares = [share for _, share in heard]
    assert {stage for stage, _ in heard} == {"download"} and shares == sorted(shares) and shares[-1] == 1.0


@pytest.mark.parametrize(
    ("kind", "message"),
    [
        ("text/html; charset=utf-8", "is a web page and not a video"),
        ("application/vnd.apple.mpegurl", "has a playlist of many files there"),
    ],
)
def test_pages_and_playlists_are_told_from_videos(kind: str, message: str, serve: Serve) -> None:
    with serve(content_type=kind) as server, pytest.raises(VideoError, match=message):
        remote(server)


def test_what_is_no_video_is_one_line_also_behind_an_address(videos: Any, clip: Path) -> None:
    with serving(
        {"a.mp4": b"no video" * 1000, "empty.mp4": b"", "list.mp4": b"ffconcat version 1.0\nfile '/x'\n"}
    ) as server:
        for name in ("a.mp4", "list.mp4"):
            refuse(server, "not a video|cannot be read as a video", name)
        refuse(server, "is empty|416", "empty.mp4")


@pytest.mark.parametrize(
    "address", ["http://", "https:///v.mp4", "http://[::1/v", "http://h:x/v", "http://a b/"]
)
def test_an_invalid_address_is_one_line(address: str) -> None:
    with pytest.raises(VideoError, match=r"names no server|no valid address|cannot be reached") as caught:
        open_video(address)
    assert "\n" not in str(caught.value) and address in str(caught.value)


def test_an_unreachable_server_is_one_line(serve: Serve) -> None:
    with serve() as server:
        address = server.url("clip.mp4")
    with pytest.raises(VideoError, match="the server cannot be reached"):
        open_video(address)


def test_a_password_in_an_address_is_used_and_never_shown(serve: Serve) -> None:
    with serve() as server:
        address = server.url("clip.mp4").replace("http://", "http://me:secret@")
        with open_video(address) as video:
            assert "secret" not in video.info.path and video.info.path == server.url("clip.mp4")
        assert server.headers[0]["Authorization"].startswith("Basic ")
        server.status = 404
        with pytest.raises(VideoError) as caught:
            open_video(address)
        assert "secret" not in str(caught.value)
        for address in ("http://me:secret@h:x/v.mp4", "http://me:secret@/v.mp4", "ftp://me:secret@h/v.mp4"):
            with pytest.raises(VideoError) as caught:
                open_video(address)
            assert "secret" not in str(caught.value)


def test_the_version_that_a_server_states_tells_contents_apart(clip: Path, serve: Serve) -> None:
    with serve() as server:
        one = remote(server).digest()
        assert one is not None and one == remote(server).digest()
        server.files["clip.mp4"] = clip.read_bytes()[:-1]
        assert remote(server).digest() != one
        server.tagged = False
        assert remote(server).digest() is None  # nothing tells whether it is the same as before
        server.ranges = False
        assert remote(server).digest() == remote(server).digest()


@pytest.mark.skipif(sys.platform == "win32", reason="Windows deletes the file by its handle")
@pytest.mark.parametrize("ranges", [True, False])
def test_what_is_kept_has_no_name_on_disk_so_that_nothing_can_stay_behind(
    ranges: bool, serve: Serve, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    with serve(ranges=ranges) as server, open_video(remote(server)) as video:
        seen(video)
        assert list(tmp_path.iterdir()) == []


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no limit for the size of files")
@pytest.mark.parametrize("ranges", [True, False])
def test_a_full_disk_is_one_line(ranges: bool, serve: Serve) -> None:
    import resource

    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    with serve(ranges=ranges) as server:
        resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, before[1]))
        try:
            with pytest.raises(
                VideoError, match=r"cannot be written \(.*\); free some space, or .* TMPDIR"
            ) as error:
                remote(server)
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert "\n" not in str(error.value)


@pytest.mark.skipif(not Path("/proc/self/fd").is_dir(), reason="only Linux lists the open files of a process")
@pytest.mark.parametrize("ranges", [True, False])
def test_nothing_stays_open_after_the_last_reader(
    ranges: bool, serve: Serve, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    with serve(ranges=ranges) as server:
        source = remote(server)
        with open_video(source) as video:
            seen(video)
        gone = weakref.ref(source)
        assert opened_in(tmp_path) == 1
        del source, video
        gc.collect()
        assert gone() is None and opened_in(tmp_path) == 0


def opened_in(folder: Path) -> int:
    """How many files of a folder this process has open, also those without a name."""
    count = 0
    for each in Path("/proc/self/fd").iterdir():
        with suppress(OSError):
            count += str(each.readlink()).startswith(f"{folder}/")
    return count
