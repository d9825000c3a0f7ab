"""Captions that a Video-LLM wrote, kept: each is written once, in this process and on disk."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from threading import Lock
from typing import Any

from keyframe_llm.index.feature_cache import FeatureCache
from keyframe_llm.index.keys import video_key
from keyframe_llm.index.store import model_identity
from keyframe_llm.messages import Layout
from keyframe_llm.options import SelectOptions
from keyframe_llm.prompts import Prompts
from keyframe_llm.scoring.selectors import QUERY_AWARE, propose_options
from keyframe_llm.video import VideoSource, existing_source

__all__ = ["KeptCaptions", "without_text"]

_REMEMBERED = 64


class KeptCaptions:
    """The captions of one Video-LLM, which is shown key frames in one layout, with one set of prompts."""

    def __init__(
        self,
        cache: FeatureCache,
        model: Any,
        layout: Layout,
        prompts: Prompts,
        model_options: Mapping[str, Any],
    ) -> None:
        """`model` is the Video-LLM's name or object; of one without an identity nothing is kept on disk.

        `model_options` are those of `load_vlm`: with others it may be shown other pictures.
        """
        self._cache, self._model, self._layout, self._prompts = cache, model, layout, prompts
        self._model_options = sorted(model_options.items())
        self._remembered: dict[tuple[Any, ...], str] = {}
        self._lock = Lock()

    def text(self, video: VideoSource, options: SelectOptions, write: Callable[[], str]) -> str:
        """The caption of a video whose frames these options choose; `write` writes it where none is kept."""
        key = (*video_key(video, options), _choice(options))
        with self._lock:
            text = self._remembered.get(key)
        if text is None:
            text = self._kept(video, options, write)
            with self._lock:
                self._remembered[key] = text
                while len(self._remembered) > _REMEMBERED:
                    self._remembered.pop(next(iter(self._remembered)))
        return text

    def _kept(self, video: VideoSource, options: SelectOptions, write: Callable[[], str]) -> str:
        """The caption an earlier run left on disk, or a new one, which is left there."""
        identity = model_identity(self._model)
        key = None
        if identity is not None and isinstance(options.choose.method, str):
            made_of = (options.decode, propose_options(options), options.words, _choice(options))
            shown = (self._model_options, self._layout, self._prompts.text("caption"))
            key = self._cache.key("caption", existing_source(video), identity, *made_of, *shown)
        text = self._cache.text(key)
        if text is None:
            text = write()
            self._cache.keep_text(key, text)
        return text


def without_text(options: SelectOptions) -> SelectOptions:
    """The options that choose the frames of a caption, which then guides the real choice."""
    method = options.choose.method
    method = "moments" if method in QUERY_AWARE else method  # those choose nothing without a text
    return options.replaced(method=method, guide="auto", task=None, threshold=None, exclude_seconds=())


def _choice(options: SelectOptions) -> Any:
    """The options of the choice that a caption without a text depends on: all but the task."""
    return replace(options.choose, task=None)
