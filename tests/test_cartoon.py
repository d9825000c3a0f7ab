"""The drawn world: its pictures, its sentences, and its models on clips that they have not seen."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import ModuleType, SimpleNamespace

import numpy as np
import pytest
from PIL import Image

from keyframe_llm.cartoon import OUTSIDE_WORLD, encoder_path, is_drawn, vlm_path, world_warnings
from keyframe_llm.cartoon.train.frame_pool import FRAME_SIZE
from keyframe_llm.cartoon.train.pairs import random_pairs
from keyframe_llm.cartoon.train.samples import clear_sample
from keyframe_llm.cartoon.world.drawing import draw_frame
from keyframe_llm.cartoon.world.language import caption, text_about
from keyframe_llm.cartoon.world.questions import NOT_SHOWN, event_question, questions
from keyframe_llm.cartoon.world.scenes import (
    ACTIONS,
    COLOURS,
    PLACES,
    SUBJECTS,
    THINGS,
    Clip,
    Scene,
    SceneFrame,
    random_clip,
    random_frames,
    random_scene,
    uniform_frames,
)
from keyframe_llm.cartoon.world.video import write_clip
from keyframe_llm.errors import VideoError
from keyframe_llm.messages.prompts import time_label
from keyframe_llm.video import open_video

ROOT = Path(__file__).parent.parent
MAN = Scene("man", "red", "park", "wave", "dog", 1, 7, 0.0, 4.0)


# Pictures -----------------------------------------------------------------------------------------------


def difference(a: Scene, b: Scene) -> float:
    """Mean absolute difference of the pictures of two scenes."""
    return float(np.abs(draw_frame(SceneFrame(a, 1.0)).astype(int) - draw_frame(SceneFrame(b, 1.0))).mean())


@pytest.mark.parametrize(
    ("trait", "values"),
    [("subject", SUBJECTS), ("colour", COLOURS), ("place", PLACES), ("action", ACTIONS), ("thing", THINGS)],
)
def test_every_trait_changes_the_picture(trait: str, values: tuple[str, ...]) -> None:
    scenes = [replace(MAN, **{trait: value}) for value in values]
    for i, one in enumerate(scenes):
        assert difference(one, one) == 0
        assert all(difference(one, other) > 0.1 for other in scenes[i + 1 :])


@pytest.mark.parametrize("action", ACTIONS)
@pytest.mark.parametrize("subject", SUBJECTS)
def test_the_colour_of_clothes_is_visible_in_every_action(subject: str, action: str) -> None:
    """In 40 of 4,800 pixels: in 10, the Video-LLM often named the wrong colour of a reading child."""
    for layout in range(3):
        scene = replace(MAN, subject=subject, action=action, layout=layout)
        small = []
        for colour in ("red", "blue"):
            picture = Image.fromarray(draw_frame(SceneFrame(replace(scene, colour=colour), 1.0)))
            small.append(np.asarray(picture.resize(FRAME_SIZE), int))
        assert (np.abs(small[0] - small[1]).max(-1) > 60).sum() >= 40


@pytest.mark.parametrize("direction", [1, -1])
def test_somebody_walks_in_the_direction_of_the_scene(direction: int) -> None:
    """The red clothes move to the right with direction 1, to the left with -1."""
    walker = replace(MAN, action="walk", direction=direction, thing=None)
    places = []
    for second in (0.5, 3.5):
        r, g, b = (draw_frame(SceneFrame(walker, second))[..., c].astype(int) for c in range(3))
        places.append(np.flatnonzero(((r > 180) & (g < 80) & (b < 80)).any(0)).mean())
    assert np.sign(places[1] - places[0]) == direction


def test_a_frame_looks_alike_at_every_size() -> None:
    large, small = (
        draw_frame(SceneFrame(MAN, 1.0), width=4 * u, height=3 * u).mean((0, 1)) for u in (160, 40)
    )
    assert np.abs(large - small).max() < 6


def test_a_written_clip_plays_back_as_drawn(tmp_path: Path) -> None:
    clip = Clip((MAN, replace(MAN, place="desert", layout=9, start=4.0, end=6.0)))
    write_clip(clip, tmp_path / "clip.mp4", fps=10)
    with open_video(tmp_path / "clip.mp4") as decoder:
        assert decoder.info.duration_seconds == pytest.approx(6.0, abs=0.01)
        decoded = decoder.decode_at([1.0, 5.0])
    for image, second in zip(decoded.images, decoded.seconds, strict=True):
        drawn = draw_frame(clip.frame_at(float(second)))
        assert np.abs(image.astype(int) - drawn).mean() < 6


# Clips --------------------------------------------------------------------------------------------------


def test_a_clip_has_the_scenes_asked_for_and_a_short_event_among_them() -> None:
    clip = random_clip(np.random.default_rng(3), scenes=20, seconds=200, event=True)
    assert clip.event is not None and len(clip.scenes) == 20
    event = clip.scenes[clip.event]
    assert 1.6 <= event.end - event.start <= 3.0
    assert [a.end for a in clip.scenes[:-1]] == [b.start for b in clip.scenes[1:]]
    people = [(s.subject, s.colour) for i, s in enumerate(clip.scenes) if i != clip.event]
    assert (event.subject, event.colour) not in people
    assert len(set(people)) < len(people), "distractors come back"
    assert clip.frame_at((event.start + event.end) / 2).scene is event


def test_random_frames_are_in_order_and_inside_the_clip() -> None:
    for seed in range(50):
        rng = np.random.default_rng(seed)
        clip = random_clip(rng, scenes=3, seconds=9)
        seconds = [frame.second for frame in random_frames(rng, clip, 4)]
        assert seconds == sorted(seconds)
        assert seconds[0] >= 0 and seconds[-1] < clip.duration_seconds


# Sentences ----------------------------------------------------------------------------------------------


def test_captions_state_only_what_the_frames_show() -> None:
    walker = replace(MAN, action="walk", direction=-1)
    assert caption([SceneFrame(walker, 1.0)]) == "a man in red walks in the park next to a dog"
    assert caption(uniform_frames(Clip((walker,)), 3)) == (
        "a man in red walks to the left in the park next to a dog"
    )


def test_several_scenes_are_described_in_order_without_the_things() -> None:
    second = replace(MAN, subject="robot", place="beach", action="read", layout=8, start=4.0, end=8.0)
    text = caption([SceneFrame(MAN, 1.0), SceneFrame(MAN, 3.0), SceneFrame(second, 5.0)])
    assert text == "a man in red waves in the park, then a robot in red reads a book on the beach"


def test_every_question_has_one_answer() -> None:
    for seed in range(200):
        rng = np.random.default_rng(seed)
        found = questions(rng, clear_sample(rng)[1])
        answers: dict[str, set[str]] = {}
        for question in found:
            answers.setdefault(question.text, set()).add(question.answer)
            assert question.scene is not None
        assert all(len(of_one) == 1 for of_one in answers.values())


def test_a_question_about_somebody_in_no_frame_is_answered_so() -> None:
    absent = replace(MAN, subject="robot", colour="black")
    found = questions(np.random.default_rng(0), [SceneFrame(MAN, 1.0)], absent=absent)
    assert [q.answer for q in found if "robot in black" in q.text] == [NOT_SHOWN]


def test_every_two_people_shown_give_a_question_who_is_first() -> None:
    later = replace(MAN, subject="robot", start=4.0, end=8.0, layout=8)
    found = questions(np.random.default_rng(0), [SceneFrame(MAN, 1.0), SceneFrame(later, 5.0)])
    (order,) = [question for question in found if question.other]
    assert order.text.startswith("who is seen first, the ") and order.answer == "the man in red"
    assert (order.scene, order.other) == (MAN, later)


def test_a_time_is_answered_as_it_is_written_before_the_frame() -> None:
    frame = SceneFrame(MAN, 2.345)
    (answer,) = {q.answer for q in questions(np.random.default_rng(0), [frame]) if q.text.startswith("when")}
    assert answer == "at 2.3 seconds" and time_label(frame.second) == "[2.3s]"


def test_a_question_about_an_event_does_not_contain_its_answer() -> None:
    for seed in range(50):
        rng = np.random.default_rng(seed)
        question = event_question(rng, random_scene(rng))
        assert question.answer not in question.text


def test_a_text_matches_the_picture_it_was_written_for() -> None:
    pairs = random_pairs(np.random.default_rng(1), 64)
    assert pairs.matches.diagonal().all()
    assert not pairs.matches.all()
    complete, traits = text_about(np.random.default_rng(0), MAN, complete=True)
    assert complete == "a man in red waves in the park next to a dog"
    assert ("thing", "dog") in traits


# Models -------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def drawn(tmp_path_factory: pytest.TempPathFactory) -> str:
    path = tmp_path_factory.mktemp("drawn") / "drawn.mp4"
    write_clip(Clip((replace(MAN, end=1.0),)), path, fps=5)
    return str(path)


@pytest.fixture(scope="module")
def footage(videos: ModuleType, tmp_path_factory: pytest.TempPathFactory) -> str:
    return str(videos.flags(tmp_path_factory.mktemp("footage") / "flags.mp4"))


EMBEDDED = [
    "cartoon",
    str(encoder_path()),
    vlm_path(),
    str(vlm_path() / ".." / "clip"),
    SimpleNamespace(name="cartoon"),
    SimpleNamespace(name=str(vlm_path())),
]


@pytest.mark.parametrize("model", EMBEDDED, ids=repr)
def test_an_embedded_model_is_warned_of_outside_of_the_drawn_world_alone(
    model: object, drawn: str, footage: str
) -> None:
    assert is_drawn(drawn) and not is_drawn(footage)
    assert world_warnings(footage, model) == world_warnings(footage, "Qwen/other", model) == (OUTSIDE_WORLD,)
    assert world_warnings(drawn, model) == ()


@pytest.mark.parametrize(
    "path", ["https://example.org/a.mp4", "nowhere.mp4", "<Decoder>", "data:" + "x" * 5000, "a\0b", ""]
)
def test_what_is_no_local_file_is_not_drawn(path: str) -> None:
    assert world_warnings(path, "cartoon") == (OUTSIDE_WORLD,)


@pytest.mark.parametrize(
    "models",
    [
        (),
        (None,),
        ("google/siglip2-base-patch16-224", "http://127.0.0.1:8000/v1#cartoon"),
        (object(), SimpleNamespace(name=None), SimpleNamespace(name="other")),
    ],
)
def test_other_models_are_not_warned_of(models: tuple[object, ...], footage: str) -> None:
    assert world_warnings(footage, *models) == world_warnings("nowhere.mp4", *models) == ()


def test_a_file_that_is_no_video_is_an_error_only_where_a_model_is_embedded(tmp_path: Path) -> None:
    (tmp_path / "text.mp4").write_text("no video")
    assert world_warnings(str(tmp_path / "text.mp4"), "other") == ()
    with pytest.raises(VideoError, match=r"text\.mp4"):
        world_warnings(str(tmp_path / "text.mp4"), "cartoon")


def test_nothing_heavy_is_imported_where_no_model_is_embedded() -> None:
    code = (
        "import sys; from keyframe_llm.cartoon import world_warnings; before = set(sys.modules); "
        "world_warnings('v.mp4', 'other', None, object()); print(sorted(set(sys.modules) - before))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def imports(folder: str) -> dict[str, set[str]]:
    """File → the modules of this project that it imports, of all files below a folder of the repository."""
    pattern = re.compile(r"^\s*(?:from|import) (keyframe_llm[\w.]*)", re.MULTILINE)
    return {str(path): set(pattern.findall(path.read_text())) for path in (ROOT / folder).rglob("*.py")}


def test_the_drawn_world_imports_nothing_above_it() -> None:
    allowed = re.compile(r"keyframe_llm\.(cartoon|cartoon\.world\.\w+|data|errors|options|words)")
    found = imports("keyframe_llm/cartoon/world")
    assert len(found) > 5
    for path, modules in found.items():
        assert all(allowed.fullmatch(module) for module in modules), path


def test_nothing_that_is_installed_imports_the_training() -> None:
    """The wheel does not hold it."""
    found = {**imports("keyframe_llm"), **imports("demos"), **imports("tools"), **imports("prompts")}
    training = {path for path, modules in found.items() if any(".cartoon.train" in one for one in modules)}
    assert training
    assert all(Path(path).parent == ROOT / "keyframe_llm" / "cartoon" / "train" for path in training)


def test_the_weights_stay_small() -> None:
    files = [path for folder in (encoder_path(), vlm_path()) for path in folder.iterdir()]
    assert {path.suffix for path in files} >= {".safetensors", ".json"}
    assert sum(path.stat().st_size for path in files) <= 10_000_000


@pytest.mark.parametrize("folder", [encoder_path, vlm_path])
def test_the_tokenizers_take_any_text(folder: Callable[[], Path]) -> None:
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(folder())
    for text in ("a man in red waves, at 12.3 seconds", "naïve 漢字 🙂 zebra's"):
        ids = tokenizer(text).input_ids
        assert tokenizer.unk_token_id not in ids
        assert tokenizer.decode(ids, skip_special_tokens=True) == text


def test_the_embedded_models_do_what_their_card_says() -> None:
    """On a part of the clips behind the card's figures; the bounds leave room for the smaller sample."""
    from keyframe_llm.cartoon.train.evaluate import evaluate_encoder, evaluate_vlm

    figures = evaluate_vlm(vlm_path(), clips=60)
    assert figures["captions right"] >= 0.9
    assert figures["answers right"] >= 0.93
    assert figures["labels right"] >= 0.90
    figures = evaluate_encoder(encoder_path(), batches=2)
    assert figures["text-to-frame R@1 of 128"] >= 0.93
    assert figures["questions led to the person"] >= 0.93
