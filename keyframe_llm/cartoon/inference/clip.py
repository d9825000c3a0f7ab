"""The embedded CLIP: pictures and texts as rows, by the forward pass of transformers' `CLIPModel`."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from keyframe_llm.arrays import one_thread
from keyframe_llm.cartoon.inference.layers import (
    Array,
    attention,
    layer_norm,
    linear,
    merged_heads,
    quick_gelu,
    read_checkpoint,
    split_heads,
)

__all__ = ["ClipModel"]

_EPSILON = 1e-5
"""In all its norms; the checkpoint's configuration says the same."""


class ClipModel:
    """A CLIP checkpoint in memory."""

    def __init__(self, folder: Path) -> None:
        config, self._weights = read_checkpoint(folder)
        self._vision, self._text = config["vision_config"], config["text_config"]
        self.context_length = int(self._text["max_position_embeddings"])
        """The longest text, in tokens."""
        self.padding = int(self._text["pad_token_id"])
        """The token that fills a text up; what stands after the end changes nothing."""

    @one_thread()
    def image_rows(self, pixels: Array) -> Array:
        """(N, D) rows of prepared pictures, (N, 3, H, W)."""
        weights = self._weights
        kernel = weights["vision_model.embeddings.patch_embedding.weight"]
        patches = _patches(pixels, kernel.shape[-1]) @ kernel.reshape(len(kernel), -1).T
        summary = np.broadcast_to(
            weights["vision_model.embeddings.class_embedding"], (len(pixels), 1, patches.shape[-1])
        )
        x = np.concatenate([summary, patches], axis=1)
        x = x + weights["vision_model.embeddings.position_embedding.weight"]
        x = layer_norm(x, weights, "vision_model.pre_layrnorm", _EPSILON)  # transformers' own spelling
        for layer in range(self._vision["num_hidden_layers"]):
            x = self._layer(
                x, f"vision_model.encoder.layers.{layer}", self._vision["num_attention_heads"], causal=False
            )
        x = layer_norm(x[:, 0], weights, "vision_model.post_layernorm", _EPSILON)
        return linear(x, weights, "visual_projection")

    @one_thread()
    def text_rows(self, ids: NDArray[np.int64]) -> Array:
        """(N, D) rows of tokens, (N, L), each row with an end and filled up after it."""
        weights = self._weights
        x = weights["text_model.embeddings.token_embedding.weight"][ids]
        x = x + weights["text_model.embeddings.position_embedding.weight"][: ids.shape[1]]
        for layer in range(self._text["num_hidden_layers"]):
            x = self._layer(
                x, f"text_model.encoder.layers.{layer}", self._text["num_attention_heads"], causal=True
            )
        x = layer_norm(x, weights, "text_model.final_layer_norm", _EPSILON)
        ends = (ids == self._text["eos_token_id"]).argmax(axis=1)
        return linear(x[np.arange(len(ids)), ends], weights, "text_projection")

    def _layer(self, x: Array, name: str, heads: int, *, causal: bool) -> Array:
        weights = self._weights
        normed = layer_norm(x, weights, f"{name}.layer_norm1", _EPSILON)
        query, key, value = (
            split_heads(linear(normed, weights, f"{name}.self_attn.{kind}_proj"), heads) for kind in "qkv"
        )
        seen = merged_heads(attention(query, key, value, causal=causal))
        x = x + linear(seen, weights, f"{name}.self_attn.out_proj")
        hidden = linear(layer_norm(x, weights, f"{name}.layer_norm2", _EPSILON), weights, f"{name}.mlp.fc1")
        return x + linear(quick_gelu(hidden), weights, f"{name}.mlp.fc2")


def _patches(pixels: Array, side: int) -> Array:
    """(N, P, 3 · side²) the patches of (N, 3, H, W) pictures, row by row."""
    n, channels, height, width = pixels.shape
    grid = pixels.reshape(n, channels, height // side, side, width // side, side)
    return np.asarray(grid.transpose(0, 2, 4, 1, 3, 5).reshape(n, -1, channels * side * side))
