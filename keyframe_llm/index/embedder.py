"""One encoder, loaded when it is first needed, and what it computed that holds for every video."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from threading import Lock
from typing import Any

import numpy as np
from numpy.typing import NDArray

from keyframe_llm.cartoon import world_warnings
from keyframe_llm.data import Progress, VideoInfo
from keyframe_llm.encoders import (
    Encoder,
    encoder_source,
    load_encoder,
    preferred_image_size,
    stated_image_size,
)
from keyframe_llm.encoders.base import Images
from keyframe_llm.encoders.views import embed_views, most_frames
from keyframe_llm.index.feature_cache import FeatureCache
from keyframe_llm.index.prefetch import Prefetch
from keyframe_llm.options import SelectOptions, Views
from keyframe_llm.prompts import Prompts, default_prompts
from keyframe_llm.proposals.coarse import FEW_IMAGES
from keyframe_llm.proposals.sample import most_samples
from keyframe_llm.scoring.baseline import text_baseline
from keyframe_llm.scoring.queries import Query
from keyframe_llm.scoring.selectors import propose_options, uses_baseline
from keyframe_llm.video import VideoSource

__all__ = ["Embedder"]

Rows = NDArray[Any]
_MOST_PREFETCHED = 16


class Embedder:
    """One encoder for many videos and threads. Raises `ModelError` where it cannot be had."""

    def __init__(
        self,
        encoder: str | Encoder,
        *,
        device: str | None = None,
        cache: FeatureCache | None = None,
        prompts: Prompts | None = None,
        picture_side: int | None = None,
        progress: Progress | None = None,
    ) -> None:
        """`encoder` is a name or an object (see `load_encoder`); `cache` keeps those of neutral prompts.

        `picture_side` is the shorter side of the pictures it is given; None asks the encoder.
        `progress` is told of an encoder's conversion (see `load_encoder`).
        """
        self._progress = progress
        self.source = encoder_source(encoder) if isinstance(encoder, str) else encoder
        self._device, self._picture_side = device, picture_side
        self._cache, self._prompts = cache or FeatureCache(None), prompts or default_prompts()
        self._loaded: Encoder | None = None
        self._neutral: NDArray[np.float32] | None = None
        self._prefetched: dict[tuple[str, ...], Rows] = {}
        self._load_lock, self._neutral_lock, self._lock = Lock(), Lock(), Lock()

    @property
    def encoder(self) -> Encoder:
        """The encoder, loaded by the first thread that needs it."""
        with self._load_lock:
            if self._loaded is None:
                self._loaded = load_encoder(self.source, self._device, self._progress)
            return self._loaded

    @property
    def name(self) -> str:
        """What the encoder is called: its name, or the kind of object it is."""
        if isinstance(self.source, str):
            return self.source
        name = getattr(self.source, "name", None)
        return name if isinstance(name, str) else type(self.source).__name__

    def picture_side(self) -> int:
        """The shorter side that pictures are wanted at; the encoder is loaded where no small file says so."""
        if self._picture_side is not None:
            return self._picture_side
        unloaded = self._loaded is None and isinstance(self.source, str)
        return (unloaded and stated_image_size(str(self.source))) or preferred_image_size(self.encoder)

    def images(self, images: Images, views: Views) -> Rows:
        """(N, D) one row for each picture, seen in these views."""
        return embed_views(self.encoder, images, views)

    def query(self, texts: Sequence[str], options: SelectOptions, *, question: bool) -> Query:
        """The embeddings of some texts, and what the options' method compares them with."""
        neutral = self.neutral() if uses_baseline(options.choose.method) else None
        task = options.choose.task or ("question" if question else "retrieval")
        baseline = None if neutral is None else text_baseline(neutral)
        return Query(self._texts(tuple(texts)), baseline, task, neutral)

    def neutral(self) -> NDArray[np.float32]:
        """(M, D) the neutral prompts; embedded once, and kept on disk."""
        with self._neutral_lock:
            if self._neutral is None:
                texts = self._prompts.lines("neutral")
                found = self._cache.neutral(self.source, texts)
                if found is None:
                    found = np.asarray(self.encoder.embed_texts(list(texts)), np.float32)
                    self._cache.keep_neutral(self.source, texts, found)
                self._neutral = found
            return self._neutral

    def warnings(self, video: VideoSource) -> tuple[str, ...]:
        """What its scores of this video are worth, where that is nothing."""
        return world_warnings(video, self.source)

    def prefetch(
        self, info: VideoInfo, options: SelectOptions, texts: Sequence[str], *, pictures: bool
    ) -> Prefetch:
        """A block in which the encoder does what is certain to be needed; with neither, nothing is."""
        steps: list[Callable[[], object]] = []
        if pictures and self._loaded is None:
            steps.append(lambda: self.encoder)
        if texts:
            steps.append(lambda: self._prefetch_texts(tuple(texts)))
            steps += [self.neutral] if uses_baseline(options.choose.method) else []
        every = pictures and bool(texts) and _embeds_every_sample(info, options)
        return Prefetch(steps, partial(self.images, views=options.propose.views) if every else None)

    def _texts(self, texts: tuple[str, ...]) -> Rows:
        """(P, D) one row for each text; rows that were prefetched are returned once."""
        with self._lock:
            rows = self._prefetched.pop(texts, None)
        return self.encoder.embed_texts(list(texts)) if rows is None else rows

    def _prefetch_texts(self, texts: tuple[str, ...]) -> None:
        rows = self.encoder.embed_texts(list(texts))
        with self._lock:
            self._prefetched[texts] = rows
            while len(self._prefetched) > _MOST_PREFETCHED:
                self._prefetched.pop(next(iter(self._prefetched)))


def _embeds_every_sample(info: VideoInfo, options: SelectOptions) -> bool:
    """Whether it is certain before the video is sampled that every sample will be a candidate."""
    propose, most = propose_options(options), most_samples(info, options.decode)
    images = min(FEW_IMAGES, most_frames(propose)) if propose.candidates == "coarse" else propose.max_images
    few = most is not None and most <= min(images, options.decode.max_samples)
    return few and propose.candidates != "representatives" and not options.choose.exclude_seconds
