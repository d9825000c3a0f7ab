"""The whole way on drawn clips with the embedded models, and with an encoder of the caller's own."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest
from numpy.typing import NDArray

from keyframe_llm import KeyframeLLM, OptionsError, VideoError, select_keyframes
from keyframe_llm.cartoon.world.language import caption
from keyframe_llm.cartoon.world.questions import event_question
from keyframe_llm.cartoon.world.scenes import Clip, Scene, random_clip, uniform_frames
from keyframe_llm.cartoon.world.video import write_clip
from keyframe_llm.demos.videos import DEMO_QUESTION, demo_clips, demo_video
from keyframe_llm.encoders import DEFAULT_ENCODER
from keyframe_llm.prompts import default_prompts


class ColourEncoder:
    """Knows three colours: a picture is its mean colour, a text the colour it names."""

    COLOURS: ClassVar = {"red": (1.0, 0.0, 0.0), "green": (0.0, 1.0, 0.0), "blue": (0.0, 0.0, 1.0)}

    def __init__(self) -> None:
        self.images_seen = self.texts_seen = 0

    def embed_images(self, images: Sequence[NDArray[np.uint8]], /) -> NDArray[np.float32]:
        self.images_seen += len(images)
        return np.stack([np.asarray(image, np.float32).mean((0, 1)) + 1 for image in images])

    def embed_texts(self, texts: Sequence[str], /) -> NDArray[np.float32]:
        self.texts_seen += len(set(texts) - set(default_prompts().lines("neutral")))
        named = [[self.COLOURS[word] for word in text.split() if word in self.COLOURS] for text in texts]
        return np.array([np.sum([np.zeros(3), *colours], axis=0) for colours in named], np.float32)


@pytest.fixture(scope="module")
def flags(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Thirty seconds: 14 red, 2 blue, 14 green, with a little noise."""
    import av

    path = tmp_path_factory.mktemp("flags") / "flags.mp4"
    rng = np.random.default_rng(0)
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=5)
        stream.width, stream.height, stream.pix_fmt = 160, 120, "yuv420p"
        for i in range(150):
            colour = (200, 20, 20) if i < 70 else (20, 20, 200) if i < 80 else (20, 200, 20)
            picture = np.clip(np.array(colour) + rng.integers(-20, 20, (120, 160, 3)), 0, 255).astype(
                np.uint8
            )
            container.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
        container.mux(stream.encode())
    return path


@pytest.fixture(scope="module")
def cartoon() -> KeyframeLLM:
    return KeyframeLLM(model="cartoon", encoder="cartoon")


def test_a_caption_finds_the_short_moment_it_describes(flags: Path) -> None:
    found = select_keyframes(flags, caption="a blue flag", encoder=ColourEncoder())
    best = found.seconds[np.argmax(found.scores.total[found.chosen])]
    assert 14.0 <= best < 16.0
    assert found.caption_source == "given"
    assert found.frames.images.shape[1:] == (120, 160, 3)


def test_keyframes_are_the_frames_of_their_times(flags: Path) -> None:
    found = select_keyframes(
        flags, caption="a blue flag", encoder=ColourEncoder(), max_frames=5, threshold=0.0
    )
    for second, image in zip(found.seconds, found.frames.images, strict=True):
        brightest = int(np.argmax(image.mean((0, 1))))
        assert brightest == (0 if second < 14 else 2 if second < 16 else 1)


def test_without_text_no_encoder_is_needed_and_every_colour_is_shown(flags: Path) -> None:
    found = select_keyframes(flags)
    assert found.caption is None and found.caption_source == "none"
    assert np.isnan(found.scores.semantic).all() and found.scores.are_shares
    assert found.scores.total.sum() == pytest.approx(1.0)
    colours = {0 if second < 14 else 2 if second < 16 else 1 for second in found.seconds}
    assert colours >= {0, 1}


@pytest.mark.parametrize("budget", [1, 2, 3, 8])
def test_never_more_frames_than_asked_for_in_time_order(flags: Path, budget: int) -> None:
    for words in (None, "red and green"):
        found = select_keyframes(
            flags, caption=words, encoder=ColourEncoder(), max_frames=budget, min_gap_seconds=0.0
        )
        assert 1 <= len(found.frames) <= budget
        assert np.all(np.diff(found.seconds) > 0)


def test_the_same_seed_gives_the_same_frames(flags: Path) -> None:
    one, two = (select_keyframes(flags, caption="red", encoder=ColourEncoder(), seed=5) for _ in range(2))
    np.testing.assert_array_equal(one.seconds, two.seconds)
    np.testing.assert_array_equal(one.scores.total, two.scores.total)


def test_a_window_bounds_the_keyframes(flags: Path) -> None:
    found = select_keyframes(flags, start_seconds=15.0, end_seconds=20.0)
    assert found.seconds[0] >= 15.0 and found.seconds[-1] <= 20.0
    assert found.proposals.sampled_seconds[0] >= 15.0


def test_a_second_question_embeds_no_picture_again(flags: Path) -> None:
    encoder = ColourEncoder()
    llm = KeyframeLLM(encoder=encoder)
    first = llm.select(flags, caption="red")
    seen = encoder.images_seen
    again = llm.select(flags, caption="red")
    assert encoder.images_seen == seen == len(first.proposals)
    assert np.array_equal(first.scores.total, again.scores.total)
    second = llm.select(flags, caption="blue")
    new = np.setdiff1d(second.proposals.indices, first.proposals.indices)
    assert encoder.images_seen == seen + len(new) < 2 * seen
    assert second.timings["propose"] == 0.0 and second.timings["embed"] > 0.0
    assert encoder.texts_seen == 3
    assert not np.array_equal(first.scores.total, second.scores.total)


def test_a_changed_file_is_decoded_again(flags: Path, tmp_path: Path) -> None:
    copy = tmp_path / "copy.mp4"
    copy.write_bytes(flags.read_bytes())
    llm = KeyframeLLM(encoder=ColourEncoder())
    llm.select(copy)
    write_clip(Clip((Scene("man", "red", "park", "wave", None, 1, 0, 0.0, 4.0),)), copy)
    assert llm.select(copy).video.width == 320


def test_the_guide_decides_which_text_scores(flags: Path) -> None:
    encoder = ColourEncoder()
    texts: dict[str, Any] = {"caption": "red", "question": "blue", "candidates": "diverse"}
    by_question, by_caption, both = (
        select_keyframes(flags, guide=guide, encoder=encoder, **texts)
        for guide in ("question", "caption", "both")
    )
    assert 14 <= by_question.seconds[0] < 16 and by_caption.seconds[0] < 14
    alone = np.maximum(by_question.scores.total, by_caption.scores.total)
    np.testing.assert_allclose(both.scores.total, alone, atol=1e-9)
    assert any(14 <= second < 16 for second in both.seconds) and any(second < 14 for second in both.seconds)
    auto = select_keyframes(flags, encoder=encoder, **texts)
    np.testing.assert_array_equal(auto.seconds, by_question.seconds)
    paper = {"method": "paper", "guide": "both", "encoder": encoder}
    published = select_keyframes(flags, caption="red", question="blue", **paper)
    red, blue = (
        select_keyframes(flags, caption=text, **paper).scores.raw.semantic for text in ("red", "blue")
    )
    np.testing.assert_allclose(published.scores.raw.semantic, (red + blue) / 2**0.5, atol=1e-6)


@pytest.mark.parametrize("proposer", ["ufp", "scfp", "stacfp"])
def test_every_proposer_runs_the_whole_way(flags: Path, proposer: str) -> None:
    found = select_keyframes(flags, caption="blue", encoder=ColourEncoder(), proposer=proposer)
    assert len(found.proposals) == 8 if proposer == "ufp" else len(found.proposals) >= 2


def test_a_long_video_is_sampled_within_its_bound(flags: Path) -> None:
    found = select_keyframes(flags, fps=5.0, max_samples=40)
    assert found.sampled_frames <= 40
    assert found.proposals.sampled_seconds[-1] > 25


def test_a_selection_becomes_messages_with_its_times(flags: Path) -> None:
    found = select_keyframes(flags)
    (message,) = found.to_messages("What is shown?")
    times = [part["text"] for part in message["content"] if part["type"] == "text"]
    assert times == [*(f"[{second:.1f}s]" for second in found.seconds), "What is shown?"]
    assert sum(part["type"] == "image" for part in message["content"]) == len(found.frames)


def test_a_selection_is_saved_with_its_pictures(flags: Path, tmp_path: Path) -> None:
    found = select_keyframes(flags, caption="blue", encoder=ColourEncoder())
    written = found.save(tmp_path / "out")
    assert all(path.is_file() for path in written.values())
    saved = json.loads((tmp_path / "out" / "selection.json").read_text())
    assert [entry["seconds"] for entry in saved["keyframes"]] == pytest.approx(found.seconds.tolist())


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"max_frames": -1}, "max_frames is -1"),
        ({"gamma_time": 99}, "gamma_time is 99"),
        ({"weights": (0.5, 0.5, 0.5)}, "sum to 1"),
        ({"fps": 0}, "fps is 0"),
        ({"start_seconds": 9.0, "end_seconds": 3.0}, "not after start_seconds"),
        ({"start_seconds": 500.0}, "the video ends at 30.0"),
        ({"guide": "colour"}, "choose one of"),
        ({"colour": 3}, "there is no option 'colour'"),
        ({"caption": "  "}, "the caption is empty"),
        ({"question": "who?", "guide": "caption"}, "there is no caption"),
    ],
)
def test_bad_options_are_one_line(flags: Path, options: dict[str, object], says: str) -> None:
    with pytest.raises(OptionsError, match=says) as caught:
        select_keyframes(flags, encoder=ColourEncoder(), **options)
    assert "\n" not in str(caught.value)


def test_an_encoder_without_the_methods_is_refused(flags: Path) -> None:
    with pytest.raises(OptionsError, match="embed_texts"):
        select_keyframes(flags, caption="red", encoder=object())


def test_a_missing_video_is_an_error_before_any_model_is_loaded(tmp_path: Path) -> None:
    with pytest.raises(VideoError, match=r"nowhere\.mp4"):
        select_keyframes(tmp_path / "nowhere.mp4", caption="red", encoder="no/such-model")


def test_selecting_without_text_never_imports_torch(flags: Path) -> None:
    code = (
        "import sys; from keyframe_llm import select_keyframes; "
        f"select_keyframes({str(flags)!r}); "
        "print([m for m in ('torch', 'transformers', 'decord', 'matplotlib', 'gradio') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_the_embedded_models_answer_from_a_short_event(cartoon: KeyframeLLM) -> None:
    clip = demo_clips()["hidden_event.mp4"]
    assert clip.event is not None
    event = clip.scenes[clip.event]
    answer = cartoon.ask(demo_video(), DEMO_QUESTION)
    assert answer.text == "flies a kite"
    assert any(event.start <= second < event.end for second in answer.selection.seconds)
    assert len(answer.selection.frames) <= 3
    assert answer.prompt_tokens is not None and answer.visual_tokens is not None
    assert answer.prompt_tokens > answer.visual_tokens == 12 * len(answer.selection.frames)


def test_a_generated_caption_tells_what_its_frames_show(cartoon: KeyframeLLM) -> None:
    clip = demo_clips()["hidden_event.mp4"]
    written = cartoon.caption(demo_video())
    assert written.text == caption([clip.frame_at(float(second)) for second in written.selection.seconds])
    assert written.selection.caption_source == "generated"


def test_with_no_text_the_model_writes_the_caption_that_guides(cartoon: KeyframeLLM) -> None:
    found = cartoon.select(demo_video("one_walk.mp4"), generate_caption=True)
    assert found.caption_source == "generated"
    assert found.caption is not None and "man in green walks" in found.caption
    assert np.isfinite(found.scores.semantic).all()


def test_the_embedded_model_brings_its_encoder_unless_another_is_given() -> None:
    assert KeyframeLLM("cartoon").indexer.embedder.name == "cartoon"
    assert KeyframeLLM("cartoon", ColourEncoder()).indexer.embedder.name == "ColourEncoder"
    assert KeyframeLLM().indexer.embedder.name == DEFAULT_ENCODER


def test_an_action_is_classified(cartoon: KeyframeLLM) -> None:
    result = cartoon.classify(demo_video("one_walk.mp4"), ["wave", "walk", "climb", "read"])
    assert result.label == "walk"
    assert sum(result.probabilities.values()) == pytest.approx(1.0)
    assert next(iter(result.probabilities)) == "walk"


def test_a_streamed_answer_is_the_whole_one(cartoon: KeyframeLLM) -> None:
    selection, pieces = cartoon.stream(demo_video(), DEMO_QUESTION)
    assert "".join(pieces).strip() == cartoon.ask(demo_video(), DEMO_QUESTION).text
    assert len(selection.frames) >= 1


def test_several_questions_are_answered_as_one_by_one(cartoon: KeyframeLLM) -> None:
    questions = [DEMO_QUESTION, "Where is the child in blue?", "What colour does the woman wear?"]
    together = [answer.text for answer in cartoon.ask_many(demo_video(), questions)]
    assert together == [cartoon.ask(demo_video(), question).text for question in questions]
    assert together[1:] == ["on the beach", "yellow"]


def test_short_events_in_long_clips_are_found_and_answered(cartoon: KeyframeLLM, tmp_path: Path) -> None:
    """Key frames answer what three uniform frames cannot have seen."""
    right = uniform = 0
    for seed in range(4):
        rng = np.random.default_rng([77, seed])
        clip = random_clip(rng, scenes=8, seconds=60, event=True)
        assert clip.event is not None
        event = clip.scenes[clip.event]
        question = event_question(rng, event)
        path = tmp_path / f"{seed}.mp4"
        write_clip(clip, path, fps=6)
        right += cartoon.ask(path, question.text).text == question.answer
        uniform += any(frame.scene is event for frame in uniform_frames(clip, 3))
    assert right >= 3 > uniform


@pytest.mark.parametrize("question", ["", "   "])
def test_an_empty_question_is_refused(cartoon: KeyframeLLM, question: str) -> None:
    with pytest.raises(OptionsError, match="question is empty"):
        cartoon.ask(demo_video(), question)


def test_one_label_is_no_choice(cartoon: KeyframeLLM) -> None:
    with pytest.raises(OptionsError, match="at least two"):
        cartoon.classify(demo_video(), ["walk", " walk "])
