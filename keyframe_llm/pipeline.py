"""The whole way: video → key frames → caption, answer or action. The one file that knows all stages."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from dataclasses import replace
from os import PathLike
from threading import Lock
from typing import Any, get_args

import numpy as np
from numpy.typing import NDArray

from keyframe_llm.answers import Answer, Caption, answered, with_caption_time, with_warnings
from keyframe_llm.captions import KeptCaptions, without_text
from keyframe_llm.cartoon import world_warnings
from keyframe_llm.classification import (
    By,
    Classification,
    answered_label,
    embed_labels,
    encoder_shares,
    label_words,
    likelihood_shares,
    ranked,
    unique_labels,
)
from keyframe_llm.cost import (
    PictureTokens,
    PromptCost,
    prompt_cost,
    tokens_of_pictures,
)
from keyframe_llm.data import Progress
from keyframe_llm.encoders import DEFAULT_ENCODER, Encoder, default_encoder
from keyframe_llm.errors import OptionsError
from keyframe_llm.index import Indexer, Store, VideoIndex
from keyframe_llm.index.shortcuts import opened_prompts, opened_store
from keyframe_llm.messages import Layout, Messages, laid_out
from keyframe_llm.messages.sheet import checked_layout
from keyframe_llm.options import SelectOptions
from keyframe_llm.prompts import Prompts, default_prompts
from keyframe_llm.scoring.queries import checked_text
from keyframe_llm.selection import Selection
from keyframe_llm.video import VideoInput, VideoSource, as_source
from keyframe_llm.vlm import DEFAULT_MODEL, VLM, Normalise, load_vlm
from keyframe_llm.vlm.counting import TokenCounter, token_counter
from keyframe_llm.vlm.load import check_options

__all__ = ["DEFAULT_ENCODER", "DEFAULT_MODEL", "Answer", "Caption", "Classification", "KeyframeLLM"]

_CAPTION_TOKENS = 64


class KeyframeLLM:
    """Chooses the key frames of videos and asks a Video-LLM about them.

    Several threads may share one: models are loaded once, and every video is indexed once.
    """

    def __init__(
        self,
        model: str | VLM = DEFAULT_MODEL,
        encoder: str | Encoder | None = None,
        *,
        options: SelectOptions | None = None,
        progress: Progress | None = None,
        device: str | None = None,
        cache: bool | Store = True,
        prompts: str | PathLike[str] | Prompts | None = None,
        layout: Layout = "images",
        indexer: Indexer | None = None,
        **model_options: Any,
    ) -> None:
        """`model` and `encoder` are names or objects (see `load_vlm`, `load_encoder`).

        They are loaded when first needed, so selecting with no text loads neither. Without an `encoder` the
        default one is taken (see `default_encoder`). `device` is where both run. `options` hold for every
        call that does not override them by keyword. `progress(stage, share)` is called as the work goes on.
        `cache` keeps on disk, in the user's cache folder or a `Store` of one's own, what the next question
        about a video can use: its index, embeddings and caption. `prompts` is a folder of prompts of one's
        own. `layout` is how the model is shown key frames: `images`, or all on one `sheet`, for models and
        servers that take a single picture. `indexer`, where there is one already, stands for `encoder`,
        `progress` and `cache`. `model_options` go to `load_vlm`.
        """
        self.options = options or SelectOptions()
        self.prompts = opened_prompts(prompts) or default_prompts()
        self.layout = checked_layout(layout)
        check_options(model, model_options, layout)
        self._model, self._model_options, self._device = model, model_options, device
        self._loaded: VLM | None = None
        self._counter: tuple[TokenCounter | None] | None = None
        self.indexer = indexer or Indexer(
            encoder if encoder is not None else default_encoder(model),
            device=device,
            progress=progress,
            store=opened_store(cache),
            prompts=self.prompts,
        )
        self._captions = KeptCaptions(self.indexer.cache, model, self.layout, self.prompts, model_options)
        self._label_rows: tuple[tuple[str, ...], NDArray[np.float64]] | None = None
        self._load_lock, self._lock = Lock(), Lock()

    @property
    def model(self) -> VLM:
        """The Video-LLM, loaded on first use; raises `ModelError` where it cannot be had."""
        with self._load_lock:
            if self._loaded is None:
                self._loaded = load_vlm(self._model, device=self._device, **self._model_options)
            return self._loaded

    @property
    def counter(self) -> TokenCounter | None:
        """What counts prompts for the Video-LLM without its weights; None where nothing on this machine does.

        Raises `ModelError` where a local model's processor cannot be had.
        """
        with self._load_lock:
            if self._counter is None:
                source, options = self._loaded or self._model, self._model_options
                self._counter = (token_counter(source, **({} if self._loaded else options)),)
            return self._counter[0]

    @property
    def model_name(self) -> str:
        """What the Video-LLM is called: its name, or the kind of object it is."""
        if isinstance(self._model, str):
            return self._model
        name = getattr(self._model, "name", None)
        return name if isinstance(name, str) else type(self._model).__name__

    @property
    def encoder(self) -> Encoder:
        """The image-text encoder, loaded on first use; raises `ModelError` where it cannot be had."""
        return self.indexer.embedder.encoder

    def index(self, video: VideoInput, *, embed: bool = True, **overrides: Any) -> VideoIndex:
        """What is known of a video without any question; kept for every later call about it.

        `embed` has the encoder embed its candidates. `overrides` are fields of `SelectOptions`.
        """
        return self.indexer.index(video, self.options.replaced(**overrides), embed=embed)

    def select(
        self,
        video: VideoInput,
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
        video = as_source(video, self.indexer.progress)
        options = self.options.replaced(**overrides)
        caption, question = checked_text("caption", caption), checked_text("question", question)
        wanted = question is None or options.score.guide in ("caption", "both")
        if not (generate_caption and caption is None and wanted):
            return self._selected(video, options, caption=caption, question=question, expect_text=expect_text)
        began = time.perf_counter()
        text = self._written_caption(video, without_text(options))
        spent = time.perf_counter() - began
        selection = self._selected(
            video, options, caption=text, caption_source="generated", question=question
        )
        return self._warned(with_caption_time(selection, spent), video)

    def caption(self, video: VideoInput, **overrides: Any) -> Caption:
        """Have the Video-LLM describe the video in one sentence, from frames chosen without a text."""
        video = as_source(video, self.indexer.progress)
        options = self.options.replaced(**overrides)
        selection = self._selected(video, options, with_words=True)
        began = time.perf_counter()
        text = self._written_caption(video, options, selection)
        selection = with_caption_time(selection, time.perf_counter() - began)
        selection = replace(selection, caption=text, caption_source="generated")
        return Caption(text, self._warned(selection, video))

    def ask(
        self,
        video: VideoInput,
        question: str,
        *,
        caption: str | None = None,
        max_new_tokens: int = 128,
        **overrides: Any,
    ) -> Answer:
        """Answer a question from the key frames chosen for it."""
        selection, messages = self._prompted(video, question, caption, overrides)
        self.indexer.progress("answer", 0.0)
        text = self.model.generate(messages, max_new_tokens=max_new_tokens)
        return self._answer(question, text, selection, messages)

    def stream(
        self,
        video: VideoInput,
        question: str,
        *,
        caption: str | None = None,
        max_new_tokens: int = 128,
        **overrides: Any,
    ) -> tuple[Selection, Iterator[str]]:
        """Return the key frames at once and the answer piece by piece."""
        selection, messages = self._prompted(video, question, caption, overrides)
        return selection, self.model.stream(messages, max_new_tokens=max_new_tokens)

    def ask_many(
        self,
        video: VideoInput,
        questions: Sequence[str],
        *,
        caption: str | None = None,
        max_new_tokens: int = 128,
        **overrides: Any,
    ) -> list[Answer]:
        """Answer several questions about one video, indexed once, in one batch."""
        video = as_source(video, self.indexer.progress)
        prompted = [self._prompted(video, question, caption, overrides) for question in questions]
        conversations = [messages for _, messages in prompted]
        texts = self.model.generate_batch(conversations, max_new_tokens=max_new_tokens)
        return [
            self._answer(question, text, selection, messages)
            for question, text, (selection, messages) in zip(questions, texts, prompted, strict=True)
        ]

    def cost(
        self,
        video: VideoInput,
        question: str,
        *,
        caption: str | None = None,
        price_per_million: float | None = None,
        **overrides: Any,
    ) -> tuple[Selection, PromptCost]:
        """The key frames that `ask` would show, and what its prompt costs; the Video-LLM is not asked.

        Neither are its weights loaded nor a server called: a served model's tokens are known where the
        processor of that name is on this machine. `price_per_million` is the price of a million prompt
        tokens. Raises `OptionsError` where the options want a caption that the Video-LLM would have to write.
        """
        guide = self.options.replaced(**overrides).score.guide
        if caption is None and guide in ("caption", "both"):
            raise OptionsError(f"guide is {guide!r} and no caption is given; a dry run writes none: give one")
        selection, messages = self._prompted(video, question, caption, overrides)
        cost = prompt_cost(
            selection.video,
            len(selection.frames),
            messages,
            self.counter,
            price_per_million=price_per_million,
        )
        return selection, cost

    def classify(
        self,
        video: VideoInput,
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
        video = as_source(video, self.indexer.progress)
        write = by != "encoder" if generate_caption is None else generate_caption
        overrides = {"task": "classification", **overrides}
        selection = self.select(video, caption=caption, generate_caption=write, **overrides)
        self.indexer.progress("classify", 0.0)
        if by == "encoder":
            share = encoder_shares(self.encoder, selection.frames, self._embedded_labels(words, templates))
            embedder = self.indexer.embedder
            selection = with_warnings(selection, embedder.warnings(video))
            return ranked(names, share, selection, embedder.name, by)
        selection = self._warned(selection, video)
        if by == "answer":
            label = answered_label(self.model, selection.frames, names, words, self.prompts, self.layout)
            return Classification(label, {}, selection, self.model_name, by)
        share = likelihood_shares(self.model, selection.frames, words, normalise, self.prompts, self.layout)
        return ranked(names, share, selection, self.model_name, by)

    def _embedded_labels(self, words: list[str], templates: Sequence[str] | None) -> NDArray[np.float64]:
        """The labels' embeddings, kept for the next video with the same ones."""
        chosen = self.prompts.lines("action_templates") if templates is None else templates
        key = (*words, "", *chosen)
        with self._lock:
            known = self._label_rows
        if known is None or known[0] != key:
            known = (key, embed_labels(self.encoder, words, chosen))
            with self._lock:
                self._label_rows = known
        return known[1]

    def _answer(self, question: str, text: str, selection: Selection, messages: Messages) -> Answer:
        model, name = self.model, self.model_name
        return answered(question, text, selection, messages, model=model, name=name, layout=self.layout)

    def _prompted(
        self, video: VideoInput, question: str, caption: str | None, overrides: dict[str, Any]
    ) -> tuple[Selection, Messages]:
        """The key frames for a question, and the messages that ask it."""
        text = checked_text("question", question)
        if text is None:
            raise OptionsError("the question is None; ask something about the video")
        video = as_source(video, self.indexer.progress)
        selection = self.select(video, caption=caption, question=text, generate_caption=True, **overrides)
        messages = self._messages(selection, self.prompts.text("question", question=text))
        return self._warned(selection, video), messages

    def _selected(self, video: VideoInput, options: SelectOptions, **texts: Any) -> Selection:
        """The indexer's selection; a budget of tokens is counted as the Video-LLM counts.

        Qwen2.5-VL, the default, is counted by its rule: to select alone needs no file of it.
        """
        tokens: PictureTokens | None = None
        if options.choose.token_budget is not None:
            counter = None if self._model == DEFAULT_MODEL else self.counter
            tokens = tokens_of_pictures(counter, self.layout)
        return self.indexer.select(video, options, tokens=tokens, **texts)

    def _messages(self, selection: Selection, text: str) -> Messages:
        text = selection.with_words(text, self.prompts)
        return laid_out(
            selection.frames,
            text,
            layout=self.layout,
            prompts=self.prompts,
            duration_seconds=selection.video.duration_seconds,
        )

    def _written_caption(
        self, video: VideoSource, options: SelectOptions, selection: Selection | None = None
    ) -> str:
        """The model's caption of a video, written once; `selection` holds its frames where they are known."""

        def write() -> str:
            frames = selection or self._selected(video, options, expect_text=True)
            self.indexer.progress("caption", 0.0)
            messages = self._messages(frames, self.prompts.text("caption"))
            return self.model.generate(messages, max_new_tokens=_CAPTION_TOKENS)

        return self._captions.text(video, options, write)

    def _warned(self, selection: Selection, video: VideoSource) -> Selection:
        """With what a user should know of the Video-LLM: that it means nothing here, or what it costs."""
        known = tuple(getattr(self._loaded, "warnings", ()))
        return with_warnings(selection, (*world_warnings(video, self._model), *known))
