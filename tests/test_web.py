"""Pages of sites: yt-dlp finds the video file in them, which is then read like any other."""

from __future__ import annotations

import sys

import pytest

from keyframe_llm.demos.videos import demo_video
from keyframe_llm.errors import VideoError
from keyframe_llm.video import as_source, open_video
from support.file_server import serving

WALK = demo_video("one_walk.mp4")
PAGE = b"<html><head><title>A walk</title></head><body><video src='v.mp4?key=%d'></video></body></html>"


def test_the_video_in_a_page_is_found_and_known_again() -> None:
    pytest.importorskip("yt_dlp", reason="yt-dlp is not installed (the `web` extra)")
    files = {"v.mp4": WALK.read_bytes(), "page.html": PAGE % 1}
    with serving(files, pages=("page.html",)) as server:
        with open_video(server.url("page.html")) as video, open_video(WALK) as local:
            assert video.info.path == server.url("page.html")
            assert video.info.duration_seconds == local.info.duration_seconds
            images = [each.decode_at([0.0, 2.0]).images for each in (video, local)]
            assert (images[0] == images[1]).all()
        assert any("Referer" in headers for headers in server.headers)
        first = as_source(server.url("page.html"))
        server.files["page.html"] = PAGE % 2  # a link that is signed anew
        again = as_source(server.url("page.html"))
        assert not isinstance(first, str) and not isinstance(again, str)
        assert first.digest() == again.digest() is not None


@pytest.mark.parametrize(
    "page",
    [
        b"<html><body>no video</body></html>",
        b"<html><body><video src='file:///etc/passwd'></video></body></html>",
        b"<html><body><video src='list.m3u8'></video></body></html>",
    ],
)
def test_a_page_without_a_video_file_is_one_line(page: bytes) -> None:
    pytest.importorskip("yt_dlp", reason="yt-dlp is not installed (the `web` extra)")
    with (
        serving({"page.html": page}, pages=("page.html",)) as server,
        pytest.raises(VideoError, match="yt-dlp finds no video file there") as caught,
    ):
        open_video(server.url("page.html"))
    assert "\n" not in str(caught.value) and len(str(caught.value)) < 500


def test_without_yt_dlp_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "yt_dlp", None)
    with (
        serving({"page.html": PAGE % 1}, pages=("page.html",)) as server,
        pytest.raises(VideoError, match=r'is a web page; .* pip install "keyframe-llm\[web\]"'),
    ):
        open_video(server.url("page.html"))
