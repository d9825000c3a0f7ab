"""Key frames as a video with true times: the message, the request to vLLM, and who is sent which."""

from __future__ import annotations

import base64
import io
import logging
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
from PIL import Image

from keyframe_llm import KeyframeLLM, ModelError, OptionsError, Selection, select_keyframes
from keyframe_llm.conversation import rewrite_messages
from keyframe_llm.data import Frames
from keyframe_llm.demos.models import Models
from keyframe_llm.demos.session import Session, Settings
from keyframe_llm.demos.videos import DEMO_QUESTION, demo_video
from keyframe_llm.integrations.vllm import KeyframeVideoLoader
from keyframe_llm.jpeg import jpegs_of_one_size
from keyframe_llm.library import Library
from keyframe_llm.library.batch import BatchOptions, Task, video_row
from keyframe_llm.messages import frame_messages, to_format, videos_of
from keyframe_llm.tools import Toolbox
from keyframe_llm.video import open_video
from keyframe_llm.vlm import load_vlm
from support.server import Server

QWEN3 = "Qwen/Qwen3-VL-8B-Instruct"
SECONDS = [1.5, 20.0, 20.001]
COLOURS = np.array([[200, 30, 30], [30, 200, 30], [30, 30, 200]], np.uint8)
FRAMES = Frames(np.broadcast_to(COLOURS[:, None, None], (3, 48, 64, 3)).copy(), np.array(SECONDS))
MESSAGES = frame_messages(FRAMES, "What is he doing?")


def pictures(part: dict[str, Any]) -> list[np.ndarray]:
    """The pictures of a video part, as vLLM reads it."""
    head, *frames = part["video_url"]["url"].split(",")
    assert head == "data:video/jpeg;base64"
    return [np.asarray(Image.open(io.BytesIO(base64.b64decode(frame)))) for frame in frames]


def times(body: dict[str, Any]) -> list[float]:
    """The seconds of a request's frames, as vLLM and Qwen3-VL read them, every second one."""
    video = body["media_io_kwargs"]["video"]
    assert video["num_frames"] == -1 and all(isinstance(index, int) for index in video["frames_indices"])
    assert video["frames_indices"][::2] == video["frames_indices"][1::2]
    assert video["total_num_frames"] > video["frames_indices"][-1]
    assert video["duration"] == pytest.approx(video["total_num_frames"] / video["fps"])
    return [index / video["fps"] for index in video["frames_indices"][::2]]


def chosen(video: Path, encoder: Any, **options: Any) -> Selection:
    return select_keyframes(video, question="Is the flag blue?", encoder=encoder, **options)


# The message --------------------------------------------------------------------------------------------


def test_every_key_frame_stands_twice_in_one_video_and_its_second_in_the_body(
    flags: Path, videos: ModuleType
) -> None:
    found = chosen(flags, videos.ColourEncoder())
    (message,) = found.to_messages("What?", format="openai-video")
    video, question = message["content"]
    assert question == {"type": "text", "text": "What?"} and video["type"] == "video_url"
    shown = pictures(video)
    assert [videos.flag_of(image) for image in shown[::2]] == [videos.flag_at(s) for s in found.seconds]
    assert all(np.array_equal(one, other) for one, other in zip(shown[::2], shown[1::2], strict=True))
    np.testing.assert_allclose(times(found.extra_body()), found.seconds, atol=0.0005)
    length = found.extra_body()["media_io_kwargs"]["video"]["duration"]
    assert length == pytest.approx(found.video.duration_seconds, abs=0.001)


def test_more_frames_than_vllm_keeps_by_itself_survive(flags: Path, videos: ModuleType) -> None:
    options = {"method": "top-k", "max_frames": 40, "fps": 5}
    found = chosen(flags, videos.ColourEncoder(), **options)
    (message,) = found.to_messages(format="openai-video")
    assert len(found.seconds) == 40 and len(pictures(message["content"][0])) == 80
    assert len(set(times(found.extra_body()))) == 40


def test_frames_of_one_video_have_one_size_where_one_alone_has_to_be_smaller() -> None:
    noise = np.random.default_rng(0).integers(0, 255, (240, 320, 3), np.uint8)
    images = [Image.fromarray(noise), Image.new("RGB", (320, 240), "red")]
    encoded = jpegs_of_one_size(images, 20_000)
    assert max(map(len, encoded)) <= 20_000
    assert len({Image.open(io.BytesIO(data)).size for data in encoded}) == 1


def test_two_videos_of_a_conversation_stay_apart_also_side_by_side() -> None:
    one = frame_messages(Frames(FRAMES.images[:1], np.array([5.0])))[0]["content"]
    both = [{"role": "user", "content": [*MESSAGES[0]["content"][:-1], *one, *one]}]
    assert videos_of(both) == [(SECONDS, None), ([5.0], None), ([5.0], None)]
    shown = to_format(both, "openai-video")[0]["content"]
    assert [len(pictures(part)) for part in shown] == [6, 2, 2]


@pytest.mark.parametrize("format", ["openai", "openai-responses", "openai-video", "anthropic"])
def test_what_tells_frames_apart_is_in_no_message_that_is_sent(format: Any) -> None:
    assert all("frame" not in part for part in to_format(MESSAGES, format)[0]["content"])


def test_messages_that_could_not_hold_the_times_of_a_video_are_refused(flags: Path) -> None:
    conversation = [{"role": "user", "content": [{"type": "video", "video": str(flags)}]}]
    with pytest.raises(OptionsError, match="messages alone hold no times"):
        rewrite_messages(conversation, format="openai-video")


# The server ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "weights"),
    [
        (QWEN3, None),
        ("Qwen3.6-27B", None),
        ("mine", "/models/Qwen3-VL-30B-A3B"),
        (
            "mine",
            "/hub/models--Qwen--Qwen3-VL-8B-Instruct/snapshots/0c351dd01ed87e9c",
        ),
    ],
)
def test_qwen3_vl_and_later_behind_vllm_are_sent_a_video(
    server: Server, name: str, weights: str | None
) -> None:
    server.owner, server.models, server.weights = "vllm", (name,), weights
    vlm = load_vlm(server.url)
    vlm.generate(MESSAGES)
    (request,) = server.requests
    video, text = request["messages"][0]["content"]
    assert vlm.frames_as == "video" and times(request) == SECONDS and text["text"] == "What is he doing?"
    for shown, image in zip(pictures(video)[::2], FRAMES.images, strict=True):
        np.testing.assert_allclose(shown.astype(int), image, atol=3)


@pytest.mark.parametrize(
    ("owner", "name", "label"),
    [
        ("vllm", "Qwen/Qwen2.5-VL-7B-Instruct", "[1.5s]"),
        ("vllm", "Qwen/Qwen3-Omni-30B-A3B", "[1.5s]"),
        ("sglang", QWEN3, "<1.5 seconds>"),
        ("x", "served", "[1.5s]"),
    ],
)
def test_everybody_else_is_sent_images_with_times_as_the_model_reads_them(
    server: Server, owner: str, name: str, label: str
) -> None:
    server.owner, server.models = owner, (name,)
    vlm = load_vlm(server.url)
    assert vlm.generate(MESSAGES) == "3 pictures" and vlm.frames_as == "images"
    (request,) = server.requests
    assert "media_io_kwargs" not in request and request["messages"][0]["content"][0]["text"] == label


def test_an_adapter_is_sent_what_the_model_below_it_reads(server: Server) -> None:
    server.owner, server.models, server.weights = "vllm", ("base",), "/models/Qwen3-VL-8B"
    server.adapters = {"tuned": "base"}
    assert load_vlm(f"{server.url}#tuned").frames_as == "video"


def test_an_option_goes_before_the_name(server: Server) -> None:
    server.owner, server.models = "vllm", (QWEN3,)
    assert load_vlm(server.url, frames_as="images").generate(MESSAGES) == "3 pictures"
    server.models = ("served",)
    load_vlm(server.url, frames_as="video").generate(MESSAGES)
    assert "media_io_kwargs" not in server.requests[0] and times(server.requests[1]) == SECONDS
    with pytest.raises(OptionsError, match="frames_as is 'film'; choose one of images, video"):
        load_vlm(server.url, frames_as="film")


def test_a_vllm_that_takes_no_times_is_sent_images_and_the_answer_says_so(
    server: Server, caplog: pytest.LogCaptureFixture
) -> None:
    server.owner, server.models, server.trusts_requests = "vllm", (QWEN3,), False
    llm = KeyframeLLM(model=server.url, encoder="cartoon")
    with caplog.at_level(logging.WARNING):
        answers = llm.ask_many(demo_video(), [DEMO_QUESTION, "Who is on the beach?"])
    for answer in answers:
        assert answer.frames_as == "images"
        assert any("--trust-request-mm-kwargs" in warning for warning in answer.selection.warnings)
    labels = [part["text"] for part in server.requests[-2]["messages"][0]["content"] if "text" in part]
    assert labels[0].endswith(" seconds>") and "sent as images" in caplog.text
    with pytest.raises(ModelError, match="media_io_kwargs are disabled"):
        load_vlm(server.url, frames_as="video").generate(MESSAGES)


def test_a_conversation_about_two_videos_has_room_for_the_times_of_none(server: Server) -> None:
    server.owner, server.models = "vllm", (QWEN3,)
    vlm = load_vlm(server.url)
    assert vlm.generate([*MESSAGES, {"role": "assistant", "content": "A."}, *MESSAGES]) == "6 pictures"
    assert vlm.frames_as == "video" and "media_io_kwargs" not in server.requests[0]
    forced = load_vlm(server.url, frames_as="video")
    for call in (forced.generate, lambda messages: list(forced.stream(messages))):
        with pytest.raises(OptionsError, match="shows 2 videos, and a request holds the times of one"):
            call([*MESSAGES, *MESSAGES])


def test_a_stream_and_a_count_of_tokens_send_the_same_video(server: Server) -> None:
    server.owner, server.models = "vllm", (QWEN3,)
    vlm = load_vlm(server.url)
    assert "".join(vlm.stream(MESSAGES)) == "0 pictures\n"  # of images; the server counts no videos
    assert vlm.count_tokens(MESSAGES) == (10, 0)
    streamed, counted, bare = server.requests
    assert streamed["messages"] == counted["messages"] and times(streamed) == times(counted) == SECONDS
    assert "media_io_kwargs" not in bare and "video_url" not in str(bare)


# All of them --------------------------------------------------------------------------------------------


def test_the_library_the_loader_of_vllm_and_the_client_of_a_server_agree_on_the_seconds(
    server: Server,
) -> None:
    """One question, one video: through each of the three ways to a Video-LLM."""
    options = {"encoder": "cartoon", "max_frames": 5, "method": "top-k-gap"}
    library = select_keyframes(demo_video(), question=DEMO_QUESTION, **options)
    _, metadata = KeyframeVideoLoader.load_bytes(
        demo_video().read_bytes(), question=DEMO_QUESTION, num_frames=32, **options
    )
    server.owner, server.models = "vllm", (QWEN3,)
    llm = KeyframeLLM(model=server.url, encoder="cartoon")
    answer = llm.ask(demo_video(), DEMO_QUESTION, max_frames=5, method="top-k-gap")
    sent = server.requests[0]["media_io_kwargs"]["video"]
    assert answer.frames_as == "video" and len(library.seconds) == 5
    kept = ("frames_indices", "fps", "total_num_frames", "duration")
    assert {name: sent[name] for name in kept} == {name: metadata[name] for name in kept}
    np.testing.assert_allclose(times(server.requests[0]), library.seconds, atol=0.0005)
    assert library.extra_body()["media_io_kwargs"]["video"] == sent


CLIP = demo_video("one_walk.mp4")


def in_the_chat(url: str, tmp_path: Path, **shown: Any) -> None:
    session = Session(Models([url, "cartoon"], ["cartoon"], **shown))
    session.open(CLIP)
    session.ask("Who walks?", Settings(url, "cartoon"))
    assert session.turns[-1].state == "done"


def by_an_agent(url: str, tmp_path: Path, **shown: Any) -> None:
    with Toolbox(url, "cartoon", roots=[CLIP.parent], **shown) as tools:
        tools.ask_video(CLIP.name, "Who walks?")


def in_a_batch(url: str, tmp_path: Path, **shown: Any) -> None:
    options = BatchOptions(model=url, encoder="cartoon", question="Who walks?", **shown)
    assert video_row(Task("key", str(CLIP), None, "Who walks?"), options)["error"] is None


def in_a_library(url: str, tmp_path: Path, **shown: Any) -> None:
    with closing(Library(tmp_path / "library.db", encoder="cartoon")) as library:
        library.add(CLIP)
        library.ask("Who walks?", KeyframeLLM(url, "cartoon", **shown))


@pytest.mark.parametrize("way", [in_the_chat, by_an_agent, in_a_batch, in_a_library])
def test_a_server_is_told_the_length_of_the_whole_video_whoever_asks(
    way: Callable[..., None], server: Server, tmp_path: Path
) -> None:
    server.owner, server.models = "vllm", (QWEN3,)
    way(server.url, tmp_path)
    with open_video(CLIP) as decoder:
        length = decoder.info.duration_seconds
    assert server.requests[0]["media_io_kwargs"]["video"]["duration"] == pytest.approx(length, abs=0.001)


@pytest.mark.parametrize("way", [in_the_chat, by_an_agent, in_a_batch])
def test_whoever_asks_says_how_the_model_is_shown_key_frames(
    way: Callable[..., None], server: Server, tmp_path: Path
) -> None:
    server.owner, server.models = "vllm", (QWEN3,)
    way(server.url, tmp_path, layout="sheet", frames_as="images")
    shown = [part["type"] for part in server.requests[0]["messages"][-1]["content"]]
    assert shown == ["text", "image_url", "text"] and "media_io_kwargs" not in server.requests[0]
    for url, wrong, says in (
        (server.url, {"layout": "sheet", "frames_as": "video"}, "'video', and a sheet is one picture"),
        (server.url, {"layout": "page"}, "layout is 'page'; choose one of images, sheet"),
        ("cartoon", {"frames_as": "video"}, "frames_as is for a server"),
    ):
        with pytest.raises(OptionsError, match=says):
            way(url, tmp_path, **wrong)
