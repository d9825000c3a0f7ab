"""Converting a dual encoder of transformers into ONNX, with 8-bit weights where they change little.

Dynamic quantization: weights become 8-bit integers, a scale for each channel; activations are quantized as
they come. How much that changes depends on the weights, so every conversion measures it on its own model:
two photographs in parts, some sentences, and every similarity before and after.
"""

from __future__ import annotations

import gc
import json
import logging
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from keyframe_llm.arrays import unit_rows
from keyframe_llm.data import Progress
from keyframe_llm.encoders.base import WAYS_OUT, split_text
from keyframe_llm.encoders.huggingface import TransformersEncoder
from keyframe_llm.encoders.onnx_files import (
    IMAGE_MODEL,
    SETTINGS_FILE,
    TEXT_MODEL,
    TOKEN_ROWS,
    TOKENIZER,
    alone,
    existing_folder,
    keep,
    new_folder,
)
from keyframe_llm.encoders.onnx_halves import export_half, halves, save_table, weights_file
from keyframe_llm.encoders.pixels import PixelSettings, pixel_settings, pixels
from keyframe_llm.errors import ModelError
from keyframe_llm.hub import one_line

__all__ = ["convert"]

_MOST_CHANGE = 0.1
"""Share of the differences between similarities that 8-bit weights may change (root mean square)."""
_SAME = 0.02
"""The same for the conversion itself: above it the model is not what it was."""
_QUANTIZED = ("MatMul", "Gemm")
_SENTENCES = (
    "A temple with a curved roof under a blue sky.",
    "A red flower in the garden.",
    "People walk across a square.",
    "A close view of petals.",
    "An empty grey wall",
    "a tree beside a building",
)


def convert(name: str, progress: Progress) -> Path:
    """Convert the encoder of that hub id or local folder; returns the folder of the result.

    One process converts at a time, others wait for it. `progress("convert", share)` is called on the way.
    Raises `ModelError` where the model cannot be had, cannot be converted, or where nothing can be written.
    """
    progress("convert", 0.0)
    try:
        with alone():
            return existing_folder(name) or _converted(name, progress)
    except (ValueError, OSError, RuntimeError, ImportError, AttributeError) as error:
        raise ModelError(
            f"{name!r} cannot be converted to ONNX ({one_line(error)}); leave out `onnx:`, or {WAYS_OUT}"
        ) from error


def _converted(name: str, progress: Progress) -> Path:
    folder = new_folder(name)
    try:
        save_table(name, folder / TOKEN_ROWS)
        original = TransformersEncoder(name, device="cpu")
        progress("convert", 0.2)
        stated, towers = _exported(original, pixel_settings(original.processor.to_dict()), folder)
        del original  # its memory is needed
        kept = dict[str, Any]()
        for share, tower in zip((0.5, 0.8), towers, strict=True):
            progress("convert", share)
            gc.collect()  # the export and the quantizer leave cycles that hold all weights
            kept[tower.file] = _quantized(tower, folder)
        (folder / SETTINGS_FILE).write_text(json.dumps(stated | {"kept": kept}), encoding="utf-8")
        return keep(name, folder)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@dataclass(frozen=True, slots=True, eq=False)
class _Tower:
    """One half of the model in ONNX, and what it must make of some inputs."""

    file: str
    inputs: dict[str, NDArray[Any]]
    rows: NDArray[Any]
    """(N, D) what the original makes of the inputs."""
    others: NDArray[Any]
    """(M, D) rows of the other half, which these are compared with."""


def _exported(
    original: TransformersEncoder, settings: PixelSettings, folder: Path
) -> tuple[dict[str, Any], list[_Tower]]:
    """Write both halves in float32; returns the settings of the whole and the halves."""
    length, padding = original.context_length, int(original.tokenizer.pad_token_id or 0)
    (folder / TOKENIZER).write_text(_tokenizer_json(original.tokenizer), encoding="utf-8")
    sentences = [split_text(each, original.fits)[0] for each in _SENTENCES]
    ids = np.full((len(sentences), length), padding, np.int64)
    for row, sentence in zip(ids, sentences, strict=True):
        tokens = original.token_ids(sentence)
        row[: len(tokens)] = tokens
    photographs = _photographs()
    images, texts = original.embed_images(photographs), original.embed_texts(sentences)
    shown = pixels(photographs, settings)
    token_rows = np.load(folder / TOKEN_ROWS, mmap_mode="r")[ids].astype(np.float32)
    towers = [
        _Tower(IMAGE_MODEL, {"pixel_values": shown}, images, texts),
        _Tower(TEXT_MODEL, {"input_ids": ids, "token_rows": token_rows}, texts, images),
    ]
    for module, tower in zip(halves(original), towers, strict=True):
        export_half(module, tower.inputs, folder / tower.file)
    stated = {
        "pixels": settings.to_dict(),
        "image_size": original.image_size,
        "context_length": length,
        "lower_case": original.lower_case,
        "padding": padding,
    }
    return stated, towers


def _quantized(tower: _Tower, folder: Path) -> dict[str, Any]:
    """Replace a half by its 8-bit form if that changes little; says which one is kept, and the change.

    Raises `ValueError` where the half is not what it was even in float32.
    """
    from onnxruntime.quantization import QuantType, quantize_dynamic

    path = folder / tower.file
    converted = _change(tower, path)
    if not converted <= _SAME:
        raise ValueError(f"converted, its similarities change by {converted:.0%}")
    small = path.with_suffix(".int8.onnx")
    with _without_advice():
        quantize_dynamic(
            str(path),
            str(small),
            op_types_to_quantize=list(_QUANTIZED),
            per_channel=True,
            weight_type=QuantType.QInt8,
        )
    change = _change(tower, small)
    if change <= _MOST_CHANGE:
        small.replace(path)
        weights_file(path).unlink()
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


def _change(tower: _Tower, path: Path) -> float:
    """How far similarities move with this file, beside how much they differ from one another; 0 for none.

    A shift that all rows share chooses no other frame, so it does not count.
    """
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    options.add_session_config_entry("session.disable_prepacking", "1")  # a second copy of the weights
    session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    given = {each.name: tower.inputs[each.name] for each in session.get_inputs()}
    rows = unit_rows(np.asarray(session.run(None, given)[0], np.float32))
    before, after = tower.rows @ tower.others.T, rows @ tower.others.T
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
