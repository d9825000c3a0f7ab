"""The embedded encoder as it runs on a processor: in NumPy, so that it answers before torch is imported."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from keyframe_llm.cartoon import encoder_path
from keyframe_llm.encoders.base import BatchedEncoder
from keyframe_llm.encoders.pixels import pixel_settings, pixels

__all__ = ["EmbeddedEncoder"]


class EmbeddedEncoder(BatchedEncoder):
    """The embedded CLIP without torch; its rows are those of `TransformersEncoder` but for rounding."""

    def __init__(self, *, batch_size: int = 32) -> None:
        """Load it from the package."""
        from tokenizers import Tokenizer

        from keyframe_llm.cartoon.inference.clip import ClipModel

        super().__init__(batch_size)
        folder = encoder_path()
        self.name = str(folder)
        self._model = ClipModel(folder)
        self._pixels = pixel_settings(json.loads((folder / "preprocessor_config.json").read_text("utf-8")))
        self._tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
        self._tokenizer.no_padding()
        self.image_size, self.context_length = self._pixels.height, self._model.context_length

    def _images(self, images: Sequence[NDArray[np.uint8]]) -> Any:
        return self._model.image_rows(pixels(images, self._pixels))

    def _texts(self, texts: Sequence[str]) -> Any:
        rows = [self._tokens(text) for text in texts]
        ids = np.full((len(rows), max(map(len, rows))), self._model.padding, np.int64)
        for row, tokens in zip(ids, rows, strict=True):
            row[: len(tokens)] = tokens
        return self._model.text_rows(ids)

    def _count(self, text: str) -> int:
        return len(self._tokens(text))

    def _tokens(self, text: str) -> list[int]:
        ids: list[int] = self._tokenizer.encode(text).ids
        return ids
