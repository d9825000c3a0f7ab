"""Measure the embedded models on clips they have not seen, through the same code that users run."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from keyframe_llm.cartoon.train.samples import absent_scene, clear_sample, compressed_picture, same_size
from keyframe_llm.cartoon.world.language import ACTION_LABELS, caption, text_about
from keyframe_llm.cartoon.world.questions import Question, questions
from keyframe_llm.cartoon.world.scenes import UNSEEN_SEED, Scene, SceneFrame, random_scene
from keyframe_llm.data import Frames
from keyframe_llm.encoders import load_encoder
from keyframe_llm.messages.prompts import frame_messages, prompt
from keyframe_llm.vlm.transformers import TransformersVLM

__all__ = ["evaluate_encoder", "evaluate_vlm"]

_CAPTIONS = 128
"""Distinct captions among which the encoder must find the right one."""
_LABELLED_SHARE = 5
"""Of so many clips one is classified, of those with one action."""


@dataclass(frozen=True, slots=True, eq=False)
class _Sample:
    """A clip's frames and what is right about them."""

    frames: Frames
    caption: str
    question: Question
    action: str | None
    """None where the frames show several"""


def evaluate_vlm(folder: Path, *, clips: int = 1000) -> dict[str, float]:
    """Share of captions, answers and labels that are right to the letter, one of each for every clip."""
    with _one_thread():
        model = TransformersVLM(str(folder), batch_size=32)
        samples = [_sample(np.random.default_rng([UNSEEN_SEED, i])) for i in range(clips)]
        classified = [sample for sample in samples if sample.action is not None][: clips // _LABELLED_SHARE]
        labels = [_label_is_right(model, sample) for sample in classified]
        texts = [(prompt("caption"), prompt("question", question=sample.question.text)) for sample in samples]
        messages = [
            frame_messages(sample.frames, text)
            for sample, pair in zip(samples, texts, strict=True)
            for text in pair
        ]
        replies = model.generate_batch(messages, max_new_tokens=64)
    captions, answers = replies[::2], replies[1::2]
    return {
        "captions right": _share(captions, [sample.caption for sample in samples]),
        "answers right": _share(answers, [sample.question.answer for sample in samples]),
        "labels right": float(np.mean(labels)),
    }


def _sample(rng: np.random.Generator) -> _Sample:
    _, shown = clear_sample(rng)
    pictures = same_size([compressed_picture(rng, frame) for frame in shown])
    absent = absent_scene(rng, shown) if rng.random() < 0.1 else None
    question = questions(rng, shown, absent=absent)[0]
    actions = {frame.scene.action for frame in shown}
    return _Sample(
        Frames(pictures, np.array([frame.second for frame in shown])),
        caption(shown),
        question,
        actions.pop() if len(actions) == 1 else None,
    )


def _label_is_right(model: TransformersVLM, sample: _Sample) -> bool:
    labels = list(ACTION_LABELS)
    likelihoods = model.label_log_likelihoods(
        frame_messages(sample.frames, prompt("classify")), list(ACTION_LABELS.values())
    )
    return labels[int(np.argmax(likelihoods))] == sample.action


def _share(replies: Sequence[str], truths: Sequence[str]) -> float:
    return float(np.mean([reply == truth for reply, truth in zip(replies, truths, strict=True)]))


def evaluate_encoder(folder: Path, *, batches: int = 8) -> dict[str, float]:
    """Text-to-frame R@1 among 128 distinct captions, and the share of questions whose best frame is right."""
    with _one_thread():
        encoder = load_encoder(str(folder))
        found = [_encoder_batch(encoder, np.random.default_rng([UNSEEN_SEED, 1, i])) for i in range(batches)]
    recall, people = np.mean(found, axis=0)
    return {f"text-to-frame R@1 of {_CAPTIONS}": float(recall), "questions led to the person": float(people)}


def _encoder_batch(encoder: Any, rng: np.random.Generator) -> tuple[float, float]:
    """Shares of captions and of questions whose best frame is right, among the same frames."""
    scenes = _distinct_scenes(rng)
    pictures = [compressed_picture(rng, SceneFrame(scene, float(rng.uniform(0, 4)))) for scene in scenes]
    texts = [text_about(rng, scene, complete=True)[0] for scene in scenes]
    asked = [f"what does the {s.subject} in {s.colour} do?" for s in scenes]
    rows: NDArray[np.float32] = encoder.embed_images(pictures)
    best = (encoder.embed_texts(texts) @ rows.T).argmax(1)
    found = [scenes[i] for i in (encoder.embed_texts(asked) @ rows.T).argmax(1)]
    same_person = [(s.subject, s.colour) == (f.subject, f.colour) for s, f in zip(scenes, found, strict=True)]
    return float(np.mean(best == np.arange(_CAPTIONS))), float(np.mean(same_person))


def _distinct_scenes(rng: np.random.Generator) -> list[Scene]:
    scenes: dict[Any, Scene] = {}
    while len(scenes) < _CAPTIONS:
        scene = random_scene(rng)
        scenes.setdefault((scene.subject, scene.colour, scene.place, scene.action, scene.thing), scene)
    return list(scenes.values())


@contextmanager
def _one_thread() -> Iterator[None]:
    """Models this small are faster with one thread, and many times so where other programs use the cores."""
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)
