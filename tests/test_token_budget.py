"""What a question costs before it is asked, and a budget of tokens that chooses number and size of frames."""

from __future__ import annotations

import json
import shutil
import socket
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from keyframe_llm import KeyframeLLM, OptionsError, select_keyframes
from keyframe_llm.cartoon import vlm_path
from keyframe_llm.cli import main
from keyframe_llm.cli.output import cost_line
from keyframe_llm.cost import picture_tokens, tokens_of_pictures
from keyframe_llm.demos.videos import demo_video
from keyframe_llm.index.budget import affordable_size
from keyframe_llm.vlm import load_vlm
from support.encoders import ColourEncoder
from support.server import Server
from support.vlms import Answers

Checkpoint = Callable[[str], Path]
Capture = pytest.CaptureFixture[str]
QUESTION = "What is the robot in purple doing?"


def without_weights(folder: Path, target: Path) -> str:
    """A copy of a checkpoint that holds its small files alone, so that its weights cannot be loaded."""
    return str(shutil.copytree(folder, target, ignore=shutil.ignore_patterns("*.safetensors")))


def asked(capsys: Capture, *arguments: str) -> dict[str, object]:
    """What `ask --json` prints."""
    assert main(["ask", *arguments, "--quiet", "--json"]) == 0
    printed: dict[str, object] = json.loads(capsys.readouterr().out)
    return printed


# A dry run -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("layout", ["images", "sheet"])
def test_a_dry_run_tells_what_the_question_then_costs(layout: str, tmp_path: Path, capsys: Capture) -> None:
    video = str(demo_video("one_walk.mp4"))
    command = (video, "What is he doing?", "--layout", layout, "--encoder", "cartoon")
    bare = without_weights(vlm_path(), tmp_path / "model")
    expected = asked(capsys, *command, "--model", bare, "--dry-run", "--price", "2.5")["cost"]
    real = asked(capsys, *command, "--model", "cartoon")
    assert isinstance(expected, dict) and isinstance(real["prompt_tokens"], int)
    assert (expected["prompt_tokens"], expected["visual_tokens"]) == (
        real["prompt_tokens"],
        real["visual_tokens"],
    )
    assert expected["default_sampling"] == real["default_sampling"]
    assert expected["price"] == pytest.approx(real["prompt_tokens"] * 2.5e-6)
    assert expected["frames"] == len(real["keyframes"])  # type: ignore[arg-type]  # read from JSON
    assert len(expected["pictures"]) == (1 if layout == "sheet" else expected["frames"])


@pytest.mark.parametrize("family", ["qwen2_5_vl", "qwen3_vl", "gemma3", "internvl3"])
def test_other_models_are_counted_without_their_weights(
    family: str, checkpoint: Checkpoint, flags: Path, tmp_path: Path
) -> None:
    folder = checkpoint(family)
    bare = without_weights(folder, tmp_path / family)
    _, cost = KeyframeLLM(bare, ColourEncoder()).cost(flags, "Is it blue?")
    answer = KeyframeLLM(str(folder), ColourEncoder()).ask(flags, "Is it blue?", max_new_tokens=1)
    assert (cost.prompt_tokens, cost.visual_tokens) == (answer.prompt_tokens, answer.visual_tokens)
    assert cost.visual_tokens


def test_a_selection_tells_the_cost_of_its_own_messages(checkpoint: Checkpoint, flags: Path) -> None:
    name = str(checkpoint("qwen2_5_vl"))
    selection = select_keyframes(flags, question="Is it blue?", encoder=ColourEncoder())
    for layout in ("images", "sheet"):
        cost = selection.cost(name, layout=layout, price_per_million=10)  # type: ignore[arg-type]  # one of the names
        messages = selection.to_messages(layout=layout)  # type: ignore[arg-type]  # one of the names
        assert (cost.prompt_tokens, cost.visual_tokens) == load_vlm(name).count_tokens(messages)
        assert cost.prompt_tokens is not None and cost.price == pytest.approx(cost.prompt_tokens / 1e5)
        assert cost_line(replace(cost, price=1.9e-5)).endswith("price 0.000019")
    with pytest.raises(OptionsError, match="price_per_million is -1"):
        selection.cost(name, price_per_million=-1)
    with pytest.raises(OptionsError, match="model is 3; give a name, or an object with generate"):
        selection.cost(3)


def test_a_dry_run_calls_no_server(flags: Path, checkpoint: Checkpoint, capsys: Capture) -> None:
    """No server listens there; the processor of the served name counts where it is on this machine."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        address = f"http://127.0.0.1:{taken.getsockname()[1]}/v1"
        command = (str(flags), "Is it blue?", "--dry-run", "--encoder", str(checkpoint("clip")))
        known = asked(capsys, *command, "--model", f"{address}#{checkpoint('qwen2_5_vl')}")["cost"]
        unknown = asked(capsys, *command, "--model", f"{address}#served")["cost"]
    assert isinstance(known, dict) and isinstance(unknown, dict)
    frames = known["frames"]
    assert known["pictures"] == unknown["pictures"] == [[96, 64]] * frames
    assert known["visual_tokens"] == frames * round(96 / 28) * round(64 / 28)
    assert known["picture_bytes"] == unknown["picture_bytes"] > 100
    assert unknown["prompt_tokens"] is None and unknown["price"] is None


def test_a_dry_run_asks_a_model_for_nothing(flags: Path) -> None:
    model = Answers("red")
    llm = KeyframeLLM(model, ColourEncoder())
    _, cost = llm.cost(flags, "Is it blue?", price_per_million=1)
    assert (cost.prompt_tokens, cost.price, model.texts) == (None, None, [])
    with pytest.raises(OptionsError, match="guide is 'caption' and no caption is given; a dry run writes"):
        llm.cost(flags, "Is it blue?", guide="caption")
    assert llm.cost(flags, "Is it blue?", guide="caption", caption="blue")[1].frames >= 1


def test_a_price_without_a_dry_run_is_refused(flags: Path, capsys: Capture) -> None:
    assert main(["ask", str(flags), "What?", "--model", "cartoon", "--price", "3"]) == 2
    assert "price is 3 without --dry-run" in capsys.readouterr().err


def test_the_commands_say_how_a_model_is_shown_key_frames(
    flags: Path, server: Server, capsys: Capture
) -> None:
    pytest.importorskip("openai", reason="openai is not installed (the `server` extra)")
    server.owner, server.models = "vllm", ("served", "Qwen3-VL")
    uniform, sheet = ("--method", "uniform", "--quiet"), ("--layout", "sheet")
    plain = (str(flags), "Blue?", *uniform, "--model")
    labels = ("--labels", "1 pictures,2 pictures", "--by", "answer")
    for command in (("caption", str(flags)), ("classify", str(flags), *labels)):
        assert main([*command, *uniform, *sheet, "--model", f"{server.url}#served"]) == 0
        assert "1 pictures" in capsys.readouterr().out
    for name, more, shown in (
        ("served", (), "images"),
        ("served", ("--frames-as", "video"), "video"),
        ("Qwen3-VL", (), "video"),
        ("Qwen3-VL", sheet, "images"),
    ):
        assert asked(capsys, *plain, f"{server.url}#{name}", *more)["frames_as"] == shown
        assert ("media_io_kwargs" in server.requests[-2]) is (shown == "video")
    for refused, says in (
        ((f"{server.url}#served", *sheet, "--frames-as", "video"), "'video', and a sheet is one picture"),
        (("cartoon", "--frames-as", "images"), "frames_as is for a server, and 'cartoon' runs here"),
    ):
        assert main(["ask", *plain, *refused]) == 2
        assert says in capsys.readouterr().err


def test_an_answer_of_a_server_takes_one_request_for_counting(flags: Path, server: Server) -> None:
    pytest.importorskip("openai", reason="openai is not installed (the `server` extra)")
    answer = KeyframeLLM(f"{server.url}#served", ColourEncoder()).ask(flags, "Is it blue?")
    pictures = len(answer.selection.frames)
    assert len(server.requests) == 2  # the question, and the same without its pictures
    assert (answer.prompt_tokens, answer.visual_tokens) == (10 + 7 * pictures, 7 * pictures)


# A budget of tokens --------------------------------------------------------------------------------------


@given(st.integers(1, 8), st.integers(30, 2000), st.integers(30, 2000), st.integers(10, 9000), st.booleans())
def test_what_a_budget_leaves_fits_and_keeps_its_shape(
    count: int, width: int, height: int, budget: int, fixed: bool
) -> None:
    def tokens(count: int, width: int, height: int) -> int:
        return count * (256 if fixed else picture_tokens(width, height))

    try:
        size = affordable_size(count, width, height, budget, tokens)
    except OptionsError:
        assert count == 1 and tokens(1, 28, 28 * max(width, height) // min(width, height)) > budget / 2
        return
    if size is None:
        small = min(1.0, (128 * 28 * 28 / (width * height)) ** 0.5)
        assert count > 1 and tokens(count, round(width * small), round(height * small)) > budget
        return
    assert tokens(count, *size) <= budget
    assert size[0] <= width and size[1] <= height
    assert abs(size[0] / width - size[1] / height) <= 1 / min(width, height)


@pytest.mark.parametrize("budget", [10_000, 700, 300, 20, 6])
def test_a_budget_is_kept_with_the_frames_that_matter_most(
    budget: int, checkpoint: Checkpoint, tmp_path: Path, videos: object
) -> None:
    images = [np.full((360, 640, 3), shade, np.uint8) for shade in (40, 120, 200)]
    video = videos.draw(  # type: ignore[attr-defined]  # a module
        tmp_path / "v.mp4", [0, 10, 20], images=images, size=(640, 360), rate=1
    )
    name = str(checkpoint("qwen2_5_vl"))
    llm = KeyframeLLM(name, ColourEncoder())
    selection, cost = llm.cost(video, "What?", token_budget=budget, max_frames=3)
    whole = llm.select(video, question="What?", max_frames=3)
    assert cost.visual_tokens is not None and cost.visual_tokens <= budget
    assert len(selection.frames) == min(len(whole.frames), max(1, budget // 128))
    assert llm.ask(video, "What?", token_budget=budget, max_new_tokens=1).visual_tokens == cost.visual_tokens
    if budget >= 10_000:
        assert np.array_equal(selection.frames.images, whole.frames.images)
    elif len(selection.frames) == len(whole.frames):
        assert np.array_equal(selection.seconds, whole.seconds)


def test_without_a_model_a_budget_counts_as_qwen_does(flags: Path) -> None:
    tokens = tokens_of_pictures(None)
    assert tokens(3, 1280, 720) == 3 * 46 * 26
    chosen = select_keyframes(flags, token_budget=6)
    height, width = chosen.frames.images.shape[1:3]
    assert tokens(len(chosen.frames), width, height) <= 6
    with pytest.raises(OptionsError, match="token_budget is 5, but one small picture costs 6 tokens"):
        select_keyframes(flags, token_budget=5)
    with pytest.raises(OptionsError, match="token_budget is 0"):
        select_keyframes(flags, token_budget=0)


def test_the_command_selects_within_a_budget_without_a_model(flags: Path, capsys: Capture) -> None:
    assert main(["select", str(flags), "--token-budget", "6", "--quiet", "--json"]) == 0
    assert len(json.loads(capsys.readouterr().out)["keyframes"]) == 1
