"""The encoder's side of a selection: what is certain to be asked of it is asked while the video is decoded.

That takes one thread, which ends with the block that began it, however that ends; no two ask the encoder
at once.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextvars import copy_context
from itertools import islice
from queue import SimpleQueue
from types import TracebackType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from keyframe_llm.data import VideoInfo
from keyframe_llm.encoders import Encoder, load_encoder, preferred_image_size, stated_image_size
from keyframe_llm.encoders.base import Images
from keyframe_llm.index.stored import Recall
from keyframe_llm.options import SelectOptions
from keyframe_llm.proposals.propose import scores_every_sample
from keyframe_llm.proposals.sample import unpacked
from keyframe_llm.scoring.baseline import plain_embedding, plain_texts

__all__ = ["Ahead", "Embedder"]

BATCH = 32
"""Pictures embedded at once; the encoders' own batch, so that the rows are those of a single call."""

Rows = NDArray[Any]


class Embedder:
    """One encoder, loaded when it is first needed, and what it said that holds for every video."""

    def __init__(self, encoder: str | Encoder, device: str | None, recall: Recall) -> None:
        self._encoder, self._device, self._recall = encoder, device, recall
        self._loaded: Encoder | None = None
        self._plain: NDArray[np.float64] | None = None
        self._said: tuple[tuple[str, ...], Rows] | None = None

    @property
    def encoder(self) -> Encoder:
        """Raises `ModelError` where it cannot be had."""
        if self._loaded is None:
            self._loaded = load_encoder(self._encoder, self._device)
        return self._loaded

    def picture_side(self) -> int:
        """The shorter side that pictures are wanted at; it is loaded where no small file says so."""
        unloaded = self._loaded is None and isinstance(self._encoder, str)
        return (unloaded and stated_image_size(str(self._encoder))) or preferred_image_size(self.encoder)

    def images(self, images: Images) -> Rows:
        """(N, D) one row for each picture."""
        return self.encoder.embed_images(images)

    def texts(self, texts: Sequence[str]) -> Rows:
        """(N, D) one row for each text; those embedded ahead are handed out once."""
        said, self._said = self._said, None
        return said[1] if said and said[0] == tuple(texts) else self.encoder.embed_texts(list(texts))

    def plain(self) -> NDArray[np.float64]:
        """(D,) what texts are compared with; embedded once."""
        if self._plain is None:
            rows = self._recall.plain(self._encoder, plain_texts())
            if rows is None:
                rows = plain_embedding(self.encoder)
                self._recall.keep_plain(self._encoder, plain_texts(), rows)
            self._plain = rows
        return self._plain

    def ahead(
        self, info: VideoInfo, options: SelectOptions, texts: Sequence[str], *, pictures: bool
    ) -> Ahead:
        """What is certain to be needed; with neither texts nor pictures nothing is."""
        steps: list[Callable[[], object]] = []
        if pictures and self._loaded is None:
            steps.append(lambda: self.encoder)
        if texts:
            steps.append(lambda: self._say(texts))
            steps += [self.plain] if options.method == "moments" else []
        every = pictures and bool(texts) and scores_every_sample(info, options)
        return Ahead(steps, self.images if every else None)

    def _say(self, texts: Sequence[str]) -> None:
        self._said = tuple(texts), self.texts(texts)


class Ahead:
    """A thread that takes some steps and then embeds the pictures it is handed; none where there is no work.

    To be used as a block: when that is left the thread has ended, at the latest after the step or the batch
    it is at.
    """

    def __init__(
        self, steps: Sequence[Callable[[], object]], embed: Callable[[Images], Rows] | None = None
    ) -> None:
        self._steps, self._embed = steps, embed
        self._handed: SimpleQueue[tuple[float, bytes] | None] = SimpleQueue()
        self._given_up = False
        self._pool = ThreadPoolExecutor(1, thread_name_prefix="embed")
        self._work: Future[tuple[list[float], Rows] | None] | None = None

    def hand(self, second: float, picture: bytes | None) -> None:
        """Give it a sample, packed, in time order; raises what the thread has raised."""
        if self._work is not None and self._work.done():
            self._work.result()
        if self._embed is not None and picture is not None:
            self._handed.put((second, picture))

    def rows(self, seconds: NDArray[np.float64]) -> Rows | None:
        """Wait for the thread; (N, D) the rows of the samples of these seconds, where it was to embed them.

        Raises what the thread has raised.
        """
        self._handed.put(None)
        embedded = self._work.result() if self._work is not None else None
        if embedded is None:
            return None
        handed, rows = embedded
        return rows if np.array_equal(handed, seconds) else rows[np.searchsorted(handed, seconds)]

    def __enter__(self) -> Ahead:
        if self._steps or self._embed is not None:
            self._work = self._pool.submit(copy_context().run, self._run)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._given_up = True
        self._handed.put(None)
        self._pool.shutdown(wait=True)

    def _run(self) -> tuple[list[float], Rows] | None:
        for step in self._steps:
            if self._given_up:
                return None
            step()
        if self._embed is None:
            return None
        seconds: list[float] = []
        rows: list[Rows] = []
        handed = iter(self._handed.get, None)
        while (batch := list(islice(handed, BATCH))) and not self._given_up:
            seconds += [second for second, _ in batch]
            rows.append(np.asarray(self._embed([unpacked(picture) for _, picture in batch])))
        return (seconds, np.concatenate(rows)) if rows else None
