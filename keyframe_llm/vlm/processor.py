"""The processor of a local model: prompts as tokens and pixels, and their count, without the weights."""

from __future__ import annotations

import inspect
import re
from collections.abc import Mapping, Sequence
from typing import Any

from keyframe_llm.errors import check_whole
from keyframe_llm.hub import check_tokenizer, load_local_first
from keyframe_llm.markers import markers_of
from keyframe_llm.messages.markers import without_markers
from keyframe_llm.messages.timestamps import with_time_labels
from keyframe_llm.vlm.protocol import Messages

__all__ = [
    "MAX_IMAGE_TOKENS",
    "WAYS_OUT",
    "ChatProcessor",
    "load_processor",
    "processor_and_config",
    "processor_of",
]

WAYS_OUT = (
    "give the path of a local folder, the URL of a server (http://host:port/v1#name), or `--model cartoon`"
)
MAX_IMAGE_TOKENS = 768
"""What one picture costs at most by default: 28 × 28 pixels each make that 1036 × 560 or so."""


class ChatProcessor:
    """Turns conversations into the inputs of a model; it needs the model's small files alone."""

    def __init__(
        self,
        processor: Any,
        config: Any,
        *,
        max_image_tokens: int | None = MAX_IMAGE_TOKENS,
        processor_kwargs: Mapping[str, Any] | None = None,
        thinking: bool = False,
    ) -> None:
        """`processor` and `config` are transformers' own. Without `max_image_tokens` its own bound holds.

        `thinking` lets a model think before it answers, where its chat template leaves the choice.
        """
        self.processor, self.tokenizer = processor, processor.tokenizer
        self.tokenizer.padding_side = "left"  # a batch must end where its answers begin
        if self.tokenizer.pad_token is None:
            self.tokenizer.pad_token = self.tokenizer.eos_token
        self._markers, self._kind = markers_of(processor), str(config.model_type)
        self._image_id = getattr(config, "image_token_id", getattr(config, "image_token_index", None))
        bound = {} if max_image_tokens is None else _area_bound(processor.image_processor, max_image_tokens)
        self._kwargs = {**bound, **(processor_kwargs or {})}
        chosen = "enable_thinking" in str(processor.chat_template)
        self._template_kwargs = {"enable_thinking": thinking} if chosen else {}

    def inputs(self, conversations: Sequence[Messages]) -> Any:
        """The tokens and pixels of some conversations, as one batch."""
        return self.processor.apply_chat_template(
            [self._prompt(messages) for messages in conversations],
            tokenize=True,
            add_generation_prompt=True,
            return_dict=True,
            return_tensors="pt",
            processor_kwargs={"padding": True, **self._kwargs},
            **self._template_kwargs,
        )

    def _prompt(self, messages: Messages) -> Messages:
        return with_time_labels(without_markers(messages, self._markers), self._kind)

    def count_tokens(self, messages: Messages) -> tuple[int, int]:
        """How many tokens the prompt has, and how many of them stand for pictures."""
        ids = self.inputs([messages])["input_ids"][0]
        return len(ids), int((ids == self._image_id).sum()) if self._image_id is not None else 0

    @property
    def video_grid(self) -> tuple[int, int, int | None] | None:
        """What a video token covers: pixels a side, and frames; and the most pixels of a picture, if bounded.

        None where the model's processor does not cut a video into such patches.
        """
        video = getattr(self.processor, "video_processor", None)
        sizes = [getattr(video, name, None) for name in ("patch_size", "merge_size", "temporal_patch_size")]
        whole = [size for size in sizes if isinstance(size, int) and size > 0]
        if len(whole) < len(sizes):
            return None
        patch, merge, fused = whole
        return patch * merge, fused, dict(self._kwargs.get("size") or {}).get("longest_edge")


def load_processor(
    name: str,
    *,
    max_image_tokens: int = MAX_IMAGE_TOKENS,
    processor_kwargs: Mapping[str, Any] | None = None,
    thinking: bool = False,
    batch_size: int = 1,
    device: str | None = None,
    **model_options: Any,
) -> ChatProcessor:
    """The processor of a model by its name, with the options of `TransformersVLM`; no weights are loaded.

    Raises `ModelError` where its files cannot be had, `OptionsError` on a value out of range, and as
    `from_pretrained` would `TypeError` on an option that the model does not take.
    """
    most = check_whole("max_image_tokens", max_image_tokens, 1)
    check_whole("batch_size", batch_size, 1)
    processor, config = load_local_first(name, processor_and_config, ways_out=WAYS_OUT)
    known = _loading_options() if model_options else ()
    for option in model_options:
        if option in known or hasattr(config, option):
            continue
        raise TypeError(f"from_pretrained() got an unexpected keyword argument {option!r}")
    return ChatProcessor(
        processor, config, max_image_tokens=most, processor_kwargs=processor_kwargs, thinking=thinking
    )


def _loading_options() -> set[str]:
    """What the installed transformers takes from the keywords of `from_pretrained`, beside a config's own."""
    from transformers import AutoModelForImageTextToText, PreTrainedModel

    loaders = (AutoModelForImageTextToText.from_pretrained, PreTrainedModel.from_pretrained)
    code = "".join(map(inspect.getsource, loaders))
    return {*inspect.signature(loaders[1]).parameters, *re.findall(r"kwargs(?:\.pop\(\s*|\[)\"(\w+)\"", code)}


def processor_of(source: str, local: bool) -> Any:
    """Transformers' processor of a model that chats about pictures; raises `ValueError` for any other."""
    from transformers import AutoProcessor

    processor = AutoProcessor.from_pretrained(source, local_files_only=local)
    if not hasattr(processor, "image_processor") or not getattr(processor, "chat_template", None):
        raise ValueError("it has no image processor or no chat template, so it does not chat about pictures")
    check_tokenizer(processor.tokenizer)
    return processor


def _config_of(source: str, local: bool) -> Any:
    """Transformers' configuration of a model; of an Omni model, of its half that answers in text."""
    from transformers import AutoConfig

    config = AutoConfig.from_pretrained(source, local_files_only=local)
    return getattr(config, "thinker_config", config)


def processor_and_config(source: str, local: bool) -> tuple[Any, Any]:
    """The small files of a model: transformers' processor and configuration of it."""
    return processor_of(source, local), _config_of(source, local)


def _area_bound(image_processor: Any, tokens: int) -> dict[str, Any]:
    """Processor options that bound a picture's tokens, where its processor resizes to an area as Qwen's does.

    There `size` holds areas in pixels under the names of edges; a token covers `patch_size * merge_size`
    pixels squared.
    """
    size = dict(getattr(image_processor, "size", None) or {})
    merge = getattr(image_processor, "merge_size", None)
    if not merge or not size.get("shortest_edge") or not size.get("longest_edge"):
        return {}
    largest = min(size["longest_edge"], tokens * (image_processor.patch_size * merge) ** 2)
    return {"size": {"shortest_edge": min(size["shortest_edge"], largest), "longest_edge": largest}}
