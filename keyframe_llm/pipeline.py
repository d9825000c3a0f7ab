"""The whole way: video → key frames → caption, answer or action. The one file that knows all stages."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from keyframe_llm.data import Selection
from keyframe_llm.encoders import Encoder
from keyframe_llm.errors import OptionsError
from keyframe_llm.options import SelectOptions
from keyframe_llm.prompting import frame_messages, prompt
from keyframe_llm.sampling import Progress
from keyframe_llm.selector import DEFAULT_ENCODER, Selector, VideoPath, video_key, with_overrides
from keyframe_llm.vlm import VLM, load_vlm

__all__ = ["DEFAULT_ENCODER", "DEFAULT_MODEL", "Answer", "Caption", "Classification", "KeyframeLLM"]

DEFAULT_MODEL = "Qwen/Qwen2.5-VL-7B-Instruct"

_REMEMBERED_CAPTIONS = 64


@dataclass(frozen=True, slots=True, eq=False)
class Caption:
    """What the model says a video shows, and the frames it said it from."""

    text: str
    selection: Selection

    def __str__(self) -> str:
        return self.text


@dataclass(frozen=True, slots=True, eq=False)
class Answer:
    """The answer to a question about a video, and the key frames it rests on."""

    question: str
    text: str
    selection: Selection
    model: str
    prompt_tokens: int
    visual_tokens: int

    def __str__(self) -> str:
        return self.text


@dataclass(frozen=True, slots=True, eq=False)
class Classification:
    """How likely each label is for a video, and the key frames that were judged."""

    label: str
    probabilities: dict[str, float]
    """Label → probability, most likely first; they sum to 1."""
    selection: Selection
    model: str

    def __str__(self) -> str:
        return self.label


class KeyframeLLM:
    """Chooses the key frames of videos and asks a Video-LLM about them.

    `model` and `encoder` are names or objects (see `load_vlm`, `load_encoder`); they are loaded when first
    needed, so selecting with no text loads neither. `options` hold for every call that does not override
    them by keyword. `progress(stage, share)` is told what goes on. `model_options` go to `load_vlm`.
    """

    def __init__(
        self,
        model: str | VLM = DEFAULT_MODEL,
        encoder: str | Encoder = DEFAULT_ENCODER,
        *,
        options: SelectOptions | None = None,
        progress: Progress | None = None,
        device: str | None = None,
        **model_options: Any,
    ) -> None:
        self.options = options or SelectOptions()
        self._model, self._model_options = model, model_options
        self._loaded: VLM | None = None
        self._selector = Selector(encoder, device=device, progress=progress)
        self._progress = self._selector.progress
        self._captions: dict[tuple[Any, ...], str] = {}

    @property
    def model(self) -> VLM:
        """The Video-LLM, loaded on first use; raises `ModelError` where it cannot be had."""
        if self._loaded is None:
            self._loaded = load_vlm(self._model, **self._model_options)
        return self._loaded

    @property
    def encoder(self) -> Encoder:
        """The image-text encoder, loaded on first use; raises `ModelError` where it cannot be had."""
        return self._selector.encoder

    def select(
        self,
        video: VideoPath,
        *,
        caption: str | None = None,
        question: str | None = None,
        generate_caption: bool = False,
        expect_text: bool = False,
        **overrides: Any,
    ) -> Selection:
        """Choose at most `max_frames` key frames, guided by the texts there are.

        `generate_caption` has the Video-LLM write the caption that is missing: where there is no text at all,
        or where `guide` wants a caption beside the question. Without it and without a text, the frames that
        represent the video best by their colours are taken and no model is loaded. `expect_text` keeps what a
        later text will need, so that the video is not decoded again for it. `overrides` are fields of
        `SelectOptions`. Raises `VideoError`, `ModelError`, `OptionsError`.
        """
        options = with_overrides(self.options, overrides)
        wanted = question is None or options.guide in ("caption", "both")
        if not (generate_caption and caption is None and wanted):
            return self._selector.select(
                video, options, caption=caption, question=question, expect_text=expect_text
            )
        began = time.perf_counter()
        text = self._written_caption(video, options)
        spent = time.perf_counter() - began
        selection = self._selector.select(
            video, options, caption=text, caption_source="generated", question=question
        )
        return _with_caption_time(selection, spent)

    def caption(self, video: VideoPath, **overrides: Any) -> Caption:
        """Have the Video-LLM describe the video in one sentence, from frames chosen without a text."""
        selection = self._selector.select(video, with_overrides(self.options, overrides))
        began = time.perf_counter()
        text = self._describe(selection)
        told = _with_caption_time(selection, time.perf_counter() - began)
        return Caption(text, replace(told, caption=text, caption_source="generated"))

    def ask(
        self,
        video: VideoPath,
        question: str,
        *,
        caption: str | None = None,
        max_new_tokens: int = 128,
        **overrides: Any,
    ) -> Answer:
        """Answer a question from the key frames chosen for it."""
        selection, messages = self._asked(video, question, caption, overrides)
        self._progress("answer", 0.0)
        text = self.model.generate(messages, max_new_tokens=max_new_tokens)
        prompt_tokens, visual_tokens = self.model.count_tokens(messages)
        return Answer(question, text, selection, self._name, prompt_tokens, visual_tokens)

    def stream(
        self,
        video: VideoPath,
        question: str,
        *,
        caption: str | None = None,
        max_new_tokens: int = 128,
        **overrides: Any,
    ) -> tuple[Selection, Iterator[str]]:
        """Return the key frames at once and the answer piece by piece."""
        selection, messages = self._asked(video, question, caption, overrides)
        return selection, self.model.stream(messages, max_new_tokens=max_new_tokens)

    def ask_many(self, video: VideoPath, questions: Sequence[str], **overrides: Any) -> list[Answer]:
        """Answer several questions about one video, looked at once, in one batch."""
        asked = [self._asked(video, question, None, overrides) for question in questions]
        texts = self.model.generate_batch([messages for _, messages in asked])
        return [
            Answer(question, text, selection, self._name, *self.model.count_tokens(messages))
            for question, text, (selection, messages) in zip(questions, texts, asked, strict=True)
        ]

    def classify(
        self, video: VideoPath, labels: Sequence[str], *, caption: str | None = None, **overrides: Any
    ) -> Classification:
        """Zero-shot action classification: which label the Video-LLM finds likeliest for the key frames.

        The frames are guided by the caption, written by the model where none is given. Probabilities are the
        softmax of the labels' log-likelihoods, mean over each label's tokens. Raises `OptionsError` on fewer
        than two labels.
        """
        names = _labels(labels)
        overrides = {"task": "classification", **overrides}
        selection = self.select(video, caption=caption, generate_caption=True, **overrides)
        messages = frame_messages(selection.frames, prompt("classify"))
        self._progress("classify", 0.0)
        likely = self.model.label_log_likelihoods(messages, names)
        share = np.exp(likely - likely.max())
        share /= share.sum()
        order = np.argsort(-share, kind="stable")
        probabilities = {names[i]: float(share[i]) for i in order}
        return Classification(names[order[0]], probabilities, selection, self._name)

    @property
    def _name(self) -> str:
        return self._model if isinstance(self._model, str) else type(self._model).__name__

    def _asked(
        self, video: VideoPath, question: str, caption: str | None, overrides: dict[str, Any]
    ) -> tuple[Selection, list[dict[str, Any]]]:
        if not question.strip():
            raise OptionsError("the question is empty; ask something about the video")
        selection = self.select(video, caption=caption, question=question, generate_caption=True, **overrides)
        return selection, frame_messages(selection.frames, prompt("question", question=question.strip()))

    def _describe(self, selection: Selection) -> str:
        self._progress("caption", 0.0)
        return self.model.generate(frame_messages(selection.frames, prompt("caption")), max_new_tokens=64)

    def _written_caption(self, video: VideoPath, options: SelectOptions) -> str:
        """Return the model's caption of a video, written once."""
        key = (*video_key(video, options), options.max_frames)
        if key not in self._captions:
            plain = replace(options, guide="auto", task=None, threshold=None, exclude_seconds=())
            self._captions[key] = self._describe(self._selector.select(video, plain, expect_text=True))
            while len(self._captions) > _REMEMBERED_CAPTIONS:
                self._captions.pop(next(iter(self._captions)))
        return self._captions[key]


def _with_caption_time(selection: Selection, spent: float) -> Selection:
    timings = {**selection.timings, "caption": spent, "total": selection.timings["total"] + spent}
    return replace(selection, timings=timings)


def _labels(labels: Sequence[str]) -> list[str]:
    names = list(dict.fromkeys(label.strip() for label in labels if label.strip()))
    if isinstance(labels, str) or len(names) < 2:
        raise OptionsError(f"labels are {labels!r}; give at least two different ones")
    return names
