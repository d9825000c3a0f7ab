"""True times of a video's frames in Qwen's Omni models, whose thinkers place frames by their time."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from keyframe_llm.data import Frames
from keyframe_llm.messages import as_video, with_true_times
from keyframe_llm.vlm import TransformersVLM, load_vlm

RATE = 25
"""Positions a second, in both Omni models."""
SECONDS = [0.24, 12.52, 13.0, 590.0]


@pytest.fixture(scope="module", params=[("qwen2_5_omni", 56), ("qwen3_omni", 64)], ids=lambda param: param[0])
def omni(request: pytest.FixtureRequest, checkpoint: Callable[[str], Path]) -> tuple[Any, Any, int]:
    """The thinker, its processor, and the side of a picture of four tokens."""
    family, side = request.param
    vlm = load_vlm(str(checkpoint(family)), dtype="float32")
    assert isinstance(vlm, TransformersVLM)
    return vlm._model, vlm._chat.processor, side


def prepared(processor: Any, seconds: list[float], side: int) -> tuple[Any, dict[str, Any]]:
    images = np.random.default_rng(0).integers(0, 256, (len(seconds), side, side, 3), dtype=np.uint8)
    pictures, metadata = as_video(Frames(images, np.array(seconds)), 600.0)
    content = [{"type": "video"}, {"type": "text", "text": "What?"}]
    text = processor.apply_chat_template(
        [{"role": "user", "content": content}], tokenize=False, add_generation_prompt=True
    )
    given = {"video_metadata": [metadata], "do_sample_frames": False, "return_tensors": "pt"}
    return processor(text=[text], videos=[pictures], videos_kwargs={"do_resize": False}, **given), metadata


def seen_positions(model: Any, inputs: Any) -> list[Any]:
    """The positions that the language model gets, step by step."""
    seen: list[Any] = []
    hook = model.model.language_model if hasattr(model.model, "language_model") else model.model
    handle = hook.register_forward_pre_hook(
        lambda _module, _args, kwargs: seen.append(kwargs["position_ids"].numpy()), with_kwargs=True
    )
    try:
        model.generate(**inputs, max_new_tokens=3, do_sample=False, pad_token_id=0)
    finally:
        handle.remove()
    return seen


def test_planted_times_reach_the_model_exactly(omni: tuple[Any, Any, int]) -> None:
    model, processor, side = omni
    inputs, metadata = prepared(processor, SECONDS, side)
    inputs = with_true_times(inputs, [metadata], model)
    first, *later = seen_positions(model, inputs)
    video = processor.tokenizer.convert_tokens_to_ids("<|VIDEO|>")
    shown = np.flatnonzero(inputs["input_ids"][0].numpy() == video)
    begin = first[-3, 0, shown[0] - 1] + 1
    temporal = first[-3, 0, shown].reshape(len(SECONDS), 4)
    np.testing.assert_allclose((temporal[:, 0] - begin) / RATE, SECONDS)
    assert (temporal == temporal[:, :1]).all()
    assert (first[-3:, 0, shown[-1] + 1] == temporal.max() + 1).all()
    end = first[-1, 0, -1]
    assert [step[-3:, 0, 0].tolist() for step in later] == [[end + n] * 3 for n in (1, 2)]


def test_positions_are_transformers_own_where_frames_are_evenly_spread(omni: tuple[Any, Any, int]) -> None:
    model, processor, side = omni
    inputs, metadata = prepared(processor, [0.0, 2.0, 4.0], side)
    inputs["video_second_per_grid"][:] = 2.0
    model.model.rope_deltas = None
    wanted = seen_positions(model, inputs)[0]
    ours = with_true_times(inputs, [metadata], model)["position_ids"].numpy()
    np.testing.assert_array_equal(ours[1:], wanted[-3:])
