"""Converting a dual encoder of transformers into ONNX, with 8-bit weights where they change little.

Dynamic quantization: weights become 8-bit integers, a scale for each channel; activations are quantized as
they come. How much that changes depends on the weights, so every conversion measures it on its own model:
two photographs in parts, some sentences, and every similarity before and after.
"""

from __future__ import annotations

import json
import logging
import shutil
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from keyframe_llm.arrays import unit_rows
from keyframe_llm.encoders.base import WAYS_OUT
from keyframe_llm.encoders.huggingface import TransformersEncoder
from keyframe_llm.encoders.onnx_files import (
    IMAGE_MODEL,
    SETTINGS_FILE,
    TEXT_MODEL,
    TOKENIZER,
    keep,
    new_folder,
)
from keyframe_llm.encoders.pixels import PixelSettings, pixel_settings, pixels
from keyframe_llm.errors import ModelError
from keyframe_llm.hub import one_line

if TYPE_CHECKING:
    import torch

__all__ = ["convert"]

_MOST_CHANGE = 0.1
"""Share of the differences between similarities that 8-bit weights may change (root mean square)."""
_SAME = 0.02
"""The same for the conversion itself: above it the model is not what it was."""
_QUANTIZED = ("MatMul", "Gemm", "Gather")
_SENTENCES = (
    "A temple with a curved roof under a blue sky.",
    "A red flower in the garden.",
    "People walk across a square.",
    "A close view of petals.",
    "An empty grey wall",
    "a tree beside a building",
)


def convert(name: str) -> Path:
    """Convert the encoder of that hub id or local folder; returns the folder of the result.

    Raises `ModelError` where the model cannot be had, cannot be converted, or where nothing can be written.
    """
    original = TransformersEncoder(name, device="cpu")
    folder: Path | None = None
    try:
        settings = pixel_settings(original.processor.to_dict())
        folder = new_folder(name)
        _write(original, settings, folder)
        return keep(name, folder)
    except (ValueError, OSError, RuntimeError, ImportError, AttributeError) as error:
        raise ModelError(
            f"{name!r} cannot be converted to ONNX ({one_line(error)}); leave out `onnx:`, or {WAYS_OUT}"
        ) from error
    finally:
        if folder is not None:
            shutil.rmtree(folder, ignore_errors=True)


def _write(original: TransformersEncoder, settings: PixelSettings, folder: Path) -> None:
    import torch

    length = original.context_length
    padding = int(original.tokenizer.pad_token_id or 0)
    (folder / TOKENIZER).write_text(_tokenizer_json(original.tokenizer), encoding="utf-8")
    ids = np.full((len(_SENTENCES), length), padding, np.int64)
    for row, sentence in zip(ids, _SENTENCES, strict=True):
        tokens = original.token_ids(sentence)[:length]
        row[: len(tokens)] = tokens
    photographs = _photographs()
    shown = pixels(photographs, settings)
    images, texts = original.embed_images(photographs), original.embed_texts(_SENTENCES)
    towers = {
        IMAGE_MODEL: ("pixel_values", shown, images, texts),
        TEXT_MODEL: ("input_ids", ids, texts, images),
    }
    kept = {}
    for model, (given, inputs, rows, others) in towers.items():
        _export(original.tower(given), given, torch.from_numpy(inputs[:2]), folder / model)
        change = _change(unit_rows(_outputs(folder / model, given, inputs)), rows, others)
        if not change <= _SAME:
            raise ValueError(f"converted, its similarities change by {change:.0%}")
        kept[model] = _quantized(folder / model, given, inputs, rows, others)
    stated = {
        "pixels": settings.to_dict(),
        "image_size": original.image_size,
        "context_length": length,
        "lower_case": original.lower_case,
        "padding": padding,
        "kept": kept,
    }
    (folder / SETTINGS_FILE).write_text(json.dumps(stated), encoding="utf-8")


def _export(tower: torch.nn.Module, given: str, example: torch.Tensor, path: Path) -> None:
    import torch

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of the exporter, about its own future and constants of the trace
        torch.onnx.export(
            tower,
            (example,),
            str(path),
            dynamo=False,
            input_names=[given],
            output_names=["rows"],
            dynamic_axes={given: {0: "n"}, "rows": {0: "n"}},
            opset_version=17,
        )


def _quantized(
    path: Path, given: str, inputs: NDArray[Any], rows: NDArray[Any], others: NDArray[Any]
) -> dict[str, Any]:
    """Replace the model by its 8-bit form if that changes little; says which one is kept, and the change."""
    from onnxruntime.quantization import QuantType, quantize_dynamic

    small = path.with_suffix(".int8.onnx")
    with _without_advice():
        quantize_dynamic(
            str(path),
            str(small),
            op_types_to_quantize=list(_QUANTIZED),
            per_channel=True,
            weight_type=QuantType.QInt8,
        )
    change = _change(unit_rows(_outputs(small, given, inputs)), rows, others)
    if change <= _MOST_CHANGE:
        small.replace(path)
    else:
        small.unlink()
    return {"weights": "int8" if change <= _MOST_CHANGE else "float32", "int8_change": round(change, 5)}


@contextmanager
def _without_advice() -> Iterator[None]:
    """Keep the quantizer's advice to its programmers off stderr: it gives it through the root logger."""
    root = logging.getLogger()

    def serious(record: logging.LogRecord) -> bool:
        return record.levelno > logging.WARNING

    root.addFilter(serious)
    try:
        yield
    finally:
        root.removeFilter(serious)


def _outputs(path: Path, given: str, inputs: NDArray[Any]) -> NDArray[np.float32]:
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    return np.asarray(session.run(None, {given: inputs})[0], np.float32)


def _change(rows: NDArray[Any], wanted: NDArray[Any], others: NDArray[Any]) -> float:
    """How far similarities with `others` moved, beside how much they differ from one another; 0 for none.

    A shift that all rows share chooses no other frame, so it does not count.
    """
    before, after = wanted @ others.T, rows @ others.T
    moved = (after - before) - (after - before).mean(axis=0)
    spread = before - before.mean(axis=0)
    return float(np.sqrt((moved**2).mean() / max((spread**2).mean(), 1e-12)))


def _photographs() -> list[NDArray[np.uint8]]:
    """Twelve parts of two photographs, RGB, that scikit-learn brings along."""
    from sklearn.datasets import load_sample_images

    return [
        np.ascontiguousarray(photograph[top : top + 240, left : left + 240])
        for photograph in load_sample_images().images
        for top in (0, 180)
        for left in (0, 200, 400)
    ]


def _tokenizer_json(tokenizer: Any) -> str:
    """The tokenizer in the format of `tokenizers`, which neither pads nor cuts; the same as it was."""
    from tokenizers import Tokenizer

    fast = Tokenizer.from_str(tokenizer.backend_tokenizer.to_str())
    fast.no_padding()
    fast.no_truncation()
    for sentence in _SENTENCES:
        if fast.encode(sentence).ids != tokenizer(sentence, truncation=False)["input_ids"]:
            raise ValueError("its tokenizer does more than its file says")
    return str(fast.to_str())
