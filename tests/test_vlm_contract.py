"""One contract for every Video-LLM: on this machine, behind a server, shared, completed from `generate`."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from keyframe_llm.data import Frames
from keyframe_llm.errors import ModelError
from keyframe_llm.messages import frame_messages
from keyframe_llm.vlm import VLM, CompletedVLM, load_vlm
from keyframe_llm.vlm.embedded import EmbeddedVLM
from keyframe_llm.vlm.shared import SharedVLM
from support.vlms import Counts

KINDS = (
    "local",
    "embedded",
    "served",
    "shared",
    "shared with checkpoint",
    "shared by name",
    "generate alone",
)
SCORES_LABELS = ("local", "embedded", "shared", "shared with checkpoint", "shared by name")
LABELS = ["walk", "kick ball", "sit"]


@pytest.fixture(scope="module")
def local(checkpoint: Callable[[str], Path]) -> VLM:
    return load_vlm(str(checkpoint("qwen2_5_vl")), dtype="float32", max_image_tokens=16)


@pytest.fixture(scope="module")
def address() -> Iterator[str]:
    pytest.importorskip("openai", reason="openai is not installed (the `server` extra)")
    from support.server import running

    with running() as server:
        yield f"{server.url}#served"


@pytest.fixture(params=KINDS)
def kind(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def vlm(kind: str, request: pytest.FixtureRequest) -> Any:
    if kind == "served":
        return load_vlm(request.getfixturevalue("address"))
    if kind == "generate alone":
        return load_vlm(Counts())
    if kind == "embedded":
        return EmbeddedVLM()
    local = request.getfixturevalue("local")
    if kind == "local":
        return local
    if kind == "shared by name":
        folder = str(request.getfixturevalue("checkpoint")("qwen2_5_vl"))
        return SharedVLM(folder, dtype="float32", max_image_tokens=16)
    return SharedVLM(local, checkpoint=(lambda: None) if "checkpoint" in kind else None)


def conversation(count: int = 2, question: str = "What is he doing?") -> Any:
    images = np.random.default_rng(count).integers(0, 256, (count, 56, 84, 3), dtype=np.uint8)
    return frame_messages(Frames(images, np.arange(count) * 9.5 + 1), question)


def test_an_answer_is_a_text_without_blanks_around_and_always_the_same(vlm: VLM) -> None:
    one, two = (vlm.generate(conversation(), max_new_tokens=6) for _ in range(2))
    assert isinstance(one, str) and one == two == one.strip()


def test_the_messages_are_left_as_they_were(vlm: VLM) -> None:
    messages = conversation()
    before = copy.deepcopy(messages)
    vlm.generate(messages, max_new_tokens=2)
    list(vlm.stream(messages, max_new_tokens=2))
    assert [
        [part if part["type"] == "text" else np.asarray(part["image"]).tobytes() for part in one["content"]]
        for one in messages
    ] == [
        [part if part["type"] == "text" else np.asarray(part["image"]).tobytes() for part in one["content"]]
        for one in before
    ]


def test_streamed_pieces_join_to_the_answer(vlm: VLM) -> None:
    pieces = list(vlm.stream(conversation(), max_new_tokens=6))
    assert all(isinstance(piece, str) for piece in pieces)
    assert "".join(pieces).strip() == vlm.generate(conversation(), max_new_tokens=6)


def test_a_stream_may_be_left_early_and_the_model_answers_again(vlm: VLM) -> None:
    stream: Any = vlm.stream(conversation(), max_new_tokens=50)
    next(stream)
    stream.close()
    assert isinstance(vlm.generate(conversation(), max_new_tokens=2), str)


def test_a_batch_answers_as_one_by_one_in_order(vlm: VLM) -> None:
    conversations = [conversation(count) for count in (1, 3, 2)]
    together = vlm.generate_batch(conversations, max_new_tokens=6)
    assert together == [vlm.generate(one, max_new_tokens=6) for one in conversations]
    assert list(vlm.generate_batch([], max_new_tokens=6)) == []


def test_tokens_are_counted_or_not_known(vlm: VLM, kind: str) -> None:
    counted = vlm.count_tokens(conversation())
    if kind == "generate alone":
        assert counted is None
        return
    assert counted is not None
    prompt, visual = counted
    assert prompt > visual > 0
    more = vlm.count_tokens(conversation(3))
    assert more is not None and more[1] > visual


def test_labels_are_scored_or_the_error_names_other_ways(vlm: VLM, kind: str) -> None:
    if kind not in SCORES_LABELS:
        with pytest.raises(ModelError, match=r"answer.*encoder|encoder.*answer") as error:
            vlm.label_log_likelihoods(conversation(), LABELS)
        assert "\n" not in str(error.value)
        return
    means = vlm.label_log_likelihoods(conversation(), LABELS)
    sums = vlm.label_log_likelihoods(conversation(), LABELS, normalise="sum")
    assert means.shape == sums.shape == (3,) and means.dtype == np.float64
    assert np.all(sums <= means) and np.all(means < 0)


def test_a_model_has_a_name(vlm: Any) -> None:
    assert isinstance(vlm.name, str) and vlm.name


def test_a_stream_of_its_own_is_used_where_there_is_one() -> None:
    class Streams(Counts):
        def stream(self, messages: Any, max_new_tokens: int = 128) -> Iterator[str]:
            yield from ("2 ", "pictures")

    vlm = load_vlm(Streams())
    assert isinstance(vlm, CompletedVLM) and list(vlm.stream(conversation())) == ["2 ", "pictures"]
