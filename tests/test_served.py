"""A real server on loopback: `transformers serve` with a small checkpoint, in a process of its own."""

from __future__ import annotations

import gc
import io
import os
import re
import socket
import subprocess
import sys
import time
import urllib.request
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
from PIL import Image

from keyframe_llm import KeyframeLLM, ModelError, select_keyframes
from keyframe_llm.cartoon import vlm_path
from keyframe_llm.data import Frames
from keyframe_llm.jpeg import encode_jpeg
from keyframe_llm.messages.prompts import frame_messages
from keyframe_llm.vlm import load_vlm
from support.packages import needs

ROOT = Path(__file__).parent.parent
DOCUMENT = ROOT / "docs" / "plug-in.md"
ADDRESS = "http://127.0.0.1:8000/v1"


# A client that nobody closes leaves its connections to the collector of garbage, which warns of them.
pytestmark = [
    *(needs(package, "the `dev` extra") for package in ("openai", "fastapi", "uvicorn")),
    pytest.mark.filterwarnings("ignore:unclosed <socket:ResourceWarning"),
]


@pytest.fixture(autouse=True, scope="module")
def collected() -> Iterator[None]:
    """Collect the clients of these tests before those of another file begin."""
    yield
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ResourceWarning)
        gc.collect()


@pytest.fixture(scope="module")
def folder(checkpoint: Callable[[str], Path]) -> Path:
    return checkpoint("qwen2_5_vl")


@pytest.fixture(scope="module")
def served(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, Any]]:
    """The URL of the running server, with its model's name, and its process."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    home = tmp_path_factory.mktemp("home")
    command = [sys.executable, "-m", "transformers.cli.transformers", "serve"]  # loads what is asked for
    command += ["--host", "127.0.0.1", "--port", str(port), "--device", "cpu", "--dtype", "float32"]
    with (home / "log").open("wb") as log:
        environment = {**os.environ, "HF_HUB_OFFLINE": "1", "HF_HOME": str(home)}
        process = subprocess.Popen(command, stdout=log, stderr=log, env=environment)
    try:
        for _ in range(1200):
            if process.poll() is not None:
                pytest.fail(f"the server ended: {(home / 'log').read_text()[-2000:]}")
            try:
                urllib.request.urlopen(f"http://127.0.0.1:{port}/health", timeout=5).close()
                break
            except OSError:
                time.sleep(0.2)
        yield f"http://127.0.0.1:{port}/v1#{folder}", process
    finally:
        process.kill()
        process.wait()


def sent(messages: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The messages with their pictures as the server gets them: through JPEG."""

    def through(part: dict[str, Any]) -> dict[str, Any]:
        if part["type"] != "image":
            return part
        return {"type": "image", "image": Image.open(io.BytesIO(encode_jpeg(part["image"])))}

    return [{**one, "content": [through(part) for part in one["content"]]} for one in messages]


def conversation() -> list[dict[str, Any]]:
    images = np.random.default_rng(0).integers(0, 256, (2, 84, 112, 3), dtype=np.uint8)
    return frame_messages(Frames(images, np.array([1.5, 20.0])), "What is he doing?")


def test_the_served_model_answers_as_it_does_here(served: tuple[str, Any], folder: Path) -> None:
    here = load_vlm(str(folder), dtype="float32").generate(sent(conversation()), max_new_tokens=12)
    vlm = load_vlm(served[0])
    assert here and vlm.generate(conversation(), max_new_tokens=12) == here
    pieces = list(vlm.stream(conversation(), max_new_tokens=12))
    assert len(pieces) > 1 and "".join(pieces).strip() == here
    assert vlm.generate_batch([conversation()] * 2, max_new_tokens=12) == [here, here]


def test_tokens_are_counted_as_they_are_here(served: tuple[str, Any], folder: Path) -> None:
    prompt, pictures = load_vlm(served[0]).count_tokens(conversation())
    wanted, visual = load_vlm(str(folder), dtype="float32").count_tokens(conversation())
    assert prompt == wanted
    assert pictures == visual + 2 * 2  # the two markers around each picture


def test_key_frames_are_answered_from_by_the_command_and_by_openais_own_client(
    served: tuple[str, Any], videos: ModuleType, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    import openai

    from keyframe_llm.cli import main

    video = videos.flags(tmp_path / "flags.mp4")
    assert main(["caption", str(video), "--model", served[0], "--quiet"]) == 0
    assert capsys.readouterr().out.strip()
    selection = select_keyframes(video, question="Is it blue?", encoder=videos.ColourEncoder())
    address, _, name = served[0].partition("#")
    with openai.OpenAI(base_url=address, api_key="none") as client:
        chat = client.chat.completions.create(
            model=name, messages=selection.to_messages(format="openai"), max_tokens=4
        )
        assert chat.choices[0].message.content and chat.usage.prompt_tokens > 20
        messages = selection.to_messages(format="openai-responses")
        events = client.responses.create(model=name, input=messages, max_output_tokens=4, stream=True)
        assert "".join(event.delta for event in events if event.type == "response.output_text.delta")


def test_labels_are_judged_by_the_answer_or_not_at_all(
    served: tuple[str, Any], videos: ModuleType, tmp_path: Path
) -> None:
    """The untrained model's answer is no label; the error says so, and never guesses."""
    video = videos.flags(tmp_path / "flags.mp4")
    llm = KeyframeLLM(model=served[0], encoder=videos.ColourEncoder())
    with pytest.raises(ModelError, match=r"cannot score labels; .*--by answer"):
        llm.classify(video, ["walk", "run"], generate_caption=False)
    with pytest.raises(ModelError, match="names none of the 2 labels"):
        llm.classify(video, ["walk", "run"], by="answer", generate_caption=False)
    assert llm.classify(video, ["red", "green"], by="encoder", caption="red").label == "red"


def test_a_request_that_the_server_cannot_serve_is_an_error(served: tuple[str, Any]) -> None:
    address = served[0].partition("#")[0]
    with pytest.raises(ModelError, match=r"no such model or address \(404"):
        load_vlm(f"{address}/elsewhere#x", retries=0).generate(conversation())


def blocks() -> list[str]:
    """Every block of the document, and those of the README that need a server."""
    texts = [path.read_text(encoding="utf-8") for path in (DOCUMENT, ROOT / "README.md")]
    found, readme = (re.findall(r"^```python\n(.*?)^```", text, re.DOTALL | re.MULTILINE) for text in texts)
    return list(dict.fromkeys([*found, *(block for block in readme if ADDRESS in block)]))


@pytest.mark.filterwarnings("default")  # the reader's own warnings are not what is tested
@pytest.mark.parametrize("block", blocks(), ids=lambda block: block.splitlines()[0])
def test_every_block_of_the_document_runs(
    block: str, served: tuple[str, Any], capsys: pytest.CaptureFixture[str]
) -> None:
    address = served[0].partition("#")[0]
    code = block.replace(ADDRESS, address).replace("served-name", str(vlm_path()))
    names: dict[str, Any] = {}
    exec(compile(code, str(DOCUMENT), "exec"), names)
    printed = capsys.readouterr().out
    if "process_vision_info" in block:
        assert names["answer"].strip() and len(names["videos"][0]) in (2, 4, 6)
    if ADDRESS in block:
        assert "flies a kite" in printed
    if "classify" in block:
        assert printed.splitlines()[0].startswith("[('Walk', ")
    if "tokens_of_video" in block:
        assert "60 frames, 21600 visual tokens" in printed and "768 frames, 105984 visual tokens" in printed
    if "Counting" in block:
        first, second = printed.splitlines()
        said = r"decoded the video: (True|False); (\d+) pictures, \d+ text"
        (read, many), (again, few) = (re.fullmatch(said, line).groups() for line in (first, second))
        assert (read, again) == ("True", "False") and second.endswith(", 1 text")
        assert 4 * int(few) < int(many)
    if "rewrite_messages" in block:
        assert "video" not in printed and "image_url" in printed


def test_three_key_frames_of_720p_cost_what_the_document_says(folder: Path) -> None:
    images = np.zeros((3, 720, 1280, 3), np.uint8)
    messages = frame_messages(Frames(images, np.array([1.0, 2.0, 3.0])))
    assert load_vlm(str(folder), dtype="float32").count_tokens(messages)[1] == 2160


def test_a_server_killed_in_mid_stream_is_an_error(served: tuple[str, Any]) -> None:
    """The last one: nothing is served after it."""
    stream = load_vlm(served[0]).stream(conversation(), max_new_tokens=3000)
    assert next(stream)
    served[1].kill()
    with pytest.raises(ModelError, match=r"broke off in the middle of its answer \(.*see its log"):
        list(stream)
