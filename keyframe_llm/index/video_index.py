"""What is known of one video without any question: made once, kept, and used for every text."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, ParamSpec, TypeVar

import numpy as np
from numpy.typing import ArrayLike, NDArray

from keyframe_llm.arrays import unit_rows
from keyframe_llm.cost import PictureTokens, tokens_of_pictures
from keyframe_llm.data import CaptionSource, Frames, Progress, Proposals, VideoInfo
from keyframe_llm.errors import OptionsError
from keyframe_llm.index.budget import affordable_size, resized
from keyframe_llm.index.embedder import Embedder
from keyframe_llm.index.matched_words import MatchedWords, cues_inside, matched_words
from keyframe_llm.index.reserve import Reserve, closer, with_reserve
from keyframe_llm.jpeg import decode_jpeg
from keyframe_llm.options import DecodeOptions, ProposeOptions, SelectOptions
from keyframe_llm.proposals.propose import candidates_of, propose
from keyframe_llm.proposals.resample import FINEST_FPS, unseen_samples
from keyframe_llm.proposals.sample import Samples, sample_video
from keyframe_llm.proposals.spacing import gap_of, unseen
from keyframe_llm.scoring.found import Found, found_in
from keyframe_llm.scoring.order import Order
from keyframe_llm.scoring.queries import Query, checked_text, names_something, query_order, query_texts
from keyframe_llm.scoring.selectors import (
    choose_frames,
    chooses_proposals,
    heeds_order,
    method_name,
    needs_sharpness,
    propose_options,
    splits_texts,
    uses_text,
)
from keyframe_llm.selection import Selection
from keyframe_llm.video import ByteSource, Decoder, FrameList, VideoSource, open_video
from keyframe_llm.words import Cue

__all__ = ["VideoIndex", "build_index", "embedded_texts", "propose_index", "silent"]

P = ParamSpec("P")
T = TypeVar("T")

_TIMED = ("decode", "propose", "caption", "embed", "score", "total")


def silent(stage: str, share: float) -> None:
    """Report no progress."""


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class VideoIndex:
    """One video's sampled frames, proposals and candidates, without any question.

    Make one with `index_video`; choose from it with `select`. Every selector reads the same fields.
    """

    video: VideoInfo
    seconds: NDArray[np.float64]
    """(N,) times of the sampled frames, ascending."""
    histograms: NDArray[np.float32]
    """(N, d) their colours, rows of length 1 (see `color_histogram`)."""
    proposals: Proposals
    """The clusters of the sampled frames and their representatives."""
    candidates: Proposals
    """The K frames that a text is scored on; each stands for the samples nearest to it."""
    embeddings: NDArray[np.floating] | None = None
    """(K, D) of the candidates by the encoder; None until a text is expected."""
    pictures: tuple[bytes, ...] = field(default=(), repr=False)
    """K JPEG pictures of the candidates, until they are embedded; then none."""
    reserve: Reserve | None = field(default=None, repr=False)
    """Frames that become candidates where a text fits beside them; None where all are."""
    sharpness: NDArray[np.float64] | None = None
    """(N,) of the sampled frames, where the method needs it."""
    span_seconds: float
    """How much of the video was sampled."""
    options: SelectOptions = field(default_factory=SelectOptions)
    """What it was made with, and the defaults of `select`."""
    embedder: Embedder | None = field(default=None, repr=False)
    """The encoder, for the texts of `select`; None where none was given."""
    source: ByteSource | FrameList | None = field(default=None, repr=False)
    """Where the video is; None: in the file at `video.path`."""
    words: tuple[Cue, ...] = field(default=(), repr=False)
    """What is subtitled, said and written, in time order, where a text is expected."""
    plan: str = ""
    """How the frames were decoded, and why."""
    timings: Mapping[str, float] = field(default_factory=dict)
    """Seconds spent on each stage when it was made."""
    warnings: tuple[str, ...] = ()
    """What went wrong without ending the work, one line each."""

    def __post_init__(self) -> None:
        count = len(self.seconds)
        if np.any(np.diff(self.seconds) <= 0) or len(self.histograms) != count:
            raise ValueError(f"seconds must be ({count},) ascending, histograms as many rows")
        for name, rows in (("embeddings", self.embeddings), ("pictures", self.pictures or None)):
            if rows is not None and len(rows) != len(self.candidates):
                raise ValueError(
                    f"{name} must be {len(self.candidates)} for as many candidates, not {len(rows)}"
                )

    @property
    def candidate_seconds(self) -> NDArray[np.float64]:
        """Ascending times of the candidates, and of the frames that may become some for a text."""
        waiting = () if self.reserve is None else self.reserve.seconds
        return np.sort(np.concatenate([self.candidates.seconds, waiting]))

    @property
    def candidate_histograms(self) -> NDArray[np.float32]:
        """(K, d) the candidates' colours."""
        return self.histograms[self.candidates.indices]

    @property
    def unit_embeddings(self) -> NDArray[np.float64]:
        """(K, D) the candidates' embeddings, each scaled to length 1."""
        return unit_rows(np.asarray(self.embedded(), np.float64))

    def similarity(self, text: ArrayLike | None) -> NDArray[np.float64]:
        """(K,) cosines of the candidates with a text's embedding (D,), -1 … 1.

        Raises `OptionsError` where there is no text or its shape does not match.
        """
        if text is None:
            raise OptionsError("this selector is guided by a text and got none; give a caption or a question")
        rows, vector = self.unit_embeddings, np.asarray(text, np.float64)
        if vector.shape != rows.shape[1:] or not np.all(np.isfinite(vector)):
            raise OptionsError(f"the text embedding is {vector.shape}; give {rows.shape[1:]} finite numbers")
        return np.asarray(rows @ unit_rows(vector))

    def embedded(self) -> NDArray[np.floating]:
        """(K, D) the candidates' embeddings; raises `OptionsError` where there are none."""
        if self.embeddings is None:
            raise OptionsError("this index has no embeddings; make it with index_video(video, encoder=…)")
        return self.embeddings

    def embed(self, embedder: Embedder) -> VideoIndex:
        """The same index with the candidates' embeddings in place of their pictures."""
        if self.embeddings is not None:
            return self
        if not self.pictures:
            raise OptionsError("this index has no pictures; make it with index_video(video, encoder=…)")
        known = replace(self, embedder=embedder)
        return replace(known, embeddings=known.embed_pictures(self.pictures), pictures=())

    def embed_pictures(self, pictures: Sequence[bytes]) -> NDArray[np.floating]:
        """(N, D) the embeddings of N JPEG pictures, in the views of the option `views`.

        Raises `OptionsError` where it has no encoder.
        """
        if self.embedder is None:
            raise OptionsError("this index has no encoder; make it with index_video(video, encoder=…)")
        images = [decode_jpeg(picture) for picture in pictures]
        return self.embedder.images(images, self.options.propose.views)

    def only(self, indices: NDArray[np.intp]) -> VideoIndex:
        """The same index with some of its candidates, (k,) ascending indices into them."""
        times = self.candidates.seconds[indices]
        labels = np.abs(self.seconds[:, None] - times).argmin(axis=1)
        return replace(
            self,
            candidates=Proposals(
                self.seconds, labels, self.candidates.indices[indices], self.candidates.silhouettes
            ),
            embeddings=None if self.embeddings is None else self.embeddings[indices],
            pictures=tuple(self.pictures[i] for i in indices) if self.pictures else (),
        )

    def select(
        self,
        caption: str | None = None,
        question: str | None = None,
        *,
        progress: Progress | None = None,
        **options: Any,
    ) -> Selection:
        """Choose key frames for a text, or with none those that represent the video, and decode them.

        Every method chooses among the candidates of this index. `options` are fields of `SelectOptions`, but
        those of decoding and proposing, which made the index. Raises `OptionsError` on those, on a text
        without an encoder, `VideoError` where the file is gone.
        """
        chosen = self.options.replaced(**options)
        if (chosen.decode, chosen.propose) != (self.options.decode, self.options.propose):
            stages = ("decode", "propose", *DecodeOptions.__slots__, *ProposeOptions.__slots__)
            fixed = next(name for name in options if name in stages)
            raise OptionsError(f"{fixed} made this index; call index_video again with another one")
        with _opened(self.source or self.video.path, chosen) as decoder:
            return self.select_with(decoder, caption, question, options=chosen, progress=progress)

    def select_with(
        self,
        decoder: Decoder,
        caption: str | None,
        question: str | None,
        *,
        options: SelectOptions,
        caption_source: CaptionSource = "given",
        timings: dict[str, float] | None = None,
        progress: Progress | None = None,
        tokens: PictureTokens | None = None,
    ) -> Selection:
        """As `select`, with a decoder that is open already. `timings` are seconds spent on it before.

        `tokens` counts pictures for the option `token_budget`; without it they cost what Qwen2.5-VL pays.
        """
        began, spent, tell = time.perf_counter(), timings if timings is not None else {}, progress or silent
        caption, question = checked_text("caption", caption), checked_text("question", question)
        texts = _texts_of(caption, question, options)
        index, gap = self._with_unseen(decoder, texts, options, spent, tell)
        stage = propose_options(options)
        if texts and index.reserve is None and stage.candidates == "coarse":
            index = with_reserve(index, stage)  # so a text has the same frames everywhere
        words = matched_words(index.words, texts, options)
        apart = gap_of(options.choose, index.span_seconds) if gap is None else gap
        if words is not None:
            index = _timed(spent, "embed", words.with_missing_frames, index, decoder, options.choose, apart)
        query = None
        if texts:
            tell("embed", 0.0)
            order = _order_of(caption, question, options)
            query = _timed(spent, "embed", index._query, texts, order, options, question=question is not None)
            index = _timed(spent, "embed", closer, index, query, options, gap_seconds=gap)
        kept = options.choose.max_frames
        while True:
            allowed = options.replaced(max_frames=kept)
            choice = _timed(spent, "score", choose_frames, index, query, allowed, gap_seconds=gap)
            fusion = None if words is None else words.fused(choice, allowed.choose, apart)
            chosen = choice.chosen if fusion is None else fusion.chosen
            times = choice.candidates.seconds[chosen].tolist()
            frames = _timed(spent, "decode", decoder.decode_at, times)
            if (size := _size_within(options.choose.token_budget, frames, tokens)) is not None:
                break
            kept = min(kept, len(frames)) - 1  # as many would be too small to read
        frames = resized(frames, size)
        place = self.source or self.video.path
        outside = index.embedder.warnings(place) if index.embedder and texts else ()
        own = caption_source == "generated" and question is None
        judged = None if own or not names_something(texts) else query
        tell("done", 1.0)
        spent["total"] = spent.get("total", 0.0) + time.perf_counter() - began
        return Selection(
            video=index.video,
            frames=frames,
            proposals=choice.candidates,
            scores=choice.scores,
            chosen=chosen,
            method=method_name(options.choose.method),
            caption=caption,
            caption_source=caption_source if caption else "none",
            question=question,
            words=cues_inside(index.words, options.decode),
            word_matches=() if fusion is None else fusion.matches,
            word_evidence=None if fusion is None else fusion.evidence,
            beside=tuple(one for one in choice.beside if one.frame in chosen),
            found=_found(index, judged, words),
            timings={stage: spent.get(stage, 0.0) for stage in _TIMED},
            plan=index.plan,
            warnings=tuple(dict.fromkeys([*index.warnings, *decoder.warnings, *outside])),
        )

    def _query(
        self, texts: Sequence[str], order: Order | None, options: SelectOptions, *, question: bool
    ) -> Query:
        if self.embedder is None:
            raise OptionsError(
                "this index has no encoder for a text; make it with index_video(video, encoder=…)"
            )
        every = [*texts, *(order.texts if order is not None else ())]
        return self.embedder.query(every, options, question=question).ordered(order)

    def _with_unseen(
        self,
        decoder: Decoder,
        texts: Sequence[str],
        options: SelectOptions,
        spent: dict[str, float],
        tell: Progress,
    ) -> tuple[VideoIndex, float | None]:
        """This index; where all its frames were seen, one of frames in between, and the gap it keeps."""
        few = chooses_proposals(options.choose.method, has_text=bool(texts))
        found = self.proposals.seconds if few else self.candidate_seconds
        gap = gap_of(options.choose, self.span_seconds)
        if unseen(found, options.choose.exclude_seconds, gap).any():
            return self, None
        embedder = self.embedder if texts else None
        finest = options.replaced(fps=FINEST_FPS)
        samples, info, _ = _sampled(decoder, finest, embedder, texts, spent, tell)
        samples, gap = unseen_samples(samples, options.choose)
        index = propose_index(samples, info, finest, None, spent)
        index = replace(index, embedder=embedder, words=self.words, warnings=tuple(decoder.warnings))
        if embedder is not None:
            index = _timed(spent, "embed", index.embed, embedder)
        return index, gap


def build_index(
    decoder: Decoder,
    options: SelectOptions,
    embedder: Embedder | None = None,
    *,
    texts: Sequence[str] = (),
    proposals: Proposals | None = None,
    progress: Progress = silent,
    on_samples: Callable[[Samples, VideoIndex], None] | None = None,
) -> VideoIndex:
    """Sample a video once and propose candidates; with an `embedder`, keep their pictures for it.

    `texts` are those that will be needed for certain: they are embedded while the video is decoded, and so
    are the pictures of a short video, which is then embedded already. `proposals` are the video's, where they
    are known. `on_samples` gets the samples and the index as it is before any is embedded. Raises
    `VideoError`, `ModelError`, `OptionsError`.
    """
    spent: dict[str, float] = {}
    samples, info, rows = _sampled(decoder, options, embedder, texts, spent, progress)
    progress("propose", 0.0)
    index = propose_index(samples, info, options, proposals, spent)
    if on_samples is not None:
        on_samples(samples, index)
    if rows is not None:
        index = replace(index, embeddings=rows[index.candidates.indices], pictures=())
    return replace(index, embedder=embedder, warnings=tuple(decoder.warnings))


def embedded_texts(caption: str | None, question: str | None, options: SelectOptions) -> list[str]:
    """The texts that a selection has embedded; none where its method uses none."""
    order = _order_of(caption, question, options)
    return [*_texts_of(caption, question, options), *(order.texts if order is not None else ())]


def _order_of(caption: str | None, question: str | None, options: SelectOptions) -> Order | None:
    """When the text that scores says that it is shown, where the method heeds that."""
    return query_order(caption, question, options.score.guide) if heeds_order(options.choose.method) else None


def _texts_of(caption: str | None, question: str | None, options: SelectOptions) -> list[str]:
    """The texts that score, as the method wants them; none where it uses none."""
    if not uses_text(options.choose.method):
        return []
    split = splits_texts(options.choose.method)
    return query_texts(caption, question, options.score.guide, split=split)


def _found(index: VideoIndex, query: Query | None, words: MatchedWords | None) -> Found | None:
    """Whether the video shows or says what a query asks for; None where that was not to be judged."""
    if query is None or query.neutral is None:
        return None
    rows = index.embedded(), query.things, query.neutral
    if words is None:
        return found_in(*rows)
    return found_in(*rows, words=words.scores, asks_for_words=words.asks_for_words)


def _size_within(budget: int | None, frames: Frames, tokens: PictureTokens | None) -> tuple[int, int] | None:
    """The (width, height) that a budget leaves; None where so many frames would be too small."""
    height, width = frames.images.shape[1:3]
    if budget is None:
        return width, height
    return affordable_size(len(frames), width, height, budget, tokens or tokens_of_pictures(None))


def _sampled(
    decoder: Decoder,
    options: SelectOptions,
    embedder: Embedder | None,
    texts: Sequence[str],
    spent: dict[str, float],
    progress: Progress,
) -> tuple[Samples, VideoInfo, NDArray[Any] | None]:
    """The samples, the video as it is now known, and (N, D) embeddings where all were embedded meanwhile."""
    sharp = needs_sharpness(options.choose.method)
    if embedder is None:
        samples = sample_video(decoder, options.decode, with_sharpness=sharp, progress=progress)
        rows = None
    else:
        side = _timed(spent, "embed", embedder.picture_side)
        with embedder.prefetch(decoder.info, options, texts, pictures=True) as prefetch:
            samples = sample_video(
                decoder,
                options.decode,
                picture_side=side,
                with_sharpness=sharp,
                progress=progress,
                on_sample=prefetch.add,
            )
            if texts:
                progress("embed", 0.0)
            rows = _timed(spent, "embed", prefetch.rows, samples.seconds)
    spent["decode"] = spent.get("decode", 0.0) + samples.decode_seconds
    info = decoder.info
    if info.duration_seconds is None:  # only decoding could tell it
        info = replace(info, duration_seconds=float(samples.seconds[0] + samples.span_seconds))
    return samples, info, rows


def propose_index(
    samples: Samples,
    info: VideoInfo,
    options: SelectOptions,
    proposals: Proposals | None,
    spent: dict[str, float],
) -> VideoIndex:
    """Cluster the samples, unless that is known, and take the candidates and their pictures."""
    stage = propose_options(options)
    if proposals is None or len(proposals.sampled_seconds) != len(samples.seconds):
        proposals = _timed(spent, "propose", propose, samples.histograms, samples.seconds, stage)
    candidates = _timed(spent, "propose", candidates_of, proposals, samples.histograms, stage)
    index = VideoIndex(
        video=info,
        seconds=samples.seconds,
        histograms=samples.histograms,
        proposals=proposals,
        candidates=candidates,
        pictures=tuple(samples.pictures[i] for i in candidates.indices) if samples.pictures else (),
        sharpness=samples.sharpness,
        span_seconds=samples.span_seconds,
        options=options,
        plan=samples.plan,
        timings=spent,
    )
    return with_reserve(index, stage) if stage.candidates == "coarse" else index


def _opened(video: VideoSource, options: SelectOptions) -> Decoder:
    decode = options.decode
    return open_video(video, decode.backend, decode.max_picture_pixels, decode.hardware)


def _timed(
    timings: dict[str, float], stage: str, work: Callable[P, T], *arguments: P.args, **named: P.kwargs
) -> T:
    began = time.perf_counter()
    try:
        return work(*arguments, **named)
    finally:
        timings[stage] = timings.get(stage, 0.0) + time.perf_counter() - began
