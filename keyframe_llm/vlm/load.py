"""A Video-LLM by its name, or made of one's own object."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from inspect import signature
from typing import Any

from keyframe_llm.cartoon import is_embedded, vlm_path
from keyframe_llm.encoders.base import on_processor
from keyframe_llm.errors import OptionsError
from keyframe_llm.messages import Layout
from keyframe_llm.vlm.protocol import VLM, CompletedVLM
from keyframe_llm.vlm.served_request import check_frames_as

__all__ = ["DEFAULT_MODEL", "check_options", "known_options", "load_vlm", "local_name", "served_name"]

DEFAULT_MODEL = "Qwen/Qwen2.5-VL-7B-Instruct"
_UNKNOWN = re.compile(r"unexpected keyword argument '(\w+)'")
"""How Python names an option that has no place in a call."""
_METHODS = ("generate", "stream", "generate_batch", "label_log_likelihoods", "count_tokens")


def load_vlm(model: str | Any, *, device: str | None = None, **options: Any) -> VLM:
    """The Video-LLM of that name; an object with `generate` is completed with what it lacks.

    `model` is a hub id or local folder, `http://host:port/v1#served-name`, or `cartoon`, the small one inside
    the package. `device` is a torch device for a model that runs here; None takes the best there is. The
    embedded one needs no torch, unless it is given a device or options.
    `options` go to `TransformersVLM` or `OpenAIVLM`. Raises `OptionsError` for an object that is no
    Video-LLM, or that is given options, and for an option that there is not; `ModelError` for a model that
    cannot be had.
    """
    check_options(model, options)
    if not isinstance(model, str):
        if not callable(getattr(model, "generate", None)):
            raise OptionsError(
                f"model is a {type(model).__name__} without generate; give a name, or an object with "
                "generate(messages)"
            )
        complete = all(callable(getattr(model, method, None)) for method in _METHODS)
        return model if complete else CompletedVLM(model)
    with known_options(model, options):
        return _load(model, device, options)


def check_options(model: str | Any, options: Mapping[str, Any], layout: Layout = "images") -> None:
    """Raise `OptionsError` for options that a model cannot be given, as far as its name or object tells.

    Which other options a local model takes is known when its files are read (see `known_options`).
    """
    if not isinstance(model, str):
        if options:
            raise OptionsError(f"{', '.join(options)} cannot be given with a model that is already an object")
        return
    frames_as = options.get("frames_as")
    if frames_as is not None and served_name(model) is None:
        raise OptionsError(f"frames_as is for a server, and {model!r} runs here; leave it out")
    check_frames_as(frames_as)
    if frames_as == "video" and layout == "sheet":
        raise OptionsError("frames_as is 'video', and a sheet is one picture; leave one of them out")
    if options and served_name(model) is not None:
        from keyframe_llm.vlm.openai_server import OpenAIVLM

        with known_options(model, options):
            signature(OpenAIVLM).bind(model, **options)


@contextmanager
def known_options(model: str, options: Mapping[str, Any]) -> Iterator[None]:
    """Make the `TypeError` of a call that has no place for one of the options an `OptionsError`."""
    try:
        yield
    except TypeError as error:
        unknown = _UNKNOWN.search(str(error))
        if unknown is None or unknown[1] not in options:
            raise
        raise OptionsError(f"{model!r} takes no option {unknown[1]!r}; leave it out") from error


def _load(model: str, device: str | None, options: dict[str, Any]) -> VLM:
    if served_name(model) is not None:
        from keyframe_llm.vlm.openai_server import OpenAIVLM

        return OpenAIVLM(model, **options)
    from keyframe_llm.vlm.transformers import TransformersVLM

    if not is_embedded(model, vlm_path()):
        return TransformersVLM(model, device=device, **options)
    from keyframe_llm.vlm.drawn_world import DrawnWorldVLM
    from keyframe_llm.vlm.embedded import EmbeddedVLM

    plain = on_processor(device) and not options
    return DrawnWorldVLM(
        EmbeddedVLM() if plain else TransformersVLM(str(vlm_path()), device=device, **options)
    )


def served_name(model: str) -> str | None:
    """The name behind the `#` of a server's URL, empty where none is given; None for a local model."""
    return model.partition("#")[2] if model.startswith(("http://", "https://")) else None


def local_name(model: str) -> str:
    """The folder of the embedded model; any other name as it is."""
    return str(vlm_path()) if model == "cartoon" else model
