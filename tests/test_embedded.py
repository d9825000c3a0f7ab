"""The embedded models in NumPy: the rows, likelihoods and answers of transformers, and no torch."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from threading import Barrier, Thread
from typing import Any

import numpy as np
import pytest
from threadpoolctl import ThreadpoolController

from keyframe_llm.arrays import one_thread
from keyframe_llm.cartoon import encoder_path, vlm_path
from keyframe_llm.cartoon.world.drawing import draw_frame
from keyframe_llm.cartoon.world.scenes import random_clip, uniform_frames
from keyframe_llm.data import Frames
from keyframe_llm.demos.videos import DEMO_QUESTION, demo_video
from keyframe_llm.encoders import TransformersEncoder, load_encoder
from keyframe_llm.encoders.embedded import EmbeddedEncoder
from keyframe_llm.errors import ModelError, OptionsError
from keyframe_llm.messages import frame_messages, prompt
from keyframe_llm.vlm import TransformersVLM, load_vlm
from keyframe_llm.vlm.counting import token_counter
from keyframe_llm.vlm.drawn_world import DrawnWorldVLM
from keyframe_llm.vlm.embedded import EmbeddedVLM

QUESTIONS = ["Who is shown?", "Where is the man in red?", "What does the woman in blue do?", "Naïve ½ ☂?"]
SIZES = [(60, 80), (80, 60), (90, 160), (7, 9), (64, 64), (30, 300)]
"""Heights and widths in pixels; the first two are read as they are, the others are resized."""


@pytest.fixture(scope="module")
def vlms() -> tuple[EmbeddedVLM, TransformersVLM]:
    return EmbeddedVLM(), TransformersVLM(str(vlm_path()), device="cpu")


def noise(count: int, height: int, width: int) -> Frames:
    draw = np.random.default_rng(height)
    return Frames(draw.integers(0, 256, (count, height, width, 3), dtype=np.uint8), np.arange(count) + 0.5)


def drawn(count: int) -> Frames:
    shown = uniform_frames(random_clip(np.random.default_rng(5), scenes=3, seconds=3.0), count)
    return Frames(
        np.stack([draw_frame(frame) for frame in shown]), np.array([frame.second for frame in shown])
    )


def test_the_encoders_rows_are_those_of_transformers() -> None:
    given, wanted = EmbeddedEncoder(batch_size=4), TransformersEncoder(str(encoder_path()), device="cpu")
    pictures = list(drawn(6).images)
    pictures += [noise(1, *size).images[0] for size in SIZES]
    np.testing.assert_allclose(given.embed_images(pictures), wanted.embed_images(pictures), atol=2e-3)
    texts = ["a person in red dances in the park", "", "☂ é", "the man in blue walks to the left " * 20]
    np.testing.assert_allclose(given.embed_texts(texts), wanted.embed_texts(texts), atol=1e-5)
    assert (given.image_size, given.context_length) == (wanted.image_size, wanted.context_length)


@pytest.mark.parametrize("size", SIZES)
def test_prompts_and_likelihoods_are_those_of_transformers(
    size: tuple[int, int], vlms: tuple[EmbeddedVLM, TransformersVLM]
) -> None:
    messages = frame_messages(noise(3, *size), prompt("question", question=QUESTIONS[3]))
    messages[0]["content"][-1]["text"] += "<|image_pad|><|im_end|>"
    given, wanted = (vlm.label_log_likelihoods(messages, ["walks to the left", "a"]) for vlm in vlms)
    # Pillow and torchvision round a resized pixel to neighbouring values now and then.
    np.testing.assert_allclose(given, wanted, atol=1e-4 if size in SIZES[:2] else 0.05)
    counts = [vlm.count_tokens(messages) for vlm in vlms]
    assert counts[0] == counts[1]


def test_answers_are_those_of_transformers(vlms: tuple[EmbeddedVLM, TransformersVLM]) -> None:
    texts = [prompt("caption"), *(prompt("question", question=question) for question in QUESTIONS)]
    conversations = [frame_messages(drawn(3), text) for text in texts]
    answers = [vlm.generate_batch(conversations) for vlm in vlms]
    assert answers[0] == answers[1]
    assert vlms[0].video_grid == vlms[1].video_grid


def test_at_a_temperature_answers_differ(vlms: tuple[EmbeddedVLM, TransformersVLM]) -> None:
    messages = frame_messages(noise(1, 60, 80), prompt("caption"))
    assert len({"".join(vlms[0].stream(messages, max_new_tokens=4, temperature=3.0)) for _ in range(20)}) > 1


def test_the_names_of_the_embedded_models_load_them_without_torch() -> None:
    for name in ("cartoon", str(encoder_path())):
        assert isinstance(load_encoder(name, "cpu"), EmbeddedEncoder)
    for name in ("cartoon", str(vlm_path())):
        vlm = load_vlm(name, device="cpu")
        assert isinstance(vlm, DrawnWorldVLM) and isinstance(vlm.model, EmbeddedVLM)
        assert isinstance(token_counter(name), EmbeddedVLM)
    for load, path in ((load_encoder, vlm_path()), (load_vlm, encoder_path())):
        with pytest.raises(ModelError):
            load(str(path))


def test_options_of_a_model_of_transformers_are_those_of_the_embedded_one_too() -> None:
    vlm: Any = load_vlm("cartoon", max_image_tokens=3)
    assert vlm.model.video_grid == (20, 2, 1200)


def test_a_video_among_the_messages_is_refused_in_one_line(
    vlms: tuple[EmbeddedVLM, TransformersVLM],
) -> None:
    message = {"role": "user", "content": [{"type": "video", "video": "v.mp4"}]}
    with pytest.raises(OptionsError, match="'video' part; give it key frames as pictures"):
        vlms[0].generate([message])


@pytest.fixture
def two_threads() -> Iterator[ThreadpoolController]:
    """NumPy's own OpenBLAS with two threads, whatever the environment says; others may keep theirs."""
    own = [one["filepath"] for one in ThreadpoolController().info() if "numpy" in one["filepath"]]
    if not own:
        pytest.skip("NumPy has no BLAS of its own here")
    openblas = ThreadpoolController().select(filepath=own)
    before = openblas.info()

    def in_a_thread_that_ends(limits: Any) -> None:  # a living one would keep the limit for itself
        thread = Thread(target=lambda: openblas.limit(limits=limits))
        thread.start()
        thread.join()

    in_a_thread_that_ends(2)
    yield openblas
    in_a_thread_that_ends(before)


def test_threads_that_end_in_any_order_leave_the_number_of_threads_as_it_was(
    two_threads: ThreadpoolController,
) -> None:
    def counts() -> set[int]:
        return {library["num_threads"] for library in two_threads.info()}

    before, step = counts(), Barrier(2)

    def first() -> None:
        with one_thread():
            step.wait()
            step.wait()

    for _ in range(2):  # the second time this thread has held the limit before
        thread = Thread(target=first)
        thread.start()
        step.wait()
        with one_thread():
            step.wait()
            thread.join()
            assert counts() == {1}
        assert counts() == before
        with one_thread():
            assert counts() == {1}


def test_questions_to_the_embedded_models_and_to_a_server_import_nothing_heavy() -> None:
    asked = ["ask", str(demo_video()), DEMO_QUESTION, "--encoder", "cartoon", "--no-cache", "--quiet"]
    served = [*asked, "--model", "http://127.0.0.1:9/v1#lab/served", "--dry-run"]
    embedded = [*asked, "--model", "cartoon"]
    code = (
        f"import sys; from keyframe_llm.cli import main; main({served}); main({embedded})\n"
        "heavy = ('torch', 'torchvision', 'transformers', 'sklearn', 'scipy', 'onnxruntime', 'matplotlib')\n"
        "print([name for name in heavy if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-2:] == ["flies a kite", "[]"]
