"""An agent is not trusted: each test tries one way to get what it may not have."""

from __future__ import annotations

import http.server
import os
import socket
import struct
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, suppress
from fractions import Fraction
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest

from keyframe_llm.demos.videos import demo_video

pytest.importorskip("pydantic", reason="pydantic is not installed (the `agents` extra)")

from keyframe_llm import OptionsError
from keyframe_llm.tools import Limits, Toolbox, ToolError
from keyframe_llm.tools.open_files import OpenFiles
from keyframe_llm.tools.sandbox import FoundFile, Roots
from keyframe_llm.tools.urls import Target, check_url, download

VIDEO = demo_video("one_walk.mp4")


@pytest.fixture
def place(tmp_path: Path) -> Path:
    """A folder `open` with a video, beside a folder `shut` with another."""
    for name in ("open", "shut"):
        (tmp_path / name).mkdir()
        (tmp_path / name / f"{name}.mp4").write_bytes(VIDEO.read_bytes())
    return tmp_path


@pytest.fixture
def tools(place: Path, slow: Any) -> Iterator[Toolbox]:
    with Toolbox(encoder=slow, roots=[place / "open"]) as made:
        yield made


def refused(tools: Toolbox, video: str | Path) -> str:
    with pytest.raises(ToolError) as caught:
        tools.call_tool("select_keyframes", {"video": str(video)})
    return str(caught.value)


# Files ---------------------------------------------------------------------------------------------------


def test_a_video_in_the_root_is_opened_by_any_name_it_has_there(tools: Toolbox, place: Path) -> None:
    (place / "open" / "alias.mp4").symlink_to("open.mp4")
    for name in ("open.mp4", "./x/../open.mp4", "alias.mp4", str(place / "open" / "open.mp4")):
        if name == "./x/../open.mp4":
            (place / "open" / "x").mkdir()
        result = tools.select_keyframes(name)
        assert result["video"]["name"] == "open.mp4"


@pytest.mark.parametrize("how", ["absolute", "upwards", "through a folder", "home"])
def test_a_path_out_of_the_root_is_refused(tools: Toolbox, place: Path, how: str) -> None:
    path = {
        "absolute": str(place / "shut" / "shut.mp4"),
        "upwards": "../shut/shut.mp4",
        "through a folder": f"{place}/open/../shut/shut.mp4",
        "home": "~/shut.mp4",
    }[how]
    assert "in the allowed folders" in refused(tools, path)


def test_without_a_root_the_current_folder_is_the_only_one(
    place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(place / "open")
    with Toolbox() as tools:
        assert tools.select_keyframes("open.mp4", include_images=False)["keyframes"]
        for path in ("../shut/shut.mp4", str(place / "shut" / "shut.mp4")):
            assert "in the allowed folders" in refused(tools, path)


def test_symbolic_links_out_of_the_root_are_refused(tools: Toolbox, place: Path) -> None:
    (place / "open" / "link.mp4").symlink_to(place / "shut" / "shut.mp4")
    (place / "open" / "folder").symlink_to(place / "shut")
    (place / "open" / "chain.mp4").symlink_to("link.mp4")
    (place / "open" / "loop.mp4").symlink_to("loop.mp4")
    for name in ("link.mp4", "folder/shut.mp4", "chain.mp4", "loop.mp4"):
        message = refused(tools, name)
        assert "in the allowed folders" in message and "/shut" not in message.replace(name, "")


def test_a_folder_whose_name_begins_like_the_root_is_outside(tools: Toolbox, place: Path) -> None:
    (place / "open-secret").mkdir()
    (place / "open-secret" / "v.mp4").write_bytes(VIDEO.read_bytes())
    assert "in the allowed folders" in refused(tools, place / "open-secret" / "v.mp4")


def test_a_file_outside_the_roots_and_a_missing_file_get_the_same_message(
    tools: Toolbox, place: Path
) -> None:
    there, missing = refused(tools, "/etc/passwd"), refused(tools, "/etc/nothing-here")
    assert there.replace("passwd", "nothing-here") == missing


@pytest.mark.parametrize("name", ["pipe", "device", "folder", "empty.mp4", "a\0b", "", "x" * 4000])
def test_what_is_no_file_is_refused_at_once(tools: Toolbox, place: Path, name: str) -> None:
    inside = place / "open"
    os.mkfifo(inside / "pipe")
    (inside / "device").symlink_to("/dev/zero")
    (inside / "folder").mkdir()
    (inside / "empty.mp4").touch()
    assert refused(tools, name)


def test_messages_and_results_name_files_below_the_root_only(tools: Toolbox, place: Path) -> None:
    inside = place / "open" / "deep"
    inside.mkdir()
    whole = VIDEO.read_bytes()
    (inside / "cut.mp4").write_bytes(whole[:-2000])
    (inside / "noise.mp4").write_bytes(os.urandom(5000))
    messages = [refused(tools, "deep/noise.mp4"), refused(tools, "deep/xyz.mp4"), refused(tools, "deep")]
    messages.append(refused(tools, inside / "cut.mp4"))
    assert "deep/noise.mp4: not a video" in messages[0] and '"deep/cut.mp4", "deep/noise.mp4"' in messages[1]
    assert not [text for text in messages if str(place) in text.replace(str(inside / "cut.mp4"), "")]
    (inside / "late.mkv").write_bytes(whole)
    assert str(place) not in str(tools.select_keyframes(str(inside / "late.mkv"), include_images=False))


def test_a_damaged_video_is_told_without_its_place(tools: Toolbox, place: Path) -> None:
    import av

    path = place / "open" / "cut.mkv"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=10)
        stream.width, stream.height, stream.pix_fmt = 64, 64, "yuv420p"
        noise = np.random.default_rng(0)
        for _ in range(80):
            frame = av.VideoFrame.from_ndarray(noise.integers(0, 255, (64, 64, 3), np.uint8), format="rgb24")
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    warnings = tools.select_keyframes("cut.mkv", include_images=False)["warnings"]
    assert warnings and str(place) not in str(warnings) and "cut.mkv" in warnings[0]


def test_a_root_must_be_a_folder(tmp_path: Path) -> None:
    for roots in ([tmp_path / "none"], [VIDEO], [], str(tmp_path)):
        with pytest.raises(OptionsError, match="root"):
            Toolbox(roots=roots)


# Files swapped while a call runs -------------------------------------------------------------------------

needs_descriptors = pytest.mark.skipif(
    sys.platform != "linux", reason="files are read through their descriptors on Linux"
)


@pytest.fixture
def opened(place: Path) -> Callable[[FoundFile], AbstractContextManager[Path]]:
    """Opens a file that was found."""
    (place / "private").mkdir()
    files = OpenFiles(place / "private")
    return lambda found: files.opened(found.root, found.path, found.name)


@pytest.mark.parametrize("swap", ["link", "folder", "pipe", "nothing"])
def test_a_file_that_was_swapped_after_it_was_found_is_refused_at_once(
    place: Path, opened: Any, swap: str
) -> None:
    inside = place / "open" / "deep"
    inside.mkdir()
    video = inside / "v.mp4"
    video.write_bytes(VIDEO.read_bytes())
    roots = Roots([place / "open"])
    found = roots.find("deep/v.mp4")
    if swap == "folder":
        (place / "shut" / "v.mp4").write_bytes(VIDEO.read_bytes())
        inside.rename(place / "moved")
        inside.symlink_to(place / "shut")
    else:
        video.unlink()
    if swap == "link":
        video.symlink_to(place / "shut" / "shut.mp4")
    if swap == "pipe":
        os.mkfifo(video)
    with pytest.raises(ToolError) as caught, opened(found):
        pass
    assert str(caught.value).startswith("deep/v.mp4 ") and str(place) not in str(caught.value)


@needs_descriptors
def test_an_open_file_stays_the_same_whatever_takes_its_name(place: Path, opened: Any) -> None:
    roots = Roots([place / "open"])
    before = VIDEO.read_bytes()
    with opened(roots.find("open.mp4")) as path:
        (place / "open" / "open.mp4").unlink()
        (place / "open" / "open.mp4").symlink_to(place / "shut" / "shut.mp4")
        assert path.read_bytes() == before and path.suffix == ".mp4"
    assert not path.exists()


@needs_descriptors
def test_all_who_read_one_file_know_it_by_one_name_until_the_last_is_done(place: Path, opened: Any) -> None:
    roots = Roots([place / "open"])
    descriptors = len(list(Path("/proc/self/fd").iterdir()))
    with opened(roots.find("open.mp4")) as first:
        with opened(roots.find("open.mp4")) as second:
            assert first == second
        assert first.read_bytes() == VIDEO.read_bytes()
    with opened(roots.find("open.mp4")) as third:
        assert third == first
    assert len(list(Path("/proc/self/fd").iterdir())) == descriptors


# Containers that point elsewhere -------------------------------------------------------------------------


def test_playlists_are_refused_under_any_name(tools: Toolbox, place: Path) -> None:
    secret = place / "shut" / "shut.mp4"
    playlists = {
        "hls": f"#EXTM3U\n#EXT-X-TARGETDURATION:9\n#EXTINF:6,\nfile:{secret}\n#EXT-X-ENDLIST\n",
        "hls-inside": "#EXTM3U\n#EXT-X-TARGETDURATION:9\n#EXTINF:6,\nopen.mp4\n#EXT-X-ENDLIST\n",
        "hls-web": "#EXTM3U\n#EXT-X-TARGETDURATION:9\n#EXTINF:6,\nhttp://127.0.0.1/a.ts\n#EXT-X-ENDLIST\n",
        "concat": f"ffconcat version 1.0\nfile '{secret}'\n",
        "sdp": "v=0\no=- 0 0 IN IP4 127.0.0.1\ns=x\nc=IN IP4 127.0.0.1\nt=0 0\nm=video 9 RTP/AVP 96\n",
        "dash": f'<?xml version="1.0"?><MPD xmlns="urn:mpeg:dash:schema:mpd:2011" type="static"><Period>'
        f"<AdaptationSet><Representation><BaseURL>file://{secret}</BaseURL></Representation></AdaptationSet>"
        "</Period></MPD>",
        "images": "\n".join([str(secret)] * 3),
    }
    for name, text in playlists.items():
        for suffix in ("mp4", "m3u8", "ffconcat", "txt", "mpd", "sdp"):
            (place / "open" / f"{name}.{suffix}").write_text(text)
            assert (
                "cannot be read" in (message := refused(tools, f"{name}.{suffix}"))
                or "not a video" in message
            )


@pytest.mark.parametrize(
    "protocol", ["concat:{}|{}", "subfile,,start,0,end,0,,:{}", "crypto:{}", "file:{}", "async:{}", "pipe:0"]
)
def test_protocols_in_a_path_are_names_of_no_file(tools: Toolbox, place: Path, protocol: str) -> None:
    secret = place / "shut" / "shut.mp4"
    assert "there is no video" in refused(tools, protocol.format(secret, secret))


def pointing_at(target: Path) -> bytes:
    """The header of a movie, changed to have its pictures read from there: an alias with an absolute path."""
    movie = target.read_bytes()
    header = bytearray(movie[movie.index(b"moov") - 4 :])
    path = os.fsencode(target) + b"\0" * (len(os.fsencode(target)) % 2)
    # What precedes the path: volume, file name, and how many folders lie between the two files.
    alias = bytes(150) + struct.pack(">HH", 2, len(path)) + path + b"\xff\xff\0\0"
    entry = struct.pack(">I4sI", 12 + len(alias), b"alis", 0) + alias
    here = struct.pack(">I4sI", 12, b"url ", 1)  # "the pictures are in this very file"
    for box in (b"moov", b"trak", b"mdia", b"minf", b"dinf", b"dref"):
        at = header.index(box) - 4
        (size,) = struct.unpack_from(">I", header, at)
        struct.pack_into(">I", header, at, size + len(entry) - len(here))
    return movie[: movie.index(b"mdat") - 4] + header.replace(here, entry)


def test_a_movie_that_keeps_its_pictures_in_another_file_shows_none_of_them(
    tools: Toolbox, place: Path
) -> None:
    import av

    path = place / "open" / "outside.mp4"
    path.write_bytes(pointing_at(place / "shut" / "shut.mp4"))
    trusting = {"enable_drefs": "1", "use_absolute_path": "1"}
    with av.open(str(path), container_options=trusting) as container:
        assert len(list(container.decode(video=0))) == 72  # the attack works on whoever allows it
    assert "no frame can be decoded" in refused(tools, "outside.mp4")


# Size, length, number ------------------------------------------------------------------------------------


def gif(width: int, height: int) -> bytes:
    """A GIF of one pixel on a canvas of any size, in 60 bytes."""
    screen = b"GIF89a" + struct.pack("<HHBBB", width, height, 0x80, 0, 0) + b"\0\0\0\xff\xff\xff"
    picture = b"\x2c" + struct.pack("<HHHHB", 0, 0, 1, 1, 0) + b"\x02\x02\x44\x01\x00"
    return screen + (b"\x21\xf9\x04\0\x0a\0\0\0" + picture) * 2 + b"\x3b"


def test_a_picture_bomb_is_refused_before_it_is_decoded(tools: Toolbox, place: Path) -> None:
    import resource

    (place / "open" / "bomb.gif").write_bytes(gif(15_000, 15_000))
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    assert "of over 9,437,184 pixels" in refused(tools, "bomb.gif")
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 200_000  # kB; decoding takes 880 MB


def grows(place: Path, videos: ModuleType) -> str:
    """Three seconds of a small picture, then two of one fifty times as large, in one stream."""
    small = videos.draw(place / "small.ts", [i / 5 for i in range(15)], rate=5)
    large = videos.draw(place / "large.ts", [3 + i / 5 for i in range(10)], rate=5, size=(640, 480))
    (place / "open" / "grows.ts").write_bytes(small.read_bytes() + large.read_bytes())
    return "grows.ts"


def test_a_stream_that_turns_into_a_bomb_is_watched_up_to_there(place: Path, videos: ModuleType) -> None:
    from keyframe_llm.video.reader import FrameReader

    name, bound = grows(place, videos), 96 * 64
    for limits in (None, Limits(max_pixels=bound)):
        with Toolbox(roots=[place / "open"], limits=limits) as tools:
            result = tools.select_keyframes(name, max_frames=8, include_images=False)
        assert (max(frame["seconds"] for frame in result["keyframes"]) < 3) == (limits is not None)
        assert result["warnings"]
    for most, sizes in ((None, {(96, 64), (640, 480)}), (bound, {(96, 64)})):
        with FrameReader(str(place / "open" / name), max_pixels=most) as reader:
            assert {(shot.frame.width, shot.frame.height) for shot in reader.timed_frames()} == sizes


def test_a_picture_that_is_shown_much_wider_than_it_is_stored_is_refused(
    place: Path, videos: ModuleType
) -> None:
    videos.draw(place / "open" / "wide.mp4", [0.0, 1.0], pixel_shape=Fraction(8, 1))
    with Toolbox(roots=[place / "open"], limits=Limits(max_pixels=4 * 96 * 64)) as tools:
        assert "shown in pictures of 49,152 pixels" in refused(tools, "wide.mp4")


def test_a_video_that_states_no_length_is_measured(place: Path, videos: ModuleType) -> None:
    path = place / "open" / "raw.h264"  # a bare stream: 75 pictures, which count as 25 a second
    videos.draw(path, [i / 25 for i in range(75)])
    with Toolbox(roots=[place / "open"], limits=Limits(max_duration_seconds=4)) as tools:
        assert tools.select_keyframes("raw.h264", include_images=False)["keyframes"]
    with Toolbox(roots=[place / "open"], limits=Limits(max_duration_seconds=2)) as tools:
        assert "at most 2 s are allowed" in refused(tools, "raw.h264")


def test_nothing_is_looked_at_after_the_end_that_a_header_states(place: Path) -> None:
    path = place / "open" / "lies.mp4"
    data = bytearray(VIDEO.read_bytes())
    for box, skip in ((b"mvhd", 16), (b"tkhd", 20), (b"mdhd", 16), (b"elst", 8)):
        at = data.index(box) + 4 + skip
        (length,) = struct.unpack_from(">I", data, at)
        struct.pack_into(">I", data, at, length // 3)
    path.write_bytes(data)
    with Toolbox(roots=[place / "open"], limits=Limits(max_duration_seconds=5)) as tools:
        result = tools.select_keyframes("lies.mp4", max_frames=8, include_images=False)
    assert max(frame["seconds"] for frame in result["keyframes"]) <= 2.1


def test_a_video_that_is_too_long_is_refused(place: Path) -> None:
    with Toolbox(roots=[place / "open"], limits=Limits(max_duration_seconds=5)) as tools:
        assert "6 s long, and at most 5 s" in refused(tools, "open.mp4")


def test_limits_are_checked() -> None:
    for wrong in ({"timeout_seconds": 0}, {"max_pixels": -1}, {"concurrent_calls": 1.5}, {"max_frames": 65}):
        with pytest.raises(OptionsError, match=next(iter(wrong))):
            Limits(**wrong)


def test_a_call_ends_at_its_time_and_the_next_one_is_served(place: Path, slow: Any) -> None:
    limits = Limits(timeout_seconds=6.0)
    with Toolbox(encoder=slow, roots=[place / "open"], limits=limits) as tools:
        with pytest.raises(ToolError, match=r"longer than the 6 s allowed"):
            tools.select_keyframes("open.mp4", "anything")
        assert served_in_time(lambda: tools.select_keyframes("open.mp4", end_seconds=1.0))["keyframes"]
        slow.gate.set()


def served_in_time(call: Callable[[], Any]) -> Any:
    """What a call returns; on a machine that does much else it may need a second try to be in time."""
    with suppress(ToolError):
        return call()
    return call()


def test_only_so_many_calls_wait(place: Path, slow: Any) -> None:
    limits = Limits(concurrent_calls=1, waiting_calls=1)
    with Toolbox(encoder=slow, roots=[place / "open"], limits=limits) as tools:
        arguments = {"video": "open.mp4", "query": "anything"}
        one, first = tools.start("select_keyframes", arguments)
        assert slow.entered.wait(30)
        two, second = tools.start("select_keyframes", arguments)
        with pytest.raises(ToolError, match="2 calls are waiting already; try again"):
            tools.start("select_keyframes", arguments)
        two.stop()
        slow.gate.set()
        assert tools.wait(one, first)["keyframes"]
        with pytest.raises(ToolError, match="cancelled"):
            second.result(30)
        assert tools.select_keyframes("open.mp4")["keyframes"]


def test_a_call_that_is_stopped_stops_the_model_at_its_next_word(place: Path) -> None:
    words: list[int] = []

    class Endless:
        def stream(self, messages: Any, *, max_new_tokens: int = 128) -> Iterator[str]:
            while True:
                words.append(1)
                if len(words) == 3:
                    call.stop()
                yield "word "

        def generate(self, messages: Any, *, max_new_tokens: int = 128) -> str:
            raise AssertionError("cannot be stopped")

        generate_batch = label_log_likelihoods = count_tokens = generate

    with Toolbox(Endless(), roots=[place / "open"]) as tools:
        ready = threading.Event()
        call, future = tools.start(
            "describe_video", {"video": "open.mp4"}, lambda *_: ready.wait(30) and None
        )
        ready.set()
        with pytest.raises(ToolError, match="cancelled"):
            future.result(30)
    assert len(words) == 3


# URLs ----------------------------------------------------------------------------------------------------


def resolving(addresses: dict[str, list[str]]) -> Callable[..., Any]:
    """A resolver that answers each name with its addresses in turn, the last one for ever."""

    def getaddrinfo(host: str, port: int, **_: Any) -> list[Any]:
        known = addresses[host]
        answer = known.pop(0) if len(known) > 1 else known[0]
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (one, port)) for one in answer.split()]

    return getaddrinfo


def test_urls_are_off_unless_a_host_is_named(tools: Toolbox) -> None:
    for url in ("https://example.com/v.mp4", "HTTP://127.0.0.1/", "ftp://h/v.mp4"):
        assert "switched off" in refused(tools, url)
    assert "in the allowed folders" in refused(tools, "file:///etc/passwd")


@pytest.mark.parametrize(
    ("url", "says"),
    [
        ("https://elsewhere.org/v.mp4", "the host elsewhere.org:443 is not allowed"),
        ("https://good.org:22/v.mp4", "good.org:22 is not allowed"),
        ("https://good.org@elsewhere.org/v.mp4", "a user name or password"),
        ("https://good.org.elsewhere.org/v.mp4", "not allowed"),
        ("https://elsewhere.org/good.org", "not allowed"),
        ("https://elsewhere.org\\@good.org/", ""),
        ("file://good.org/etc/passwd", "give one of http or https"),
        ("ftp://good.org/v.mp4", "give one of http or https"),
        ("rtsp://good.org/v", "give one of http or https"),
        ("https://[::1/v.mp4", "cannot be read"),
        ("https://good.org:99999/", "cannot be read"),
        ("https://good.org/a b\r\nX: y", ""),
    ],
)
def test_only_http_to_named_hosts(monkeypatch: pytest.MonkeyPatch, url: str, says: str) -> None:
    monkeypatch.setattr(socket, "getaddrinfo", resolving({"good.org": ["93.184.215.14"]}))
    with pytest.raises(ToolError) as caught:
        check_url(url, ["good.org"])
    assert says in str(caught.value)


@pytest.mark.parametrize(
    "address",
    [
        "127.0.0.1",
        "127.9.9.9",
        "0.0.0.0",
        "10.0.0.8",
        "172.16.3.4",
        "192.168.1.1",
        "169.254.169.254",
        "100.64.0.1",
        "224.0.0.1",
        "255.255.255.255",
        "::1",
        "::",
        "fe80::1%eth0",
        "fc00::1",
        "ff02::1",
        "::ffff:127.0.0.1",
        "64:ff9b::7f00:1",
        "64:ff9b:1::7f00:1",
        "2002:7f00:1::",
        "2001:0:53aa:64c::1",
        "::7f00:1",
        "::ffff:0:7f00:1",
        "100::1",
        "2001:db8::1",
        "3fff::1",
        "5f00::1",
        "fec0::1",
        "192.0.0.8",
        "192.0.0.170",
        "192.88.99.1",
        "198.18.0.1",
        "203.0.113.9",
        "240.0.0.1",
        "93.184.215.14 10.0.0.8",
    ],
)
def test_a_name_for_a_private_address_is_refused(monkeypatch: pytest.MonkeyPatch, address: str) -> None:
    monkeypatch.setattr(socket, "getaddrinfo", resolving({"good.org": [address]}))
    with pytest.raises(ToolError, match="not on the public internet"):
        check_url("http://good.org/v.mp4", ["good.org"])


@pytest.mark.parametrize("address", ["93.184.215.14", "8.8.8.8", "2606:4700::6810:84e5", "2a00:1450:4001::1"])
def test_a_public_address_is_taken(monkeypatch: pytest.MonkeyPatch, address: str) -> None:
    monkeypatch.setattr(socket, "getaddrinfo", resolving({"good.org": [address]}))
    assert check_url("https://good.org/v.mp4", ["good.org"]).address == address


class Site(http.server.BaseHTTPRequestHandler):
    """A web site with a video, a redirect, and ways to be too slow, too large or cut short."""

    def do_GET(self) -> None:
        body = VIDEO.read_bytes()
        if self.path == "/moved.mp4":
            self.send_response(302)
            self.send_header("Location", "http://127.0.0.1:9/secret")
            self.end_headers()
        elif self.path == "/drip.mp4":
            self.drip(b"HTTP/1.1 200 OK\r\nContent-Type: video/mp4\r\nX: " + b"y" * 10_000)
        elif self.path == "/endless.mp4":
            self.send_response(200)
            self.end_headers()
            self.flood(body)
        elif self.path in ("/v.mp4", "/huge.mp4", "/short.mp4"):
            self.send_response(200)
            length = {"/huge.mp4": 1 << 40, "/short.mp4": len(body) + 9}.get(self.path, len(body))
            self.send_header("Content-Length", str(length))
            self.end_headers()
            self.wfile.write(body)
        else:
            self.send_error(404)

    def drip(self, text: bytes) -> None:
        for i in range(len(text)):
            try:
                self.wfile.write(text[i : i + 1])
                time.sleep(0.02)
            except OSError:
                return

    def flood(self, body: bytes) -> None:
        for _ in range(2000):
            try:
                self.wfile.write(body)
            except OSError:
                return

    def log_message(self, format: str, *arguments: Any) -> None:
        pass


@pytest.fixture(scope="module")
def site() -> Iterator[int]:
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Site)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield server.server_address[1]
    server.shutdown()
    server.server_close()
    thread.join()


@pytest.mark.parametrize(
    ("path", "says"),
    [
        ("/moved.mp4", "answers 302: it redirects elsewhere, which is refused"),
        ("/none.mp4", "answers 404"),
        ("/huge.mp4", "larger than the 2,000,000 bytes allowed"),
        ("/endless.mp4", "larger than the 2,000,000 bytes allowed"),
        ("/drip.mp4", "took over 1 s"),
        ("/short.mp4", "failed (IncompleteRead)"),
    ],
)
def test_a_download_is_bounded_in_bytes_and_time(tmp_path: Path, site: int, path: str, says: str) -> None:
    limits = Limits(max_download_bytes=2_000_000, download_seconds=1.0)
    target = Target("http", "good.org", site, path, "127.0.0.1")
    with pytest.raises(ToolError) as caught:
        download(target, tmp_path / "v.mp4", limits, lambda: None)
    assert says in str(caught.value)
    held = tmp_path / "v.mp4"
    assert not held.exists() or held.stat().st_size <= 2_000_000


def test_a_video_is_fetched_from_the_address_that_was_checked_and_not_kept(
    monkeypatch: pytest.MonkeyPatch, place: Path, site: int
) -> None:
    went: list[str] = []
    # Public when it is checked, private ever after: the trick of DNS rebinding.
    monkeypatch.setattr(socket, "getaddrinfo", resolving({"good.org": ["93.184.215.14", "10.0.0.8"]}))

    def connect(address: tuple[str, int], *rest: Any, **named: Any) -> socket.socket:
        went.append(address[0])
        return routed(("127.0.0.1", site))

    def routed(address: tuple[str, int]) -> socket.socket:
        made = socket.socket()
        made.settimeout(10)
        made.connect(address)
        return made

    monkeypatch.setattr(socket, "create_connection", connect)
    with Toolbox(roots=[place / "open"], url_hosts=["Good.org"]) as tools:
        result = tools.select_keyframes("http://good.org/v.mp4", include_images=False)
    assert went == ["93.184.215.14"]
    assert result["video"]["name"] == "http://good.org/v.mp4" and result["keyframes"]
    assert "keyframe-llm-" not in str(result)
