"""Zero-shot classification of key frames: by a Video-LLM's likelihoods, by its answer, or by an encoder."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from importlib import resources
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from keyframe_llm.data import Frames, Selection
from keyframe_llm.encoders import Encoder
from keyframe_llm.errors import ModelError, OptionsError
from keyframe_llm.messages.prompts import frame_messages, prompt
from keyframe_llm.vlm.transformers import VLM, Normalise

__all__ = [
    "By",
    "Classification",
    "action_templates",
    "answered_label",
    "embed_labels",
    "encoder_shares",
    "likelihood_shares",
]

By = Literal["model", "answer", "encoder"]

ENCODER_SCALE = 100.0
"""What cosines are multiplied by before the softmax: CLIP's and, nearly, SigLIP's learned scale."""


@dataclass(frozen=True, slots=True, eq=False)
class Classification:
    """Which label a video was given, how likely each is, and the key frames that were judged."""

    label: str
    probabilities: dict[str, float]
    """Label → probability, most likely first; they sum to 1. Empty where a model only named its choice."""
    selection: Selection
    model: str
    """Which model judged: the Video-LLM, or the encoder."""
    by: By = "model"

    def __str__(self) -> str:
        return self.label

    def top(self, k: int = 5) -> list[tuple[str, float]]:
        """The k likeliest labels with their probabilities, most likely first."""
        return list(self.probabilities.items())[:k]


def likelihood_shares(
    model: VLM, frames: Frames, words: Sequence[str], normalise: Normalise
) -> NDArray[np.float64]:
    """(L,) the softmax of each label's log-likelihood as the Video-LLM's answer; sums to 1."""
    messages = frame_messages(frames, prompt("classify"))
    return _softmax(model.label_log_likelihoods(messages, words, normalise=normalise))


def answered_label(model: VLM, frames: Frames, labels: Sequence[str], words: Sequence[str]) -> str:
    """The label that the Video-LLM names when asked to choose one: for servers, which score no labels.

    An answer counts where it is a label, or holds exactly one (the longest of those that overlap). Raises
    `ModelError` on any other answer.
    """
    asked = prompt("choose", labels="; ".join(words))
    said = model.generate(frame_messages(frames, asked), max_new_tokens=32)
    plain = _plain(said)
    found = [i for i, word in enumerate(words) if f" {_plain(word)} " in f" {plain} "]
    found = [i for i in found if not any(_within(words[i], words[j]) for j in found if j != i)]
    if len(found) != 1:
        raise ModelError(
            f"the model answered {said[:80]!r}, which names {'none' if not found else 'several'} of the "
            f"{len(labels)} labels; give fewer labels, another model, or classify by the encoder"
        )
    return labels[found[0]]


def action_templates() -> list[str]:
    """The sentences of `prompts/action_templates.txt`, where `{}` stands for the label's words."""
    folder = resources.files("keyframe_llm.prompts")
    return (folder / "action_templates.txt").read_text(encoding="utf-8").splitlines()


def embed_labels(encoder: Encoder, words: Sequence[str], templates: Sequence[str]) -> NDArray[np.float64]:
    """(L, D) unit rows: each label's mean over the templates. Raises `OptionsError` on one without `{}`."""
    if isinstance(templates, str) or not templates or not all("{}" in one for one in templates):
        raise OptionsError(f"templates are {templates!r}; give sentences that each hold {{}} for the label")
    texts = [template.replace("{}", word) for word in words for template in templates]
    rows = _unit(np.asarray(encoder.embed_texts(texts), np.float64))
    return _unit(rows.reshape(len(words), len(templates), -1).mean(axis=1))


def encoder_shares(encoder: Encoder, frames: Frames, label_rows: NDArray[np.float64]) -> NDArray[np.float64]:
    """(L,) the softmax of each label's cosine with the frames' mean embedding; sums to 1."""
    rows = _unit(np.asarray(encoder.embed_images(frames.images), np.float64))
    return _softmax(ENCODER_SCALE * (label_rows @ _unit(rows.mean(axis=0))))


def _softmax(values: NDArray[np.float64]) -> NDArray[np.float64]:
    share = np.exp(values - values.max())
    return np.asarray(share / share.sum())


def _unit(rows: NDArray[np.float64]) -> NDArray[np.float64]:
    length = np.linalg.norm(rows, axis=-1, keepdims=True)
    return np.asarray(np.divide(rows, np.where(length > 0, length, 1.0)))


def _plain(text: str) -> str:
    return " ".join(re.findall(r"[^\W_]+", text.lower()))


def _within(short: str, long: str) -> bool:
    return len(short) < len(long) and f" {_plain(short)} " in f" {_plain(long)} "
