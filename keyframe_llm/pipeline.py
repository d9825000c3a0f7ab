"""The whole way: video → proposals → scores → key frames → caption, answer or action.

The one file that knows all stages. Whatever was worked out of a video is kept for the next question about it.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from os import PathLike, fspath
from pathlib import Path
from typing import Any, ParamSpec, TypeVar

import numpy as np
from numpy.typing import NDArray

from keyframe_llm.data import CaptionSource, Proposals, Scores, Selection, VideoInfo
from keyframe_llm.encoders import Encoder, load_encoder, preferred_image_size
from keyframe_llm.errors import OptionsError
from keyframe_llm.keyscore import appearance_score, keyscore
from keyframe_llm.options import SelectOptions, Task
from keyframe_llm.prompting import frame_messages, prompt
from keyframe_llm.sampling import Progress, Sampled, sample_video
from keyframe_llm.selection import select
from keyframe_llm.stacfp import scfp, stacfp, ufp
from keyframe_llm.video import Decoder, open_video
from keyframe_llm.vlm import VLM, load_vlm

__all__ = [
    "DEFAULT_ENCODER",
    "DEFAULT_MODEL",
    "Answer",
    "Caption",
    "Classification",
    "KeyframeLLM",
    "select_keyframes",
]

DEFAULT_MODEL = "Qwen/Qwen2.5-VL-7B-Instruct"
DEFAULT_ENCODER = "google/siglip2-base-patch16-224"

_REMEMBERED_VIDEOS = 4

VideoPath = str | PathLike[str]
P = ParamSpec("P")
T = TypeVar("T")


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


def _silent(stage: str, share: float) -> None:
    """Report no progress."""


@dataclass(slots=True, eq=False)
class _Watched:
    """All that is known of one video under one set of sampling options; embeddings come when needed."""

    info: VideoInfo
    sampled: Sampled
    proposals: Proposals
    warnings: tuple[str, ...]
    timings: dict[str, float]
    embeddings: NDArray[np.float32] | None = None
    captions: dict[str, str] = field(default_factory=dict)


class KeyframeLLM:
    """Chooses the key frames of videos and asks a Video-LLM about them.

    `model` and `encoder` are names or objects (see `load_vlm`, `load_encoder`); they are loaded when first
    needed, so selecting with no text loads neither. `options` hold for every call that does not override
    them by keyword. `progress(stage, share)` is told what goes on.
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
        self._model, self._encoder = model, encoder
        self._device, self._model_options = device, model_options
        self._loaded_model: VLM | None = None
        self._loaded_encoder: Encoder | None = None
        self._progress = progress or _silent
        self._watched: dict[tuple[Any, ...], _Watched] = {}

    @property
    def model(self) -> VLM:
        """The Video-LLM, loaded on first use; raises `ModelError` where it cannot be had."""
        if self._loaded_model is None:
            self._loaded_model = load_vlm(self._model, **self._model_options)
        return self._loaded_model

    @property
    def encoder(self) -> Encoder:
        """The image-text encoder, loaded on first use; raises `ModelError` where it cannot be had."""
        if self._loaded_encoder is None:
            self._loaded_encoder = load_encoder(self._encoder, self._device)
        return self._loaded_encoder

    def select(
        self,
        video: VideoPath,
        *,
        caption: str | None = None,
        question: str | None = None,
        generate_caption: bool = False,
        **overrides: Any,
    ) -> Selection:
        """Choose at most `max_frames` key frames, guided by the texts there are.

        `generate_caption` has the Video-LLM write the caption that is missing: where there is no text at all,
        or where `guide` wants a caption beside the question. Without it and without a text, the frames that
        represent the video best by their colours are taken and no model is loaded. `overrides` are fields of
        `SelectOptions`. Raises `VideoError`, `ModelError`, `OptionsError`.
        """
        began = time.perf_counter()
        options = _options(self.options, overrides)
        caption, question = _text("caption", caption), _text("question", question)
        source: CaptionSource = "given" if caption else "none"
        timings: dict[str, float] = {}
        wanted = question is None or options.guide in ("caption", "both")
        if generate_caption and caption is None and wanted:
            written = time.perf_counter()
            caption, source = self._caption(video, options), "generated"
            timings["caption"] = time.perf_counter() - written
        texts = _guiding_texts(caption, question, options)
        with open_video(video, options.backend) as decoder:
            watched, fresh = self._watch(decoder, options, pictures=bool(texts))
            timings |= watched.timings if fresh else {}
            scores = self._score(watched, texts, options, timings)
            chosen = self._choose(watched, scores, texts, options, _task(options, question))
            frames = _timed(timings, "decode", decoder.decode_at, watched.proposals.seconds[chosen].tolist())
            warnings = tuple(dict.fromkeys([*watched.warnings, *decoder.warnings]))
        self._progress("done", 1.0)
        timings["total"] = time.perf_counter() - began
        return Selection(
            video=watched.info,
            frames=frames,
            proposals=watched.proposals,
            scores=scores,
            chosen=chosen,
            caption=caption,
            caption_source=source,
            question=question,
            timings={stage: timings.get(stage, 0.0) for stage in _STAGES},
            plan=watched.sampled.plan,
            warnings=warnings,
        )

    def caption(self, video: VideoPath, **overrides: Any) -> Caption:
        """Have the Video-LLM describe the video in one sentence, from frames chosen without a text."""
        selection = self.select(video, **overrides)
        self._progress("caption", 0.0)
        written = time.perf_counter()
        text = self.model.generate(frame_messages(selection.frames, prompt("caption")), max_new_tokens=64)
        spent = time.perf_counter() - written
        timings = {**selection.timings, "caption": spent, "total": selection.timings["total"] + spent}
        return Caption(text, replace(selection, caption=text, caption_source="generated", timings=timings))

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

    def _caption(self, video: VideoPath, options: SelectOptions) -> str:
        """Return the generated caption of a video, written once."""
        remembered = self._watched.get(_key(video, options))
        model = self._name
        if remembered is None or model not in remembered.captions:
            plain = replace(options, guide="auto", task=None, threshold=None)
            text = self.caption(video, **{name: getattr(plain, name) for name in plain.__slots__}).text
            remembered = self._watched[_key(video, options)]
            remembered.captions[model] = text
        return remembered.captions[model]

    def _watch(self, decoder: Decoder, options: SelectOptions, *, pictures: bool) -> tuple[_Watched, bool]:
        """Sample and propose, or remember; the second value tells whether anything was done."""
        key = _key(decoder.info.path, options)
        remembered = self._watched.get(key)
        if remembered and (remembered.sampled.pictures or remembered.embeddings is not None or not pictures):
            return remembered, False
        side = preferred_image_size(self.encoder) if pictures else None
        sampled = sample_video(decoder, options, picture_side=side, progress=self._progress)
        timings = {"decode": sampled.decode_seconds}
        self._progress("propose", 0.0)
        proposals = (
            remembered.proposals if remembered else _timed(timings, "propose", _propose, sampled, options)
        )
        watched = _Watched(
            info=_complete(decoder.info, sampled),
            sampled=sampled,
            proposals=proposals,
            warnings=tuple(decoder.warnings),
            timings=timings,
            captions=remembered.captions if remembered else {},
        )
        self._watched.pop(key, None)
        self._watched[key] = watched
        while len(self._watched) > _REMEMBERED_VIDEOS:
            self._watched.pop(next(iter(self._watched)))
        return watched, True

    def _score(
        self, watched: _Watched, texts: Sequence[str], options: SelectOptions, timings: dict[str, float]
    ) -> Scores:
        if not texts:
            sizes = np.bincount(watched.proposals.labels)
            return appearance_score(watched.sampled.histograms[watched.proposals.indices], sizes)
        self._progress("embed", 0.0)
        if watched.embeddings is None:
            images = watched.sampled.images(watched.proposals.indices)
            watched.embeddings = _timed(timings, "embed", self.encoder.embed_images, images)
            watched.sampled = replace(watched.sampled, pictures=())
        rows = _timed(timings, "embed", self.encoder.embed_texts, list(texts))
        guide = _unit(_unit(rows).mean(axis=0))
        return _timed(
            timings,
            "score",
            keyscore,
            watched.embeddings,
            guide,
            weights=options.weights,
            pooling=options.pooling,
        )

    def _choose(
        self, watched: _Watched, scores: Scores, texts: Sequence[str], options: SelectOptions, task: Task
    ) -> NDArray[np.intp]:
        proposals = watched.proposals
        by_colour = not texts or task == "summary"
        return select(
            scores,
            proposals.seconds,
            max_frames=options.max_frames,
            duration_seconds=watched.sampled.span_seconds,
            task=task if texts else "summary",
            threshold=options.threshold,
            min_gap_seconds=options.min_gap_seconds,
            features=watched.sampled.histograms[proposals.indices] if by_colour else None,
            sizes=np.bincount(proposals.labels) if by_colour else None,
        )


def select_keyframes(
    video: VideoPath,
    *,
    caption: str | None = None,
    question: str | None = None,
    encoder: str | Encoder = DEFAULT_ENCODER,
    progress: Progress | None = None,
    **options: Any,
) -> Selection:
    """Choose the two or three frames of a video that matter to a text, or to the video itself.

    `encoder` is used only where there is a caption or a question: a name, or any object with
    `embed_images(images) -> (N, D)` and `embed_texts(texts) -> (N, D)`. `options` are the fields of
    `SelectOptions`. Raises `VideoError`, `ModelError`, `OptionsError`.
    """
    selector = KeyframeLLM(encoder=encoder, progress=progress)
    return selector.select(video, caption=caption, question=question, **options)


_STAGES = ("decode", "propose", "caption", "embed", "score", "total")
_SAMPLING = (
    "fps",
    "max_samples",
    "start_seconds",
    "end_seconds",
    "proposer",
    "gamma_time",
    "k_max",
    "backend",
    "seed",
)


def _key(video: VideoPath, options: SelectOptions) -> tuple[Any, ...]:
    """What tells one watched video from another: the file as it is now, and how it is looked at."""
    path = Path(fspath(video)).resolve()
    stat = path.stat() if path.exists() else None
    seen = (stat.st_mtime_ns, stat.st_size) if stat else ()
    return (str(path), *seen, *(getattr(options, name) for name in _SAMPLING))


def _options(base: SelectOptions, overrides: dict[str, Any]) -> SelectOptions:
    unknown = sorted(set(overrides) - set(base.__slots__))
    if unknown:
        raise OptionsError(f"there is no option {unknown[0]!r}; the options are {', '.join(base.__slots__)}")
    return replace(base, **overrides)


def _text(name: str, value: str | None) -> str | None:
    if value is not None and not value.strip():
        raise OptionsError(f"the {name} is empty; give a text or leave it out")
    return value.strip() if value else None


def _labels(labels: Sequence[str]) -> list[str]:
    names = list(dict.fromkeys(label.strip() for label in labels if label.strip()))
    if isinstance(labels, str) or len(names) < 2:
        raise OptionsError(f"labels are {labels!r}; give at least two different ones")
    return names


def _guiding_texts(caption: str | None, question: str | None, options: SelectOptions) -> list[str]:
    """Return the texts that score the frames; none where no text is given."""
    wanted = {"caption": [caption], "question": [question]}.get(options.guide, [caption, question])
    texts = [text for text in wanted if text]
    if not texts and (caption or question):
        raise OptionsError(
            f"guide is {options.guide!r} but there is no {options.guide}; give one or use 'auto'"
        )
    return texts


def _task(options: SelectOptions, question: str | None) -> Task:
    return options.task or ("question" if question else "retrieval")


def _propose(sampled: Sampled, options: SelectOptions) -> Proposals:
    if options.proposer == "ufp":
        return ufp(sampled.seconds)
    if options.proposer == "scfp":
        return scfp(sampled.histograms, sampled.seconds, k_max=options.k_max, seed=options.seed)
    return stacfp(
        sampled.histograms,
        sampled.seconds,
        gamma_time=options.gamma_time,
        k_max=options.k_max,
        seed=options.seed,
    )


def _complete(info: VideoInfo, sampled: Sampled) -> VideoInfo:
    """Fill in the duration where only decoding could tell it."""
    if info.duration_seconds is not None:
        return info
    return replace(info, duration_seconds=float(sampled.seconds[0] + sampled.span_seconds))


def _timed(
    timings: dict[str, float], stage: str, work: Callable[P, T], *arguments: P.args, **named: P.kwargs
) -> T:
    began = time.perf_counter()
    try:
        return work(*arguments, **named)
    finally:
        timings[stage] = timings.get(stage, 0.0) + time.perf_counter() - began


def _unit(rows: NDArray[Any]) -> NDArray[Any]:
    length = np.linalg.norm(rows, axis=-1, keepdims=True)
    return np.asarray(np.divide(rows, np.where(length > 0, length, 1.0)))
