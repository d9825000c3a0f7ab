"""Video-LLMs: one contract over families that share nothing but transformers' auto classes."""

from __future__ import annotations

import json
import re
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
from keyframe_llm.messages.timestamps import reads_seconds
from keyframe_llm.vlm import TransformersVLM, load_vlm
from keyframe_llm.vlm.counting import token_counter
from support.families import NOT_BUILT
from support.vlms import Counts

# GLM's processor makes NumPy arrays of torch's tensors in a way that NumPy is about to drop.
pytestmark = pytest.mark.filterwarnings(
    "ignore:__array__ implementation doesn't accept a copy:DeprecationWarning"
)

Checkpoint = Callable[[str], Path]

READ_SECONDS = ("qwen3_vl", "qwen3_vl_moe", "qwen3_5", "qwen3_5_moe", "qwen4_exp")
"""Trained on times written `<12.3 seconds>`."""
READ_BRACKETS = (
    *("qwen2_vl", "qwen2_5_vl", "qwen2_5_omni", "qwen3_omni", "internvl3", "internvl3_5", "llava_onevision"),
    *("glm4v", "glm4v_moe", "glm46v", "minicpmv4_6", "minicpmv4_7", "gemma3", "gemma3n", "gemma4"),
    *("gemma4_unified", "smolvlm2", "idefics3"),
)
"""Given times written `[12.3s]`."""
FAMILIES = (*READ_SECONDS, *READ_BRACKETS)
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


def reference(folder: Path) -> tuple[Any, Any]:
    """The model, by the class that the checkpoint names, and the processor, as transformers loads them."""
    import transformers

    named = json.loads((folder / "config.json").read_text())["architectures"][0]
    whole = getattr(transformers, named).from_pretrained(folder, dtype="float32").eval()
    return getattr(whole, "thinker", whole), transformers.AutoProcessor.from_pretrained(folder)


def prompt(processor: Any, messages: Any) -> Any:
    """The inputs that transformers' documentation makes of a conversation, times written for this model."""
    if type(processor).__name__ == "Qwen3VLProcessor":
        messages = [
            {**one, "content": [seconds_written(part) for part in one["content"]]} for one in messages
        ]
    thinking = {"enable_thinking": False} if "enable_thinking" in processor.chat_template else {}
    return processor.apply_chat_template(
        messages, tokenize=True, add_generation_prompt=True, return_dict=True, return_tensors="pt", **thinking
    )


def seconds_written(part: Any) -> Any:
    """The part with `[12.3s]` as `<12.3 seconds>`."""
    return {**part, "text": re.sub(r"^\[(.*)s\]$", r"<\1 seconds>", part["text"])} if "text" in part else part


def full_forwards(model: Any, processor: Any, messages: Any, labels: list[str]) -> list[tuple[float, int]]:
    """Sum of log-probabilities and number of tokens of each label, by a whole forward pass for each."""
    import torch

    inputs = prompt(processor, messages)
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


@pytest.fixture(scope="module")
def transformers_own(vlm: TransformersVLM) -> tuple[Any, Any]:
    """What transformers loads by itself from the same folder."""
    return reference(Path(vlm.name))


@every_family
def test_the_answer_is_what_transformers_greedy_search_gives(
    vlm: TransformersVLM, transformers_own: Any
) -> None:
    model, processor = transformers_own
    inputs = prompt(processor, THREE)
    output = model.generate(**inputs, max_new_tokens=12, do_sample=False)[0, inputs["input_ids"].shape[1] :]
    wanted = processor.tokenizer.decode(output, skip_special_tokens=True).strip()
    assert wanted and vlm.generate(THREE, max_new_tokens=12) == wanted


@every_family
def test_a_batch_answers_as_one_by_one(vlm: TransformersVLM) -> None:
    alone = [vlm.generate(messages, max_new_tokens=8) for messages in (THREE, ONE)]
    assert vlm.generate_batch([THREE, ONE, THREE, ONE], max_new_tokens=8) == alone * 2
    one, other = (vlm.label_log_likelihoods(messages, LABELS) for messages in (THREE, ONE))
    assert (
        np.abs(one - other).max() > 1e-4
    )  # untrained models may give the same text, with another likelihood
    assert vlm.generate_batch([]) == []


@every_family
def test_streamed_pieces_join_to_the_answer(vlm: TransformersVLM) -> None:
    for messages in (THREE, TEXT):
        pieces = list(vlm.stream(messages, max_new_tokens=8))
        assert "".join(pieces).strip() == vlm.generate(messages, max_new_tokens=8)
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


@every_family
def test_label_likelihoods_equal_full_forward_passes(
    vlm: TransformersVLM, transformers_own: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(vlm, "_batch_size", 2)  # labels go four by four
    vlm.generate_batch([ONE, THREE], max_new_tokens=2)  # leaves positions behind that must not be used
    for messages in (THREE, TEXT):
        wanted = full_forwards(*transformers_own, messages, LABELS)
        sums = np.array([total for total, _ in wanted])
        means = np.array([total / tokens for total, tokens in wanted])
        assert max(tokens for _, tokens in wanted) > 5
        found = vlm.label_log_likelihoods(messages, LABELS, normalise="sum")
        np.testing.assert_allclose(found, sums, atol=1e-4)
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


def family_of(vlm: TransformersVLM) -> str:
    return Path(vlm.name).name


@every_family
def test_the_prompt_holds_every_picture_after_its_time_as_the_model_was_trained_to_read_it(
    vlm: TransformersVLM,
) -> None:
    ids = vlm._inputs([THREE])["input_ids"][0]
    text = vlm._tokenizer.decode(ids)
    brackets, seconds = (
        ["[1.0s]", "[12.3s]", "[40.0s]"],
        ["<1.0 seconds>", "<12.3 seconds>", "<40.0 seconds>"],
    )
    shown, absent = (seconds, brackets) if family_of(vlm) in READ_SECONDS else (brackets, seconds)
    assert not any(label in text for label in absent)
    places = [text.index(label) for label in (*shown, "What is he doing?")]
    assert places == sorted(places)
    picture = vlm._tokenizer.convert_ids_to_tokens(image_id(vlm))
    between = [text[a:b].count(picture) for a, b in pairwise(places)]
    assert min(between) > 0 and len(set(between)) == 1
    assert vlm.count_tokens(THREE) == (len(ids), sum(between))
    assert vlm.count_tokens(TEXT)[1] == 0


def image_id(vlm: TransformersVLM) -> int:
    config = vlm._model.config
    return int(getattr(config, "image_token_id", None) or config.image_token_index)


@every_family
def test_a_models_own_markers_in_a_question_are_plain_words(vlm: TransformersVLM) -> None:
    """As many of every marker as with a harmless question, and the words of the question still there."""
    tokens = json.loads(Path(vlm.name, "tokenizer.json").read_text())["added_tokens"]
    markers = [token["content"] for token in tokens]
    assert "<|im_start|>" in markers and vlm._tokenizer.convert_ids_to_tokens(image_id(vlm)) in markers
    asked = "Who? " + " ".join(markers) + "".join(markers) + "<|im_<|im_end|>end|> Why?"
    harmless, hostile = (
        vlm._inputs([conversation([1.0, 2.5], question)])["input_ids"][0].tolist()
        for question in ("Who? Why?", asked)
    )
    for token in tokens:
        assert harmless.count(token["id"]) == hostile.count(token["id"]), token["content"]
    text = vlm._tokenizer.decode(hostile)
    assert "Who? " in text and " Why?" in text and all(marker[1:] in text for marker in markers)


@pytest.mark.parametrize("vlm", ["qwen3_5"], indirect=True)
def test_a_model_that_can_think_answers_at_once_unless_it_is_told_to(
    vlm: TransformersVLM, checkpoint: Checkpoint
) -> None:
    thinks = load_vlm(str(checkpoint("qwen3_5")), dtype="float32", thinking=True)
    assert isinstance(thinks, TransformersVLM)
    at_once, after_thought = (
        one._tokenizer.decode(one._inputs([ONE])["input_ids"][0]) for one in (vlm, thinks)
    )
    assert at_once.endswith("assistant\n<think>\n\n</think>\n\n")
    assert after_thought.endswith("assistant\n<think>\n")


def test_times_are_written_as_transformers_processors_write_them() -> None:
    """The processors' own source says which models were trained on `<12.3 seconds>`."""
    import transformers
    from transformers.models.auto.modeling_auto import MODEL_FOR_IMAGE_TEXT_TO_TEXT_MAPPING_NAMES as MODELS
    from transformers.models.auto.processing_auto import PROCESSOR_MAPPING_NAMES as PROCESSORS

    sources = [
        file.read_text() for file in Path(transformers.__file__).parent.glob("models/*/processing_*.py")
    ]
    writers = {
        name
        for source in sources
        if re.search(r"<\{\w+:\.1f\} seconds>", source)
        for name in re.findall(r"^class (\w+Processor)\b", source, re.MULTILINE)
    }
    wrong = {kind for kind in MODELS if reads_seconds(kind) != (PROCESSORS.get(kind) in writers)}
    assert "Qwen3VLProcessor" in writers and not wrong


@pytest.mark.parametrize(
    ("name", "seconds"),
    [
        ("Qwen/Qwen3-VL-8B-Instruct", True),
        ("qwen3.5:9b", True),
        ("Qwen3.6-35B-A3B", True),
        ("Qwen/Qwen2.5-VL-7B-Instruct", False),
        ("qwen25-vl", False),
        ("Qwen/Qwen3-Omni-30B-A3B-Instruct", False),
        ("qwen-vl-max", False),
        ("OpenGVLab/InternVL3_5-8B-HF", False),
    ],
)
def test_a_served_name_tells_how_its_model_reads_times(name: str, seconds: bool) -> None:
    assert reads_seconds(name) is seconds


def test_what_cannot_be_built_is_known_to_no_class_of_transformers() -> None:
    from transformers import CONFIG_MAPPING

    assert not [kind for kind in NOT_BUILT if kind in CONFIG_MAPPING]


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
    ("model", "option", "says"),
    [
        ("cartoon", "frames_as", "frames_as is for a server, and 'cartoon' runs here; leave it out"),
        ("no/model", "frames_as", "frames_as is for a server, and 'no/model' runs here; leave it out"),
        ("cartoon", "layot", "'cartoon' takes no option 'layot'"),
        ("http://127.0.0.1:9/v1#x", "layot", "'http://127.0.0.1:9/v1#x' takes no option 'layot'"),
    ],
)
def test_an_option_that_a_model_does_not_know_is_one_line(model: str, option: str, says: str) -> None:
    for what in (load_vlm, token_counter):  # a dry run only counts, and says so too
        with pytest.raises(OptionsError, match=re.escape(says)) as error:
            what(model, **{option: "video"})
        assert "\n" not in str(error.value)


def test_what_counts_for_a_model_takes_the_options_that_load_it() -> None:
    options = {"dtype": "float32", "device_map": "cpu", "thinking": True, "tie_word_embeddings": True}
    assert token_counter("cartoon", **options) is not None


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
