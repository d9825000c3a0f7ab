"""The whole way: video → key frames → caption, answer or action. The one file that knows all stages."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any, get_args

import numpy as np
from numpy.typing import NDArray

from keyframe_llm.classification import (
    By,
    Classification,
    action_templates,
    answered_label,
    embed_labels,
    encoder_shares,
    likelihood_shares,
)
from keyframe_llm.cost import SamplingCost, default_cost
from keyframe_llm.data import Selection
from keyframe_llm.encoders import Encoder
from keyframe_llm.errors import OptionsError
from keyframe_llm.index.selector import DEFAULT_ENCODER, Selector, VideoPath, video_key, with_overrides
from keyframe_llm.index.store import Store, model_identity
from keyframe_llm.labels import label_words, unique_labels
from keyframe_llm.messages.prompts import frame_messages, prompt
from keyframe_llm.options import SelectOptions
from keyframe_llm.proposals.sample import Progress
from keyframe_llm.vlm.transformers import VLM, Normalise, load_vlm

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
    default_sampling: SamplingCost | None = None
    """What the same prompt would cost with two frames a second; None where the length is not known."""

    def __str__(self) -> str:
        return self.text


class KeyframeLLM:
    """Chooses the key frames of videos and asks a Video-LLM about them.

    `model` and `encoder` are names or objects (see `load_vlm`, `load_encoder`); they are loaded when first
    needed, so selecting with no text loads neither. `options` hold for every call that does not override
    them by keyword. `progress(stage, share)` is told what goes on. `cache` keeps on disk, in the user's cache
    folder or a `Store` of yours, what the next question about a video can use: its proposals, embeddings
    and caption. `model_options` go to `load_vlm`.
    """

    def __init__(
        self,
        model: str | VLM = DEFAULT_MODEL,
        encoder: str | Encoder = DEFAULT_ENCODER,
        *,
        options: SelectOptions | None = None,
        progress: Progress | None = None,
        device: str | None = None,
        cache: bool | Store = True,
        **model_options: Any,
    ) -> None:
        self.options = options or SelectOptions()
        self._model, self._model_options = model, model_options
        self._loaded: VLM | None = None
        store = cache if isinstance(cache, Store) else Store() if cache else None
        self._selector = Selector(encoder, device=device, progress=progress, store=store)
        self._progress = self._selector.progress
        self._captions: dict[tuple[Any, ...], str] = {}
        self._embedded_labels: tuple[tuple[Any, ...], NDArray[np.float64]] | None = None

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
        return self._answer(question, text, selection, messages)

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
            self._answer(question, text, selection, messages)
            for question, text, (selection, messages) in zip(questions, texts, asked, strict=True)
        ]

    def classify(
        self,
        video: VideoPath,
        labels: Sequence[str],
        *,
        by: By = "model",
        caption: str | None = None,
        generate_caption: bool | None = None,
        normalise: Normalise = "mean",
        templates: Sequence[str] | None = None,
        **overrides: Any,
    ) -> Classification:
        """Zero-shot action classification of the key frames.

        `by` says who judges: `model`, the Video-LLM, by the likelihood of each label as its answer, the mean
        (or `normalise` sum) over the label's tokens; `answer`, the Video-LLM, by naming one label, which is
        all a server can do; `encoder`, by each label's cosine, in `templates`, with the mean of the frames:
        the paper's way. Labels may be a data set's own, `ApplyEyeMakeup` or `brush_hair`: models read their
        words. The frames are guided by the caption; where none is given the Video-LLM writes it, by default
        only if it judges. Raises `OptionsError` on fewer than two labels.
        """
        if by not in get_args(By):
            raise OptionsError(f"by is {by!r}; choose one of {', '.join(get_args(By))}")
        names = unique_labels(labels)
        words = label_words(names)
        write = by != "encoder" if generate_caption is None else generate_caption
        overrides = {"task": "classification", **overrides}
        selection = self.select(video, caption=caption, generate_caption=write, **overrides)
        self._progress("classify", 0.0)
        if by == "answer":
            label = answered_label(self.model, selection.frames, names, words)
            return Classification(label, {}, selection, self._name, by)
        if by == "encoder":
            rows = self._label_rows(words, templates)
            share = encoder_shares(self.encoder, selection.frames, rows)
        else:
            share = likelihood_shares(self.model, selection.frames, words, normalise)
        order = np.argsort(-share, kind="stable")
        probabilities = {names[i]: float(share[i]) for i in order}
        judge = self._selector.name if by == "encoder" else self._name
        return Classification(names[order[0]], probabilities, selection, judge, by)

    def _label_rows(self, words: list[str], templates: Sequence[str] | None) -> NDArray[np.float64]:
        """The labels' embeddings, kept for the next video with the same ones."""
        chosen = action_templates() if templates is None else list(templates)
        key = (*words, None, *chosen)
        if self._embedded_labels is None or self._embedded_labels[0] != key:
            self._embedded_labels = (key, embed_labels(self.encoder, words, chosen))
        return self._embedded_labels[1]

    @property
    def _name(self) -> str:
        return self._model if isinstance(self._model, str) else type(self._model).__name__

    def _answer(
        self, question: str, text: str, selection: Selection, messages: list[dict[str, Any]]
    ) -> Answer:
        prompt_tokens, visual_tokens = self.model.count_tokens(messages)
        cost = default_cost(
            selection.video,
            self.model,
            keyframes=len(selection.frames),
            prompt_tokens=prompt_tokens,
            visual_tokens=visual_tokens,
        )
        return Answer(question, text, selection, self._name, prompt_tokens, visual_tokens, cost)

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
            self._captions[key] = self._kept_caption(video, plain)
            while len(self._captions) > _REMEMBERED_CAPTIONS:
                self._captions.pop(next(iter(self._captions)))
        return self._captions[key]

    def _kept_caption(self, video: VideoPath, options: SelectOptions) -> str:
        """The caption an earlier run left on disk, or a new one, which is left there."""
        recall, identity = self._selector.recall, model_identity(self._model)
        from keyframe_llm.video.source import check_path  # loads FFmpeg

        path = check_path(video)
        stored = recall.key("caption", path, identity, options, prompt("caption")) if identity else None
        text = recall.text(stored)
        if text is None:
            text = self._describe(self._selector.select(video, options, expect_text=True))
            recall.keep_text(stored, text)
        return text


def _with_caption_time(selection: Selection, spent: float) -> Selection:
    timings = {**selection.timings, "caption": spent, "total": selection.timings["total"] + spent}
    return replace(selection, timings=timings)
