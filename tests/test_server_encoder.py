"""An encoder behind a server: a small CLIP that a local server embeds with."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from keyframe_llm.encoders import Encoder, ServerEncoder, load_encoder, preferred_image_size
from keyframe_llm.encoders.shared import SharedEncoder
from keyframe_llm.errors import ModelError, OptionsError
from keyframe_llm.jpeg import decode_jpeg, jpeg_within
from support.embedding_server import EmbeddingServer, serving
from support.packages import needs

pytestmark = needs("openai", "the `server` extra")

TEXTS = [f"a man in a {colour} hat" for colour in ("red", "blue", "green", "grey", "black")]


@pytest.fixture(scope="module")
def clip(checkpoint: Callable[[str], Path]) -> Encoder:
    return load_encoder(str(checkpoint("clip")))


@pytest.fixture
def embedder(clip: Encoder) -> Iterator[EmbeddingServer]:
    with serving(clip) as server:
        yield server


@pytest.fixture
def encoder(embedder: EmbeddingServer) -> Encoder:
    return load_encoder(f"{embedder.url}#clip")


@pytest.fixture(scope="module")
def pictures() -> list[Any]:
    draw = np.random.default_rng(0)
    return [draw.integers(0, 256, (*shape, 3), dtype=np.uint8) for shape in ((48, 64), (90, 40), (33, 33))]


def test_embeddings_are_the_models_own_in_order_as_unit_rows(
    encoder: Encoder, clip: Encoder, pictures: list[Any]
) -> None:
    sent = [decode_jpeg(jpeg_within(picture, 1_000_000)) for picture in pictures]
    for found, wanted in (
        (encoder.embed_texts(TEXTS), clip.embed_texts(TEXTS)),
        (encoder.embed_images(pictures), clip.embed_images(sent)),
    ):
        assert found.dtype == np.float32
        np.testing.assert_allclose(np.linalg.norm(found, axis=1), 1, atol=1e-5)
        np.testing.assert_allclose(found, wanted, atol=1e-5)


def test_pictures_and_texts_travel_as_chat_messages_one_a_request(
    encoder: Encoder, embedder: EmbeddingServer, pictures: list[Any]
) -> None:
    encoder.embed_images(pictures)
    encoder.embed_texts(["a <|image_pad|> dog"])
    *first, last = embedder.requests
    assert {request["encoding_format"] for request in embedder.requests} == {"float"}
    parts = [request["messages"][0]["content"][0] for request in first]
    assert [part["type"] for part in parts] == ["image_url"] * 3
    assert last["messages"] == [
        {"role": "user", "content": [{"type": "text", "text": "a < |image_pad|> dog"}]}
    ]


def test_nothing_in_gives_no_rows_of_the_right_width(encoder: Encoder) -> None:
    assert encoder.embed_texts([]).shape == encoder.embed_images([]).shape == (0, 24)


def test_many_threads_may_ask_at_once_and_the_name_is_what_embeddings_are_kept_by(
    embedder: EmbeddingServer,
) -> None:
    name = f"{embedder.url}#clip"
    shared = SharedEncoder(name)
    assert shared.identity == name and shared.image_size == 448
    assert ServerEncoder.concurrent and shared.embed_texts(TEXTS).shape == (5, 24)
    assert preferred_image_size(ServerEncoder(name, image_size=224)) == 224


def test_a_busy_server_is_asked_again(encoder: Encoder, embedder: EmbeddingServer) -> None:
    embedder.failures = (503, 429)
    assert encoder.embed_texts(["a"]).shape == (1, 24)
    assert len(embedder.requests) == 3


@pytest.mark.parametrize(
    ("answer", "what"),
    [([], "no vector of numbers"), ([float("inf")], "no vector of numbers"), ("text", "no embedding")],
)
def test_an_answer_that_is_no_embedding_is_told_in_one_line(
    answer: Any, what: str, encoder: Encoder, embedder: EmbeddingServer
) -> None:
    embedder.answer = answer
    with pytest.raises(ModelError, match=what) as error:
        encoder.embed_texts(["a"])
    assert "\n" not in str(error.value)


def test_a_refusal_names_the_model_and_the_status(embedder: EmbeddingServer) -> None:
    with pytest.raises(ModelError, match=r"refused to embed .404 .*no model other.*check #other"):
        load_encoder(f"{embedder.url}#other").embed_texts(["a"])


def test_a_server_that_is_not_there_and_a_url_without_a_model_are_told_in_one_line() -> None:
    with pytest.raises(OptionsError, match=r"names no model; give http://127.0.0.1:9/v1#served-name"):
        load_encoder("http://127.0.0.1:9/v1")
    absent = ServerEncoder("http://127.0.0.1:9/v1#clip", retries=0)
    with pytest.raises(ModelError, match="cannot be asked for embeddings") as error:
        absent.embed_texts(["a"])
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(("option", "value"), [("image_size", 0), ("concurrency", 0), ("retries", -1)])
def test_an_option_out_of_range_is_an_error(option: str, value: Any) -> None:
    with pytest.raises(OptionsError, match=f"{option} is {value}"):
        ServerEncoder("http://127.0.0.1:9/v1#clip", **{option: value})
