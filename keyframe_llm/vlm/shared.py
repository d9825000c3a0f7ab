"""A Video-LLM for many threads: loaded by the first call that needs it, used by one call at a time."""

from __future__ import annotations

from collections.abc import Generator, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from keyframe_llm.encoders.shared import Checkpoint, SharedModel
from keyframe_llm.errors import OptionsError
from keyframe_llm.vlm import VLM, Messages, Normalise, load_vlm
from keyframe_llm.vlm.load import check_options
from keyframe_llm.vlm.protocol import takes

__all__ = ["SharedVLM"]


class SharedVLM(SharedModel[VLM]):
    """A Video-LLM for many threads: a local model keeps state between calls that two would mix up."""

    def __init__(
        self,
        model: str | VLM,
        *,
        device: str | None = None,
        checkpoint: Checkpoint | None = None,
        **options: Any,
    ) -> None:
        """`model` and `options` are as for `load_vlm`; a name is loaded when it is first needed.

        `device` is where a named model runs; an object is where it is already. `checkpoint` is called while a
        call waits for its turn and between the pieces of an answer; it raises to give the call up. Raises
        `OptionsError` for an object that is no Video-LLM, and for options that the model cannot be given.
        """
        check_options(model, options)
        if device is not None and isinstance(model, str):
            options["device"] = device
        super().__init__(model, lambda: load_vlm(model, **options), checkpoint)

    @property
    def video_grid(self) -> tuple[int, int, int | None] | None:
        """What one token of a video covers (see `TransformersVLM.video_grid`); None where it is not known."""
        with self._acquired() as model:
            return getattr(model, "video_grid", None)

    @property
    def warnings(self) -> tuple[str, ...]:
        """What a user should know of the model on this machine, one line each; loads the model."""
        with self._acquired() as model:
            return tuple(getattr(model, "warnings", ()))

    @property
    def frames_as(self) -> str | None:
        """How a server's model is sent key frames, `images` or `video`; None for a local one."""
        with self._acquired() as model:
            found: str | None = getattr(model, "frames_as", None)
            return found

    @property
    def concurrent(self) -> bool:
        """Whether the model serves many threads at once; loads the model."""
        with self._acquired() as model:
            return bool(getattr(model, "concurrent", False))

    def generate(self, messages: Messages, *, max_new_tokens: int = 128) -> str:
        """See `VLM.generate`."""
        if self._checkpoint is not None:  # streamed, so that a long answer can be given up
            return "".join(self.stream(messages, max_new_tokens=max_new_tokens)).strip()
        with self._acquired() as model:
            return model.generate(messages, max_new_tokens=max_new_tokens)

    def stream(
        self, messages: Messages, *, max_new_tokens: int = 128, temperature: float = 0.0
    ) -> Generator[str, None, int | None]:
        """See `VLM.stream`; other calls wait until the answer has ended or the iterator is closed.

        A model that serves many threads at once, such as `OpenAIVLM`, lets no call wait. The return value is
        the model's own: the number of prompt tokens, or None. Raises `OptionsError` where the model takes no
        temperature other than 0.
        """
        with self._acquired() as model:
            more: dict[str, Any] = {"temperature": temperature} if temperature else {}
            if more and not takes(model.stream, "temperature"):
                raise OptionsError(f"the model {self.name} answers at temperature 0 alone; set it to 0")
            pieces = model.stream(messages, max_new_tokens=max_new_tokens, **more)
            try:
                while True:
                    piece = next(pieces)
                    if self._checkpoint is not None:
                        self._checkpoint()
                    yield piece
            except StopIteration as end:
                return end.value if isinstance(end.value, int) else None
            finally:
                if isinstance(pieces, Generator):
                    pieces.close()

    def generate_batch(self, conversations: Sequence[Messages], *, max_new_tokens: int = 128) -> list[str]:
        """See `VLM.generate_batch`; with a checkpoint the conversations are answered one by one."""
        if self._checkpoint is not None:
            return [self.generate(messages, max_new_tokens=max_new_tokens) for messages in conversations]
        with self._acquired() as model:
            return model.generate_batch(conversations, max_new_tokens=max_new_tokens)

    def label_log_likelihoods(
        self, messages: Messages, labels: Sequence[str], *, normalise: Normalise = "mean"
    ) -> NDArray[np.float64]:
        """See `VLM.label_log_likelihoods`."""
        with self._acquired() as model:
            return model.label_log_likelihoods(messages, labels, normalise=normalise)

    def count_tokens(self, messages: Messages) -> tuple[int, int] | None:
        """See `VLM.count_tokens`."""
        with self._acquired() as model:
            return model.count_tokens(messages)
