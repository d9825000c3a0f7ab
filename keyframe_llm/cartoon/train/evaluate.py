"""Measure the embedded models on clips they have not seen, through the code that users run."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from keyframe_llm.cartoon.train.samples import absent_scene, filmed, random_view, same_size
from keyframe_llm.cartoon.world.language import ACTION_LABELS, caption, text_about
from keyframe_llm.cartoon.world.questions import questions
from keyframe_llm.cartoon.world.scenes import UNSEEN_SEED, Scene, SceneFrame, random_scene
from keyframe_llm.data import Frames
from keyframe_llm.encoders import load_encoder
from keyframe_llm.messages.prompts import frame_messages, prompt
from keyframe_llm.vlm.transformers import TransformersVLM

__all__ = ["evaluate_encoder", "evaluate_vlm"]

_BATCH = 128


def evaluate_vlm(folder: Path, *, clips: int = 1000) -> dict[str, float]:
    """Captions, answers and labels, one of each per clip, right to the letter."""
    model = TransformersVLM(str(folder), batch_size=32)
    asked, truths, kinds = [], [], []
    labels = list(ACTION_LABELS.values())
    label_hits: list[bool] = []
    for i in range(clips):
        rng = np.random.default_rng([UNSEEN_SEED, i])
        _, shots = random_view(rng)
        frames = _frames(rng, shots)
        absent = absent_scene(rng, shots) if rng.random() < 0.1 else None
        question = questions(rng, shots, absent=absent)[0]
        for kind, text, truth in (
            ("caption", prompt("caption"), caption(shots)),
            ("answer", prompt("question", question=question.text), question.answer),
        ):
            asked.append(frame_messages(frames, text))
            truths.append(truth)
            kinds.append(kind)
        actions = {shot.scene.action for shot in shots}
        if len(actions) == 1 and len(label_hits) < clips // 5:
            likely = model.label_log_likelihoods(frame_messages(frames, prompt("classify")), labels)
            label_hits.append(labels[int(np.argmax(likely))] == ACTION_LABELS[actions.pop()])
    said = model.generate_batch(asked, max_new_tokens=64)
    right = np.array([a == b for a, b in zip(said, truths, strict=True)])
    asked_for = np.array(kinds)
    return {
        "captions right": float(right[asked_for == "caption"].mean()),
        "answers right": float(right[asked_for == "answer"].mean()),
        "labels right": float(np.mean(label_hits)),
    }


def evaluate_encoder(folder: Path, *, batches: int = 8) -> dict[str, float]:
    """Text-to-frame R@1 among 128 distinct captions, and questions that lead to the frame asked about."""
    encoder = load_encoder(str(folder))
    hits, asked = [], []
    for i in range(batches):
        rng = np.random.default_rng([UNSEEN_SEED, 1, i])
        scenes = _distinct(rng)
        images = [filmed(rng, SceneFrame(scene, float(rng.uniform(0, 4)))) for scene in scenes]
        texts = [text_about(rng, scene, complete=True)[0] for scene in scenes]
        likeness = encoder.embed_texts(texts) @ encoder.embed_images(images).T
        hits.append(np.mean(likeness.argmax(1) == np.arange(_BATCH)))
        asks = [f"what does the {s.subject} in {s.colour} do?" for s in scenes]
        best = (encoder.embed_texts(asks) @ encoder.embed_images(images).T).argmax(1)
        found = [scenes[j] for j in best]
        asked.append(
            np.mean(
                [(s.subject, s.colour) == (f.subject, f.colour) for s, f in zip(scenes, found, strict=True)]
            )
        )
    return {
        "text-to-frame R@1 of 128": float(np.mean(hits)),
        "questions led to the person": float(np.mean(asked)),
    }


def _distinct(rng: np.random.Generator) -> list[Scene]:
    scenes: dict[Any, Scene] = {}
    while len(scenes) < _BATCH:
        scene = random_scene(rng)
        scenes.setdefault((scene.subject, scene.colour, scene.place, scene.action, scene.thing), scene)
    return list(scenes.values())


def _frames(rng: np.random.Generator, shots: Sequence[SceneFrame]) -> Frames:
    return Frames(same_size([filmed(rng, shot) for shot in shots]), np.array([shot.second for shot in shots]))
