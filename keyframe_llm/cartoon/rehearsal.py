"""Many questions about one clip at once: what teaches the Video-LLM to look up, cheaply and many times over.

Everything asked of one clip stands behind the same frames, each question blind to the others, as if each were
asked alone.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from keyframe_llm.cartoon.language import ACTION_LABELS, caption, questions
from keyframe_llm.cartoon.samples import absent_scene
from keyframe_llm.cartoon.stock import Stock, compose
from keyframe_llm.cartoon.world import Shot
from keyframe_llm.prompting import prompt, time_label

__all__ = ["Rehearsal", "rehearsals"]

_QUESTIONS = 8
_ALONE = 0.15
"""Share of clips with a single scene, where there is little to look up."""


@dataclass(frozen=True, slots=True, eq=False)
class Rehearsal:
    """A batch of B clips with all that is asked of each, L tokens at most."""

    ids: NDArray[np.int64]
    """(B, L)"""
    labels: NDArray[np.int64]
    """(B, L), -100 where the assistant does not speak"""
    branch: NDArray[np.int64]
    """(B, L): 0 for the frames, 1, 2, … for each thing asked, -1 for padding"""
    aim: NDArray[np.int64]
    """(B, L): for every word of the assistant, the frames it tells of as bits: 1, 2, 4, 8; 0 where none"""
    seen: NDArray[np.int64]
    """(frames,) which drawn frame each image is, in the order of the batch"""


def _asked(rng: np.random.Generator, shots: Sequence[Shot]) -> list[tuple[str, str, list[int]]]:
    """All that is asked of a clip: its caption, its action, questions, and one about somebody absent.

    Each with the reply and the frames that it tells of, as bits; a caption's for every scene in turn.
    """
    bits: dict[float, int] = {}
    for i, shot in enumerate(shots):
        bits[shot.scene.start] = bits.get(shot.scene.start, 0) | 1 << i
    absent = absent_scene(rng, shots) if rng.random() < 0.7 else None
    every = questions(rng, shots, absent=absent)
    picked = every[:_QUESTIONS]
    rare = [q for q in every[_QUESTIONS:] if q.scene is None or q.other or q.text.startswith("when")]
    picked += rare[:4]
    asked = [(prompt("caption"), caption(shots), list(bits.values()))]
    if len({shot.scene.action for shot in shots}) == 1 and rng.random() < 0.2:
        asked.append((prompt("classify"), ACTION_LABELS[shots[0].scene.action], [0]))
    for question in picked:
        bare = rng.random() < 0.6
        text = question.text if bare else prompt("question", question=question.text)
        told = [bits[scene.start] for scene in (question.scene, question.other) if scene]
        asked.append((text, question.answer, [sum(told)]))
    return asked


def rehearsals(
    rng: np.random.Generator, count: int, stock: Stock, tokenizer: Any, image_tokens: int
) -> Rehearsal:
    """Make a batch of `count` clips, composed of the stock's frames."""
    image = "<|vision_start|>" + "<|image_pad|>" * image_tokens + "<|vision_end|>"
    rows: list[tuple[list[int], ...]] = []
    then = tokenizer.convert_tokens_to_ids("▁then")
    seen: list[int] = []
    for _ in range(count):
        shots, frames = compose(rng, stock, alone=_ALONE)
        seen += frames
        shown = "".join(time_label(shot.second) + image for shot in shots)
        ids = list(tokenizer("<|im_start|>user\n" + shown).input_ids)
        labels, branch, aim = [-100] * len(ids), [0] * len(ids), [0] * len(ids)
        for i, (text, reply, aims) in enumerate(_asked(rng, shots), 1):
            said = tokenizer(f"{text}<|im_end|>\n<|im_start|>assistant\n").input_ids
            replied = tokenizer(f"{reply}<|im_end|>").input_ids
            ids += said + replied
            labels += [-100] * len(said) + replied
            branch += [i] * (len(said) + len(replied))
            aim += [0] * len(said) + [aims[replied[:j].count(then)] for j in range(len(replied))]
        rows.append((ids, labels, branch, aim))
    width = max(len(row[0]) for row in rows)

    def filled(part: int, padding: int) -> NDArray[np.int64]:
        return np.array([row[part] + [padding] * (width - len(row[part])) for row in rows], np.int64)

    return Rehearsal(
        ids=filled(0, tokenizer.pad_token_id),
        labels=filled(1, -100),
        branch=filled(2, -1),
        aim=filled(3, 0),
        seen=np.array(seen, np.int64),
    )
