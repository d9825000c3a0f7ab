"""The drawn world: long clips with a short event among distractors, and questions for the embedded models.

Frames are drawn as they are needed, two a second for choosing and at the chosen times for answering, so a
clip of minutes costs no video file. The seeds lie outside those the models were trained on.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

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
from keyframe_llm.evaluation.dense import (
    EmbeddedText,
    baseline_of,
    dense_index,
    embed_caption,
    embed_question,
)
from keyframe_llm.evaluation.metrics import question_accuracy
from keyframe_llm.evaluation.results import SHIPPED, Table
from keyframe_llm.evaluation.retrieval import rank_videos
from keyframe_llm.evaluation.selectors import ROWS, TEXT_FREE, choose
from keyframe_llm.index import VideoIndex
from keyframe_llm.messages import frame_messages, prompt
from keyframe_llm.proposals.color_histogram import color_histogram
from keyframe_llm.proposals.sample import sharpness
from keyframe_llm.vlm import VLM

__all__ = [
    "Answerer",
    "QuestionedClip",
    "drawn_clip",
    "index_clip",
    "measure_actions",
    "measure_answers",
    "measure_retrieval",
    "questioned_clips",
]

STRIDE_SECONDS = 0.5
COMPARED = (SHIPPED, f"{SHIPPED} question", "uniform", "top-k", "top-k-gap", "aks", "mdp3", "keyscore S+T+D")
KINDS = ("what", "which way", "who first")
_SIZE = {"width": 224, "height": 168}


@dataclass(frozen=True, slots=True, eq=False)
class QuestionedClip:
    """A clip, its index, and the question about its short event."""

    clip: Clip
    index: VideoIndex
    question: Question
    text: EmbeddedText


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


def index_clip(clip: Clip, encoder: Encoder) -> VideoIndex:
    """The clip sampled twice a second, as `keyframe-llm` samples a video file; every frame is a candidate."""
    times = np.arange(0, clip.duration_seconds, STRIDE_SECONDS)
    images = _pictures(clip, times)
    rows = np.asarray(encoder.embed_images(images), np.float64)
    return dense_index(rows, times, color_histogram(images), [sharpness(image) for image in images])


def questioned_clips(encoder: Encoder, count: int) -> list[QuestionedClip]:
    """The clips that questions and actions are measured on, indexed once for both."""
    baseline, clips = baseline_of(encoder), []
    for seed in range(count):
        clip, question = drawn_clip(seed)
        text = embed_question(encoder, question.text, baseline)
        clips.append(QuestionedClip(clip, index_clip(clip, encoder), question, text))
    return clips


class Answerer:
    """Asks the Video-LLM about chosen frames, each set of frames once."""

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


def measure_answers(clips: Sequence[QuestionedClip], model: VLM, *, budgets: Sequence[int]) -> list[Table]:
    """Question accuracy and hit@k for every selector; budgets beyond 3 only for the rows people compare."""
    right = Table("Drawn world: questions about short events", "answers right", _about(len(clips)))
    found = Table("Drawn world: the answer can be seen", "hit@k", _about(len(clips)))
    kinds = [Table(f"Drawn world: {kind}, of those questions", "answers right") for kind in KINDS]
    for seed, each in enumerate(clips):
        clip, question = each.clip, each.question
        picks = {
            (name, budget): each.index.seconds[choose(name, each.index, each.text, k=budget, seed=seed)]
            for name in ROWS
            for budget in (budgets if name in COMPARED else [3])
        }
        replies = Answerer(model, clip).answers(
            [(prompt("question", question=question.text), times.tolist()) for times in picks.values()]
        )
        scored = question_accuracy(replies, [question.answer] * len(replies))
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

    Where every text meets every clip the cost grows with their square: there half of the clips take part.
    """
    made = [
        random_clip(np.random.default_rng([UNSEEN_SEED, 7, i]), scenes=3, seconds=45, event=True)
        for i in range(clips)
    ]
    baseline, indexes = baseline_of(encoder), [index_clip(clip, encoder) for clip in made]
    captions = [
        (i, caption([SceneFrame(scene, (scene.start + scene.end) / 2)]))
        for i, clip in enumerate(made)
        for scene in clip.scenes
    ]
    rows = np.asarray(encoder.embed_texts([text for _, text in captions]), np.float64)
    written = _written(encoder, model, made, indexes, baseline)
    tables = []
    for setting, note in _SETTINGS.items():
        count = clips if setting == "leak-free" else max(2, clips // 2)
        few = [(i, text) for i, text in captions if i < count]
        owner = np.array([i for i, _ in few])
        queries = [EmbeddedText.of(row, baseline) for row in rows[: len(few)]]
        guides = _guides(setting, queries, owner, written, count)
        samples = [f"clip {i}: {text}" for i, text in few]
        table = Table(f"Drawn world: text-to-video retrieval, {setting}", "R@1", f"{count} clips. {note}")
        for row in [("uniform", 8), *((name, 3) for name in ROWS)]:
            if setting == "leak-free" or row[0] not in TEXT_FREE:  # no text moves those: one table has them
                rank_videos(table, row, indexes[:count], queries, owner, guides, samples)
        tables.append(table)
    return tables


def measure_actions(clips: Sequence[QuestionedClip], encoder: Encoder) -> list[Table]:
    """Zero-shot action classification by the encoder: the action of the short event, named by who does it."""
    names = list(ACTION_LABELS)
    labels = np.asarray(encoder.embed_texts([ACTION_LABELS[name] for name in names]), np.float64)
    table = Table("Drawn world: the action of the short event", "accuracy", _ACTIONS_NOTE)
    top5 = Table("Drawn world: the action of the short event, among the first five", "top-5", _ACTIONS_NOTE)
    for seed, each in enumerate(clips):
        assert each.clip.event is not None
        event, index = each.clip.scenes[each.clip.event], each.index
        who = f"a {event.subject} in {event.colour}"
        text = EmbeddedText.of(encoder.embed_texts([who])[0], each.text.baseline)
        fit, rows = index.similarity(text.whole), index.unit_embeddings
        for name in ROWS:
            picks = choose(name, index, text, k=3, seed=seed)
            # The frame that fits the person best is judged; which frames there are is the selector's part.
            best = picks[int(np.argmax(fit[picks]))]
            order = np.argsort(-(labels @ rows[best]), kind="stable")
            place = [names[i] for i in order].index(event.action)
            for into, most in ((table, 1), (top5, 5)):
                into.row(name, 3).add(f"clip {seed}: {who}", str(seed), place < most, index.seconds[picks])
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


def _written(
    encoder: Encoder,
    model: VLM,
    made: Sequence[Clip],
    indexes: Sequence[VideoIndex],
    baseline: NDArray[np.float64],
) -> list[EmbeddedText]:
    """The captions that the Video-LLM writes from frames chosen with no text, embedded."""
    texts = []
    for clip, index in zip(made, indexes, strict=True):
        seconds = index.seconds[choose("keyframe-llm no text", index, k=3)]
        texts += Answerer(model, clip).answers([(prompt("caption"), seconds.tolist())])
    return [embed_caption(encoder, text, baseline) for text in texts]


def _guides(
    setting: str,
    queries: Sequence[EmbeddedText],
    owner: NDArray[np.intp],
    written: Sequence[EmbeddedText],
    count: int,
) -> list[Sequence[EmbeddedText]]:
    """For each of the first videos the texts that choose its frames in a setting."""
    if setting == "per pair":
        return [queries] * count
    if setting == "leak-free":
        return [[written[v]] for v in range(count)]
    # In the paper's setting a video with three captions is indexed once, by its first.
    return [[queries[int(np.argmax(owner == v))]] for v in range(count)]


def _pictures(clip: Clip, times: NDArray[Any]) -> NDArray[np.uint8]:
    return np.stack([draw_frame(_shot(clip, float(second)), **_SIZE) for second in times])


def _shot(clip: Clip, second: float) -> SceneFrame:
    scene: Scene = clip.frame_at(second).scene
    return SceneFrame(scene, second)
