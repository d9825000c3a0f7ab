"""What both models are made of. Arrays are float32; the last axis holds the features."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = [
    "Array",
    "Weights",
    "attention",
    "gelu",
    "layer_norm",
    "linear",
    "merged_heads",
    "quick_gelu",
    "read_checkpoint",
    "rms_norm",
    "rotated",
    "silu",
    "split_heads",
]

Array = NDArray[np.float32]
Weights = Mapping[str, Array]

_ERF = np.frompyfunc(math.erf, 1, 1)


def read_checkpoint(folder: Path) -> tuple[dict[str, Any], Weights]:
    """The configuration and the weights in a folder, as transformers saves them."""
    from safetensors.numpy import load_file

    config: dict[str, Any] = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    weights = load_file(folder / "model.safetensors")
    return config, {name: values.astype(np.float32) for name, values in weights.items()}


def linear(x: Array, weights: Weights, name: str) -> Array:
    """A linear layer of that name, with a bias where the checkpoint has one."""
    y = x @ weights[f"{name}.weight"].T
    bias = weights.get(f"{name}.bias")
    return np.asarray(y if bias is None else y + bias)


def layer_norm(x: Array, weights: Weights, name: str, epsilon: float) -> Array:
    """Mean 0 and variance 1, then the layer's own scale and shift."""
    centred = x - x.mean(axis=-1, keepdims=True)
    scale = np.sqrt((centred**2).mean(axis=-1, keepdims=True) + np.float32(epsilon))
    return np.asarray(centred / scale * weights[f"{name}.weight"] + weights[f"{name}.bias"])


def rms_norm(x: Array, weights: Weights, name: str, epsilon: float) -> Array:
    """Root mean square 1, then the layer's own scale."""
    scale = np.sqrt((x**2).mean(axis=-1, keepdims=True) + np.float32(epsilon))
    return np.asarray(x / scale * weights[f"{name}.weight"])


def split_heads(x: Array, heads: int) -> Array:
    """(…, L, heads · d) as (…, heads, L, d)."""
    return np.swapaxes(x.reshape(*x.shape[:-1], heads, -1), -2, -3)


def merged_heads(x: Array) -> Array:
    """(…, heads, L, d) as (…, L, heads · d)."""
    swapped = np.swapaxes(x, -2, -3)
    return swapped.reshape(*swapped.shape[:-2], -1)


def attention(query: Array, key: Array, value: Array, *, causal: bool) -> Array:
    """(…, L, d) softmax(Q Kᵀ / √d) V of (…, L, d) queries, (…, K, d) keys and values.

    With `causal` the queries are the last L of the K positions, and each looks at none after its own.
    """
    scores = query @ np.swapaxes(key, -1, -2) * np.float32(query.shape[-1] ** -0.5)
    if causal:
        behind = key.shape[-2] - query.shape[-2]
        later = np.triu(np.ones(scores.shape[-2:], bool), behind + 1)
        scores = np.where(later, np.float32(-np.inf), scores)
    shares = np.exp(scores - scores.max(axis=-1, keepdims=True))
    return np.asarray(shares / shares.sum(axis=-1, keepdims=True) @ value)


def rotated(x: Array, angles: Array) -> Array:
    """Rotary position embedding: (…, L, d) turned by (L, d / 2) angles; its halves are the pairs."""
    cosine, sine = np.cos(angles), np.sin(angles)
    first, second = np.split(x, 2, axis=-1)
    return np.concatenate([first * cosine - second * sine, second * cosine + first * sine], axis=-1)


def silu(x: Array) -> Array:
    """x · sigmoid(x)."""
    return np.asarray(x / (1 + np.exp(-x)))


def quick_gelu(x: Array) -> Array:
    """x · sigmoid(1.702 x), CLIP's form of GELU."""
    return np.asarray(x / (1 + np.exp(np.float32(-1.702) * x)))


def gelu(x: Array) -> Array:
    """x · Φ(x), by the error function."""
    return np.asarray(x * (1 + _ERF(x * np.float32(0.5**0.5)).astype(np.float32)) / 2, np.float32)
