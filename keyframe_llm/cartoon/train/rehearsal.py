"""Many conversations about one clip at once: what teaches the Video-LLM, cheaply and many times over.

Everything asked of one clip stands behind the same frames, each conversation blind to the others, as if each
were held alone. Most are a single question; some go on.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from keyframe_llm.cartoon.train.samples import absent_scene
from keyframe_llm.cartoon.train.stock import Stock, compose
from keyframe_llm.cartoon.world.language import (
    ACTION_LABELS,
    CAPTION_REQUESTS,
    caption,
    naming_words,
)
from keyframe_llm.cartoon.world.questions import Question, questions
from keyframe_llm.cartoon.world.scenes import COLOURS, SUBJECTS, SceneFrame
from keyframe_llm.messages.prompts import prompt, time_label

__all__ = ["ELSE", "PERSON", "Rehearsal", "rehearsals"]

ELSE, PERSON = 1, 2
"""How `Rehearsal.named` marks words that name a scene: by what is done, where, beside what; by its person."""
_QUESTIONS = 8
_RARE = ("when", "which way")
"""Questions asked of most clips beside those, as are the ones about two people or somebody absent."""
_GOES_ON = 0.3
"""Share of what is asked that follows on what was asked before it."""
_ALONE = 0.15
"""Share of clips with a single scene, where there is little to look up."""


@dataclass(frozen=True, slots=True, eq=False)
class Rehearsal:
    """A batch of clips with all that is asked of each: T tokens, one clip after the other."""

    ids: NDArray[np.int64]
    """(T,)"""
    row: NDArray[np.int64]
    """(T,) the clip that each token is of"""
    branch: NDArray[np.int64]
    """(T,): 0 for the frames, 1, 2, … for each conversation about them"""
    labels: NDArray[np.int64]
    """(T,): the token where the assistant speaks, else -100"""
    aim: NDArray[np.int64]
    """(T,): for every word of the assistant, the frames it tells of as bits: 1, 2, 4, 8; 0 where none"""
    part: NDArray[np.int64]
    """(T,) which part of the batch: the frames of a clip, or something said with its reply"""
    named: NDArray[np.int64]
    """(T,): for the words of a question that tell which scene it is about, `PERSON` or `ELSE`;
    0 for all others"""
    seen: NDArray[np.int64]
    """(frames,) which drawn frame each image is, in the order of the batch"""


@dataclass(frozen=True, slots=True)
class _Turn:
    """What the user says and the one right reply."""

    text: str
    reply: str
    aims: list[int]
    """The frames that the reply tells of, as bits; of a caption, those of every scene in turn"""


def _bits(shots: Sequence[SceneFrame]) -> dict[float, int]:
    """The frames of every scene as bits, by when it starts."""
    bits: dict[float, int] = {}
    for i, shot in enumerate(shots):
        bits[shot.scene.start] = bits.get(shot.scene.start, 0) | 1 << i
    return bits


def _turn(question: Question, bits: dict[float, int], *, bare: bool) -> _Turn:
    """A question as it is, or in the prompt's words."""
    text = question.text if bare else prompt("question", question=question.text)
    return _Turn(text, question.answer, [sum(bits[s.start] for s in (question.scene, question.other) if s)])


def _asked(rng: np.random.Generator, shots: Sequence[SceneFrame]) -> list[list[_Turn]]:
    """Make conversations of what is asked: the caption, the action, questions, also about somebody absent."""
    bits = _bits(shots)
    absent = absent_scene(rng, shots) if rng.random() < 0.7 else None
    every = questions(rng, shots, absent=absent)
    picked = every[:_QUESTIONS]
    rare = [q for q in every[_QUESTIONS:] if q.scene is None or q.other or q.text.startswith(_RARE)]
    picked += rare[:4]
    request = prompt("caption") if rng.random() < 0.75 else str(rng.choice(CAPTION_REQUESTS))
    talks = [[_Turn(request, caption(shots), list(bits.values()))]]
    if len({shot.scene.action for shot in shots}) == 1 and rng.random() < 0.2:
        talks.append([_Turn(prompt("classify"), ACTION_LABELS[shots[0].scene.action], [0])])
    for question in picked:
        goes_on = rng.random() < _GOES_ON
        turn = _turn(question, bits, bare=goes_on or rng.random() < 0.5)
        if goes_on:
            talks[int(rng.integers(len(talks)))].append(turn)
        else:
            talks.append([turn])
    return talks


def rehearsals(
    rng: np.random.Generator, count: int, stock: Stock, tokenizer: Any, image_tokens: int
) -> Rehearsal:
    """Make a batch of `count` clips, composed of the stock's frames."""
    image = "<|vision_start|>" + "<|image_pad|>" * image_tokens + "<|vision_end|>"
    comma = tokenizer.convert_tokens_to_ids(",")
    people = {*SUBJECTS, *COLOURS}
    naming = {
        tokenizer.convert_tokens_to_ids("▁" + word): PERSON if word in people else ELSE
        for word in naming_words()
    }
    ids: list[int] = []
    row: list[int] = []
    branch: list[int] = []
    labels: list[int] = []
    aim: list[int] = []
    part: list[int] = []
    named: list[int] = []
    seen: list[int] = []

    def add(
        clip: int, number: int, said: list[int], replied: Sequence[int] = (), aims: Sequence[int] = ()
    ) -> None:
        size = len(said) + len(replied)
        ids.extend([*said, *replied])
        row.extend([clip] * size)
        branch.extend([number] * size)
        part.extend([part[-1] + 1 if part else 0] * size)
        named.extend([naming.get(word, 0) for word in said] + [0] * len(replied))
        labels.extend([-100] * len(said) + [*replied])
        aim.extend([0] * len(said) + [*aims])

    for clip in range(count):
        shots, frames = compose(rng, stock, alone=_ALONE)
        seen += frames
        shown = "".join(time_label(shot.second) + image for shot in shots)
        add(clip, 0, tokenizer("<|im_start|>user\n" + shown).input_ids)
        for number, turns in enumerate(_asked(rng, shots), 1):
            again = ""
            for turn in turns:
                said = tokenizer(f"{again}{turn.text}<|im_end|>\n<|im_start|>assistant\n").input_ids
                replied = tokenizer(f"{turn.reply}<|im_end|>").input_ids
                scenes = (replied[: j + 1].count(comma) for j in range(len(replied)))
                add(clip, number, said, replied, [turn.aims[scene] for scene in scenes])
                again = "\n<|im_start|>user\n"
    whole = (ids, row, branch, labels, aim, part, named, seen)
    return Rehearsal(*(np.array(numbers, np.int64) for numbers in whole))
