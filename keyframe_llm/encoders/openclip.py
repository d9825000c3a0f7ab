"""Dual encoders of open_clip, among them the Perception Encoder, the paper's backbone."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from keyframe_llm.encoders.base import WAYS_OUT, TorchEncoder, placement
from keyframe_llm.errors import ModelError, user_path
from keyframe_llm.hub import LOADING, cached_folder, fetch_folder, has_weights, one_line, stated

if TYPE_CHECKING:
    import torch

__all__ = ["FOLDER_PREFIX", "HUB_PREFIX", "OpenClipEncoder", "stated_image_size"]

HUB_PREFIX, FOLDER_PREFIX = "hf-hub:", "local-dir:"


class OpenClipEncoder(TorchEncoder):
    """Dual encoders in open_clip's format, among them the Perception Encoder (`hf-hub:timm/PE-Core-…`)."""

    def __init__(
        self, name: str, *, device: str | None = None, dtype: torch.dtype | None = None, batch_size: int = 32
    ) -> None:
        """Load `hf-hub:<id>` (the local cache first) or `local-dir:<folder>`.

        `dtype` None is float16 on a GPU and float32 on the CPU. Raises `ModelError` where open_clip is not
        installed or the model cannot be had.
        """
        super().__init__(batch_size)
        self.name = name
        try:
            import open_clip
        except ImportError as error:
            raise ModelError(
                f"{name!r} needs open_clip: `pip install keyframe-llm[pe]`; or {WAYS_OUT}"
            ) from error
        self._device, self._dtype = placement(device, dtype)
        source = f"{FOLDER_PREFIX}{_open_clip_folder(name)}"
        try:
            with LOADING:
                self._model, _, self._transform = open_clip.create_model_and_transforms(source)
                self._tokenizer = open_clip.get_tokenizer(source)
        except (OSError, ValueError, ImportError, RuntimeError) as error:
            raise ModelError(f"{name!r} cannot be loaded ({one_line(error)}); {WAYS_OUT}") from error
        self._model.to(self._device, self._dtype).eval()
        self.context_length = int(self._tokenizer.context_length)
        self.image_size = _side(self._model.visual.image_size)

    def _images(self, images: Sequence[NDArray[np.uint8]]) -> torch.Tensor:
        import torch
        from PIL import Image

        pixels = torch.stack([self._transform(Image.fromarray(np.asarray(image))) for image in images])
        features: torch.Tensor = self._model.encode_image(pixels.to(self._device, self._dtype))
        return features

    def _texts(self, texts: Sequence[str]) -> torch.Tensor:
        features: torch.Tensor = self._model.encode_text(self._tokenizer(list(texts)).to(self._device))
        return features

    def _count(self, text: str) -> int:
        inner = getattr(self._tokenizer, "tokenizer", None)  # a transformers tokenizer that open_clip wraps
        if inner is not None:
            return len(inner(text, truncation=False, verbose=False)["input_ids"])
        return len(self._tokenizer.encode(text)) + 2  # its start and end


def stated_image_size(name: str) -> int | None:
    """What `image_size` will be, from the small file beside the weights; None where it does not say."""
    folder: Path | None = user_path("encoder", name.removeprefix(FOLDER_PREFIX))
    if name.startswith(HUB_PREFIX):
        folder = cached_folder(name.removeprefix(HUB_PREFIX), "open_clip_config.json")
    if folder is None or not has_weights(folder):
        return None
    size = stated(folder / "open_clip_config.json", "model_cfg", "vision_cfg").get("image_size")
    return _side(size) if isinstance(size, (int, list)) and size else None


def _side(size: int | Sequence[int]) -> int:
    return int(size if isinstance(size, int) else min(size))


def _open_clip_folder(name: str) -> Path:
    """The local folder of an open_clip model; one without weights would be loaded with random ones."""
    if name.startswith(HUB_PREFIX):
        folder = _open_clip_snapshot(name.removeprefix(HUB_PREFIX))
    else:
        folder = user_path("encoder", name.removeprefix(FOLDER_PREFIX))
        if not (folder / "open_clip_config.json").is_file():
            raise ModelError(f"the folder {str(folder)!r} holds no open_clip_config.json; {WAYS_OUT}")
    if not has_weights(folder):
        raise ModelError(f"{name!r} holds no weights (*.safetensors, *.bin); {WAYS_OUT}")
    return folder


def _open_clip_snapshot(repository: str) -> Path:
    text_files = ["*.json", "*.txt", "*.model"]
    for weights in ("open_clip_model.safetensors", "open_clip_pytorch_model.bin"):
        folder = fetch_folder(repository, "open_clip_config.json", [*text_files, weights], ways_out=WAYS_OUT)
        if (folder / weights).is_file():
            break
    return folder
