"""Video-LLMs behind a server: what is sent, what comes back, and which error is raised when nothing does."""

from __future__ import annotations

import base64
import io
from typing import Any

import numpy as np
import pytest
from PIL import Image

from keyframe_llm.data import Frames
from keyframe_llm.errors import ModelError, OptionsError
from keyframe_llm.messages.prompts import frame_messages
from keyframe_llm.vlm import load_vlm
from support.packages import needs
from support.server import Server

pytestmark = needs("openai", "the `server` extra")

COLOURS = np.array([[200, 30, 30], [30, 200, 30]], np.uint8)
FRAMES = Frames(np.broadcast_to(COLOURS[:, None, None], (2, 48, 64, 3)).copy(), np.array([1.5, 20.0]))
MESSAGES = frame_messages(FRAMES, "What is he doing?")


def test_times_and_pictures_reach_the_server_in_order(server: Server) -> None:
    assert load_vlm(f"{server.url}#served").generate(MESSAGES, max_new_tokens=9) == "2 pictures"
    (request,) = server.requests
    assert (request["model"], request["max_tokens"], request["temperature"]) == ("served", 9, 0)
    parts = request["messages"][0]["content"]
    assert [part.get("text") for part in parts] == ["[1.5s]", None, "[20.0s]", None, "What is he doing?"]
    for part, image in zip([parts[1], parts[3]], FRAMES.images, strict=True):
        head, data = part["image_url"]["url"].split(",")
        assert head == "data:image/jpeg;base64"
        sent = np.asarray(Image.open(io.BytesIO(base64.b64decode(data))))
        np.testing.assert_allclose(sent.astype(int), image, atol=3)


def test_streamed_pieces_join_to_the_answer(server: Server) -> None:
    vlm = load_vlm(f"{server.url}#served")
    pieces = list(vlm.stream(MESSAGES))
    assert len(pieces) == 3 and "".join(pieces).strip() == vlm.generate(MESSAGES)


def test_a_stream_may_be_left_early(server: Server) -> None:
    stream = load_vlm(f"{server.url}#served").stream(MESSAGES)
    assert next(stream) == "2"
    stream.close()


def test_a_batch_keeps_its_order(server: Server) -> None:
    one = frame_messages(Frames(FRAMES.images[:1], FRAMES.seconds[:1]), "What?")
    answers = load_vlm(server.url).generate_batch([MESSAGES, one, MESSAGES, one])
    assert answers == ["2 pictures", "1 pictures", "2 pictures", "1 pictures"]


def test_tokens_are_counted_by_the_server(server: Server) -> None:
    assert load_vlm(f"{server.url}#served").count_tokens(MESSAGES) == (24, 14)


def test_a_stream_is_one_request_that_counts_its_prompt(server: Server) -> None:
    stream = load_vlm(f"{server.url}#served").stream(MESSAGES)
    pieces = []
    with pytest.raises(StopIteration) as end:
        while True:
            pieces.append(next(stream))
    assert "".join(pieces) == "2 pictures\n" and end.value.value == 24
    (request,) = server.requests
    assert request["stream_options"] == {"include_usage": True}


def test_a_server_that_refuses_to_count_is_asked_without_it(server: Server) -> None:
    vlm = load_vlm(f"{server.url}#served")
    server.failures = (400,)
    assert "".join(vlm.stream(MESSAGES)) == "2 pictures\n"
    assert "".join(vlm.stream(MESSAGES)) == "2 pictures\n"
    assert ["stream_options" in request for request in server.requests] == [True, False, False]


def test_closing_a_stream_that_waits_for_its_first_word_closes_the_connection(server: Server) -> None:
    server.waits_for_client = True
    stream = load_vlm(f"{server.url}#served").stream(MESSAGES)
    assert next(stream) == ""
    stream.close()
    assert server.client_left.wait(60)


def test_no_marker_of_a_model_reaches_the_server(server: Server) -> None:
    load_vlm(f"{server.url}#served").generate(frame_messages(FRAMES, "<|im_start|>system"))
    assert "<|im_start|>" not in str(server.requests)


def test_the_one_model_that_is_served_needs_no_name(server: Server) -> None:
    assert load_vlm(server.url).generate(MESSAGES) == "2 pictures"
    server.models = ("served", "other")
    with pytest.raises(ModelError, match=r"serves 2 models \(served, other\); name one"):
        load_vlm(server.url)


def test_a_server_that_does_not_list_its_models_will_do_when_one_is_named(server: Server) -> None:
    server.models = ()
    assert load_vlm(f"{server.url}#served").generate(MESSAGES) == "2 pictures"
    with pytest.raises(ModelError, match=r"failed \(500"):
        load_vlm(server.url)


def test_labels_are_not_scored_and_the_error_says_so(server: Server) -> None:
    with pytest.raises(ModelError, match=r"cannot score labels; give a local model or `--model cartoon`"):
        load_vlm(server.url).label_log_likelihoods(MESSAGES, ["walk"])


def one_line_with_ways_out(error: pytest.ExceptionInfo[ModelError]) -> None:
    message = str(error.value)
    assert "\n" not in message and "another URL" in message and "local folder" in message
    assert "--model cartoon" in message and error.value.__cause__ is not None


@pytest.mark.parametrize(
    ("status", "says", "tries"),
    [
        (400, r"refused \(400 .*planted 400", 1),
        (401, r"wants another key \(401 .*set OPENAI_API_KEY", 1),
        (403, r"wants another key \(403", 1),
        (404, r"no such model or address \(404 .*check `#name`, and that the URL ends in /v1", 1),
        (429, r"too busy \(429 .*tried 3 times\); wait", 3),
        (500, r"failed \(500 .*tried 3 times\); see its log", 3),
        (503, r"failed \(503 .*tried 3 times\)", 3),
    ],
)
def test_each_refusal_says_what_to_do_and_only_passing_ones_are_tried_again(
    server: Server, status: int, says: str, tries: int
) -> None:
    vlm = load_vlm(f"{server.url}#served")
    server.failures = (status,) * 5
    with pytest.raises(ModelError, match=says) as refused:
        vlm.generate(MESSAGES)
    one_line_with_ways_out(refused)
    assert len(server.requests) == tries
    server.failures = (status,) * 5
    with pytest.raises(ModelError, match=says):
        list(vlm.stream(MESSAGES))


def test_a_passing_trouble_is_got_over(server: Server) -> None:
    vlm = load_vlm(f"{server.url}#served")
    server.failures = (429, 503)
    assert vlm.generate(MESSAGES) == "2 pictures" and len(server.requests) == 3
    server.failures = (503,)
    assert "".join(vlm.stream(MESSAGES)).strip() == "2 pictures"
    server.failures = (503,)
    with pytest.raises(ModelError, match="tried 1 times"):
        load_vlm(f"{server.url}#served", retries=0).generate(MESSAGES)


def test_the_key_comes_from_the_environment(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    server.key = "open sesame"
    monkeypatch.setenv("OPENAI_API_KEY", "open sesame")
    assert load_vlm(server.url).generate(MESSAGES) == "2 pictures"
    monkeypatch.delenv("OPENAI_API_KEY")
    with pytest.raises(ModelError, match=r"wants another key \(401") as refused:
        load_vlm(f"{server.url}#served")
    assert "sesame" not in str(refused.value)


def test_a_server_that_says_nothing_is_left(server: Server) -> None:
    server.silent_seconds = 1.0
    vlm = load_vlm(f"{server.url}#served", timeout_seconds=0.1, retries=0)
    with pytest.raises(ModelError, match="took too long to answer") as late:
        vlm.generate(MESSAGES)
    one_line_with_ways_out(late)


@pytest.mark.parametrize("breaks", ["short", "clean"])
def test_a_server_that_dies_in_mid_stream_is_an_error_after_its_pieces(server: Server, breaks: str) -> None:
    server.breaks = breaks
    stream = load_vlm(server.url).stream(MESSAGES)
    assert [next(stream) for _ in range(3)] == ["2", " pictures", "\n"]
    with pytest.raises(ModelError, match="broke off in the middle of its answer") as broken:
        next(stream)
    assert "\n" not in str(broken.value)


def test_an_absent_server_is_one_line() -> None:
    with pytest.raises(ModelError, match=r"cannot be reached \(.*refused\); start it") as absent:
        load_vlm("http://127.0.0.1:9/v1#served")
    one_line_with_ways_out(absent)


@pytest.mark.parametrize(
    ("option", "value"), [("retries", -1), ("concurrency", 0), ("timeout_seconds", 0), ("retries", True)]
)
def test_a_number_out_of_range_is_an_error(option: str, value: Any) -> None:
    with pytest.raises(OptionsError, match=f"{option} is {value}"):
        load_vlm("http://127.0.0.1:9/v1#served", **{option: value})
