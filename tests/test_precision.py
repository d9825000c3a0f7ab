"""The numerical type of a Video-LLM on a CPU: chosen by what the processor can do, unless it is given."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from keyframe_llm import KeyframeLLM
from keyframe_llm.demos.videos import demo_video
from keyframe_llm.messages import Messages
from keyframe_llm.vlm import TransformersVLM, load_vlm
from keyframe_llm.vlm.precision import native_types
from keyframe_llm.vlm.shared import SharedVLM

TEXT: Messages = [{"role": "user", "content": [{"type": "text", "text": "Say something."}]}]
LABELS = ["walk", "kick ball", "sit"]
INSTRUCTIONS = ("avx512_bf16", "amx_tile", "amx_fp16")


@pytest.fixture(scope="module", params=["bfloat16", "float16"])
def half(request: pytest.FixtureRequest, checkpoint: Callable[[str], Path], tmp_path_factory: Any) -> Path:
    """A small checkpoint saved in half precision, as real ones are."""
    from transformers import AutoModelForImageTextToText

    folder = tmp_path_factory.mktemp(request.param) / request.param
    shutil.copytree(checkpoint("qwen2_5_vl"), folder)
    model = AutoModelForImageTextToText.from_pretrained(folder, dtype=request.param)
    model.save_pretrained(folder)
    return Path(folder)


@pytest.fixture
def processor_has(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Says which instructions torch finds in the processor."""
    import platform

    import torch

    def has(*instructions: str) -> None:
        monkeypatch.setattr(platform, "machine", lambda: "x86_64")
        for one in INSTRUCTIONS:
            found = one in instructions
            monkeypatch.setattr(torch.cpu, f"_is_{one}_supported", lambda found=found: found, raising=False)

    return has


def loaded(folder: Path, **options: Any) -> TransformersVLM:
    vlm = load_vlm(str(folder), device="cpu", **options)
    assert isinstance(vlm, TransformersVLM)
    return vlm


def type_of(vlm: TransformersVLM) -> str:
    return str(vlm._model.dtype).removeprefix("torch.")


def test_a_processor_computes_in_the_types_it_has_instructions_for(processor_has: Any) -> None:
    import torch

    processor_has()
    assert native_types() == {torch.float32, torch.float64}
    processor_has("avx512_bf16")
    assert native_types() == {torch.float32, torch.float64, torch.bfloat16}
    processor_has("amx_tile", "amx_fp16")
    assert native_types() == {torch.float32, torch.float64, torch.bfloat16, torch.float16}


def test_a_type_that_the_processor_only_imitates_becomes_float32_and_the_cost_is_told(
    half: Path, processor_has: Any
) -> None:
    processor_has()
    vlm = loaded(half)
    assert type_of(vlm) == "float32"
    (warning,) = vlm.warnings
    assert half.name in warning and "GB of memory instead of" in warning and "\n" not in warning
    assert SharedVLM(vlm).warnings == vlm.warnings
    exact = loaded(half, dtype="float32").label_log_likelihoods(TEXT, LABELS)
    np.testing.assert_allclose(vlm.label_log_likelihoods(TEXT, LABELS), exact, atol=1e-5)


def test_a_caption_and_an_answer_carry_the_warning(half: Path, processor_has: Any) -> None:
    processor_has()
    llm = KeyframeLLM(str(half), encoder="cartoon", device="cpu", cache=False)
    video = demo_video("one_walk.mp4")
    for selection in (llm.caption(video).selection, llm.ask(video, "What?", max_new_tokens=2).selection):
        assert sum("which this processor only imitates" in text for text in selection.warnings) == 1


def test_a_type_that_the_processor_has_stays_as_it_was_saved(half: Path, processor_has: Any) -> None:
    processor_has("avx512_bf16", "amx_fp16")
    vlm = loaded(half)
    assert type_of(vlm) == half.name and vlm.warnings == ()
    assert vlm.generate(TEXT, max_new_tokens=2) is not None


def test_a_type_that_is_given_is_taken(half: Path, processor_has: Any) -> None:
    processor_has()
    vlm = loaded(half, dtype=half.name)
    assert type_of(vlm) == half.name and vlm.warnings == ()


def test_without_memory_for_float32_the_saved_type_stays_and_a_warning_says_it_is_slow(
    half: Path, processor_has: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    processor_has()
    monkeypatch.setattr("accelerate.utils.get_max_memory", lambda: {"cpu": 1000})
    vlm = loaded(half)
    assert type_of(vlm) == half.name
    (warning,) = vlm.warnings
    assert "several times slower" in warning and "GB of memory" in warning


def test_a_model_saved_in_float32_is_left_alone(
    checkpoint: Callable[[str], Path], processor_has: Any
) -> None:
    processor_has()
    vlm = loaded(checkpoint("qwen2_5_vl"))
    assert type_of(vlm) == "float32" and vlm.warnings == ()
