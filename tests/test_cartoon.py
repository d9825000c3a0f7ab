"""The drawn world: what is drawn, what is said of it, and what its models make of clips they never saw."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from keyframe_llm.cartoon import encoder_path, is_drawn, vlm_path
from keyframe_llm.cartoon.train.samples import pairs, random_view
from keyframe_llm.cartoon.train.stock import FRAME_SIZE
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
from keyframe_llm.video import open_video

MAN = Scene("man", "red", "park", "wave", "dog", 1, 7, 0.0, 4.0)


def difference(a: Scene, b: Scene) -> float:
    return float(np.abs(draw_frame(SceneFrame(a, 1.0)).astype(int) - draw_frame(SceneFrame(b, 1.0))).mean())


@pytest.mark.parametrize(
    ("trait", "values"),
    [("subject", SUBJECTS), ("colour", COLOURS), ("place", PLACES), ("action", ACTIONS), ("thing", THINGS)],
)
def test_every_trait_changes_the_picture(trait: str, values: tuple[str, ...]) -> None:
    drawn = [replace(MAN, **{trait: value}) for value in values]
    for i, one in enumerate(drawn):
        assert difference(one, one) == 0
        assert all(difference(one, other) > 0.1 for other in drawn[i + 1 :])


@pytest.mark.parametrize("action", ACTIONS)
@pytest.mark.parametrize("subject", SUBJECTS)
def test_what_somebody_wears_can_be_seen_whatever_they_do(subject: str, action: str) -> None:
    """By 40 of 4,800 pixels: where it was 10, the Video-LLM told many a reading child's colour wrong."""
    for layout in range(3):
        red, blue = (
            draw_frame(
                SceneFrame(replace(MAN, subject=subject, action=action, colour=colour, layout=layout), 1.0)
            )
            for colour in ("red", "blue")
        )
        small = [np.asarray(Image.fromarray(frame).resize(FRAME_SIZE), int) for frame in (red, blue)]
        assert (np.abs(small[0] - small[1]).max(-1) > 60).sum() >= 40


def test_a_walk_goes_the_way_it_says() -> None:
    """The walker's red clothes move to the right with direction 1 and to the left with -1."""
    for direction in (1, -1):
        walker = replace(MAN, action="walk", direction=direction, thing=None)
        places = []
        for second in (0.5, 3.5):
            r, g, b = (draw_frame(SceneFrame(walker, second))[..., c].astype(int) for c in range(3))
            places.append(np.flatnonzero(((r > 180) & (g < 80) & (b < 80)).any(0)).mean())
        assert np.sign(places[1] - places[0]) == direction


def test_a_frame_is_drawn_the_same_at_any_size() -> None:
    large, small = (
        draw_frame(SceneFrame(MAN, 1.0), width=4 * u, height=3 * u).mean((0, 1)) for u in (160, 40)
    )
    assert np.abs(large - small).max() < 6


def test_a_clip_has_the_scenes_it_was_asked_for_and_a_short_event_among_them() -> None:
    clip = random_clip(np.random.default_rng(3), scenes=20, seconds=200, event=True)
    assert clip.event is not None
    event = clip.scenes[clip.event]
    assert 1.6 <= event.end - event.start <= 3.0
    assert [a.end for a in clip.scenes[:-1]] == [b.start for b in clip.scenes[1:]]
    people = [(s.subject, s.colour) for i, s in enumerate(clip.scenes) if i != clip.event]
    assert (event.subject, event.colour) not in people
    assert len(set(people)) < len(people), "distractors come back"
    assert clip.frame_at((event.start + event.end) / 2).scene is event


def test_captions_claim_only_what_the_frames_show() -> None:
    walker = replace(MAN, action="walk", direction=-1)
    clip = Clip((walker,))
    assert caption([SceneFrame(walker, 1.0)]) == "a man in red walks in the park next to a dog"
    assert caption(uniform_frames(clip, 3)) == "a man in red walks to the left in the park next to a dog"


def test_several_scenes_are_told_in_order_without_the_things() -> None:
    second = replace(MAN, subject="robot", place="beach", action="read", layout=8, start=4.0, end=8.0)
    said = caption([SceneFrame(MAN, 1.0), SceneFrame(MAN, 3.0), SceneFrame(second, 5.0)])
    assert said == "a man in red waves in the park, then a robot in red reads a book on the beach"


def test_every_question_has_one_answer_that_the_scene_bears_out() -> None:
    for seed in range(200):
        rng = np.random.default_rng(seed)
        _, shots = random_view(rng)
        asked = questions(rng, shots)
        by_text: dict[str, set[str]] = {}
        for question in asked:
            by_text.setdefault(question.text, set()).add(question.answer)
            assert question.scene is not None
        assert all(len(answers) == 1 for answers in by_text.values())


def test_a_question_about_nobody_shown_is_answered_so() -> None:
    rng = np.random.default_rng(0)
    stranger = replace(MAN, subject="robot", colour="black")
    asked = questions(rng, [SceneFrame(MAN, 1.0)], absent=stranger)
    assert [q.answer for q in asked if "robot in black" in q.text] == [NOT_SHOWN]


def test_who_is_seen_first_is_asked_of_every_two_people_shown() -> None:
    later = replace(MAN, subject="robot", start=4.0, end=8.0, layout=8)
    asked = questions(np.random.default_rng(0), [SceneFrame(MAN, 1.0), SceneFrame(later, 5.0)])
    (order,) = [question for question in asked if question.other]
    assert order.text.startswith("who is seen first, the ") and order.answer == "the man in red"
    assert (order.scene, order.other) == (MAN, later)


def test_event_questions_name_the_person_and_hide_the_answer() -> None:
    for seed in range(50):
        rng = np.random.default_rng(seed)
        question = event_question(rng, random_scene(rng))
        assert question.answer not in question.text


def test_a_text_fits_the_frame_it_was_written_for() -> None:
    made = pairs(np.random.default_rng(1), 64)
    assert made.fits.diagonal().all()
    assert not made.fits.all()
    whole, traits = text_about(np.random.default_rng(0), MAN, complete=True)
    assert whole == "a man in red waves in the park next to a dog"
    assert ("thing", "dog") in traits


def test_shots_are_in_order_and_inside_the_clip() -> None:
    for seed in range(50):
        rng = np.random.default_rng(seed)
        clip = random_clip(rng, scenes=3, seconds=9)
        seconds = [shot.second for shot in random_frames(rng, clip, 4)]
        assert seconds == sorted(seconds)
        assert seconds[0] >= 0 and seconds[-1] < clip.duration_seconds


def test_a_written_clip_plays_back_as_drawn(tmp_path: Path) -> None:
    clip = Clip((MAN, replace(MAN, place="desert", layout=9, start=4.0, end=6.0)))
    write_clip(clip, tmp_path / "clip.mp4", fps=10)
    with open_video(tmp_path / "clip.mp4") as decoder:
        assert decoder.info.duration_seconds == pytest.approx(6.0, abs=0.01)
        shown = decoder.decode_at([1.0, 5.0])
    for image, second in zip(shown.images, shown.seconds, strict=True):
        drawn = draw_frame(clip.frame_at(float(second)))
        assert np.abs(image.astype(int) - drawn).mean() < 6
    assert is_drawn(str(tmp_path / "clip.mp4"))


def test_the_weights_stay_small() -> None:
    files = [path for folder in (encoder_path(), vlm_path()) for path in folder.iterdir()]
    assert {path.suffix for path in files} >= {".safetensors", ".json"}
    assert sum(path.stat().st_size for path in files) <= 10_000_000


def test_the_tokenizers_take_any_text() -> None:
    from transformers import AutoTokenizer

    for folder in (encoder_path(), vlm_path()):
        tokenizer = AutoTokenizer.from_pretrained(folder)
        for text in ("a man in red waves, at 12.3 seconds", "naïve 漢字 🙂 zebra's"):
            ids = tokenizer(text).input_ids
            assert tokenizer.unk_token_id not in ids
            assert tokenizer.decode(ids, skip_special_tokens=True) == text


def test_the_embedded_models_do_what_their_card_says() -> None:
    """A smaller draw of the clips behind the card's figures; bounds leave room for the smaller sample."""
    from keyframe_llm.cartoon.train.evaluate import evaluate_encoder, evaluate_vlm

    said = evaluate_vlm(vlm_path(), clips=100)
    assert said["captions right"] >= 0.9
    assert said["answers right"] >= 0.93
    assert said["labels right"] >= 0.90
    found = evaluate_encoder(encoder_path(), batches=2)
    assert found["text-to-frame R@1 of 128"] >= 0.93
