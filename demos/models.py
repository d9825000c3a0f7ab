"""The models a chat page offers: each loaded once, when first needed, and used by one person at a time."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from threading import Lock
from typing import Any

import numpy as np
from numpy.typing import NDArray

from keyframe_llm.encoders import Encoder, load_encoder, preferred_image_size
from keyframe_llm.encoders.base import Images
from keyframe_llm.errors import OptionsError
from keyframe_llm.vlm.transformers import VLM, Messages, Normalise, load_vlm

__all__ = ["Models", "SharedEncoder", "SharedModel"]


class Models:
    """The Video-LLMs and encoders to choose from, by name; the first of each is the default.

    Only what whoever starts the page named can be used: a visitor who could type a name could have folders
    read and gigabytes downloaded.
    """

    def __init__(self, models: Sequence[str | VLM], encoders: Sequence[str | Encoder]) -> None:
        self._models = {_name(model): SharedModel(model) for model in models}
        self._encoders = {_name(encoder): SharedEncoder(encoder) for encoder in encoders}

    @property
    def model_names(self) -> list[str]:
        """The Video-LLMs on offer, the default first."""
        return list(self._models)

    @property
    def encoder_names(self) -> list[str]:
        """The encoders on offer, the default first."""
        return list(self._encoders)

    def model(self, name: str) -> VLM:
        """The Video-LLM of that name; raises `OptionsError` on one that is not on offer."""
        return self._models[_offered(self._models, "model", name)]

    def encoder(self, name: str) -> Encoder:
        """The encoder of that name; raises `OptionsError` on one that is not on offer."""
        return self._encoders[_offered(self._encoders, "encoder", name)]


class SharedModel:
    """A Video-LLM behind a lock: a local model keeps positions between calls that two people would mix up."""

    def __init__(self, name: str | VLM) -> None:
        self._name, self._lock = name, Lock()
        self._loaded: VLM | None = None

    @contextmanager
    def _mine(self) -> Iterator[VLM]:
        with self._lock:
            if self._loaded is None:
                self._loaded = load_vlm(self._name)
            yield self._loaded

    def generate(self, messages: Messages, *, max_new_tokens: int = 128) -> str:
        """Answer one conversation."""
        with self._mine() as model:
            return model.generate(messages, max_new_tokens=max_new_tokens)

    def stream(self, messages: Messages, *, max_new_tokens: int = 128) -> Iterator[str]:
        """Yield the answer piece by piece; others wait until it has ended or was closed."""
        with self._mine() as model:
            yield from model.stream(messages, max_new_tokens=max_new_tokens)

    def generate_batch(self, conversations: Sequence[Messages], *, max_new_tokens: int = 128) -> list[str]:
        """Answer several conversations, in order."""
        with self._mine() as model:
            return model.generate_batch(conversations, max_new_tokens=max_new_tokens)

    def label_log_likelihoods(
        self, messages: Messages, labels: Sequence[str], *, normalise: Normalise = "mean"
    ) -> NDArray[np.float64]:
        """(L,) log-likelihood of each label as the answer."""
        with self._mine() as model:
            return model.label_log_likelihoods(messages, labels, normalise=normalise)

    def count_tokens(self, messages: Messages) -> tuple[int, int]:
        """How many tokens the prompt has, and how many of them stand for pictures."""
        with self._mine() as model:
            return model.count_tokens(messages)


class SharedEncoder:
    """An encoder behind a lock: the tokenizers of transformers refuse two threads at once."""

    def __init__(self, name: str | Encoder) -> None:
        self._name, self._lock = name, Lock()
        self._loaded: Encoder | None = None

    @contextmanager
    def _mine(self) -> Iterator[Encoder]:
        with self._lock:
            if self._loaded is None:
                self._loaded = load_encoder(self._name)
            yield self._loaded

    @property
    def image_size(self) -> int:
        """The shorter side, in pixels, that pictures are wanted at."""
        with self._mine() as encoder:
            return preferred_image_size(encoder)

    def embed_images(self, images: Images, /) -> NDArray[np.float32]:
        """(N, D) one row per picture."""
        with self._mine() as encoder:
            return encoder.embed_images(images)

    def embed_texts(self, texts: Sequence[str], /) -> NDArray[np.float32]:
        """(N, D) one row per text."""
        with self._mine() as encoder:
            return encoder.embed_texts(texts)


def _name(model: Any) -> str:
    return model if isinstance(model, str) else type(model).__name__


def _offered(there: Collection[str], kind: str, name: str) -> str:
    if name not in there:
        raise OptionsError(f"{kind} is {name!r}; this page offers {', '.join(there)}")
    return name
