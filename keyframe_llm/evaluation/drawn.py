"""The drawn world: long clips with a short event among distractors, asked about with the embedded models.

Frames are drawn as they are needed, two a second for choosing and at the chosen times for answering, so a
clip of minutes costs no video file. The seeds lie outside those the models were trained on.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from keyframe_llm.cartoon.world.drawing import draw_frame
from keyframe_llm.cartoon.world.language import ACTION_LABELS, caption
from keyframe_llm.cartoon.world.questions import (
    Question,
    event_question,
    order_question,
    shows_answer,
    way_question,
)
from keyframe_llm.cartoon.world.scenes import (
    ACTIONS,
    MOVING,
    UNSEEN_SEED,
    Clip,
    Scene,
    SceneFrame,
    random_clip,
)
from keyframe_llm.data import Frames
from keyframe_llm.encoders import Encoder
from keyframe_llm.evaluation.footage import Footage, Picks, Told, sharpness
from keyframe_llm.evaluation.metrics import question_accuracy, ranks
from keyframe_llm.evaluation.results import SHIPPED, Table
from keyframe_llm.evaluation.selectors import BLIND, SELECTORS, choose
from keyframe_llm.messages.prompts import frame_messages, prompt
from keyframe_llm.proposals.stacfp import color_histogram
from keyframe_llm.scoring.baseline import plain_embedding
from keyframe_llm.scoring.queries import asked_parts, told_parts
from keyframe_llm.vlm.transformers import VLM

__all__ = [
    "Answerer",
    "Asked",
    "asked_clips",
    "drawn_clip",
    "measure_actions",
    "measure_answers",
    "measure_retrieval",
    "watched",
]

STRIDE_SECONDS = 0.5
COMPARED = (SHIPPED, f"{SHIPPED} question", "uniform", "top-k", "top-k-gap", "aks", "mdp3", "keyscore S+T+D")
KINDS = ("what", "which way", "who first")
_SIZE = {"width": 224, "height": 168}


@dataclass(frozen=True, slots=True, eq=False)
class Asked:
    """A clip as it is sampled, and the question about its short event."""

    clip: Clip
    footage: Footage
    question: Question
    query: Told


def drawn_clip(seed: int) -> tuple[Clip, Question]:
    """A clip of 60–180 s with 8–20 scenes, one of them an event of 1.6–3 s, and a question about that one.

    The questions are of three `KINDS` in turn: what is seen in a frame of the event; which way somebody goes
    there, which takes two; who is seen first, which takes a frame of the event and one of another scene.
    """
    rng = np.random.default_rng([UNSEEN_SEED, 6, seed])
    scenes, seconds = int(rng.integers(8, 21)), float(rng.uniform(60, 180))
    clip = random_clip(rng, scenes=scenes, seconds=seconds, event=True)
    assert clip.event is not None
    event, kind = clip.scenes[clip.event], KINDS[seed % len(KINDS)]
    if kind == "what":
        return clip, event_question(rng, event)
    if kind == "which way":
        event = replace(event, action=str(rng.choice(MOVING)))
        shown = (*clip.scenes[: clip.event], event, *clip.scenes[clip.event + 1 :])
        return replace(clip, scenes=shown), way_question(event)
    people = [(scene.subject, scene.colour) for scene in clip.scenes]
    others = [
        s for s, who in zip(clip.scenes, people, strict=True) if people.count(who) == 1 and s is not event
    ]
    pair = sorted([event, others[int(rng.integers(len(others)))]], key=lambda scene: scene.start)
    return clip, order_question(rng, *pair)


def watched(clip: Clip, encoder: Encoder, plain: NDArray[np.float64]) -> Footage:
    """The clip sampled twice a second, as `keyframe-llm` samples a video file."""
    times = np.arange(0, clip.duration_seconds, STRIDE_SECONDS)
    images = _pictures(clip, times)
    rows = np.asarray(encoder.embed_images(images), np.float64)
    return Footage(rows, times, color_histogram(images), sharpness(images), plain)


def asked_clips(encoder: Encoder, count: int) -> list[Asked]:
    """The clips that questions and actions are measured on, watched once for both."""
    plain, asked = plain_embedding(encoder), []
    for seed in range(count):
        clip, question = drawn_clip(seed)
        query = _told(encoder, question.text, asked_parts(question.text))
        asked.append(Asked(clip, watched(clip, encoder, plain), question, query))
    return asked


class Answerer:
    """Asks the Video-LLM about chosen moments, each set of moments once."""

    def __init__(self, model: VLM, clip: Clip) -> None:
        self.model, self.clip = model, clip
        self._known: dict[tuple[str, tuple[float, ...]], str] = {}

    def answers(self, wanted: Sequence[tuple[str, Sequence[float]]]) -> list[str]:
        """Answer every (prompt, seconds), all that are new in batches of one length."""
        keys = [(text, tuple(float(s) for s in seconds)) for text, seconds in wanted]
        new = sorted({key for key in keys if key not in self._known}, key=lambda key: len(key[1]))
        messages = [frame_messages(Frames(_pictures(self.clip, np.array(s)), np.array(s)), t) for t, s in new]
        if new:
            self._known.update(zip(new, self.model.generate_batch(messages, max_new_tokens=64), strict=True))
        return [self._known[key] for key in keys]


def measure_answers(clips: Sequence[Asked], model: VLM, *, budgets: Sequence[int]) -> list[Table]:
    """Question accuracy and hit@k for every selector; budgets beyond 3 only for the rows people compare."""
    right = Table("Drawn world: questions about short events", "answers right", _about(len(clips)))
    found = Table("Drawn world: the answer can be seen", "hit@k", _about(len(clips)))
    kinds = [Table(f"Drawn world: {kind}, of those questions", "answers right") for kind in KINDS]
    for seed, asked in enumerate(clips):
        clip, question = asked.clip, asked.question
        picks = {
            (name, budget): asked.footage.seconds[
                choose(name, asked.footage, asked.query, k=budget, seed=seed)
            ]
            for name in SELECTORS
            for budget in (budgets if name in COMPARED else [3])
        }
        said = Answerer(model, clip).answers(
            [(prompt("question", question=question.text), times.tolist()) for times in picks.values()]
        )
        scored = question_accuracy(said, [question.answer] * len(said))
        for (name, budget), ok, times in zip(picks, scored, picks.values(), strict=True):
            shown = shows_answer(question, [clip.frame_at(float(second)) for second in times])
            sample = f"clip {seed}: {question.text}", str(seed)
            right.row(name, budget).add(*sample, ok, times)
            found.row(name, budget).add(*sample, shown, times)
            if budget == 3:
                kinds[seed % len(KINDS)].row(name, budget).add(*sample, ok, times)
    return [right, found, *kinds]


def measure_retrieval(encoder: Encoder, model: VLM, *, clips: int) -> list[Table]:
    """Text-to-video R@1 in the three settings; every clip has a caption for each of its three scenes.

    Where every text meets every clip the cost grows with their square: there half of the clips are asked for.
    """
    made = [
        random_clip(np.random.default_rng([UNSEEN_SEED, 7, i]), scenes=3, seconds=45, event=True)
        for i in range(clips)
    ]
    plain = plain_embedding(encoder)
    films = [watched(clip, encoder, plain) for clip in made]
    texts = [
        (i, caption([SceneFrame(scene, (scene.start + scene.end) / 2)]))
        for i, clip in enumerate(made)
        for scene in clip.scenes
    ]
    owner = np.array([i for i, _ in texts])
    queries = np.asarray(encoder.embed_texts([text for _, text in texts]), np.float64)
    written = _written(encoder, model, made, films)
    tables = []
    for setting, note in _SETTINGS.items():
        few = clips if setting == "leak-free" else max(2, clips // 2)
        told = [text for i, text in texts if i < few]
        table = Table(f"Drawn world: text-to-video retrieval, {setting}", "R@1", f"{few} clips. {note}")
        for name, budget in _retrieval_rows():
            if setting != "leak-free" and name in BLIND:
                continue  # no text moves them: their row is the leak-free one
            asked = owner[: len(told)], queries[: len(told)]
            _rank(table, setting, name, budget, films[:few], *asked, written, told)
        tables.append(table)
    return tables


def measure_actions(clips: Sequence[Asked], encoder: Encoder) -> list[Table]:
    """Zero-shot action classification by the encoder: the action of the short event, told by who does it."""
    names = list(ACTION_LABELS)
    labels = np.asarray(encoder.embed_texts([ACTION_LABELS[name] for name in names]), np.float64)
    table = Table("Drawn world: the action of the short event", "accuracy", _ACTIONS_NOTE)
    top5 = Table("Drawn world: the action of the short event, among the first five", "top-5", _ACTIONS_NOTE)
    for seed, asked in enumerate(clips):
        assert asked.clip.event is not None
        event, film = asked.clip.scenes[asked.clip.event], asked.footage
        who = f"a {event.subject} in {event.colour}"
        query = np.asarray(encoder.embed_texts([who]), np.float64)[0]
        for name in SELECTORS:
            picks = choose(name, film, query, k=3, seed=seed)
            # The frame that fits the person best is judged; which frames there are is the selector's part.
            best = picks[int(np.argmax(film.embeddings[picks] @ query))]
            order = np.argsort(-(labels @ film.embeddings[best]), kind="stable")
            place = [names[i] for i in order].index(event.action)
            for into, most in ((table, 1), (top5, 5)):
                into.row(name, 3).add(f"clip {seed}: {who}", str(seed), place < most, film.seconds[picks])
    assert len(names) == len(ACTIONS)
    return [table, top5]


_SETTINGS = {
    "the paper's setting": "Frames are chosen with the ground-truth caption: the answer leaks into them.",
    "per pair": "For every text, frames of every video are chosen with that text; nothing leaks.",
    "leak-free": "Frames are chosen with a caption the embedded Video-LLM wrote, or with no text at all.",
}
_ACTIONS_NOTE = (
    "Which of eleven actions the person of the short event does; the encoder judges the chosen frame that "
    "fits the person best."
)


def _about(clips: int) -> str:
    return (
        f"{clips} clips of 60–180 s with 8–20 scenes; the question is about a scene of 1.6–3 s: in turn what "
        "is seen there, which way somebody goes there, and whether that or another scene comes first. "
        "Answered by the embedded Qwen2.5-VL."
    )


def _retrieval_rows() -> list[tuple[str, int]]:
    return [("uniform", 8), *((name, 3) for name in SELECTORS)]


def _written(encoder: Encoder, model: VLM, made: Sequence[Clip], films: Sequence[Footage]) -> list[Told]:
    """Embeddings of the captions the Video-LLM writes from frames chosen with no text."""
    texts = []
    for clip, film in zip(made, films, strict=True):
        seconds = film.seconds[choose("keyframe-llm no text", film, k=3)]
        texts += Answerer(model, clip).answers([(prompt("caption"), seconds.tolist())])
    return [_told(encoder, text, told_parts(text)) for text in texts]


def _told(encoder: Encoder, text: str, parts: list[str]) -> Told:
    rows = np.asarray(encoder.embed_texts([text, *parts]), np.float64)
    return Told(rows[0], rows[1:])


def _rank(
    table: Table,
    setting: str,
    name: str,
    budget: int,
    films: Sequence[Footage],
    owner: NDArray[np.intp],
    queries: NDArray[np.float64],
    written: Sequence[Told],
    texts: Sequence[str],
) -> None:
    """Rank all videos for every text by its similarity with the mean of the chosen frames."""
    likeness = np.empty((len(queries), len(films)))
    shown: dict[int, list[Picks]] = {}
    for v, film in enumerate(films):
        # In the paper's setting a video with three captions is looked at once, through its first.
        first = queries[[int(np.argmax(owner == v))]]
        guides: Sequence[ArrayLike] = list(first)
        if setting != "the paper's setting":
            guides = list(queries) if setting == "per pair" else [written[v]]
        picks = [choose(name, film, guide, k=budget, seed=v) for guide in guides]
        shown[v] = picks if len(picks) == len(queries) else picks * len(queries)
        pooled = np.stack([film.embeddings[frames].mean(axis=0) for frames in shown[v]])
        pooled /= np.maximum(np.linalg.norm(pooled, axis=1, keepdims=True), 1e-12)
        likeness[:, v] = (queries * pooled).sum(axis=1)
    places = ranks(likeness, owner[:, None] == np.arange(len(films)))
    for q, place in enumerate(places):
        v = int(owner[q])
        times = films[v].seconds[shown[v][q]]
        table.row(name, budget).add(f"clip {v}: {texts[q]}", str(v), place == 1, times)


def _pictures(clip: Clip, times: NDArray[Any]) -> NDArray[np.uint8]:
    return np.stack([draw_frame(_shot(clip, float(second)), **_SIZE) for second in times])


def _shot(clip: Clip, second: float) -> SceneFrame:
    scene: Scene = clip.frame_at(second).scene
    return SceneFrame(scene, second)
