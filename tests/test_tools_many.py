"""One query over several videos."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from threading import Event
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

pytest.importorskip("pydantic", reason="pydantic is not installed (the `agents` extra)")

from keyframe_llm.tools import Toolbox, ToolError


class Bright:
    """An encoder of two dimensions: how bright a picture is; a text is bright or dark."""

    def embed_images(self, images: Sequence[NDArray[np.uint8]], /) -> NDArray[np.float32]:
        angle = np.array([np.asarray(image).mean() / 255 for image in images]) * np.pi / 2
        return np.stack([np.sin(angle), np.cos(angle)], axis=1).astype(np.float32)

    def embed_texts(self, texts: Sequence[str], /) -> NDArray[np.float32]:
        bright = np.array([[float("bright" in text), float("dark" in text)] for text in texts], np.float32)
        return np.asarray(bright + 0.01, np.float32)


@pytest.fixture
def tools(tmp_path: Path) -> Iterator[Toolbox]:
    """Three videos of four seconds: dark, grey, and grey with one bright second from 2 s on."""
    import av

    for name, shades in {"dark": [20] * 4, "grey": [110] * 4, "flash": [110, 110, 240, 110]}.items():
        with av.open(str(tmp_path / f"{name}.mp4"), "w") as container:
            stream = container.add_stream("libx264", rate=8)
            stream.width, stream.height, stream.pix_fmt = 64, 64, "yuv420p"
            for shade in shades:
                for _ in range(8):
                    picture = np.full((64, 64, 3), shade, np.uint8)
                    container.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
            container.mux(stream.encode())
    with Toolbox(encoder=Bright(), roots=[tmp_path]) as made:
        yield made


def test_the_best_frames_of_all_videos_come_first(tools: Toolbox) -> None:
    videos = ["dark.mp4", "grey.mp4", "flash.mp4"]
    bright = tools.find_in_videos(videos, "something bright", max_frames=2)["matches"]
    assert bright[0]["video"] == "flash.mp4" and 2 <= bright[0]["seconds"] < 3
    assert bright[0]["similarity"] >= bright[1]["similarity"]
    dark = tools.find_in_videos(videos, "something dark", max_frames=1)["matches"]
    assert [match["video"] for match in dark] == ["dark.mp4"]
    assert tools.pictures.read(str(dark[0]["image"])).startswith(b"\xff\xd8")


def test_pictures_are_kept_of_the_frames_returned_alone(tools: Toolbox) -> None:
    arguments = {"videos": "dark.mp4, grey.mp4, flash.mp4", "query": "something dark", "max_frames": 1}
    (match,) = tools.call_tool("find_in_videos", arguments)["matches"]
    assert len(list(Path(str(match["image"])).parent.iterdir())) == 1
    (bare,) = tools.call_tool("find_in_videos", {**arguments, "include_images": False})["matches"]
    assert bare["image"] is None and bare["image_tokens"] == match["image_tokens"]


def test_a_video_that_cannot_be_read_is_a_warning_and_not_the_end(tools: Toolbox, tmp_path: Path) -> None:
    (tmp_path / "broken.mp4").write_bytes(b"no video")
    result = tools.find_in_videos(["broken.mp4", "nope.mp4", "dark.mp4"], "something dark")
    assert {match["video"] for match in result["matches"]} == {"dark.mp4"}
    assert ["broken.mp4" in result["warnings"][0], "nope.mp4" in result["warnings"][1]] == [True, True]
    with pytest.raises(ToolError, match=r"there is no video 'nope\.mp4'"):
        tools.find_in_videos(["nope.mp4"], "something dark")


def test_a_call_over_many_videos_can_be_stopped(tools: Toolbox) -> None:
    started, stopped = Event(), Event()

    def progress(stage: str, share: float) -> None:
        started.set()
        assert stopped.wait(30)

    arguments: dict[str, Any] = {"videos": ["dark.mp4", "grey.mp4"], "query": "bright"}
    job, future = tools.start("find_in_videos", arguments, progress)
    assert started.wait(30)
    job.stop()
    stopped.set()
    with pytest.raises(ToolError, match="cancelled"):
        future.result(30)


def test_messages_show_which_video_a_picture_is_from(tools: Toolbox) -> None:
    call = {
        "id": "a",
        "function": {"name": "find_in_videos", "arguments": {"videos": ["dark.mp4"], "query": "dark"}},
    }
    _, shown = tools.answer_calls([call])
    assert shown["content"][1]["text"].startswith("[dark.mp4, ")
