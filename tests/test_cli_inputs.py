"""The command line takes addresses and folders of pictures; agents and the chat page take neither."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from keyframe_llm.cli import main
from keyframe_llm.data import STAGES
from keyframe_llm.demos.videos import demo_video
from keyframe_llm.errors import VideoError
from support.file_server import serving

WALK = demo_video("one_walk.mp4")
Capture = pytest.CaptureFixture[str]


def printed(capsys: Capture, *arguments: str | Path) -> dict[str, Any]:
    assert main([*map(str, arguments), "--json", "--quiet"]) == 0
    result: dict[str, Any] = json.loads(capsys.readouterr().out)
    return result


@pytest.mark.parametrize(
    "command",
    [
        ("select",),
        ("caption", "--model", "cartoon"),
        ("ask", "What is it?", "--model", "cartoon"),
        ("classify", "--labels", "a dog,a cat", "--model", "cartoon"),
    ],
    ids=lambda command: command[0],
)
def test_every_command_that_takes_a_video_takes_an_address(command: tuple[str, ...], capsys: Capture) -> None:
    name, *rest = command
    with serving({"v.mp4": WALK.read_bytes()}) as server:
        found = printed(capsys, name, server.url("v.mp4"), *rest)
        assert found["video"]["path"] == server.url("v.mp4") and server.requests
    seconds = [frame["seconds"] for frame in found["keyframes"]]
    assert seconds == sorted(seconds) and seconds[-1] < found["video"]["duration_seconds"]
    if name == "select":
        assert found["keyframes"] == printed(capsys, name, WALK, *rest)["keyframes"]


def test_a_file_address_is_the_file(capsys: Capture) -> None:
    assert printed(capsys, "select", WALK.as_uri())["video"] == printed(capsys, "select", WALK)["video"]


def test_a_download_reports_its_progress(capsys: Capture) -> None:
    with serving({"v.mp4": WALK.read_bytes()}, ranges=False) as server:
        assert main(["select", server.url("v.mp4")]) == 0
    lines = capsys.readouterr().err.splitlines()
    assert lines[:2] == [f"{STAGES['download']} …", f"{STAGES['decode']} …"]


def test_a_folder_of_numbered_pictures_needs_its_rate(tmp_path: Path, capsys: Capture, videos: Any) -> None:
    for i in range(20):
        Image.fromarray(videos.picture(i)).save(tmp_path / f"frame_{i:03}.png")
    found = printed(capsys, "select", tmp_path, "--frame-rate", "4", "--out", tmp_path / "out")
    assert found["video"]["duration_seconds"] == 5.0
    for frame in found["keyframes"]:
        with Image.open(frame["image"]) as image:
            assert videos.number(np.asarray(image)) == frame["seconds"] * 4
    assert main(["select", str(tmp_path)]) == 2
    assert main(["select", str(tmp_path), "--frame-rate", "0"]) == 2
    assert main(["select", str(tmp_path / "none"), "--frame-rate", "1"]) == 2
    errors = capsys.readouterr().err.splitlines()
    assert len(errors) == 3 and all(line.startswith("keyframe-llm: error: ") for line in errors)


@pytest.mark.parametrize("status", [404, 403])
def test_an_address_without_a_video_costs_one_line_and_status_2(status: int, capsys: Capture) -> None:
    with serving({}, status=status) as server:
        assert main(["select", server.url("v.mp4"), "--quiet"]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert str(status) in line and line.startswith("keyframe-llm: error: http://127.0.0.1")


# Those who are not trusted -----------------------------------------------------------------------------


def test_agents_reach_no_address_and_no_file_by_one(tmp_path: Path) -> None:
    pytest.importorskip("pydantic", reason="pydantic is not installed (the `agents` extra)")
    from keyframe_llm.tools import Toolbox, ToolError

    root, secret = tmp_path / "open", tmp_path / "secret.mp4"
    root.mkdir()
    secret.write_bytes(WALK.read_bytes())
    (root / "v.mp4").write_bytes(WALK.read_bytes())
    # Names in the allowed folder that look like addresses are the files of these names.
    (root / "http:" / "127.0.0.1").mkdir(parents=True)
    (root / "http:" / "127.0.0.1" / "v.mp4").write_bytes(WALK.read_bytes())
    with (
        serving({"v.mp4": WALK.read_bytes()}, redirects={"r": secret.as_uri()}) as server,
        Toolbox(roots=[root]) as tools,
    ):
        for video in (
            server.url("v.mp4"),
            server.url("v.mp4").upper(),
            server.url("r"),
            f" {server.url('v.mp4')}",
            secret.as_uri(),
            f"file://localhost{secret}",
            "data:video/mp4;base64,AAAA",
            "rtsp://127.0.0.1/v",
        ):
            for tool in ("select_keyframes", "video_info", "view_frames"):
                with pytest.raises(ToolError):
                    tools.call_tool(tool, {"video": video})
        assert tools.select_keyframes("http:/127.0.0.1/v.mp4")["video"]["name"] == "http:/127.0.0.1/v.mp4"
        assert server.requests == []


def test_the_chat_page_reaches_no_address() -> None:
    gradio = pytest.importorskip("gradio", reason="gradio is not installed (the `demo` extra)")
    from keyframe_llm.demos.api import uploads_only
    from keyframe_llm.demos.models import Models
    from keyframe_llm.demos.session import Session, Settings

    with serving({"v.mp4": WALK.read_bytes()}) as server:
        upload = uploads_only(gradio.File())
        session, settings = Session(Models(["cartoon"], ["cartoon"])), Settings("cartoon", "cartoon")
        for video in (server.url("v.mp4"), WALK.as_uri()):
            with pytest.raises(gradio.Error, match="no addresses"):
                asyncio.run(upload.async_move_resource_to_block_cache(video))
            session.open(Path(video))
            with pytest.raises(VideoError, match="no such file"):
                session.watch(settings)
        assert server.requests == []
