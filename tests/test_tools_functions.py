"""The tools as plain functions: results, schemas, checked arguments, errors an agent can act on."""

from __future__ import annotations

import io
import json
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from threading import Event
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from keyframe_llm.demos.videos import DEMO_QUESTION, demo_clips, demo_video

pytest.importorskip("pydantic", reason="pydantic is not installed (the `agents` extra)")

from keyframe_llm.index.store import Store
from keyframe_llm.tools import Limits, Toolbox, ToolError
from keyframe_llm.tools.pictures import FolderPictures, MemoryPictures

CLIPS = demo_video().parent
LOOKING = ["list_videos", "video_info", "read_transcript", "contact_sheet", "view_frames", "index_video"]
TOOLS = ["describe_video", "select_keyframes", "ask_video", "classify_video"]


class Bright:
    """An encoder of two dimensions: how bright a picture is; every text is bright."""

    def __init__(self) -> None:
        self.pictures, self.texts = 0, 0
        self.gate, self.entered = Event(), Event()
        self.gate.set()

    def embed_images(self, images: Sequence[NDArray[np.uint8]], /) -> NDArray[np.float32]:
        self.entered.set()
        assert self.gate.wait(30)
        self.pictures += len(images)
        bright = np.array([np.asarray(image).mean() / 255 for image in images], np.float32)
        return np.stack([bright, 1 - bright], axis=1)

    def embed_texts(self, texts: Sequence[str], /) -> NDArray[np.float32]:
        self.texts += len(texts)
        return np.tile(np.array([[1.0, 0.0]], np.float32), (len(texts), 1))


class Talker:
    """A Video-LLM that answers with the number of pictures it was shown, word by word."""

    def __init__(self, words: int = 5) -> None:
        self.words, self.written = words, 0

    def stream(self, messages: list[dict[str, Any]], *, max_new_tokens: int = 128) -> Iterator[str]:
        shown = sum(part["type"] == "image" for message in messages for part in message["content"])
        for _ in range(self.words):
            self.written += 1
            yield f"{shown} "

    def generate(self, messages: list[dict[str, Any]], *, max_new_tokens: int = 128) -> str:
        return "".join(self.stream(messages, max_new_tokens=max_new_tokens)).strip()

    def generate_batch(self, conversations: Sequence[Any], *, max_new_tokens: int = 128) -> list[str]:
        return [self.generate(messages) for messages in conversations]

    def label_log_likelihoods(
        self, messages: Any, labels: Sequence[str], *, normalise: str = "mean"
    ) -> NDArray[np.float64]:
        return -np.array([len(label) for label in labels], np.float64)

    def count_tokens(self, messages: Any) -> tuple[int, int]:
        return 10, 5


@pytest.fixture(scope="module")
def encoder() -> Bright:
    return Bright()


@pytest.fixture(scope="module")
def toolbox(encoder: Bright) -> Iterator[Toolbox]:
    with Toolbox(Talker(), encoder, roots=[CLIPS]) as made:
        yield made


def test_results_are_json_with_times_scores_and_pictures_of_those_times(toolbox: Toolbox) -> None:
    result = toolbox.select_keyframes("three_scenes.mp4", "something bright", max_frames=2)
    assert json.loads(json.dumps(result, allow_nan=False)) == result
    assert result["video"] == {
        "name": "three_scenes.mp4",
        "duration_seconds": 18.0,
        "duration": "0:18",
        "width": 480,
        "height": 360,
    }
    assert 1 <= len(result["keyframes"]) <= 2
    for frame in result["keyframes"]:
        assert 0 <= frame["seconds"] <= 18 and 0 <= frame["score"] <= 1
        assert frame["image"] is not None
        with Image.open(frame["image"]) as picture:
            assert picture.size == (480, 360)


def test_every_tool_returns_its_finding(toolbox: Toolbox) -> None:
    described = toolbox.describe_video("three_scenes.mp4")
    assert described["description"] == " ".join(["3"] * 5)
    assert len(described["change_seconds"]) >= 3 and described["model"] == "Talker"
    answer = toolbox.ask_video("three_scenes.mp4", "How many pictures?", max_frames=1)
    assert answer["answer"] == " ".join(["1"] * 5) and len(answer["keyframes"]) == 1
    classes = toolbox.classify_video("three_scenes.mp4", ["walking", "sit", "riding a horse"])
    assert classes["label"] == "sit"
    assert sum(classes["probabilities"].values()) == pytest.approx(1.0, abs=1e-3)
    for result in (described, answer, classes):
        assert all(frame["image"] is None for frame in result["keyframes"])


def test_a_second_query_embeds_no_picture_again(toolbox: Toolbox, encoder: Bright) -> None:
    toolbox.select_keyframes("one_walk.mp4", "bright")
    embedded, read = encoder.pictures, encoder.texts
    toolbox.select_keyframes("one_walk.mp4", "very bright")
    assert encoder.pictures == embedded and encoder.texts > read


@pytest.mark.parametrize("name", TOOLS)
def test_every_tool_keeps_to_the_window_and_leaves_out_excluded_frames(toolbox: Toolbox, name: str) -> None:
    more: dict[str, Any] = {"question": "what?"} if name == "ask_video" else {}
    more |= {"labels": ["walk", "sit"]} if name == "classify_video" else {}
    window = {"video": "three_scenes.mp4", "start_seconds": 6.5, "end_seconds": 10.5, **more}
    first = [frame["seconds"] for frame in toolbox.call_tool(name, window)["keyframes"]]
    assert all(6.5 <= second <= 10.5 for second in first)
    again = toolbox.call_tool(name, {**window, "exclude_seconds": first[:1]})["keyframes"]
    assert again and all(abs(frame["seconds"] - first[0]) > 0.05 for frame in again)


def test_schemas_follow_the_signatures(toolbox: Toolbox) -> None:
    for openai, anthropic in zip(toolbox.openai_tools(), toolbox.anthropic_tools(), strict=True):
        function = openai["function"]
        assert openai["type"] == "function" and function["name"] == anthropic["name"]
        assert function["parameters"] == anthropic["input_schema"]
        assert (
            set(function["parameters"]["properties"])
            >= {
                "video",
                "start_seconds",
                "end_seconds",
                "exclude_seconds",
            }
            or function["name"] not in TOOLS
        )
        for words in ("Use this", "Returns", "Costs"):
            assert words in function["description"]
        for schema in function["parameters"]["properties"].values():
            assert schema["description"] and "type" in schema and "anyOf" not in schema
    names = [tool["name"] for tool in toolbox.anthropic_tools()]
    assert names == [*LOOKING, *TOOLS[:2], "find_in_videos", *TOOLS[2:]]


@pytest.mark.parametrize("most", [1, 2, 12])
def test_the_limit_of_frames_in_force_is_the_only_one_there_is(most: int) -> None:
    with Toolbox(Talker(), Bright(), roots=[CLIPS], limits=Limits(max_frames=most)) as tools:
        schema = tools.schemas["ask_video"].parameters["properties"]["max_frames"]
        assert (schema["maximum"], schema["default"]) == (most, min(3, most))
        with pytest.raises(ToolError, match=f"less than or equal to {most}"):
            tools.call_tool("select_keyframes", {"video": "one_walk.mp4", "max_frames": most + 1})
        with pytest.raises(ToolError, match=f"at most {most} are allowed"):
            tools.select_keyframes("one_walk.mp4", max_frames=most + 1)
        result = tools.call_tool("select_keyframes", {"video": "three_scenes.mp4", "include_images": False})
        assert len(result["keyframes"]) <= most


def keywords(schema: Any) -> set[str]:
    """All words of a JSON schema, names of properties among them."""
    if isinstance(schema, dict):
        return set(schema).union(*map(keywords, schema.values()))
    return set().union(*map(keywords, schema)) if isinstance(schema, list) else set()


def test_schemas_use_no_word_that_a_provider_refuses(toolbox: Toolbox) -> None:
    refused = {"exclusiveMinimum", "exclusiveMaximum", "anyOf", "oneOf", "$ref", "$defs", "title", "const"}
    for schema in toolbox.schemas.values():
        assert not keywords(schema.parameters) & refused


def test_results_fit_the_schemas_of_the_results(toolbox: Toolbox) -> None:
    jsonschema = pytest.importorskip("jsonschema", reason="jsonschema is not installed")
    for name, more in zip(TOOLS, ({}, {}, {"question": "what?"}, {"labels": ["a", "b"]}), strict=True):
        arguments = {"video": "one_walk.mp4", "include_images": True, **more}
        schema = toolbox.schemas[name]
        jsonschema.validate(arguments, schema.parameters)
        jsonschema.validate(toolbox.call_tool(name, arguments), schema.returns)


def test_arguments_come_as_models_write_them(toolbox: Toolbox) -> None:
    text = '{"video": "one_walk.mp4", "query": null, "max_frames": "1", "include_images": false}'
    result = toolbox.call_tool("select_keyframes", text)
    assert len(result["keyframes"]) == 1


@pytest.mark.parametrize(
    ("name", "arguments", "says"),
    [
        (
            "juggle",
            {},
            "the tools are list_videos, video_info, read_transcript, contact_sheet, view_frames, index_video",
        ),
        ("ask_video", {"video": "one_walk.mp4"}, "question: is missing"),
        ("ask_video", {"video": "one_walk.mp4", "question": "x", "fps": 3}, "fps: there is no such argument"),
        ("ask_video", {"video": "one_walk.mp4", "question": "x", "max_frames": 0}, "max_frames is 0"),
        ("ask_video", {"video": 7, "question": "x"}, "video is 7: input should be a valid string"),
        ("ask_video", {"video": "one_walk.mp4", "question": " "}, "the question is empty"),
        ("classify_video", {"video": "one_walk.mp4", "labels": ["walk"]}, "at least 2"),
        ("select_keyframes", '{"video": ', "the arguments are not JSON"),
        ("select_keyframes", "[]", "give an object"),
        ("select_keyframes", {"video": "one_walk.mp4", "end_seconds": float("inf")}, "finite"),
        ("select_keyframes", {"video": "one_walk.mp4", "start_seconds": 9}, "the video ends at 6.0"),
        (
            "select_keyframes",
            {"video": "one_walk.mp4", "start_seconds": 3, "end_seconds": 2},
            "give a later end",
        ),
        ("select_keyframes", {"video": "one_wakl.mp4"}, 'did you mean "one_walk.mp4"?'),
        (
            "select_keyframes",
            {"video": "xyz"},
            'videos there: "hidden_event.mp4", "one_walk.mp4", "three_scenes.mp4"',
        ),
        ("select_keyframes", {"video": "scenes.json"}, "scenes.json: not a video that can be read"),
    ],
)
def test_a_mistake_is_answered_with_what_to_do(
    toolbox: Toolbox, name: str, arguments: dict[str, Any] | str, says: str
) -> None:
    with pytest.raises(ToolError) as caught:
        toolbox.call_tool(name, arguments)
    assert says in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_model_that_cannot_be_had_is_reported_without_its_folder(tmp_path: Path) -> None:
    (tmp_path / "hidden").mkdir()
    with Toolbox(str(tmp_path / "hidden"), Bright(), roots=[CLIPS]) as broken:
        with pytest.raises(ToolError, match="tell the user to check the model") as caught:
            broken.describe_video("one_walk.mp4")
        assert str(tmp_path) not in str(caught.value)
        assert broken.model == "hidden"
        assert broken.select_keyframes("one_walk.mp4")["keyframes"]


def test_a_model_that_takes_one_picture_is_shown_key_frames_on_a_sheet() -> None:
    with Toolbox(Talker(), Bright(), roots=[CLIPS], layout="sheet") as tools:
        answer = tools.ask_video("three_scenes.mp4", "How many pictures?", max_frames=3)
    assert len(answer["keyframes"]) > 1 and answer["answer"].startswith("1 ")


def test_pictures_are_made_small_and_kept_where_they_were_asked_for(tmp_path: Path) -> None:
    folder = tmp_path / "frames"
    with Toolbox(
        Talker(), Bright(), roots=[CLIPS], limits=Limits(image_side=120), pictures=FolderPictures(folder)
    ) as small:
        result = small.select_keyframes("one_walk.mp4", max_frames=1)
    path = Path(str(result["keyframes"][0]["image"]))
    assert path.parent == folder.resolve()
    with Image.open(path) as picture:
        assert picture.size == (120, 90)


def test_memory_keeps_the_latest_pictures_only() -> None:
    kept = MemoryPictures(limit=2)
    names = [kept.save(bytes([i])) for i in (1, 2, 1, 3)]
    assert kept.names() == [names[0], names[3]]
    assert kept.read(names[3]) == b"\x03"
    with pytest.raises(ToolError, match="call the tool again"):
        kept.read(names[1])


def test_the_functions_of_the_module_work_on_the_current_folder(tmp_path: Path) -> None:
    (tmp_path / "walk.mp4").write_bytes(demo_video("one_walk.mp4").read_bytes())
    code = (
        "import sys\n"
        "from keyframe_llm import tools\n"
        "assert 'pydantic' not in sys.modules and 'torch' not in sys.modules\n"
        "from keyframe_llm.tools.functions import select_keyframes\n"
        "print(len(select_keyframes('walk.mp4', max_frames=1)['keyframes']))\n"
        "print(tools.call_tool('select_keyframes', {'video': 'walk.mp4'})['video']['name'])\n"
        "print(len(tools.openai_tools()), 'torch' in sys.modules)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, cwd=tmp_path, check=False, timeout=120
    )
    assert done.stdout.split() == ["1", "walk.mp4", "11", "False"], done.stderr


def test_the_embedded_models_find_the_hidden_event_step_by_step() -> None:
    with Toolbox("cartoon", roots=[CLIPS]) as tools:
        clip = demo_clips()["hidden_event.mp4"]
        assert clip.event is not None
        event = clip.scenes[clip.event]
        found = tools.select_keyframes("hidden_event.mp4", "a robot in purple flies a kite", max_frames=1)
        assert event.start <= found["keyframes"][0]["seconds"] < event.end
        answer = tools.ask_video(
            "hidden_event.mp4", DEMO_QUESTION, start_seconds=event.start, end_seconds=event.end
        )
        assert answer["answer"] == "flies a kite" and answer["warnings"] == []
        shown = tools.describe_video("hidden_event.mp4", end_seconds=16.0)
        assert "a man in red reads a book" in shown["description"]
        picked = tools.classify_video("one_walk.mp4", ["wave", "walk", "read"])
        assert picked["label"] == "walk"


def test_the_embedded_models_warn_outside_their_world(tmp_path: Path) -> None:
    clip = demo_video("one_walk.mp4").read_bytes()
    (tmp_path / "real.mp4").write_bytes(clip.replace(b"drawn by keyframe-llm", b"filmed somewhere else"))
    with Toolbox("cartoon", roots=[tmp_path]) as tools:
        (warning,) = tools.select_keyframes("real.mp4", "a man walks")["warnings"]
        assert "understand only the drawn world" in warning
        assert tools.select_keyframes("real.mp4")["warnings"] == []


def test_a_picture_handed_out_is_the_frame_of_its_time(toolbox: Toolbox) -> None:
    from keyframe_llm.video import open_video

    result = toolbox.select_keyframes("three_scenes.mp4")
    with open_video(demo_video("three_scenes.mp4")) as decoder:
        truth = decoder.decode_at([frame["seconds"] for frame in result["keyframes"]])
    for frame, image in zip(result["keyframes"], truth.images, strict=True):
        shown = Image.open(io.BytesIO(toolbox.pictures.read(str(frame["image"]))))
        assert np.abs(np.asarray(shown, float) - image).mean() < 4


def test_embeddings_and_captions_of_named_models_are_kept_for_the_next_server(cache: Path) -> None:
    with Toolbox("cartoon", roots=[CLIPS]) as tools:
        first = tools.select_keyframes("one_walk.mp4", "a man walks")
        caption = tools.describe_video("one_walk.mp4")["description"]
    assert {"embeddings", "caption"} <= {entry.kind for entry in Store(cache).entries()}
    with Toolbox(Talker(), "cartoon", roots=[CLIPS]) as tools:
        stages: list[str] = []
        arguments = {"video": "one_walk.mp4", "query": "a man walks", "include_images": False}
        call = tools.start("select_keyframes", arguments, lambda stage, _: stages.append(stage))
        assert [frame["seconds"] for frame in tools.wait(*call)["keyframes"]] == [
            frame["seconds"] for frame in first["keyframes"]
        ]
    assert "decode" not in stages
    with Toolbox("cartoon", roots=[CLIPS]) as tools:
        assert tools.describe_video("one_walk.mp4")["description"] == caption


def test_every_tool_is_a_function_of_the_module_too(toolbox: Toolbox) -> None:
    from keyframe_llm import tools

    for name in toolbox.tools:
        assert name in tools.__all__
        assert isinstance(getattr(tools, name).__self__, Toolbox)
