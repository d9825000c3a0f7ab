"""What a Video-LLM is: chat messages with pictures in, text or label likelihoods out.

Messages are in Hugging Face's chat format, as `frame_messages` makes them. An object with `generate` alone is
a Video-LLM: `CompletedVLM` adds what it lacks.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator, Sequence
from typing import Any, Literal, Protocol

import numpy as np
from numpy.typing import NDArray

from keyframe_llm.errors import ModelError
from keyframe_llm.messages import Messages

__all__ = ["VLM", "CompletedVLM", "Messages", "Normalise", "takes"]

Normalise = Literal["sum", "mean"]


class VLM(Protocol):
    """A model that is shown pictures and text and answers in text."""

    def generate(self, messages: Messages, *, max_new_tokens: int = 128) -> str:
        """Answer one conversation, at most `max_new_tokens` long, without leading or trailing blanks."""
        ...

    def stream(self, messages: Messages, *, max_new_tokens: int = 128) -> Iterator[str]:
        """Yield the answer piece by piece; closing the iterator stops the model."""
        ...

    def generate_batch(self, conversations: Sequence[Messages], *, max_new_tokens: int = 128) -> list[str]:
        """Answer several conversations, in order."""
        ...

    def label_log_likelihoods(
        self, messages: Messages, labels: Sequence[str], *, normalise: Normalise = "mean"
    ) -> NDArray[np.float64]:
        """(L,) natural log-likelihood of each label as the answer: summed over its tokens, or their mean."""
        ...

    def count_tokens(self, messages: Messages) -> tuple[int, int] | None:
        """How many tokens the prompt has, and how many of them stand for pictures; None where not known."""
        ...


class CompletedVLM:
    """A Video-LLM made of any object with `generate(messages)`; methods that it has are its own."""

    def __init__(self, model: Any) -> None:
        self.model = model
        name = getattr(model, "name", None)
        self.name: str = name if isinstance(name, str) else type(model).__name__
        self._takes_length = takes(model.generate, "max_new_tokens")

    def generate(self, messages: Messages, *, max_new_tokens: int = 128) -> str:
        """The object's own answer; `max_new_tokens` is passed on where it takes that argument."""
        length = {"max_new_tokens": max_new_tokens} if self._takes_length else {}
        return str(self.model.generate(messages, **length)).strip()

    def stream(self, messages: Messages, *, max_new_tokens: int = 128) -> Iterator[str]:
        """The object's own stream; without one, the whole answer as one piece."""
        own = self._own("stream")
        if own is None:
            yield self.generate(messages, max_new_tokens=max_new_tokens)
        else:
            yield from own(messages, max_new_tokens=max_new_tokens)

    def generate_batch(self, conversations: Sequence[Messages], *, max_new_tokens: int = 128) -> list[str]:
        """The object's own batch; without one, one conversation after the other."""
        own = self._own("generate_batch")
        if own is None:
            return [self.generate(messages, max_new_tokens=max_new_tokens) for messages in conversations]
        return list(own(conversations, max_new_tokens=max_new_tokens))

    def label_log_likelihoods(
        self, messages: Messages, labels: Sequence[str], *, normalise: Normalise = "mean"
    ) -> NDArray[np.float64]:
        """The object's own likelihoods; raises `ModelError` where it has none."""
        own = self._own("label_log_likelihoods")
        if own is None:
            raise ModelError(
                f"the model {self.name} has no label_log_likelihoods; classify by its answer "
                "(by='answer') or by the encoder (by='encoder')"
            )
        return np.asarray(own(messages, labels, normalise=normalise), np.float64)

    def count_tokens(self, messages: Messages) -> tuple[int, int] | None:
        """The object's own count; None where it has none."""
        own = self._own("count_tokens")
        return None if own is None else own(messages)

    @property
    def video_grid(self) -> tuple[int, int, int | None] | None:
        """What one token of a video covers (see `TransformersVLM.video_grid`); None where not known."""
        return getattr(self.model, "video_grid", None)

    def _own(self, method: str) -> Callable[..., Any] | None:
        own = getattr(self.model, method, None)
        return own if callable(own) else None


def takes(function: Callable[..., Any], name: str) -> bool:
    """Whether a function takes an argument of that name."""
    try:
        parameters = inspect.signature(function).parameters
    except (TypeError, ValueError):  # a function without a signature gets what the protocol says
        return True
    return name in parameters or any(p.kind is p.VAR_KEYWORD for p in parameters.values())
