"""Questions of order: is the scene after or before the one that is named, or at an end, among the key frames?

Each question is asked twice of the same index: as a whole text, and with its order words read (`read_order`).
The rule was chosen on the first drawn clips and the first half of the real ones; the others report it.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from keyframe_llm.cartoon.world.language import ACTION_PHRASES, person_phrase
from keyframe_llm.cartoon.world.scenes import UNSEEN_SEED, Clip, Scene
from keyframe_llm.encoders import Encoder
from keyframe_llm.evaluation.drawn import Answerer, drawn_clip, index_clip
from keyframe_llm.evaluation.joined import STRIDE_SECONDS, cut_of, put_together, sampled_clips, subjects
from keyframe_llm.evaluation.results import Table
from keyframe_llm.evaluation.selectors import proposed
from keyframe_llm.index import VideoIndex
from keyframe_llm.index.reserve import closer
from keyframe_llm.messages import prompt
from keyframe_llm.options import SelectOptions
from keyframe_llm.prompts import default_prompts
from keyframe_llm.scoring.baseline import text_baseline
from keyframe_llm.scoring.order import read_order
from keyframe_llm.scoring.queries import Query, question_parts
from keyframe_llm.scoring.selectors import choose_frames, propose_options
from keyframe_llm.vlm import VLM

__all__ = ["OrderQuestion", "measure_drawn_order", "measure_joined_order", "order_questions"]

_PARTS = (("chosen on", 1000), ("reported", 3000))
"""Drawn clips, and the seed of the first."""
_HALVES = (("chosen on", "first"), ("reported", "second"))
_CLIPS_OF_A_VIDEO = 8
_K = 3
_ROWS = ("whole text", "order words")


@dataclass(frozen=True, slots=True)
class OrderQuestion:
    """A question of order about a drawn clip, and the scene that answers it."""

    kind: str
    text: str
    answer: Scene


def order_questions(clip: Clip, seed: int) -> list[OrderQuestion]:
    """One question of each kind; the scene named is of somebody who is in the clip once."""
    rng, scenes = np.random.default_rng([UNSEEN_SEED, 9, seed]), clip.scenes
    people = [(scene.subject, scene.colour) for scene in scenes]
    once = [i for i in range(1, len(scenes) - 1) if people.count(people[i]) == 1]

    def named() -> int:
        return once[int(rng.integers(len(once)))]

    def one(among: Sequence[Scene], but: Scene) -> Scene:
        others = [scene for scene in among if scene.subject != but.subject] or list(among)
        return others[int(rng.integers(len(others)))]

    i, j, of_after, of_before = named(), named(), named(), named()
    after, before = scenes[of_after + 1 :], scenes[:of_before]
    later, earlier = one(after, scenes[of_after]), one(before, scenes[of_before])
    whose = scenes[int(rng.integers(len(scenes)))].subject
    theirs = [scene for scene in scenes if scene.subject == whose]
    who = person_phrase(later, "the")
    return [
        OrderQuestion("after", f"what happens after {_clause(scenes[i])}?", scenes[i + 1]),
        OrderQuestion("before", f"what happens before {_clause(scenes[j])}?", scenes[j - 1]),
        OrderQuestion(
            "after, a person",
            f"what does {who} do after {_clause(scenes[of_after])}?",
            next(scene for scene in after if person_phrase(scene, "the") == who),
        ),
        OrderQuestion(
            "before, one of a kind",
            f"what does the {earlier.subject} do before {_clause(scenes[of_before])}?",
            next(scene for scene in reversed(before) if scene.subject == earlier.subject),
        ),
        OrderQuestion("first", "what happens first?", scenes[0]),
        OrderQuestion("at the end", "what happens at the end?", scenes[-1]),
        OrderQuestion("first, one of a kind", f"what does the {whose} do first?", theirs[0]),
        OrderQuestion("at the end, one of a kind", f"what does the {whose} do at the end?", theirs[-1]),
    ]


def measure_drawn_order(encoder: Encoder, model: VLM, *, clips: int) -> list[Table]:
    """Whether the answer's scene is among three key frames, and whether a caption of those tells of it."""
    asker, tables = _Asker(encoder), []
    for part, first in _PARTS:
        shown = Table(f"Drawn world: questions of order, {part}", "the scene is shown", _DRAWN_NOTE)
        told = Table(f"Drawn world: captions for questions of order, {part}", "tells of it", _CAPTION_NOTE)
        for seed in range(first, first + clips):
            clip, _ = drawn_clip(seed)
            index, answerer = index_clip(clip, encoder), Answerer(model, clip)
            for question in order_questions(clip, seed):
                for row, times in zip(_ROWS, asker.seconds(index, question.text), strict=True):
                    scenes = [clip.frame_at(float(second)).scene for second in times]
                    [caption] = answerer.answers([(prompt("caption"), times.tolist())])
                    answer = f"{person_phrase(question.answer, 'a')} {ACTION_PHRASES[question.answer.action]}"
                    sample = f"clip {seed}: {question.text}", str(seed)
                    for kind in ("all", question.kind):
                        shown.row(f"{kind}: {row}", _K).add(*sample, question.answer in scenes, times)
                        told.row(f"{kind}: {row}", _K).add(*sample, answer in caption, times)
        tables += [shown, told]
    return tables


def measure_joined_order(root: Path, encoder: Encoder, *, joins: int) -> list[Table]:
    """Whether the clip after, or before, the one whose caption is asked of is among three key frames."""
    listed, asker = subjects(), _Asker(encoder)
    clips = sampled_clips(root, [moment[0] for one in listed for moment in one["moments"]], encoder)
    tables = []
    for part, half in _HALVES:
        table = Table(f"Real footage: questions of order, {part}", "the clip is shown", _JOINED_NOTE)
        for seed in range(joins):
            index, shown = _joined(clips, half, seed)
            for side, caption, (start, end) in _sides(shown, seed):
                text = f"what happens {side} {caption.rstrip('.')}?"
                if read_order(text, is_question=True) is None:
                    continue  # a caption with such a word of its own: "a woman before a board"
                for row, times in zip(_ROWS, asker.seconds(index, text), strict=True):
                    hit = bool(np.any((times >= start) & (times < end)))
                    for kind in ("all", side):
                        table.row(f"{kind}: {row}", _K).add(f"join {seed}: {text}", caption, hit, times)
        tables.append(table)
    return tables


class _Asker:
    """Chooses frames for a question as the package does, without its order words and with them."""

    def __init__(self, encoder: Encoder) -> None:
        self._encoder = encoder
        self._neutral = np.asarray(encoder.embed_texts(list(default_prompts().lines("neutral"))))

    def seconds(self, index: VideoIndex, text: str) -> list[NDArray[np.float64]]:
        """The times of the key frames, for each of the two ways."""
        order, parts = read_order(text, is_question=True), question_parts(text)
        assert order is not None, text
        rows = np.asarray(self._encoder.embed_texts([*parts, *order.texts]), np.float64)
        baseline, options = text_baseline(self._neutral), SelectOptions(max_frames=_K)
        every = Query(rows, baseline, "question", self._neutral)
        whole = Query(rows[: len(parts)], baseline, "question", self._neutral)
        found = []
        for query in (whole, every.ordered(order)):
            among = closer(proposed(index, propose_options(options)), query, options)
            choice = choose_frames(among, query, options)
            found.append(choice.candidates.seconds[choice.chosen])
        return found


def _clause(scene: Scene) -> str:
    return f"{person_phrase(scene, 'the')} {ACTION_PHRASES[scene.action]}"


_Shown = list[tuple[Sequence[str], tuple[float, float]]]
"""The captions of each clip of a joined video, and when it is shown."""


def _joined(clips: dict[str, VideoIndex], half: str, seed: int) -> tuple[VideoIndex, _Shown]:
    """Cuts of 2–8 s of eight subjects of a half, each once."""
    rng = np.random.default_rng([17, seed])
    cast = [one for one in subjects() if one["half"] == half and one["captions"]]
    parts: list[tuple[str, NDArray[np.intp]]] = []
    shown: _Shown = []
    now = 0.0
    for i in rng.permutation(len(cast))[:_CLIPS_OF_A_VIDEO]:
        name, start, end = cast[i]["moments"][int(rng.integers(len(cast[i]["moments"])))]
        cut = cut_of(rng, clips[name].seconds, start, end)
        parts.append((name, cut))
        shown.append((cast[i]["captions"], (now, now + STRIDE_SECONDS * len(cut))))
        now += STRIDE_SECONDS * len(cut)
    return put_together(clips, parts), shown


def _sides(shown: _Shown, seed: int) -> Iterator[tuple[str, str, tuple[float, float]]]:
    """After or before, a caption of each clip that has one on that side, and when the answer is shown."""
    for side, step in (("after", 1), ("before", -1)):
        for i, (captions, _) in enumerate(shown):
            if 0 <= i + step < len(shown):
                yield side, captions[seed % len(captions)], shown[i + step][1]


_DRAWN_NOTE = (
    "Clips of 60–180 s with 8–20 scenes, three frames of each. Once the question as a whole chooses, once "
    "its order words are read. Intervals draw clips."
)
_CAPTION_NOTE = (
    "The embedded Video-LLM was not taught such questions. It is asked for a caption of the three frames; a "
    "right one names the person and the action of the answer."
)
_JOINED_NOTE = (
    "Joined videos of eight cuts of 2–8 s, each of another subject. Once the question as a whole chooses, "
    "once its order words are read. Intervals draw captions, each with all its videos."
)
