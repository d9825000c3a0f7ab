"""Video-LLMs: one contract over seven families that share nothing but transformers' auto classes."""

from __future__ import annotations

import threading
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from keyframe_llm.data import Frames
from keyframe_llm.errors import ModelError, OptionsError
from keyframe_llm.messages.prompts import frame_messages
from keyframe_llm.vlm import TransformersVLM, load_vlm
from support.vlms import Counts

Checkpoint = Callable[[str], Path]

FAMILIES = (
    *("qwen2_5_vl", "qwen3_vl", "llava_onevision", "internvl3", "smolvlm2", "gemma3"),
    "idefics3",
)
LABELS = ["walk", "kick ball", "play the guitar in a red hat", "run", "walk", "sit"]


@pytest.fixture(scope="module")
def vlm(request: pytest.FixtureRequest, checkpoint: Checkpoint) -> TransformersVLM:
    loaded = load_vlm(str(checkpoint(request.param)), dtype="float32")
    assert isinstance(loaded, TransformersVLM)
    return loaded


every_family = pytest.mark.parametrize("vlm", FAMILIES, indirect=True)
qwen = pytest.mark.parametrize("vlm", ["qwen2_5_vl"], indirect=True)


def conversation(
    seconds: list[float], question: str, seed: int = 0, size: tuple[int, int] = (84, 112)
) -> Any:
    images = np.random.default_rng(seed).integers(0, 256, (len(seconds), *size, 3), dtype=np.uint8)
    return frame_messages(Frames(images, np.array(seconds)), question)


THREE = conversation([1.0, 12.34, 40.0], "What is he doing?")
ONE = conversation([7.5], "Which colour is the hat, and which the shirt?", seed=1)
TEXT = [{"role": "user", "content": [{"type": "text", "text": "Say something."}]}]


def reference(folder: Path, messages: Any) -> tuple[Any, Any, Any]:
    """The model, processor and prompt as transformers' documentation has them."""
    from transformers import AutoModelForImageTextToText, AutoProcessor

    processor = AutoProcessor.from_pretrained(folder)
    inputs = processor.apply_chat_template(
        messages, tokenize=True, add_generation_prompt=True, return_dict=True, return_tensors="pt"
    )
    return AutoModelForImageTextToText.from_pretrained(folder, dtype="float32").eval(), processor, inputs


def full_forwards(folder: Path, messages: Any, labels: list[str]) -> list[tuple[float, int]]:
    """Sum of log-probabilities and number of tokens of each label, by a whole forward pass for each."""
    import torch

    model, processor, inputs = reference(folder, messages)
    found = []
    for label in labels:
        ids = processor.tokenizer(label, add_special_tokens=False, return_tensors="pt")["input_ids"]
        whole = dict(inputs) | {"input_ids": torch.cat([inputs["input_ids"], ids], 1)}
        whole["attention_mask"] = torch.ones_like(whole["input_ids"])
        if "mm_token_type_ids" in inputs:
            zeros = torch.zeros_like(ids)
            whole["mm_token_type_ids"] = torch.cat([inputs["mm_token_type_ids"], zeros], 1)
        with torch.no_grad():
            logs = model(**whole).logits[0].log_softmax(-1)[-ids.shape[1] - 1 : -1]
        # A sum in single precision would be rounded as much as all of the model's arithmetic.
        found.append((logs.gather(1, ids[0][:, None]).double().sum().item(), ids.shape[1]))
    return found


@pytest.mark.parametrize("family", FAMILIES)
def test_the_answer_is_what_transformers_greedy_search_gives(family: str, checkpoint: Checkpoint) -> None:
    model, processor, inputs = reference(checkpoint(family), THREE)
    output = model.generate(**inputs, max_new_tokens=12, do_sample=False)[0, inputs["input_ids"].shape[1] :]
    wanted = processor.tokenizer.decode(output, skip_special_tokens=True).strip()
    assert (
        wanted
        and load_vlm(str(checkpoint(family)), dtype="float32").generate(THREE, max_new_tokens=12) == wanted
    )


@every_family
def test_a_batch_answers_as_one_by_one(vlm: TransformersVLM) -> None:
    conversations = [THREE, ONE, THREE, ONE]
    alone = [vlm.generate(messages, max_new_tokens=10) for messages in conversations]
    assert vlm.generate_batch(conversations, max_new_tokens=10) == alone
    one, other = (vlm.label_log_likelihoods(messages, LABELS) for messages in (THREE, ONE))
    assert (
        np.abs(one - other).max() > 1e-4
    )  # untrained models may give the same text, with another likelihood
    assert vlm.generate_batch([]) == []


@every_family
def test_streamed_pieces_join_to_the_answer(vlm: TransformersVLM) -> None:
    for messages in (THREE, TEXT):
        pieces = list(vlm.stream(messages, max_new_tokens=16))
        assert "".join(pieces).strip() == vlm.generate(messages, max_new_tokens=16)
        assert all(pieces)


@qwen
def test_closing_a_stream_stops_the_model(vlm: TransformersVLM) -> None:
    steps = 0

    def count(*_: Any) -> None:
        nonlocal steps
        steps += 1

    hook = vlm._model.register_forward_hook(count)
    try:
        stream = vlm.stream(TEXT, max_new_tokens=2000)
        next(stream)
        stream.close()
        seen = steps
        assert not any(thread.name == "keyframe-llm-stream" for thread in threading.enumerate())
        assert seen < 1000 and steps == seen
    finally:
        hook.remove()


@qwen
def test_an_error_while_streaming_reaches_the_caller(vlm: TransformersVLM) -> None:
    def fail(*_: Any) -> None:
        raise ZeroDivisionError("planted")

    hook = vlm._model.register_forward_pre_hook(fail)
    try:
        with pytest.raises(ZeroDivisionError, match="planted"):
            list(vlm.stream(THREE))
    finally:
        hook.remove()
    assert vlm.generate(THREE, max_new_tokens=4) == "".join(vlm.stream(THREE, max_new_tokens=4)).strip()


@pytest.mark.parametrize("family", FAMILIES)
def test_label_likelihoods_equal_full_forward_passes(family: str, checkpoint: Checkpoint) -> None:
    vlm = load_vlm(str(checkpoint(family)), dtype="float32", batch_size=2)  # labels go four by four
    vlm.generate_batch([ONE, THREE], max_new_tokens=2)  # leaves positions behind that must not be used
    for messages in (THREE, TEXT, ONE):
        wanted = full_forwards(checkpoint(family), messages, LABELS)
        sums = np.array([total for total, _ in wanted])
        means = np.array([total / tokens for total, tokens in wanted])
        assert max(tokens for _, tokens in wanted) > 5
        np.testing.assert_allclose(
            vlm.label_log_likelihoods(messages, LABELS, normalise="sum"), sums, atol=1e-4
        )
        np.testing.assert_allclose(vlm.label_log_likelihoods(messages, LABELS), means, atol=1e-4)


@qwen
def test_hundreds_of_labels_cost_few_forward_passes_and_one_look_at_the_pictures(
    vlm: TransformersVLM,
) -> None:
    calls = {"model": 0, "vision": 0}

    def count(name: str) -> Any:
        def hook(*_: Any) -> None:
            calls[name] += 1

        return hook

    hooks = [
        vlm._model.register_forward_hook(count("model")),
        vlm._model.model.visual.register_forward_hook(count("vision")),
    ]
    labels = [f"{verb} {thing}" for verb in LABELS for thing in map(str, range(70))]
    try:
        scores = vlm.label_log_likelihoods(THREE, labels)
    finally:
        for hook in hooks:
            hook.remove()
    assert scores.shape == (420,) and np.isfinite(scores).all() and (scores < 0).all()
    assert calls["vision"] == 1 and calls["model"] <= 1 + 420 / 16 + 1


@qwen
def test_labels_must_be_there_and_say_something(vlm: TransformersVLM) -> None:
    for labels in ([], ["walk", ""]):
        with pytest.raises(OptionsError, match=r"labels are"):
            vlm.label_log_likelihoods(TEXT, labels)
    with pytest.raises(OptionsError, match=r"normalise is 'max'"):
        vlm.label_log_likelihoods(TEXT, LABELS, normalise="max")


@every_family
def test_the_prompt_holds_the_times_as_text_and_every_picture(vlm: TransformersVLM) -> None:
    inputs = vlm._inputs([THREE])
    text = vlm._tokenizer.decode(inputs["input_ids"][0])
    places = [text.index(label) for label in ("[1.0s]", "[12.3s]", "[40.0s]", "What is he doing?")]
    assert places == sorted(places)
    picture = vlm._tokenizer.convert_ids_to_tokens(vlm._model.config.image_token_id)
    between = [text[a:b].count(picture) for a, b in pairwise(places)]
    assert min(between) > 0 and len(set(between)) == 1
    assert vlm.count_tokens(THREE) == (inputs["input_ids"].shape[1], sum(between))
    assert vlm.count_tokens(TEXT)[1] == 0


@qwen
def test_qwen_spends_a_token_on_28_pixels_squared(vlm: TransformersVLM) -> None:
    assert vlm.count_tokens(ONE)[1] == (84 // 28) * (112 // 28)


@pytest.mark.parametrize("most", [10, 100, 768])
def test_a_bound_on_picture_tokens_is_kept_and_nearly_used(most: int, checkpoint: Checkpoint) -> None:
    vlm = load_vlm(str(checkpoint("qwen2_5_vl")), dtype="float32", max_image_tokens=most)
    spent = vlm.count_tokens(conversation([1.0], "What?", size=(720, 1280)))[1]
    assert 0.7 * most <= spent <= most


def test_processor_options_reach_a_processor_that_knows_no_area(checkpoint: Checkpoint) -> None:
    whole = load_vlm(str(checkpoint("idefics3")), processor_kwargs={"do_image_splitting": False})
    assert whole.count_tokens(THREE)[1] < load_vlm(str(checkpoint("idefics3"))).count_tokens(THREE)[1]


def test_quantisation_is_passed_through(checkpoint: Checkpoint) -> None:
    pytest.importorskip("bitsandbytes", reason="bitsandbytes is not installed")
    from transformers import BitsAndBytesConfig

    options = {"quantization_config": BitsAndBytesConfig(load_in_4bit=True), "device_map": "cpu"}
    vlm = load_vlm(str(checkpoint("qwen2_5_vl")), dtype="float32", **options)
    assert isinstance(vlm, TransformersVLM)
    assert "Linear4bit" in {type(module).__name__ for module in vlm._model.modules()}
    assert vlm.generate(THREE, max_new_tokens=4)


def test_half_precision_and_attention_are_passed_through(checkpoint: Checkpoint) -> None:
    import torch

    vlm = load_vlm(
        str(checkpoint("qwen2_5_vl")), dtype=torch.bfloat16, attn_implementation="eager", device_map="cpu"
    )
    assert isinstance(vlm, TransformersVLM)
    assert vlm._model.dtype == torch.bfloat16 and vlm._model.config._attn_implementation == "eager"
    exact = load_vlm(str(checkpoint("qwen2_5_vl")), dtype="float32")
    rough = vlm.label_log_likelihoods(THREE, LABELS)
    np.testing.assert_allclose(rough, exact.label_log_likelihoods(THREE, LABELS), atol=0.05)


def test_running_out_of_memory_says_what_to_change(checkpoint: Checkpoint) -> None:
    import torch

    vlm = load_vlm(str(checkpoint("qwen2_5_vl")))
    assert isinstance(vlm, TransformersVLM)

    def full(*_: Any) -> None:
        raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20 GiB.\nmore")

    vlm._model.register_forward_pre_hook(full)
    for call in (vlm.generate, lambda m: list(vlm.stream(m)), lambda m: vlm.label_log_likelihoods(m, LABELS)):
        with pytest.raises(ModelError, match=r"ran out of memory .* fewer frames") as error:
            call(THREE)
        assert "\n" not in str(error.value)


def test_an_object_without_generate_is_no_video_llm() -> None:
    with pytest.raises(OptionsError, match=r"object without generate; give a name"):
        load_vlm(object())
    with pytest.raises(OptionsError, match=r"dtype cannot be given"):
        load_vlm(Counts(), dtype="float32")


@pytest.mark.parametrize(("option", "value"), [("max_image_tokens", 0), ("batch_size", 1.5)])
def test_an_option_out_of_range_is_an_error_before_anything_is_loaded(option: str, value: Any) -> None:
    with pytest.raises(OptionsError, match=f"{option} is {value}"):
        load_vlm("no/model", **{option: value})


@pytest.mark.parametrize(
    ("family", "what"),
    [("clip", "does not chat about pictures"), (None, "holds no config.json")],
)
def test_a_folder_without_a_video_llm_is_one_line(
    family: str | None, what: str, checkpoint: Checkpoint, tmp_path: Path
) -> None:
    with pytest.raises(ModelError, match=what) as error:
        load_vlm(str(checkpoint(family) if family else tmp_path))
    message = str(error.value)
    assert "\n" not in message
    assert (
        "local folder" in message and "http://host:port/v1#name" in message and "--model cartoon" in message
    )
