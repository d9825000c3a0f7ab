"""An encoder for many threads: loaded by the first call that needs it, used by one call at a time."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from threading import Lock
from typing import Generic, TypeVar

import numpy as np
from numpy.typing import NDArray

from keyframe_llm.encoders import (
    Encoder,
    encoder_source,
    load_encoder,
    preferred_image_size,
    stated_image_size,
)
from keyframe_llm.encoders.base import Images

__all__ = ["Checkpoint", "SharedEncoder", "SharedModel"]

Checkpoint = Callable[[], None]
"""Returns where the call should go on, and raises where it should be given up."""

T = TypeVar("T")
_POLL_SECONDS = 0.1


class SharedModel(Generic[T]):
    """A model behind a lock. A model that cannot be loaded is tried again by the next call.

    `checkpoint` is called while a call waits for the model, and before the model is used.
    """

    name: str
    """The name the model was given by; for an object its own name, or that of its class."""

    def __init__(self, model: str | T, load: Callable[[], T], checkpoint: Checkpoint | None = None) -> None:
        self.name = model if isinstance(model, str) else _name_of(model)
        self._named = isinstance(model, str)
        self._load, self._checkpoint = load, checkpoint
        self._lock = Lock()
        # Nothing is loaded for an object: what is wrong with it shows now.
        self._model: T | None = None if isinstance(model, str) else load()

    @property
    def identity(self) -> str | None:
        """What tells this model from every other, to keep its results by; None where nothing does.

        For a model given by name it is that name, for an object its own `identity`.
        """
        if self._named:
            return self.name
        identity = getattr(self._model, "identity", None)
        return identity if isinstance(identity, str) else None

    @contextmanager
    def _acquired(self) -> Iterator[T]:
        """The loaded model, for this thread alone until the block ends.

        A model with a true attribute `concurrent` is given to several threads at once.
        """
        self._wait()
        held = True
        try:
            if self._model is None:
                self._model = self._load()
            if getattr(self._model, "concurrent", False):
                self._lock.release()
                held = False
            yield self._model
        finally:
            if held:
                self._lock.release()

    def _wait(self) -> None:
        if self._checkpoint is None:
            self._lock.acquire()
            return
        self._checkpoint()
        while not self._lock.acquire(timeout=_POLL_SECONDS):
            self._checkpoint()


class SharedEncoder(SharedModel[Encoder]):
    """An encoder for many threads: the tokenizers of transformers refuse two at once."""

    def __init__(
        self, encoder: str | Encoder, *, device: str | None = None, checkpoint: Checkpoint | None = None
    ) -> None:
        """`encoder` and `device` are as for `load_encoder`; a name is loaded when it is first needed.

        `checkpoint` is called while a call waits for its turn; it raises to give the call up. Raises
        `OptionsError` for an object that is no encoder.
        """
        named = encoder_source(encoder) if isinstance(encoder, str) else encoder
        super().__init__(named, lambda: load_encoder(named, device), checkpoint)

    @property
    def image_size(self) -> int:
        """The shorter side, in pixels, that pictures are wanted at; loads the encoder if no file says it."""
        if self._model is not None:  # one that is loaded may be in use, and need not be waited for
            return preferred_image_size(self._model)
        if stated := stated_image_size(self.name):
            return stated
        with self._acquired() as encoder:
            return preferred_image_size(encoder)

    def embed_images(self, images: Images, /) -> NDArray[np.float32]:
        """See `Encoder.embed_images`."""
        with self._acquired() as encoder:
            return encoder.embed_images(images)

    def embed_texts(self, texts: Sequence[str], /) -> NDArray[np.float32]:
        """See `Encoder.embed_texts`."""
        with self._acquired() as encoder:
            return encoder.embed_texts(texts)


def _name_of(model: object) -> str:
    name = getattr(model, "name", None)
    return name if isinstance(name, str) else type(model).__name__
