"""What counts a prompt's tokens before the model is asked: no weights are loaded, no server is called."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Protocol

from keyframe_llm.cartoon import is_embedded, vlm_path
from keyframe_llm.errors import OptionsError, shortened
from keyframe_llm.hub import LOADING, cached_folder
from keyframe_llm.vlm.embedded import EmbeddedVLM
from keyframe_llm.vlm.load import check_options, known_options, local_name, served_name
from keyframe_llm.vlm.openai_server import OpenAIVLM
from keyframe_llm.vlm.processor import ChatProcessor, load_processor, processor_and_config
from keyframe_llm.vlm.protocol import Messages

__all__ = ["TokenCounter", "token_counter"]


class TokenCounter(Protocol):
    """Counts a prompt's tokens as the model will."""

    def count_tokens(self, messages: Messages) -> tuple[int, int] | None:
        """How many tokens the prompt has, and how many of them stand for pictures; None where not known."""
        ...


def token_counter(model: str | Any, **options: Any) -> TokenCounter | None:
    """What counts for a model, by its name or as an object; `options` are those of `load_vlm`.

    A local model is counted by its processor, a served one by the processor of the served name where that is
    on this machine, an object by its own `count_tokens`. None where nothing counts. Raises `ModelError`
    where a local model's files cannot be had, `OptionsError` for an object that is no Video-LLM, and for an
    option that the model does not take.
    """
    check_options(model, options)
    if isinstance(model, OpenAIVLM):
        return _served(model.name)
    if not isinstance(model, str):
        if not any(callable(getattr(model, method, None)) for method in ("generate", "count_tokens")):
            raise OptionsError(
                f"model is {shortened(model)}; give a name, or an object with generate(messages)"
            )
        name = getattr(model, "identity", None)
        if isinstance(name, str) and not isinstance(model, type):
            return token_counter(name, **options)
        return model if callable(getattr(model, "count_tokens", None)) else None
    if is_embedded(model, vlm_path()) and not options:
        return EmbeddedVLM()
    served = served_name(model)
    if served is not None:
        return _served(served)
    with known_options(model, options):
        return load_processor(local_name(model), **options)


def _served(name: str) -> ChatProcessor | None:
    """The processor of that name, if it is on this machine; the server's own bounds are its defaults."""
    try:
        if not Path(name).is_dir() and cached_folder(name, "config.json") is None:
            return None  # known before transformers is imported
        with LOADING:
            return ChatProcessor(*processor_and_config(name, True), max_image_tokens=None)
    except (OSError, ValueError):
        return None
