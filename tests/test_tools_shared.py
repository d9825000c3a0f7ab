"""Shared models: loaded once, used by one call at a time, given up where the checkpoint says so."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from keyframe_llm.encoders import load_encoder
from keyframe_llm.encoders.shared import SharedEncoder
from keyframe_llm.errors import ModelError, OptionsError
from keyframe_llm.vlm.shared import SharedVLM

MESSAGES: list[dict[str, Any]] = [{"role": "user", "content": [{"type": "text", "text": "what is shown?"}]}]


class GivenUp(Exception):
    """What the checkpoints of these tests raise."""


class Busy:
    """Notes how many threads are inside at once; `inside` is where a test may hold them."""

    def __init__(self) -> None:
        self.most, self._now, self._lock = 0, 0, threading.Lock()

    def enter(self) -> None:
        with self._lock:
            self._now += 1
            self.most = max(self.most, self._now)
        threading.Event().wait(0.01)  # long enough for another thread to come in, were it let
        with self._lock:
            self._now -= 1


class BusyEncoder:
    """An encoder that notes whether two threads use it at once."""

    image_size = 96
    identity = "busy-1"
    name = "busy"

    def __init__(self) -> None:
        self.busy = Busy()

    def embed_images(self, images: Sequence[NDArray[np.uint8]], /) -> NDArray[np.float32]:
        self.busy.enter()
        return np.ones((len(images), 1), np.float32)

    def embed_texts(self, texts: Sequence[str], /) -> NDArray[np.float32]:
        self.busy.enter()
        return np.ones((len(texts), 1), np.float32)


class NamelessEncoder:
    """The least an encoder is."""

    def embed_images(self, images: Sequence[NDArray[np.uint8]], /) -> NDArray[np.float32]:
        return np.ones((len(images), 1), np.float32)

    def embed_texts(self, texts: Sequence[str], /) -> NDArray[np.float32]:
        return np.ones((len(texts), 1), np.float32)


class SpellingVLM:
    """A Video-LLM that answers letter by letter, and notes how many letters it wrote."""

    name = "speller"

    def __init__(self, text: str = " abcdef ") -> None:
        self.text, self.written, self.closed, self.busy = text, 0, False, Busy()

    def generate(self, messages: Any, *, max_new_tokens: int = 128) -> str:
        self.busy.enter()
        return self.text.strip()

    def stream(self, messages: Any, *, max_new_tokens: int = 128) -> Iterator[str]:
        try:
            for letter in self.text:
                self.written += 1
                yield letter
        finally:
            self.closed = True

    def generate_batch(self, conversations: Sequence[Any], *, max_new_tokens: int = 128) -> list[str]:
        return [self.generate(messages) for messages in conversations]

    def label_log_likelihoods(
        self, messages: Any, labels: Sequence[str], *, normalise: str = "mean"
    ) -> NDArray[np.float64]:
        return -np.arange(len(labels), dtype=np.float64)

    def count_tokens(self, messages: Any) -> tuple[int, int]:
        return 7, 3


def at_once(work: Callable[[], object], threads: int = 6) -> None:
    """Run the same work in several threads, and raise what any of them raised."""
    failures: list[BaseException] = []

    def run() -> None:
        try:
            work()
        except BaseException as error:
            failures.append(error)

    running = [threading.Thread(target=run) for _ in range(threads)]
    for thread in running:
        thread.start()
    for thread in running:
        thread.join()
    if failures:
        raise failures[0]


def test_many_threads_share_one_encoder_one_at_a_time() -> None:
    encoder = BusyEncoder()
    shared = SharedEncoder(encoder)
    at_once(lambda: (shared.embed_texts(["a"]), shared.embed_images([np.zeros((2, 2, 3), np.uint8)])))
    assert encoder.busy.most == 1


def test_many_threads_share_one_video_llm_one_at_a_time() -> None:
    model = SpellingVLM()
    shared = SharedVLM(model)
    at_once(lambda: (shared.generate(MESSAGES), shared.generate_batch([MESSAGES, MESSAGES])))
    assert model.busy.most == 1


def test_a_named_encoder_embeds_as_the_one_it_names() -> None:
    shared, plain = SharedEncoder("cartoon", device="cpu"), load_encoder("cartoon", "cpu")
    texts = ["somebody walks", "a dog"]
    np.testing.assert_array_equal(shared.embed_texts(texts), plain.embed_texts(texts))


def test_an_encoder_keeps_its_name_identity_and_image_size() -> None:
    assert (SharedEncoder("cartoon").name, SharedEncoder("cartoon").identity) == ("cartoon", "cartoon")
    shared = SharedEncoder(BusyEncoder())
    assert (shared.name, shared.identity, shared.image_size) == ("busy", "busy-1", 96)
    plain = SharedEncoder(NamelessEncoder())
    assert (plain.name, plain.identity, plain.image_size) == ("NamelessEncoder", None, 224)


def test_the_image_size_of_a_named_encoder_is_known_before_it_is_loaded() -> None:
    shared = SharedEncoder("cartoon")
    before = shared.image_size
    assert shared._model is None
    shared.embed_texts(["a dog"])
    assert shared.image_size == before


def test_a_model_that_cannot_be_had_is_an_error_of_each_call_and_not_of_the_wrapper(tmp_path: Any) -> None:
    shared = SharedEncoder(str(tmp_path))
    for _ in range(2):
        with pytest.raises(ModelError):
            shared.embed_texts(["a"])


def test_objects_that_are_no_models_are_refused_at_once() -> None:
    with pytest.raises(OptionsError, match="embed_images"):
        SharedEncoder(object())  # type: ignore[arg-type]  # no encoder, on purpose
    with pytest.raises(OptionsError, match="generate"):
        SharedVLM(object())  # type: ignore[arg-type]  # no model, on purpose


def test_a_video_llm_passes_on_answers_likelihoods_and_counts() -> None:
    shared = SharedVLM(SpellingVLM())
    assert shared.name == "speller"
    assert shared.generate(MESSAGES) == "abcdef"
    assert list(shared.stream(MESSAGES)) == list(" abcdef ")
    assert shared.generate_batch([MESSAGES, MESSAGES]) == ["abcdef", "abcdef"]
    assert shared.label_log_likelihoods(MESSAGES, ["a", "b"]).tolist() == [0.0, -1.0]
    assert shared.count_tokens(MESSAGES) == (7, 3)
    assert shared.video_grid is None


def test_with_a_checkpoint_the_answers_are_the_same() -> None:
    shared = SharedVLM(SpellingVLM(), checkpoint=lambda: None)
    assert shared.generate(MESSAGES) == "abcdef"
    assert shared.generate_batch([MESSAGES, MESSAGES]) == ["abcdef", "abcdef"]


def test_an_answer_is_given_up_between_two_of_its_pieces() -> None:
    model = SpellingVLM("a" * 1000)

    def checkpoint() -> None:
        if model.written >= 3:
            raise GivenUp

    shared = SharedVLM(model, checkpoint=checkpoint)
    with pytest.raises(GivenUp):
        shared.generate(MESSAGES)
    assert model.written == 3
    assert model.closed
    model.written = 0
    assert shared.count_tokens(MESSAGES) == (7, 3), "the model was not let go"


def test_a_call_is_given_up_while_it_waits_for_its_turn() -> None:
    def checkpoint() -> None:
        if threading.current_thread() is not threading.main_thread():
            raise GivenUp

    shared = SharedVLM(SpellingVLM(), checkpoint=checkpoint)
    pieces = shared.stream(MESSAGES)
    next(pieces)  # the model is in use from here on
    with pytest.raises(GivenUp):
        at_once(lambda: shared.count_tokens(MESSAGES), threads=1)
    assert "".join(pieces).strip() == "abcdef"


def test_closing_a_stream_lets_the_next_call_in() -> None:
    model = SpellingVLM()
    shared = SharedVLM(model)
    pieces = shared.stream(MESSAGES)
    next(pieces)
    pieces.close()  # type: ignore[attr-defined]  # the iterator is a generator
    assert model.closed
    at_once(lambda: shared.count_tokens(MESSAGES), threads=1)
