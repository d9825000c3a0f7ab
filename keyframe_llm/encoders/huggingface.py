"""Dual encoders of transformers: CLIP, SigLIP, SigLIP2."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from keyframe_llm.encoders.base import DEFAULT_IMAGE_SIZE, WAYS_OUT, TorchEncoder, placement
from keyframe_llm.errors import user_path
from keyframe_llm.hub import (
    cached_folder,
    check_tokenizer,
    has_weights,
    load_local_first,
    load_weights,
    stated,
)

if TYPE_CHECKING:
    import torch

__all__ = ["TransformersEncoder", "image_side", "stated_image_size"]

_SETTINGS = ("size", "max_num_patches", "patch_size")


class TransformersEncoder(TorchEncoder):
    """CLIP, SigLIP, SigLIP2 (fixed size and NaFlex) and their like, through transformers' auto classes."""

    def __init__(
        self, name: str, *, device: str | None = None, dtype: torch.dtype | None = None, batch_size: int = 32
    ) -> None:
        """Load from a local folder, the local cache or the hub, in that order.

        `dtype` None is float16 on a GPU and float32 on the CPU. Raises `ModelError` where the model cannot be
        had or is not a dual encoder.
        """
        super().__init__(batch_size)
        self.name = name
        self._device, self._dtype = placement(device, dtype)
        self.model, self.processor, self.tokenizer = load_local_first(
            name, lambda source, local: _load_transformers(source, self._dtype, local), ways_out=WAYS_OUT
        )
        self.model.to(self._device).eval()
        self.tokenizer.padding_side = "right"  # how all of them were trained; Gemma's own default is left
        config = self.model.config
        # SigLIP was trained on texts in lower case, padded to full length and with the padding attended to.
        self.lower_case = "siglip" in config.model_type
        """Whether texts are read in lower case."""
        self.context_length = int(config.text_config.max_position_embeddings)
        unstated = getattr(config.vision_config, "image_size", DEFAULT_IMAGE_SIZE)
        self.image_size = image_side(self.processor) or int(unstated)

    def _images(self, images: Sequence[NDArray[np.uint8]]) -> torch.Tensor:
        # torch takes no read-only array, which pictures out of a decoder or a buffer often are.
        writable = [image if image.flags.writeable else image.copy() for image in map(np.asarray, images)]
        inputs = self.processor(images=writable, input_data_format="channels_last", return_tensors="pt").to(
            self._device
        )
        inputs["pixel_values"] = inputs["pixel_values"].to(self._dtype)
        return _pooled(self.model.get_image_features(**inputs))

    def image_rows(self, pixel_values: torch.Tensor) -> torch.Tensor:
        """(N, D) rows of prepared pictures, (N, 3, H, W), as the model makes them."""
        return _pooled(self.model.get_image_features(pixel_values=pixel_values))

    def text_rows(self, input_ids: torch.Tensor) -> torch.Tensor:
        """(N, D) rows of padded tokens, (N, L), as the model makes them."""
        return _pooled(self.model.get_text_features(input_ids=input_ids))

    def token_ids(self, text: str) -> list[int]:
        """The tokens of a text, its start and end included, not cut."""
        ids: list[int] = self.tokenizer(self._clean(text), truncation=False, verbose=False)["input_ids"]
        return ids

    def _texts(self, texts: Sequence[str]) -> torch.Tensor:
        inputs = self.tokenizer(
            [self._clean(text) for text in texts],
            padding="max_length" if self.lower_case else True,
            truncation=True,  # never needed but for a single character of many tokens
            max_length=self.context_length,
            return_attention_mask=not self.lower_case,
            return_tensors="pt",
        ).to(self._device)
        return _pooled(self.model.get_text_features(**inputs))

    def _count(self, text: str) -> int:
        return len(self.token_ids(text))

    def _clean(self, text: str) -> str:
        return text.lower() if self.lower_case else text


def _load_transformers(name: str, dtype: torch.dtype, local: bool) -> tuple[Any, Any, Any]:
    from transformers import MODEL_MAPPING, AutoConfig, AutoImageProcessor, AutoModel, AutoTokenizer

    config = AutoConfig.from_pretrained(name, local_files_only=local)
    kind = MODEL_MAPPING.get(type(config), None)
    if not (hasattr(kind, "get_image_features") and hasattr(kind, "get_text_features")):
        raise ValueError(f"a {config.model_type} model is not a dual encoder of images and texts")
    # The small files first: a repository without them fails before gigabytes are read.
    tokenizer = AutoTokenizer.from_pretrained(name, local_files_only=local)
    check_tokenizer(tokenizer)
    processor = AutoImageProcessor.from_pretrained(name, local_files_only=local)
    return load_weights(AutoModel, name, dtype=dtype, local_files_only=local), processor, tokenizer


def _pooled(output: Any) -> torch.Tensor:
    """The projected vectors: transformers 5 wraps them in an output object, as its pooler output."""
    features: torch.Tensor = getattr(output, "pooler_output", output)
    return features


def stated_image_size(name: str) -> int | None:
    """What `image_size` will be, from the small files beside the weights; None where they do not say."""
    local = user_path("encoder", name)
    folder = local if local.exists() else cached_folder(name, "config.json")
    if folder is None or not has_weights(folder):
        return None
    kinds = stated(folder / "config.json").get("architectures") or [""]
    if not str(kinds[0]).endswith("Model"):  # a Video-LLM, say, which is refused when it is loaded
        return None
    nested = stated(folder / "processor_config.json", "image_processor")
    settings = nested or stated(folder / "preprocessor_config.json")
    return _side(settings) if isinstance(settings.get("size"), (int, dict, type(None))) else None


def image_side(image_processor: Any) -> int | None:
    """The shorter side that transformers' image processor makes; None where it does not say."""
    return _side({name: getattr(image_processor, name, None) for name in _SETTINGS})


def _side(settings: Mapping[str, Any]) -> int | None:
    """The shorter side an image processor makes; None where it does not say."""
    size = settings.get("size")
    if isinstance(size, int):  # how older files say it
        return size
    wanted = dict(size) if size else {}
    if wanted.get("shortest_edge"):
        return int(wanted["shortest_edge"])
    if wanted.get("height") and wanted.get("width"):
        return int(min(wanted["height"], wanted["width"]))
    patches, patch = settings.get("max_num_patches"), settings.get("patch_size")
    if patches and patch:  # NaFlex keeps the shape and bounds the patches
        return int(patch * patches**0.5)
    return None
