"""Zero-shot classification of key frames: by a Video-LLM's likelihoods, by its answer, or by an encoder.

Data sets write actions as `ApplyEyeMakeup` (UCF101), `brush_hair` (HMDB51) or `air drumming` (Kinetics).
Labels are taken, and given back, as they are; models are shown their words.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from keyframe_llm.arrays import unit_rows
from keyframe_llm.data import Frames
from keyframe_llm.encoders import Encoder
from keyframe_llm.errors import ModelError, OptionsError, shortened, user_path
from keyframe_llm.messages import Layout, laid_out
from keyframe_llm.prompts import Prompts
from keyframe_llm.selection import Selection
from keyframe_llm.vlm import VLM, Normalise

__all__ = [
    "By",
    "Classification",
    "answered_label",
    "embed_labels",
    "encoder_shares",
    "label_words",
    "likelihood_shares",
    "parse_labels",
    "ranked",
    "read_labels",
    "unique_labels",
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
    model: VLM,
    frames: Frames,
    words: Sequence[str],
    normalise: Normalise,
    prompts: Prompts,
    layout: Layout = "images",
) -> NDArray[np.float64]:
    """(L,) the softmax of each label's log-likelihood as the Video-LLM's answer; sums to 1."""
    messages = laid_out(frames, prompts.text("classify"), layout=layout, prompts=prompts)
    return _softmax(model.label_log_likelihoods(messages, words, normalise=normalise))


def answered_label(
    model: VLM,
    frames: Frames,
    labels: Sequence[str],
    words: Sequence[str],
    prompts: Prompts,
    layout: Layout = "images",
) -> str:
    """The label that the Video-LLM names when asked to choose one: for servers, which score no labels.

    An answer counts where it is a label, or holds exactly one (the longest of those that overlap). Raises
    `ModelError` on any other answer.
    """
    text = prompts.text("choose", labels="; ".join(words))
    messages = laid_out(frames, text, layout=layout, prompts=prompts)
    answer = model.generate(messages, max_new_tokens=32)
    found = [i for i, word in enumerate(words) if f" {_plain(word)} " in f" {_plain(answer)} "]
    found = [i for i in found if not any(_within(words[i], words[j]) for j in found if j != i)]
    if len(found) != 1:
        raise ModelError(
            f"the model answered {shortened(answer)}, which names {'several' if found else 'none'} of "
            f"the {len(labels)} labels; give fewer labels, another model, or classify by the encoder"
        )
    return labels[found[0]]


def embed_labels(encoder: Encoder, words: Sequence[str], templates: Sequence[str]) -> NDArray[np.float64]:
    """(L, D) unit rows: each label's mean over the templates. Raises `OptionsError` on one without `{}`."""
    if isinstance(templates, str) or not templates or not all("{}" in one for one in templates):
        raise OptionsError(f"templates are {templates!r}; give sentences that each hold {{}} for the label")
    texts = [template.replace("{}", word) for word in words for template in templates]
    rows = unit_rows(np.asarray(encoder.embed_texts(texts), np.float64))
    return unit_rows(rows.reshape(len(words), len(templates), -1).mean(axis=1))


def encoder_shares(encoder: Encoder, frames: Frames, label_rows: NDArray[np.float64]) -> NDArray[np.float64]:
    """(L,) the softmax of each label's cosine with the frames' mean embedding; sums to 1."""
    rows = unit_rows(np.asarray(encoder.embed_images(frames.images), np.float64))
    return _softmax(ENCODER_SCALE * (label_rows @ unit_rows(rows.mean(axis=0))))


# Labels ------------------------------------------------------------------------------------------------

_CAMEL = re.compile(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])")
_NUMBERED = re.compile(r"\d+[\s,;:\t]+(?=\S)")
_HEADERS = {"id,name", "index,label", "id,label", "label", "name"}


def ranked(
    labels: list[str], share: NDArray[np.float64], selection: Selection, judge: str, by: By
) -> Classification:
    """The result from (L,) probabilities of the labels; of equal ones the first is ahead."""
    order = np.argsort(-share, kind="stable")
    probabilities = {labels[i]: float(share[i]) for i in order}
    return Classification(labels[order[0]], probabilities, selection, judge, by)


def parse_labels(text: str) -> list[str]:
    """Labels of a command line: `walk,wave`, or `@file` for a file of them (see `read_labels`)."""
    return read_labels(text[1:]) if text.startswith("@") else unique_labels(text.split(","))


def read_labels(path: str | Path) -> list[str]:
    """Labels of a text file, one a line, in order, each once.

    A number before a label is left out, as in UCF101's `1 ApplyEyeMakeup` and Kinetics' `0,abseiling`; so are
    a heading line such as `id,name`, empty lines, and lines that begin with `#`. Raises `OptionsError` where
    the file cannot be read or holds fewer than two labels.
    """
    try:
        lines = user_path("labels", path).read_text(encoding="utf-8-sig").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise OptionsError(
            f"the labels {str(path)!r} cannot be read ({error}); give a text file, a label a line"
        ) from error
    kept = [line.strip() for line in lines if line.strip() and not line.lstrip().startswith("#")]
    if kept and kept[0].lower().replace(" ", "") in _HEADERS:
        del kept[0]
    if kept and all(_NUMBERED.match(line) for line in kept):
        kept = [_NUMBERED.sub("", line, count=1) for line in kept]
    return unique_labels([line.strip("\"' ") for line in kept])


def unique_labels(labels: Sequence[str]) -> list[str]:
    """The labels in order, each once, without blanks around; raises `OptionsError` on fewer than two."""
    names = [] if isinstance(labels, str) else list(dict.fromkeys(s.strip() for s in labels if s.strip()))
    if len(names) < 2:
        raise OptionsError(f"labels are {labels!r}; give at least two different ones")
    return names


def label_words(labels: Sequence[str]) -> list[str]:
    """The words of each label: `ApplyEyeMakeup` → `apply eye makeup`, `brush_hair` → `brush hair`.

    Where any of them is in CamelCase all of that list's single words are, `Archery` too; a run of capitals
    (`TV`) stays. Two labels that come to the same words keep their own spelling.
    """
    camel = any(re.fullmatch(r"[A-Z][A-Za-z0-9]*[a-z0-9][A-Z][A-Za-z0-9]*", label) for label in labels)
    words = [_words(label, camel) for label in labels]
    return [label if words.count(word) > 1 else word for label, word in zip(labels, words, strict=True)]


def _words(label: str, camel: bool) -> str:
    spaced = " ".join(label.replace("_", " ").split())
    if not camel or not re.fullmatch(r"[A-Za-z0-9]+", label):
        return spaced
    parts = _CAMEL.split(spaced)
    return " ".join(part if len(part) > 1 and part.isupper() else part.lower() for part in parts)


# Numbers and words -------------------------------------------------------------------------------------


def _softmax(values: NDArray[np.float64]) -> NDArray[np.float64]:
    share = np.exp(values - values.max())
    return np.asarray(share / share.sum())


def _plain(text: str) -> str:
    return " ".join(re.findall(r"[^\W_]+", text.lower()))


def _within(short: str, long: str) -> bool:
    return len(short) < len(long) and f" {_plain(short)} " in f" {_plain(long)} "
