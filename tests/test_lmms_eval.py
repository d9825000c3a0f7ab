"""lmms-eval's requests answered from key frames: with lmms-eval where it is installed, else its interface."""

from __future__ import annotations

import importlib
import importlib.util
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import numpy as np
import pytest
from PIL import Image

from keyframe_llm import OptionsError
from keyframe_llm.demos.videos import demo_video
from keyframe_llm.integrations.answers import Generation, KeyframeAnswers, Request, conversation, user_turn
from keyframe_llm.prompting import prompt
from support.server import Server

ASKED = {
    "What is the robot in purple doing?": ("hidden_event.mp4", "flies a kite"),
    "Who is on the beach?": ("hidden_event.mp4", "a child in blue"),
    "Who is in the desert?": ("three_scenes.mp4", "a man in green"),
}
DOCUMENTS = [{"question": question, "video": video} for question, (video, _) in ASKED.items()]
ANSWERS = [answer for _, answer in ASKED.values()]
SETTINGS = {"max_new_tokens": 16, "temperature": 0, "until": "\n\n"}


def to_visuals(document: dict[str, str]) -> list[str]:
    return [str(demo_video(document["video"]))]


def to_text(document: dict[str, str]) -> str:
    return prompt("question", question=document["question"])


def to_messages(document: dict[str, str]) -> list[dict[str, Any]]:
    return user_turn(to_visuals(document), to_text(document))


def shown(server: Server, number: int = 0) -> list[Any]:
    """What the server was sent in a request: the texts, and `None` for each picture."""
    (message,) = server.requests[number]["messages"]
    return [part.get("text") for part in message["content"]]


# Requests, without lmms-eval -----------------------------------------------------------------------------


def test_the_embedded_model_answers_in_order_whatever_the_size_of_a_batch() -> None:
    requests = [Request(conversation(to_messages(d), d["question"])) for d in DOCUMENTS]
    answers = KeyframeAnswers("cartoon", max_frames=3, batch_size="2").answer(iter(requests))
    assert list(answers) == ANSWERS


def test_a_baseline_by_its_name_needs_no_encoder(server: Server) -> None:
    model = KeyframeAnswers(f"{server.url}#served", "/no/such/encoder", method="uniform", max_frames=4)
    (answer,) = model.answer([Request(conversation(to_messages(DOCUMENTS[0])))])
    assert answer == "4 pictures"
    texts = shown(server)
    assert texts[0] == "[0.0s]" and texts.count(None) == 4 and texts[-1] == to_text(DOCUMENTS[0])
    sheet = KeyframeAnswers(f"{server.url}#served", method="uniform", max_frames=4, layout="sheet")
    assert list(sheet.answer([Request(conversation(to_messages(DOCUMENTS[0])))])) == ["1 pictures"]


def test_the_question_of_a_document_chooses_its_frames_and_the_text_is_left_as_it_is(server: Server) -> None:
    model = KeyframeAnswers(f"{server.url}#served", "cartoon", max_frames=1)
    text = "Select the best answer.\nA. a car\nB. a kite\nAnswer with the option's letter."
    messages = user_turn(to_visuals(DOCUMENTS[0]), text)
    assert list(model.answer([Request(conversation(messages, "What is the robot doing?"))])) == ["1 pictures"]
    time, picture, asked = shown(server)
    assert 30.5 <= float(time.strip("[]s")) <= 32.5  # the two seconds with the robot
    assert (picture, asked) == (None, text)


def test_several_videos_and_pictures_of_a_document_keep_their_places(server: Server, tmp_path: Path) -> None:
    Image.fromarray(np.full((20, 30, 3), 200, np.uint8)).save(tmp_path / "a.png")
    visuals = [str(demo_video("one_walk.mp4")), str(tmp_path / "a.png"), str(demo_video("three_scenes.mp4"))]
    model = KeyframeAnswers(f"{server.url}#served", "cartoon", method="uniform", max_frames=2)
    (answer,) = model.answer([Request(conversation(user_turn(visuals, "Which?")))])
    assert answer == "5 pictures"
    assert [text if text is None else text[0] for text in shown(server)] == [
        *("[", None, "[", None),
        None,
        *("[", None, "[", None),
        "W",
    ]


def test_a_part_of_a_video_may_be_asked_about(server: Server) -> None:
    clip = {"type": "video", "path": str(demo_video()), "video_start": 20, "video_end": 30}
    model = KeyframeAnswers(f"{server.url}#served", "cartoon", method="uniform", max_frames=3)
    whole = [{"type": "video", "url": str(demo_video()), "start_time": 20.0, "end_time": 30.0}]
    for content in (user_turn([clip], "Which?")[0]["content"], [*whole, {"type": "text", "text": "Which?"}]):
        list(model.answer([Request(conversation([{"role": "user", "content": content}]))]))
    for number in (0, 1):
        seconds = [float(text.strip("[]s")) for text in shown(server, number) if text and text[0] == "["]
        assert len(seconds) == 3 and min(seconds) >= 20 and max(seconds) <= 30


def test_a_list_of_frames_with_its_rate_is_a_video(server: Server) -> None:
    frames = [Image.new("RGB", (32, 24), (20 * i, 255 - 20 * i, 0)) for i in range(12)]
    clip = {"type": "video", "video": frames, "sample_fps": 2.0}
    model = KeyframeAnswers(f"{server.url}#served", "cartoon", method="uniform", max_frames=2)
    assert list(model.answer([Request(conversation(user_turn([clip], "Which?")))])) == ["2 pictures"]
    assert shown(server) == ["[0.0s]", None, "[5.5s]", None, "Which?"]


def test_texts_and_pictures_keep_their_form() -> None:
    picture = Image.new("L", (4, 4))
    content = [{"type": "image", "url": picture}, {"type": "text", "text": "Who?"}]
    system, user = conversation(
        [{"role": "system", "content": "Be brief."}, {"role": "user", "content": content}]
    )
    assert system == {"role": "system", "content": [{"type": "text", "text": "Be brief."}]}
    assert user["content"][0]["image"].mode == "RGB" and user["content"][1]["text"] == "Who?"


@pytest.mark.parametrize(
    ("part", "says"),
    [
        ({"type": "audio", "url": "a.wav"}, "type 'audio'"),
        ({"type": "image", "url": "/no/such.png"}, "'/no/such.png' cannot be read"),
        ({"type": "image", "url": 3}, "an image is a int"),
        ({"type": "video", "url": ["a.png", "b.png"]}, "give sample_fps"),
    ],
)
def test_what_cannot_be_shown_costs_one_line(part: dict[str, Any], says: str, server: Server) -> None:
    model = KeyframeAnswers(f"{server.url}#served", "cartoon", method="uniform")
    with pytest.raises(OptionsError, match=says) as caught:
        list(model.answer([Request(conversation([{"role": "user", "content": [part]}]))]))
    assert "\n" not in str(caught.value)


def test_an_answer_ends_before_the_first_stop() -> None:
    assert Generation.of({"until": ["\n", ""], "max_new_tokens": 5}) == Generation(5, 0.0, ("\n",))
    assert Generation.of({"until": "Q:"}).cut("B.\nQ: next Q: more") == "B."
    assert Generation.of({"until": None}).cut(" A \n\n because ") == "A \n\n because"


@pytest.mark.parametrize(
    ("settings", "temperature"),
    [
        ({}, 0),
        ({"temperature": None}, 0),
        ({"temperature": 0.2, "do_sample": False}, 0),
        ({"temperature": 0.7}, 0.7),
    ],
)
def test_a_server_is_asked_at_the_temperature_of_the_task(
    settings: dict[str, Any], temperature: float, server: Server
) -> None:
    model = KeyframeAnswers(f"{server.url}#served", "cartoon", method="uniform")
    list(model.answer([Request(conversation(user_turn([], "Who?")), Generation.of(settings))]))
    assert server.requests[0]["temperature"] == temperature


def test_a_local_model_samples_at_the_temperature_of_the_task() -> None:
    import torch

    model = KeyframeAnswers("cartoon", method="uniform", max_frames=1)
    request = Request(conversation(to_messages(DOCUMENTS[0])), Generation(12, temperature=50.0))

    def sampled(seed: int) -> list[str]:
        torch.manual_seed(seed)
        return list(model.answer([request]))

    assert sampled(1) == sampled(1) != sampled(2)


@pytest.mark.parametrize("settings", [{"temperature": -1}, {"temperature": "hot"}, {"max_new_tokens": 0}])
def test_settings_out_of_range_cost_one_line(settings: dict[str, Any]) -> None:
    with pytest.raises(OptionsError, match=r"^(temperature|max_new_tokens) is .*; give a"):
        Generation.of(settings)


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"method": "unifrom"}, "method is 'unifrom'"),
        ({"weights": "[1,0"}, r"give a list of numbers such as \[0.5,0,0.5\]"),
        ({"weights": "[1,0,1]"}, "three numbers from 0 to 1"),
        ({"batch_size": "auto"}, "batch_size is 'auto'"),
        ({"layout": "page"}, "layout is 'page'; choose one of images, sheet"),
        ({"layout": "sheet", "frames_as": "video"}, "frames_as is 'video', and a sheet is one picture"),
        ({"max_frame": 3}, "takes no option 'max_frame'.* those of a selection are fps, "),
    ],
)
def test_an_argument_that_is_wrong_costs_one_line(options: dict[str, Any], says: str, server: Server) -> None:
    with pytest.raises(OptionsError, match=says):
        KeyframeAnswers(f"{server.url}#served", **options)


# lmms-eval's interface -----------------------------------------------------------------------------------


@dataclass
class Manifest:
    """lmms-eval's description of a model, where lmms-eval is not installed."""

    model_id: str
    simple_class_path: str
    chat_class_path: str


class Base:
    """What lmms-eval's model class gives those made of it, where lmms-eval is not installed."""

    def __init__(self) -> None:
        self.rank, self.task_dict = 0, dict[str, Any]()


@pytest.fixture
def integration(monkeypatch: pytest.MonkeyPatch) -> Iterator[ModuleType]:
    """The module of the integration, with lmms-eval or with its interface in its place."""
    name = "keyframe_llm.integrations.lmms_eval"
    if importlib.util.find_spec("lmms_eval") is None:
        for module in ("lmms_eval", "lmms_eval.api", "lmms_eval.models"):
            monkeypatch.setitem(sys.modules, module, ModuleType(module))
        parts: dict[str, dict[str, Any]] = {
            "api.model": {"lmms": Base},
            "models.registry_v2": {"ModelManifest": Manifest},
        }
        for module, names in parts.items():
            made = ModuleType(f"lmms_eval.{module}")
            vars(made).update(names)
            monkeypatch.setitem(sys.modules, made.__name__, made)
        monkeypatch.delitem(sys.modules, name, raising=False)
        yield importlib.import_module(name)
        sys.modules.pop(name)
    else:
        yield importlib.import_module(name)


def asked(kind: str, number: int) -> SimpleNamespace:
    """A request as lmms-eval makes it for a task of that kind."""
    place = (number, "kf", "test")
    if kind == "chat":
        return SimpleNamespace(args=("", to_messages, dict(SETTINGS), *place))
    return SimpleNamespace(args=(to_text(DOCUMENTS[number]), dict(SETTINGS), to_visuals, *place))


def model_of(integration: ModuleType, kind: str, **options: Any) -> Any:
    path = getattr(integration.manifest(), f"{kind}_class_path")
    module, _, name = path.rpartition(".")
    model = getattr(sys.modules[module], name)(**options)
    model.task_dict["kf"] = {"test": DOCUMENTS}
    return model


@pytest.mark.parametrize("kind", ["chat", "simple"])
def test_both_interfaces_answer_lmms_evals_requests(integration: ModuleType, kind: str) -> None:
    assert integration.manifest().model_id == "keyframe_llm"
    # what `--model_args` and lmms-eval itself give
    model = model_of(integration, kind, model="cartoon", max_frames=3, batch_size="1", device="cpu")
    assert model.is_simple == (kind == "simple")
    assert model.generate_until([asked(kind, number) for number in (1, 0)]) == [ANSWERS[1], ANSWERS[0]]


def test_what_is_not_answered_ends_the_program_with_one_line(
    integration: ModuleType, server: Server, tmp_path: Path
) -> None:
    model = model_of(integration, "chat", model=f"{server.url}#served", encoder="cartoon", method="uniform")
    for kind in ("loglikelihood", "generate_until_multi_round"):
        with pytest.raises(SystemExit, match=f"not {kind}; choose a task with output_type: generate_until"):
            getattr(model, kind)([])
    model.task_dict["kf"]["test"] = [{"question": "Who?", "video": str(tmp_path / "none.mp4")}]
    with pytest.raises(SystemExit, match=r"^keyframe_llm: .*none\.mp4"):
        model.generate_until([asked("chat", 0)])
    with pytest.raises(SystemExit, match=r"^keyframe_llm: max_frames is 0; give a whole number"):
        model_of(integration, "chat", model="cartoon", max_frames=0)


def test_the_field_that_guides_can_be_named(integration: ModuleType, server: Server) -> None:
    options = {"model": f"{server.url}#served", "encoder": "cartoon", "max_frames": 1}
    model = model_of(integration, "simple", **options, question_field="about")
    model.task_dict["kf"]["test"] = [DOCUMENTS[0] | {"question": "Who is on the beach?", "about": "a robot"}]
    model.generate_until([asked("simple", 0)])
    assert 30.5 <= float(shown(server)[0].strip("[]s")) <= 32.5
