"""From a video and the texts there are to its key frames: sampling, proposals, embeddings, scores, choice.

Whatever was worked out of a video is kept for the next text about it; that costs only the text.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from os import PathLike, fspath
from pathlib import Path
from typing import Any, ParamSpec, TypeVar

import numpy as np
from numpy.typing import NDArray

from keyframe_llm.data import CaptionSource, Proposals, Scores, Selection, VideoInfo
from keyframe_llm.encoders import Encoder
from keyframe_llm.errors import OptionsError
from keyframe_llm.index.prefetch import Embedder
from keyframe_llm.index.store import Store
from keyframe_llm.index.stored import Recall
from keyframe_llm.options import SelectOptions
from keyframe_llm.proposals.propose import candidates_of, propose, seconds_shown
from keyframe_llm.proposals.resample import FINEST_FPS, unseen_samples
from keyframe_llm.proposals.sample import Progress, Sampled, sample_video
from keyframe_llm.scoring.choose import default_gap, select, unseen
from keyframe_llm.scoring.keyscore import appearance_score, keyscore
from keyframe_llm.scoring.queries import given_text, guiding_texts
from keyframe_llm.video import Decoder, open_video

__all__ = ["DEFAULT_ENCODER", "Selector", "VideoPath", "select_keyframes", "video_key", "with_overrides"]

DEFAULT_ENCODER = "google/siglip2-base-patch16-224"

VideoPath = str | PathLike[str]
P = ParamSpec("P")
T = TypeVar("T")

_REMEMBERED_VIDEOS = 4
_STAGES = ("decode", "propose", "caption", "embed", "score", "total")
_PROPOSING = (
    *("fps", "max_samples", "start_seconds", "end_seconds", "proposer", "gamma_time", "k_max"),
    *("method", "max_images", "exhaustive", "max_picture_pixels"),
)


@dataclass(slots=True, eq=False)
class _Watched:
    """All that is known of one video under one set of options; embeddings come when a text needs them."""

    info: VideoInfo
    sampled: Sampled
    proposals: Proposals
    warnings: tuple[str, ...]
    timings: dict[str, float]
    candidates: Proposals
    """What a text is scored on: the proposals, and more frames of each where the method asks for them."""
    embeddings: NDArray[np.float32] | None = None
    key: str | None = None
    """What it is kept under on disk, where anything is."""

    def can_be_scored(self) -> bool:
        return self.embeddings is not None or bool(self.sampled.pictures)


def _silent(stage: str, share: float) -> None:
    """Report no progress."""


class Selector:
    """Chooses key frames with one encoder, which is loaded when the first text comes."""

    def __init__(
        self,
        encoder: str | Encoder = DEFAULT_ENCODER,
        *,
        device: str | None = None,
        progress: Progress | None = None,
        store: Store | None = None,
    ) -> None:
        self._encoder = encoder
        self.recall = Recall(store)
        self._embedder = Embedder(encoder, device, self.recall)
        self._watched: dict[tuple[Any, ...], _Watched] = {}
        self.progress = progress or _silent

    @property
    def encoder(self) -> Encoder:
        """The image-text encoder, loaded on first use; raises `ModelError` where it cannot be had."""
        return self._embedder.encoder

    @property
    def name(self) -> str:
        """What the encoder is called: its name, or the kind of object it is."""
        return self._encoder if isinstance(self._encoder, str) else type(self._encoder).__name__

    def select(
        self,
        video: VideoPath,
        options: SelectOptions,
        *,
        caption: str | None = None,
        caption_source: CaptionSource = "given",
        question: str | None = None,
        expect_text: bool = False,
    ) -> Selection:
        """Choose at most `options.max_frames` key frames, guided by the texts there are.

        `expect_text` keeps what scoring will need, where a text for this video is still to be written.
        Raises `VideoError`, `ModelError`, `OptionsError`.
        """
        began = time.perf_counter()
        caption, question = given_text("caption", caption), given_text("question", question)
        texts = guiding_texts(caption, question, options)
        with open_video(video, options.backend, options.max_picture_pixels, options.hardware) as decoder:
            watched, timings = self._watch(decoder, options, texts, pictures=bool(texts) or expect_text)
            if _all_seen(watched.candidates if texts else watched.proposals, watched.sampled, options):
                watched, options = self._look_closer(decoder, options, texts, timings)
            proposals = watched.candidates if texts else watched.proposals
            scores = self._score(watched, texts, options, timings)
            chosen = _choose(watched, proposals, scores, texts, options, question)
            times = proposals.seconds[chosen].tolist()
            frames = _timed(timings, "decode", decoder.decode_at, times)
            told = [*watched.warnings, *decoder.warnings, *self.recall.problem]
            warnings = tuple(dict.fromkeys(told))
        self.progress("done", 1.0)
        timings["total"] = time.perf_counter() - began
        return Selection(
            video=watched.info,
            frames=frames,
            proposals=proposals,
            scores=scores,
            chosen=chosen,
            caption=caption,
            caption_source=caption_source if caption else "none",
            question=question,
            timings={stage: timings.get(stage, 0.0) for stage in _STAGES},
            plan=watched.sampled.plan,
            warnings=warnings,
        )

    def _watch(
        self, decoder: Decoder, options: SelectOptions, texts: Sequence[str], *, pictures: bool
    ) -> tuple[_Watched, dict[str, float]]:
        """Sample and propose, or remember; also returns the seconds that were spent on it now."""
        key = video_key(decoder.info.path, options)
        known = self._watched.pop(key, None)
        timings: dict[str, float] = {}
        if known is None or (pictures and not known.can_be_scored()):
            side = _timed(timings, "embed", self._embedder.picture_side) if pictures else None
            stored = self.recall.key("looked", decoder.info.path, side, *_looking(options))
            recalled = self._recalled(stored, decoder.info.path, options, pictures=pictures)
            known = recalled or self._look(decoder, options, texts, side, known, timings, stored)
        self._watched[key] = known
        while len(self._watched) > _REMEMBERED_VIDEOS:
            self._watched.pop(next(iter(self._watched)))
        return known, timings

    def _look(
        self,
        decoder: Decoder,
        options: SelectOptions,
        texts: Sequence[str],
        side: int | None,
        known: _Watched | None,
        timings: dict[str, float],
        key: str | None,
    ) -> _Watched:
        """Decode once, thinly, and propose, unless that is `known` and only the pictures are wanted.

        Meanwhile the encoder does what is certain to be needed of it.
        """
        with self._embedder.ahead(decoder.info, options, texts, pictures=side is not None) as ahead:
            sampled = sample_video(
                decoder, options, picture_side=side, progress=self.progress, told=ahead.hand
            )
            timings["decode"] = sampled.decode_seconds
            self.progress("propose", 0.0)
            proposals = known.proposals if known else _timed(timings, "propose", propose, sampled, options)
            candidates = candidates_of(proposals, sampled, options)
            if texts:
                self.progress("embed", 0.0)
            rows = _timed(timings, "embed", ahead.rows, sampled.seconds[candidates.indices])
        info, warnings = _complete(decoder.info, sampled), tuple(decoder.warnings)
        self.recall.keep_look(key, (info, sampled, proposals, warnings))
        watched = _Watched(info, sampled, proposals, warnings, timings, candidates, rows, key)
        if rows is not None:
            self._keep_rows(watched, rows)
        return watched

    def _keep_rows(self, watched: _Watched, rows: NDArray[np.float32]) -> None:
        """Keep the candidates' embeddings on disk; their pictures are not needed any more."""
        watched.sampled = replace(watched.sampled, pictures=())
        self.recall.keep_embeddings(watched.key, self._encoder, watched.candidates.indices, rows)

    def _look_closer(
        self, decoder: Decoder, options: SelectOptions, texts: Sequence[str], timings: dict[str, float]
    ) -> tuple[_Watched, SelectOptions]:
        """Look again and propose anew, among frames not seen; raises `OptionsError` where there are none."""
        side = _timed(timings, "embed", self._embedder.picture_side) if texts else None
        finest = replace(options, fps=FINEST_FPS)
        with self._embedder.ahead(decoder.info, finest, texts, pictures=bool(texts)) as ahead:
            sampled = sample_video(
                decoder, finest, picture_side=side, progress=self.progress, told=ahead.hand
            )
            _timed(timings, "embed", ahead.rows, sampled.seconds)
        timings["decode"] = timings.get("decode", 0.0) + sampled.decode_seconds
        info = _complete(decoder.info, sampled)
        sampled, options = unseen_samples(sampled, options)
        proposals = _timed(timings, "propose", propose, sampled, options)
        candidates = candidates_of(proposals, sampled, options)
        return _Watched(info, sampled, proposals, tuple(decoder.warnings), timings, candidates), options

    def _recalled(
        self, key: str | None, path: str, options: SelectOptions, *, pictures: bool
    ) -> _Watched | None:
        """What an earlier run left of this video, if it is enough."""
        look = self.recall.look(key, path)
        if look is None:
            return None
        info, sampled, proposals, warnings = look
        candidates = candidates_of(proposals, sampled, options)
        rows = self.recall.embeddings(key, self._encoder, candidates.indices) if pictures else None
        if pictures and rows is None:
            return None
        return _Watched(info, sampled, proposals, warnings, {}, candidates, rows, key)

    def _score(
        self, watched: _Watched, texts: Sequence[str], options: SelectOptions, timings: dict[str, float]
    ) -> Scores:
        if not texts:
            sizes = seconds_shown(watched.proposals)
            return appearance_score(watched.sampled.histograms[watched.proposals.indices], sizes)
        self.progress("embed", 0.0)
        if watched.embeddings is None:
            images = watched.sampled.images(watched.candidates.indices)
            watched.embeddings = _timed(timings, "embed", self._embedder.images, images)
            self._keep_rows(watched, watched.embeddings)
        rows = _timed(timings, "embed", self._embedder.texts, texts)
        plain = _timed(timings, "embed", self._embedder.plain) if options.method == "moments" else None
        return _timed(
            timings,
            "score",
            keyscore,
            watched.embeddings,
            rows if options.method == "moments" else _unit(_unit(rows).mean(axis=0)),
            weights=options.weights,
            pooling=options.pooling,
            plain=plain,
        )


def select_keyframes(
    video: VideoPath,
    *,
    caption: str | None = None,
    question: str | None = None,
    encoder: str | Encoder = DEFAULT_ENCODER,
    progress: Progress | None = None,
    cache: bool = False,
    **options: Any,
) -> Selection:
    """Choose the two or three frames of a video that matter to a text, or to the video itself.

    `encoder` is used only where there is a caption or a question: a name, or any object with
    `embed_images(images) -> (N, D)` and `embed_texts(texts) -> (N, D)`. With neither text, the frames that
    represent the video best by their colours are taken. `cache` keeps on disk what a next call about the same
    video can use, as `KeyframeLLM` and the command do. `options` are the fields of `SelectOptions`. Raises
    `VideoError`, `ModelError`, `OptionsError`.
    """
    chosen = with_overrides(SelectOptions(), options)
    selector = Selector(encoder, progress=progress, store=Store() if cache else None)
    return selector.select(video, chosen, caption=caption, question=question)


def video_key(video: VideoPath, options: SelectOptions) -> tuple[Any, ...]:
    """What tells one watched video from another: the file as it is now, and how it is looked at."""
    path = Path(fspath(video)).resolve()
    stat = path.stat() if path.exists() else None
    seen = (stat.st_mtime_ns, stat.st_size) if stat else ()
    return (str(path), *seen, *_looking(options))


def _looking(options: SelectOptions) -> tuple[Any, ...]:
    return tuple(getattr(options, name) for name in (*_PROPOSING, "backend", "seed"))


def with_overrides(base: SelectOptions, overrides: dict[str, Any]) -> SelectOptions:
    """Return the options with some changed by name; raises `OptionsError` on a name that is none."""
    unknown = sorted(set(overrides) - set(base.__slots__))
    if unknown:
        raise OptionsError(f"there is no option {unknown[0]!r}; the options are {', '.join(base.__slots__)}")
    return replace(base, **overrides)


def _choose(
    watched: _Watched,
    proposals: Proposals,
    scores: Scores,
    texts: Sequence[str],
    options: SelectOptions,
    question: str | None,
) -> NDArray[np.intp]:
    task = (options.task or ("question" if question else "retrieval")) if texts else "summary"
    covering = task == "summary"
    looks = watched.embeddings if options.method == "moments" else None
    return select(
        scores,
        proposals.seconds,
        max_frames=options.max_frames,
        duration_seconds=watched.sampled.span_seconds,
        task=task,
        threshold=options.threshold,
        min_gap_seconds=options.min_gap_seconds,
        features=watched.sampled.histograms[proposals.indices] if covering else looks,
        sizes=seconds_shown(proposals) if covering else None,
        exclude_seconds=options.exclude_seconds,
    )


def _all_seen(proposals: Proposals, sampled: Sampled, options: SelectOptions) -> bool:
    gap = options.min_gap_seconds
    gap = default_gap(sampled.span_seconds) if gap is None else gap
    return not unseen(proposals.seconds, options.exclude_seconds, gap).any()


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
