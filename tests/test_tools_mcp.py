"""The MCP server, driven by the SDK's own client: in memory, over stdio as a process, over HTTP."""

from __future__ import annotations

import base64
import hashlib
import importlib.util
import io
import json
import os
import socket
import sys
import threading
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from keyframe_llm.demos.videos import demo_video

pytest.importorskip("mcp", reason="mcp is not installed (the `agents` extra)")

import anyio
import httpx2
from mcp import Client, StdioServerParameters
from mcp.client.streamable_http import streamable_http_client
from mcp.shared.exceptions import MCPError

from keyframe_llm import OptionsError
from keyframe_llm.cartoon.world.scenes import random_clip
from keyframe_llm.cartoon.world.video import write_clip
from keyframe_llm.cli import main
from keyframe_llm.tools import Limits, Toolbox
from keyframe_llm.tools.http_app import http_app
from keyframe_llm.tools.mcp_server import mcp_server, skill
from keyframe_llm.tools.pictures import FolderPictures, MemoryPictures

CLIPS = demo_video().parent
TOKEN = "a-token-of-no-other-use"


@pytest.fixture
def toolbox(slow: Any) -> Iterator[Toolbox]:
    with Toolbox(encoder=slow, roots=[CLIPS], pictures=MemoryPictures()) as made:
        yield made


def with_client(toolbox: Toolbox, mode: str, use: Callable[[Client], Awaitable[None]]) -> None:
    async def main() -> None:
        async with Client(mcp_server(toolbox), mode=mode) as client:
            await use(client)

    anyio.run(main)


MODES = pytest.mark.parametrize("mode", ["auto", "legacy"])


async def watch(client: Client) -> None:
    """What every transport must do: pictures beside structured content, progress, resources, errors."""
    steps: list[str] = []

    shares: list[float] = [0.0]

    async def progress(done: float, total: float | None, message: str | None) -> None:
        assert total == 100 and shares[-1] < done <= 100
        shares.append(done)
        steps.append(message or "")

    result = await client.call_tool(
        "select_keyframes", {"video": "three_scenes.mp4", "max_frames": 2}, progress_callback=progress
    )
    data = result.structured_content
    assert not result.is_error and json.loads(result.content[0].text) == data
    assert data["video"]["name"] == "three_scenes.mp4"
    kinds = [part.type for part in result.content]
    assert kinds == ["text", *["text", "image"] * len(data["keyframes"])]
    for i, frame in enumerate(data["keyframes"]):
        assert result.content[1 + 2 * i].text == f"[{frame['seconds']:.1f}s]"
        picture = result.content[2 + 2 * i]
        assert picture.mime_type == "image/jpeg"
        jpeg = base64.b64decode(picture.data)
        assert Image.open(io.BytesIO(jpeg)).size == (480, 360)
        held = await client.read_resource(frame["image"])
        assert base64.b64decode(held.contents[0].blob) == jpeg
    assert "reading the video, 100 %" in steps and "proposing frames" in steps
    assert (shares[-1], steps[-1]) == (100, "done")
    listed = {str(resource.uri) for resource in (await client.list_resources()).resources}
    assert listed >= {frame["image"] for frame in data["keyframes"]}
    failed = await client.call_tool("select_keyframes", {"video": "/etc/passwd"})
    assert failed.is_error and "in the allowed folders" in failed.content[0].text
    again = await client.call_tool("select_keyframes", {"video": "one_walk.mp4", "include_images": False})
    assert [part.type for part in again.content] == ["text"]
    with pytest.raises(MCPError, match="there is no tool 'juggle'") as unknown:
        await client.call_tool("juggle", {})
    assert unknown.value.error.code == -32602
    shares[:] = [0.0]
    kept = await client.call_tool("select_keyframes", {"video": "one_walk.mp4"}, progress_callback=progress)
    assert not kept.is_error and shares[-1] == 100  # nothing was decoded for it


@MODES
def test_in_memory(toolbox: Toolbox, mode: str) -> None:
    with_client(toolbox, mode, watch)


def test_over_stdio_as_a_process() -> None:
    command = StdioServerParameters(
        command=sys.executable,
        args=["-m", "keyframe_llm.cli", "mcp", "--root", str(CLIPS), "--model", "cartoon"],
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )

    async def main() -> None:
        async with Client(command) as client:
            await watch(client)

    anyio.run(main)


@pytest.mark.skipif(sys.platform != "linux", reason="names of any bytes are a matter of Linux")
def test_a_name_that_is_not_utf8_neither_hangs_nor_ends_the_server(tmp_path: Path) -> None:
    strange = os.fsdecode(b"caf\xe9.mp4")
    (tmp_path / strange).write_bytes((CLIPS / "one_walk.mp4").read_bytes())
    (tmp_path / "clean.mp4").symlink_to(strange)
    command = StdioServerParameters(
        command=sys.executable,
        args=["-m", "keyframe_llm.cli", "mcp", "--root", str(tmp_path)],
        env=dict(os.environ),
    )

    async def main() -> None:
        async with Client(command) as client:
            with anyio.fail_after(120):
                for video in ("missing.mp4", "clean.mp4", "clean.mp4"):
                    result = await client.call_tool("select_keyframes", {"video": video})
                    assert result.is_error == (video == "missing.mp4")
        assert result.structured_content["video"]["name"] == r"caf\udce9.mp4"

    anyio.run(main)


@contextmanager
def served(toolbox: Toolbox, token: str | None = None) -> Iterator[str]:
    """The address of a server in a thread of its own, on a free port."""
    import uvicorn

    listening = socket.socket()
    listening.bind(("127.0.0.1", 0))
    app = http_app(mcp_server(toolbox), "127.0.0.1", token=token)
    server = uvicorn.Server(uvicorn.Config(app, log_level="error"))
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]}, daemon=True)
    thread.start()
    while not server.started and thread.is_alive():
        time.sleep(0.02)
    try:
        yield f"http://127.0.0.1:{listening.getsockname()[1]}/mcp"
    finally:
        server.should_exit = True
        thread.join(30)
        listening.close()


@MODES
def test_over_http_with_a_token(toolbox: Toolbox, mode: str) -> None:
    async def main() -> None:
        headers = {"Authorization": f"Bearer {TOKEN}"}
        async with (
            httpx2.AsyncClient(headers=headers, timeout=120) as web,
            Client(streamable_http_client(url, http_client=web), mode=mode) as client,
        ):
            await watch(client)

    with served(toolbox, TOKEN) as url:
        anyio.run(main)


# Names, hints, schemas ----------------------------------------------------------------------------------


@MODES
def test_tools_say_that_they_only_read(toolbox: Toolbox, mode: str) -> None:
    async def use(client: Client) -> None:
        for tool in (await client.list_tools()).tools:
            hints = tool.annotations
            assert hints is not None and tool.title
            assert (hints.read_only_hint, hints.destructive_hint) == (True, False)
            assert (hints.idempotent_hint, hints.open_world_hint) == (True, False)
        (template,) = (await client.list_resource_templates()).resource_templates
        assert template.uri_template == "keyframe://{name}"

    with_client(toolbox, mode, use)


def test_the_schemas_are_pinned() -> None:
    """A change of a schema is a change of the interface: look at it, then write the new file."""
    pinned = Path(__file__).with_name("tools_schemas.json")
    listed: list[Any] = []

    async def use(client: Client) -> None:
        tools = (await client.list_tools()).tools
        listed.extend(tool.model_dump(mode="json", by_alias=True, exclude_none=True) for tool in tools)

    # Models that are on every machine: descriptions tell of those that are not.
    with Toolbox("cartoon", roots=[CLIPS], pictures=MemoryPictures()) as toolbox:
        with_client(toolbox, "auto", use)
    assert listed == json.loads(pinned.read_text(encoding="utf-8"))


def test_the_server_tells_how_to_work_with_a_video(toolbox: Toolbox) -> None:
    async def use(client: Client) -> None:
        assert client.instructions == skill()

    with_client(toolbox, "legacy", use)
    for word in ("describe_video", "select_keyframes", "ask_video", "classify_video", "exclude_seconds"):
        assert word in skill()


def test_a_server_wants_a_toolbox_that_tells_no_paths() -> None:
    with (
        Toolbox(roots=[CLIPS], pictures=FolderPictures()) as files,
        pytest.raises(OptionsError, match="MemoryPictures"),
    ):
        mcp_server(files)


def test_pictures_are_found_by_the_names_given_out_alone(toolbox: Toolbox) -> None:
    async def use(client: Client) -> None:
        for uri in ("keyframe://../../etc/passwd", "file:///etc/passwd", "keyframe://none.jpg"):
            with pytest.raises(MCPError, match="no picture"):
                await client.read_resource(uri)

    with_client(toolbox, "auto", use)


# Cancelling, failing -------------------------------------------------------------------------------------


async def cancel_and_go_on(client: Client, slow: Any, toolbox: Toolbox) -> None:
    """Cancel a call that hangs; the server must still answer, and the work must end."""
    async with anyio.create_task_group() as tasks:
        arguments = {"video": "one_walk.mp4", "query": "anything"}
        tasks.start_soon(client.call_tool, "select_keyframes", arguments)
        while not slow.entered.is_set():
            await anyio.sleep(0.02)
        tasks.cancel_scope.cancel()
    result = await client.call_tool("select_keyframes", {"video": "one_walk.mp4", "include_images": False})
    assert not result.is_error
    slow.gate.set()
    while not toolbox._pool.wait(0):
        await anyio.sleep(0.02)


@MODES
def test_a_cancelled_call_ends_and_the_server_goes_on(mode: str, slow: Any) -> None:
    with Toolbox(encoder=slow, roots=[CLIPS], pictures=MemoryPictures()) as toolbox:

        async def use(client: Client) -> None:
            with anyio.fail_after(60):
                await cancel_and_go_on(client, slow, toolbox)

        with_client(toolbox, mode, use)


@MODES
def test_a_call_cancelled_over_http_ends_its_work(mode: str, slow: Any) -> None:
    with Toolbox(encoder=slow, roots=[CLIPS], pictures=MemoryPictures()) as toolbox, served(toolbox) as url:

        async def main() -> None:
            async with Client(url, mode=mode) as client:
                with anyio.fail_after(60):
                    await cancel_and_go_on(client, slow, toolbox)

        anyio.run(main)


def test_a_fault_of_ours_is_told_without_its_text(caplog: pytest.LogCaptureFixture) -> None:
    class Broken:
        def embed_images(self, images: Any, /) -> Any:
            raise RuntimeError("secret in /home/somebody")

        embed_texts = embed_images

    with Toolbox(encoder=Broken(), roots=[CLIPS], pictures=MemoryPictures()) as toolbox:

        async def use(client: Client) -> None:
            result = await client.call_tool("select_keyframes", {"video": "one_walk.mp4", "query": "x"})
            assert result.is_error and "secret" not in result.content[0].text
            assert not (await client.call_tool("select_keyframes", {"video": "one_walk.mp4"})).is_error

        with_client(toolbox, "auto", use)
    assert "secret in /home/somebody" in caplog.text


def test_a_call_over_its_time_is_answered(slow: Any) -> None:
    limits = Limits(timeout_seconds=1.5)
    with Toolbox(encoder=slow, roots=[CLIPS], limits=limits, pictures=MemoryPictures()) as toolbox:

        async def use(client: Client) -> None:
            result = await client.call_tool("select_keyframes", {"video": "one_walk.mp4", "query": "x"})
            assert result.is_error and "longer than the 1.5 s allowed" in result.content[0].text
            slow.gate.set()

        with_client(toolbox, "auto", use)


# Who may connect ----------------------------------------------------------------------------------------

HELLO = {
    "jsonrpc": "2.0",
    "id": 1,
    "method": "initialize",
    "params": {
        "protocolVersion": "2025-06-18",
        "capabilities": {},
        "clientInfo": {"name": "t", "version": "1"},
    },
}
ACCEPT = {"Accept": "application/json, text/event-stream", "Content-Type": "application/json"}


@pytest.fixture(scope="module")
def address() -> Iterator[str]:
    with Toolbox(roots=[CLIPS], pictures=MemoryPictures()) as toolbox, served(toolbox, TOKEN) as url:
        yield url


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"Authorization": f"Bearer {TOKEN}"}, 200),
        ({"Authorization": f"bearer {TOKEN}"}, 200),
        ({}, 401),
        ({"Authorization": "Bearer wrong-token-of-some-length"}, 401),
        ({"Authorization": f"Bearer {TOKEN}x"}, 401),
        ({"Authorization": f"Basic {TOKEN}"}, 401),
        ({"Authorization": TOKEN}, 401),
        ({"Authorization": f"Bearer {TOKEN}", "Host": "evil.example"}, 421),
        ({"Authorization": f"Bearer {TOKEN}", "Host": "127.0.0.1.evil.example:80"}, 421),
        ({"Authorization": f"Bearer {TOKEN}", "Origin": "https://evil.example"}, 403),
        ({"Authorization": f"Bearer {TOKEN}", "Origin": "null"}, 403),
        ({"Authorization": f"Bearer {TOKEN}", "Origin": "http://localhost:5173"}, 200),
    ],
)
def test_only_requests_with_the_token_and_a_name_of_this_machine_are_answered(
    address: str, headers: dict[str, str], status: int
) -> None:
    answer = httpx2.post(address, json=HELLO, headers={**ACCEPT, **headers}, timeout=60)
    assert answer.status_code == status


def test_a_request_that_is_too_large_is_refused(address: str) -> None:
    headers = {**ACCEPT, "Authorization": f"Bearer {TOKEN}"}
    answer = httpx2.post(address, content=b" " * 3_000_000, headers=headers, timeout=60)
    assert answer.status_code == 413


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["--http", "--host", "0.0.0.0"], "give --token-file"),
        (["--http", "--host", "192.0.2.7"], "give --token-file"),
        (["--http", "--host", "0.0.0.0", "--token-file", "TOKEN"], "--public-name"),
        (["--http", "--token-file", "SHORT"], "16 or more"),
        (["--http", "--token-file", "nowhere"], "nowhere"),
        (["--root", "nowhere"], "nowhere"),
        (["--timeout-seconds", "-1"], "timeout_seconds is -1"),
    ],
)
def test_a_server_that_would_be_open_does_not_start(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    arguments: list[str],
    says: str,
) -> None:
    (tmp_path / "TOKEN").write_text(TOKEN)
    (tmp_path / "SHORT").write_text("short")
    monkeypatch.chdir(tmp_path)
    assert main(["mcp", *arguments]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert says in line


def test_names_of_other_machines_are_allowed_by_name_alone(toolbox: Toolbox) -> None:
    from starlette.testclient import TestClient

    app = http_app(mcp_server(toolbox), "0.0.0.0", token=TOKEN, public_names=["media.example"])
    headers = {**ACCEPT, "Authorization": f"Bearer {TOKEN}"}
    with TestClient(app, base_url="http://media.example") as web:
        assert web.post("/mcp", json=HELLO, headers=headers).status_code == 200
        assert web.post("/mcp", json=HELLO, headers={**headers, "Host": "localhost"}).status_code == 421


# Load ----------------------------------------------------------------------------------------------------


def test_fifty_calls_at_once_all_get_their_own_answer(tmp_path: Path) -> None:
    """Five videos, ten callers each, every tenth call a mistake: none is lost, mixed up or left behind."""
    rng = np.random.default_rng(7)
    names = [f"{i}.mp4" for i in range(5)]
    for name in names:
        write_clip(random_clip(rng, scenes=2, seconds=2.5), tmp_path / name, fps=3, width=64, height=48)
    before, most = threading.active_count(), [0]
    with Toolbox(roots=[tmp_path], pictures=MemoryPictures()) as toolbox:
        truth = {name: toolbox.select_keyframes(name) for name in names}
        results: dict[int, Any] = {}

        async def ask(client: Client, i: int) -> None:
            video = "none.mp4" if i % 10 == 9 else names[(i * 7) % 5]
            results[i] = (video, await client.call_tool("select_keyframes", {"video": video}))
            most[0] = max(most[0], threading.active_count())

        async def main() -> None:
            async with Client(url) as client, anyio.create_task_group() as tasks:
                for i in range(50):
                    tasks.start_soon(ask, client, i)

        with served(toolbox) as url:
            anyio.run(main)
        assert toolbox._pool.wait(0)
        kept = len(toolbox.pictures.names())
    assert sorted(results) == list(range(50))
    for video, result in results.values():
        if video == "none.mp4":
            assert result.is_error
        else:
            data = result.structured_content
            assert data == truth[video]
            shown = [part for part in result.content if part.type == "image"]
            for frame, part in zip(data["keyframes"], shown, strict=True):
                digest = hashlib.sha256(base64.b64decode(part.data)).hexdigest()[:24]
                assert frame["image"] == f"keyframe://{digest}.jpg"
    assert kept <= 15  # the same frames are kept once
    # Two workers and the eight that wait for a reading, two readers, the server's and the decoders' threads.
    assert most[0] - before <= 24


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_a_hundred_calls_at_once_hold_little_more_memory_than_one(tmp_path: Path) -> None:
    """By the benchmark, which has a server of its own, at the address that is the default."""
    path = Path(__file__).parent.parent / "benchmarks" / "mcp_load.py"
    spec = importlib.util.spec_from_file_location("mcp_load", path)
    assert spec is not None and spec.loader is not None
    load = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(load)
    (tmp_path / "walk.mp4").write_bytes((CLIPS / "one_walk.mp4").read_bytes())
    measured = load.measure(tmp_path, 100)
    assert (measured["answered"], measured["failed"]) == (100, 10)
    assert measured["addresses"] == ["127.0.0.1"]
    assert (
        measured["many_calls_mb"] < measured["one_call_mb"] + 300
    )  # one call: about 250, a hundred: about 400
