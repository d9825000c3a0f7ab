"""Long work goes on behind a call that is given up or late, within bounds: the next call finds it done."""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Sequence
from pathlib import Path
from threading import Event
from typing import Any

import anyio
import numpy as np
import pytest

from keyframe_llm.demos.videos import demo_video

pytest.importorskip("mcp", reason="mcp is not installed (the `agents` extra)")

from mcp import Client

from keyframe_llm.tools import Limits, Toolbox, ToolError
from keyframe_llm.tools.mcp_server import mcp_server
from keyframe_llm.tools.pictures import MemoryPictures

CLIPS = demo_video().parent
SECONDS = 30.0
WALK = {"video": "one_walk.mp4"}


class Gated:
    """An encoder that lets a video be read only when its gate is open."""

    def __init__(self) -> None:
        self.gate, self.entered = Event(), Event()

    @property
    def image_size(self) -> int:
        self.entered.set()
        assert self.gate.wait(SECONDS)
        return 96

    def embed_images(self, images: Sequence[Any], /) -> Any:
        return np.ones((len(images), 2), np.float32)

    def embed_texts(self, texts: Sequence[str], /) -> Any:
        return np.ones((len(texts), 2), np.float32)


class Counting:
    """A Video-LLM that counts its answers."""

    def __init__(self) -> None:
        self.answers = 0

    def stream(self, messages: Any, *, max_new_tokens: int = 128) -> Iterator[str]:
        self.answers += 1
        yield f"answer {self.answers}"

    def generate(self, messages: Any, *, max_new_tokens: int = 128) -> str:
        raise AssertionError("cannot be given up")

    generate_batch = label_log_likelihoods = generate

    def count_tokens(self, messages: Any) -> tuple[int, int]:
        return 10, 5


@pytest.fixture
def encoder() -> Gated:
    return Gated()


@pytest.fixture
def tools(encoder: Gated) -> Iterator[Toolbox]:
    limits = Limits(answer_seconds=0.3, concurrent_calls=1)
    with Toolbox(Counting(), encoder, roots=[CLIPS], limits=limits, pictures=MemoryPictures()) as made:
        yield made
        encoder.gate.set()


def stages_of(tools: Toolbox, name: str, arguments: dict[str, Any]) -> set[str]:
    """The stages of the work that a call does."""
    stages: set[str] = set()
    tools.wait(*tools.start(name, arguments, lambda stage, _: stages.add(stage)))
    return stages


async def answered(client: Client, name: str, arguments: dict[str, Any]) -> Any:
    """Call a tool until it has done its work."""
    with anyio.fail_after(SECONDS):
        while (result := await client.call_tool(name, arguments)).is_error:
            assert "still working" in result.content[0].text
    return result.structured_content


def test_a_call_that_is_given_up_ends_at_once_and_its_reading_goes_on(tools: Toolbox, encoder: Gated) -> None:
    call, future = tools.start("select_keyframes", WALK)
    assert encoder.entered.wait(SECONDS)
    call.stop()
    with pytest.raises(ToolError, match="cancelled"):
        future.result(SECONDS)
    assert tools.list_videos()["total"] == 3, "its place is not free"
    encoder.gate.set()
    assert tools._readings.wait(SECONDS)
    assert "decode" not in stages_of(tools, "describe_video", WALK)


def test_a_late_call_is_told_how_far_it_is_and_the_next_one_gets_its_answer(
    tools: Toolbox, encoder: Gated
) -> None:
    arguments = {**WALK, "question": "what?"}

    async def main() -> None:
        async with Client(mcp_server(tools)) as client:
            late = await client.call_tool("ask_video", arguments)
            assert late.is_error and "still working: 0 %" in late.content[0].text
            assert "call this again with the same arguments" in late.content[0].text
            await answered(client, "video_info", WALK)  # others are not kept out
            encoder.gate.set()
            answer = await answered(client, "ask_video", arguments)
            assert answer["answer"] == "answer 1"
            again = await answered(client, "ask_video", arguments)
            assert again["answer"] == "answer 2", "an answer is given once"

    anyio.run(main)


def test_index_video_returns_at_once_and_tells_how_far_it_is(tools: Toolbox, encoder: Gated) -> None:
    begun = tools.index_video("one_walk.mp4")
    assert (begun["done"], begun["percent"], begun["doing"]) == (False, 0, "waiting for its turn")
    assert begun["video"]["duration_seconds"] == 6.0
    assert tools.index_video("one_walk.mp4")["done"] is False
    encoder.gate.set()
    assert tools._readings.wait(SECONDS)
    done = tools.index_video("one_walk.mp4")
    assert (done["done"], done["percent"], done["seconds_left"]) == (True, 100, 0.0)
    assert "decode" not in stages_of(tools, "select_keyframes", {**WALK, "query": "a man"})


def test_a_reading_keeps_to_the_file_it_was_begun_on(encoder: Gated, tmp_path: Path) -> None:
    path, other = tmp_path / "v.mp4", tmp_path / "other"
    shutil.copy(CLIPS / "one_walk.mp4", path)
    shutil.copy(CLIPS / "three_scenes.mp4", other)
    with Toolbox(Counting(), encoder, roots=[tmp_path]) as tools:
        assert not tools.index_video("v.mp4")["done"]
        other.replace(path)
        assert len(tools.open_files._held) == 1, "the file is not held"
        encoder.gate.set()
        assert tools._readings.wait(SECONDS)
        assert tools.open_files._held == {}
        found = tools.select_keyframes("v.mp4", "a man", include_images=False)
        assert found["video"]["duration_seconds"] == 18.0
        assert max(frame["seconds"] for frame in found["keyframes"]) > 6


def test_only_so_many_videos_are_read_and_all_readings_end_with_the_server(
    encoder: Gated, tmp_path: Path
) -> None:
    for name in "abc":
        shutil.copy(CLIPS / "one_walk.mp4", tmp_path / f"{name}.mp4")
    limits = Limits(concurrent_readings=1, waiting_readings=1)
    with Toolbox(Counting(), encoder, roots=[tmp_path], limits=limits) as tools:
        for name in "ab":
            assert not tools.index_video(f"{name}.mp4")["done"]
        with pytest.raises(ToolError, match="2 videos are waiting already; try again"):
            tools.index_video("c.mp4")
        readings = [reading.future for reading in tools._readings._begun.values()]
        tools.close()
        encoder.gate.set()
        assert tools.end(SECONDS)
        assert readings[1].cancelled()
        with pytest.raises(ToolError, match="cancelled"):
            readings[0].result(0)
        assert tools.open_files._held == {}
