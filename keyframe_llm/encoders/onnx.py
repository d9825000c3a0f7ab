"""Dual encoders on a processor without torch: converted once into ONNX, run by ONNX Runtime.

Torch and transformers are needed for the conversion alone. Its result is kept in the cache folder.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from keyframe_llm.data import Progress
from keyframe_llm.encoders.base import BatchedEncoder
from keyframe_llm.encoders.onnx_files import (
    IMAGE_MODEL,
    SETTINGS_FILE,
    TEXT_MODEL,
    TOKEN_ROWS,
    TOKENIZER,
    existing_folder,
)
from keyframe_llm.encoders.pixels import PixelSettings, pixels
from keyframe_llm.hub import LOADING, stated
from keyframe_llm.video.cores import available_cores

if TYPE_CHECKING:
    from onnxruntime import InferenceSession

__all__ = ["ONNX_PREFIX", "OnnxEncoder", "stated_image_size"]

ONNX_PREFIX = "onnx:"
_BATCH = 8


class OnnxEncoder(BatchedEncoder):
    """CLIP, SigLIP, or SigLIP2 of fixed size, through ONNX Runtime on the processor.

    Weights are 8-bit integers where that was measured to change next to nothing (see `onnx_export`).
    """

    def __init__(self, name: str, *, batch_size: int = _BATCH, progress: Progress | None = None) -> None:
        """Load `onnx:<hub id or folder>`; a model that was not converted yet is converted first.

        `progress("convert", share)` is called while it is. Raises `ModelError` where the model cannot be
        had, or does more with its pictures than resize them.
        """
        from tokenizers import Tokenizer

        super().__init__(batch_size)
        self.name = name
        self._folder = _converted(name.removeprefix(ONNX_PREFIX), progress or _silent)
        settings = json.loads((self._folder / SETTINGS_FILE).read_text(encoding="utf-8"))
        self._pixels = PixelSettings.from_dict(settings["pixels"])
        self._lower, self._padding = bool(settings["lower_case"]), int(settings["padding"])
        self.context_length, self.image_size = int(settings["context_length"]), int(settings["image_size"])
        self._tokenizer = Tokenizer.from_file(str(self._folder / TOKENIZER))
        self._rows_of = np.load(self._folder / TOKEN_ROWS, mmap_mode="r")
        self._sessions: dict[str, InferenceSession] = {}

    def _images(self, images: Sequence[NDArray[np.uint8]]) -> Any:
        return self._run(IMAGE_MODEL, {"pixel_values": pixels(images, self._pixels)})

    def _texts(self, texts: Sequence[str]) -> Any:
        rows = [self._tokens(text) for text in texts]
        ids = np.full((len(rows), self.context_length), self._padding, np.int64)
        for row, tokens in zip(ids, rows, strict=True):
            kept = tokens[: self.context_length]  # too long is but a single character of many tokens
            row[: len(kept)] = kept
        return self._run(TEXT_MODEL, {"input_ids": ids, "token_rows": self._rows_of[ids].astype(np.float32)})

    def _count(self, text: str) -> int:
        return len(self._tokens(text))

    def _tokens(self, text: str) -> list[int]:
        ids: list[int] = self._tokenizer.encode(text.lower() if self._lower else text).ids
        return ids

    def _run(self, model: str, inputs: Mapping[str, NDArray[Any]]) -> Any:
        if model not in self._sessions:
            self._sessions[model] = _session(self._folder / model)
        session = self._sessions[model]
        wanted = {given.name: inputs[given.name] for given in session.get_inputs()}
        return session.run(None, wanted)[0]


def _silent(stage: str, share: float) -> None:
    """Nobody is told."""


def _converted(name: str, progress: Progress) -> Path:
    """The folder of the converted model; it is converted by the first call that needs it."""
    found = existing_folder(name)
    if found is not None:
        return found
    with LOADING:
        from keyframe_llm.encoders.onnx_export import convert

        return existing_folder(name) or convert(name, progress)


def _session(model: Path) -> InferenceSession:
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = available_cores()
    # Threads that wait for work must leave the cores to the decoder.
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    options.log_severity_level = 3
    return onnxruntime.InferenceSession(str(model), options, providers=["CPUExecutionProvider"])


def stated_image_size(name: str) -> int | None:
    """The `image_size` of an encoder that was converted already; None for any other."""
    folder = existing_folder(name.removeprefix(ONNX_PREFIX))
    size = None if folder is None else stated(folder / SETTINGS_FILE).get("image_size")
    return size if isinstance(size, int) else None
