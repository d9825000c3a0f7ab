"""Packed batches for the Video-LLM: many conversations about each clip in one sequence.

Everything asked about a clip follows the same frames. Each conversation is a branch that sees the frames and
itself, but no other conversation, as if it stood alone. Most are one question; some continue.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from keyframe_llm.cartoon.train.frame_pool import FramePool, compose_clip
from keyframe_llm.cartoon.train.models import VISUAL_TOKENS
from keyframe_llm.cartoon.train.samples import absent_scene
from keyframe_llm.cartoon.train.tokenization import word_ids
from keyframe_llm.cartoon.world.language import ACTION_LABELS, CAPTION_REQUESTS, caption, naming_words
from keyframe_llm.cartoon.world.questions import Question, questions
from keyframe_llm.cartoon.world.scenes import COLOURS, SUBJECTS, SceneFrame
from keyframe_llm.messages.prompts import prompt, time_label

__all__ = ["NAMES_OTHER", "NAMES_PERSON", "PackedBatch", "pack_batch"]

NAMES_OTHER, NAMES_PERSON = 1, 2
"""Values of `PackedBatch.naming`: the word names a scene by action, place or thing; by its person."""
_QUESTIONS = 8
_MORE_QUESTIONS = 4
"""Questions beyond those eight, of kinds that only some clips allow."""
_RARE = ("when", "which way")
"""How questions of such kinds begin; those about two people or somebody absent belong to them."""
_CONTINUES = 0.3
"""Share of questions that continue another conversation."""
_SINGLE_SCENE = 0.15
"""Share of clips with one scene only, in which there is little to search."""


@dataclass(frozen=True, slots=True, eq=False)
class PackedBatch:
    """B clips with conversations about each: T tokens, one clip after the other."""

    ids: NDArray[np.int64]
    """(T,)"""
    clip: NDArray[np.int64]
    """(T,) index of the token's clip"""
    branch: NDArray[np.int64]
    """(T,) 0 for the frames of the clip, 1, 2, … for the conversations about them"""
    labels: NDArray[np.int64]
    """(T,) the token itself in a reply of the assistant, else -100"""
    target_frames: NDArray[np.int64]
    """(T,) in a reply, the frames that it is about as bits 1, 2, 4, 8; 0 where there are none"""
    turn: NDArray[np.int64]
    """(T,) index of the token's turn, counted over the batch: the frames of a clip, or a user's message with
    its reply"""
    naming: NDArray[np.int64]
    """(T,) `NAMES_PERSON` or `NAMES_OTHER` for words by which a question names its scene, else 0"""
    frames: NDArray[np.int64]
    """(frames,) index in the pool of every image of the batch, in order"""


@dataclass(frozen=True, slots=True)
class _Turn:
    """A message of the user and the one right reply."""

    text: str
    reply: str
    target_frames: list[int]
    """The frames that the reply is about, as bits; in a caption, those of each scene in turn"""


def pack_batch(rng: np.random.Generator, clips: int, pool: FramePool, tokenizer: Any) -> PackedBatch:
    """Compose clips of the pool's frames, and pack them with conversations about each."""
    packer = _Packer(tokenizer)
    indices: list[int] = []
    for clip in range(clips):
        frames, chosen = compose_clip(rng, pool, single_scene=_SINGLE_SCENE)
        indices += chosen
        packer.add_frames(clip, frames)
        for branch, turns in enumerate(_conversations(rng, frames), 1):
            packer.add_conversation(clip, branch, turns)
    return packer.batch(indices)


def _conversations(rng: np.random.Generator, frames: Sequence[SceneFrame]) -> list[list[_Turn]]:
    """Conversations about a clip: its caption, its action, questions, also about somebody absent."""
    bits = _frame_bits(frames)
    absent = absent_scene(rng, frames) if rng.random() < 0.7 else None
    every = questions(rng, frames, absent=absent)
    rare = [q for q in every[_QUESTIONS:] if q.scene is None or q.other or q.text.startswith(_RARE)]
    request = prompt("caption") if rng.random() < 0.75 else str(rng.choice(CAPTION_REQUESTS))
    conversations = [[_Turn(request, caption(frames), list(bits.values()))]]
    if len({frame.scene.action for frame in frames}) == 1 and rng.random() < 0.2:
        conversations.append([_Turn(prompt("classify"), ACTION_LABELS[frames[0].scene.action], [0])])
    for question in [*every[:_QUESTIONS], *rare[:_MORE_QUESTIONS]]:
        continues = rng.random() < _CONTINUES
        turn = _turn(question, bits, with_prompt=not (continues or rng.random() < 0.5))
        if continues:
            conversations[int(rng.integers(len(conversations)))].append(turn)
        else:
            conversations.append([turn])
    return conversations


def _frame_bits(frames: Sequence[SceneFrame]) -> dict[float, int]:
    """Start of every scene shown → its frames as bits."""
    bits: dict[float, int] = {}
    for i, frame in enumerate(frames):
        bits[frame.scene.start] = bits.get(frame.scene.start, 0) | 1 << i
    return bits


def _turn(question: Question, bits: dict[float, int], *, with_prompt: bool) -> _Turn:
    text = prompt("question", question=question.text) if with_prompt else question.text
    scenes = [scene for scene in (question.scene, question.other) if scene]
    return _Turn(text, question.answer, [sum(bits[scene.start] for scene in scenes)])


class _Packer:
    """Collects the tokens of a batch."""

    def __init__(self, tokenizer: Any) -> None:
        people = {*SUBJECTS, *COLOURS}
        words = sorted(naming_words())
        kinds = [NAMES_PERSON if word in people else NAMES_OTHER for word in words]
        self._tokenizer = tokenizer
        self._naming_kind = dict(zip(word_ids(tokenizer, words), kinds, strict=True))
        self._comma = tokenizer.convert_tokens_to_ids(",")
        self._columns: dict[str, list[int]] = {
            name: [] for name in ("ids", "clip", "branch", "labels", "target_frames", "turn", "naming")
        }
        self._turns = 0

    def add_frames(self, clip: int, frames: Sequence[SceneFrame]) -> None:
        """Add the beginning of the user's message: a time and an image for every frame."""
        image = "<|vision_start|>" + "<|image_pad|>" * VISUAL_TOKENS + "<|vision_end|>"
        shown = "".join(time_label(frame.second) + image for frame in frames)
        self._add(clip, 0, self._tokenizer("<|im_start|>user\n" + shown).input_ids)

    def add_conversation(self, clip: int, branch: int, turns: Sequence[_Turn]) -> None:
        """Add the rest of that message with its reply, and the turns that follow."""
        start = ""
        for turn in turns:
            message = self._tokenizer(f"{start}{turn.text}<|im_end|>\n<|im_start|>assistant\n").input_ids
            reply = self._tokenizer(f"{turn.reply}<|im_end|>").input_ids
            # A caption describes scene after scene, with a comma in front of each but the first.
            scenes = (reply[: i + 1].count(self._comma) for i in range(len(reply)))
            self._add(clip, branch, message, reply, [turn.target_frames[scene] for scene in scenes])
            start = "\n<|im_start|>user\n"

    def batch(self, indices: Sequence[int]) -> PackedBatch:
        """The batch, with these indices of frames in the pool."""
        columns = {name: np.array(column, np.int64) for name, column in self._columns.items()}
        return PackedBatch(**columns, frames=np.array(indices, np.int64))

    def _add(
        self,
        clip: int,
        branch: int,
        message: list[int],
        reply: Sequence[int] = (),
        target_frames: Sequence[int] = (),
    ) -> None:
        size, before = len(message) + len(reply), len(message)
        columns = self._columns
        columns["ids"] += [*message, *reply]
        columns["clip"] += [clip] * size
        columns["branch"] += [branch] * size
        columns["turn"] += [self._turns] * size
        columns["naming"] += [self._naming_kind.get(word, 0) for word in message] + [0] * len(reply)
        columns["labels"] += [-100] * before + [*reply]
        columns["target_frames"] += [0] * before + [*target_frames]
        self._turns += 1
