"""The embedded Video-LLM: the forward pass of transformers' `Qwen2_5_VLForConditionalGeneration`.

Written out for this checkpoint: pictures and no videos, and vision blocks that all see the whole picture.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from keyframe_llm.arrays import one_thread
from keyframe_llm.cartoon.inference.layers import (
    Array,
    Weights,
    attention,
    gelu,
    linear,
    merged_heads,
    read_checkpoint,
    rms_norm,
    rotated,
    silu,
    split_heads,
)

__all__ = ["Context", "QwenModel"]

_VISION_EPSILON = 1e-6

Ids = NDArray[np.int64]


@dataclass(frozen=True, slots=True, eq=False)
class Context:
    """What the model has read. It is never changed: several continuations may share it."""

    keys: tuple[Array, ...]
    values: tuple[Array, ...]
    """(heads, L, d) of each layer."""
    position: int
    """Of the next token."""


class QwenModel:
    """A Qwen2.5-VL checkpoint in memory."""

    def __init__(self, folder: Path) -> None:
        config, self._weights = read_checkpoint(folder)
        self._vision, self._text = config["vision_config"], config["text_config"]
        self.image_token, self.end_token = int(config["image_token_id"]), int(self._text["eos_token_id"])
        self.patch, self.merge = int(self._vision["patch_size"]), int(self._vision["spatial_merge_size"])

    @one_thread()
    def read(self, ids: Ids, pictures: Sequence[Array]) -> tuple[Context, Array]:
        """Read a prompt; returns the context and (V,) the logits of the next token.

        `ids` (L,) holds `image_token` as often as the pictures, (3, H, W) prepared, have tokens.
        """
        grids = [(picture.shape[1] // self.patch, picture.shape[2] // self.patch) for picture in pictures]
        x = self._weights["model.embed_tokens.weight"][ids]
        if pictures:
            x[ids == self.image_token] = np.concatenate([self.picture_rows(one) for one in pictures])
        positions = self._positions(ids, grids)
        empty = np.zeros((self._text["num_attention_heads"], 0, self._head), np.float32)
        layers = self._text["num_hidden_layers"]
        context = Context((empty,) * layers, (empty,) * layers, int(positions.max()) + 1)
        context, rows = self._forward(x, positions, context)
        return context, self._logits(rows[-1])

    @one_thread()
    def go_on(self, ids: Ids, context: Context) -> tuple[Context, Array]:
        """Read (L,) more tokens of text; returns the new context and (L, V) the logits after each."""
        steps = context.position + np.arange(len(ids))
        further = Context(context.keys, context.values, context.position + len(ids))
        further, rows = self._forward(
            self._weights["model.embed_tokens.weight"][ids], np.stack([steps] * 3), further
        )
        return further, self._logits(rows)

    def picture_rows(self, pixels: Array) -> Array:
        """(T, D) what stands for a prepared picture, (3, H, W), in the prompt; H and W whole tokens."""
        patches, places = _patches(pixels, self.patch, self.merge)
        kernel = self._weights["visual.patch_embed.proj.weight"].sum(axis=2)  # both frames are this picture
        x = patches @ kernel.reshape(len(kernel), -1).T
        head = self._vision["hidden_size"] // self._vision["num_heads"]
        angles = (places[:, :, None] * _frequencies(self._vision, head // 2)).reshape(len(x), -1)
        for layer in range(self._vision["depth"]):
            x = self._vision_block(x, f"visual.blocks.{layer}", angles.astype(np.float32))
        x = rms_norm(x, self._weights, "visual.merger.ln_q", _VISION_EPSILON)
        x = gelu(linear(x.reshape(-1, x.shape[-1] * self.merge**2), self._weights, "visual.merger.mlp.0"))
        return linear(x, self._weights, "visual.merger.mlp.2")

    @property
    def _head(self) -> int:
        return int(self._text["hidden_size"] // self._text["num_attention_heads"])

    def _vision_block(self, x: Array, name: str, angles: Array) -> Array:
        weights = self._weights
        normed = rms_norm(x, weights, f"{name}.norm1", _VISION_EPSILON)
        query, key, value = (
            split_heads(part, self._vision["num_heads"])
            for part in np.split(linear(normed, weights, f"{name}.attn.qkv"), 3, axis=-1)
        )
        seen = attention(rotated(query, angles), rotated(key, angles), value, causal=False)
        x = x + linear(merged_heads(seen), weights, f"{name}.attn.proj")
        return x + _mlp(rms_norm(x, weights, f"{name}.norm2", _VISION_EPSILON), weights, f"{name}.mlp")

    def _forward(self, x: Array, positions: Ids, context: Context) -> tuple[Context, Array]:
        """Run (L, D) rows at (3, L) positions behind a context; returns the longer one and (L, D) rows."""
        weights, epsilon = self._weights, self._text["rms_norm_eps"]
        angles = self._angles(positions)
        keys, values = [], []
        for layer in range(self._text["num_hidden_layers"]):
            name = f"model.layers.{layer}"
            normed = rms_norm(x, weights, f"{name}.input_layernorm", epsilon)
            query, key, value = (
                split_heads(
                    linear(normed, weights, f"{name}.self_attn.{kind}_proj"),
                    self._text["num_attention_heads"],
                )
                for kind in "qkv"
            )
            keys.append(np.concatenate([context.keys[layer], rotated(key, angles)], axis=1))
            values.append(np.concatenate([context.values[layer], value], axis=1))
            seen = attention(rotated(query, angles), keys[-1], values[-1], causal=True)
            x = x + linear(merged_heads(seen), weights, f"{name}.self_attn.o_proj")
            normed = rms_norm(x, weights, f"{name}.post_attention_layernorm", epsilon)
            x = x + _mlp(normed, weights, f"{name}.mlp")
        rows = rms_norm(x, weights, "model.norm", epsilon)
        return Context(tuple(keys), tuple(values), context.position), rows

    def _logits(self, rows: Array) -> Array:
        return np.asarray(rows @ self._weights["model.embed_tokens.weight"].T)  # tied to the embeddings

    def _angles(self, positions: Ids) -> Array:
        """(L, d / 2) M-RoPE's angles: sections of the frequencies follow time, height and width."""
        sections = self._text["rope_parameters"]["mrope_section"]
        axes = np.repeat([i % 3 for i in range(len(sections))], sections)
        angles = positions[axes].T * _frequencies(self._text, self._head)
        return np.asarray(angles, np.float32)

    def _positions(self, ids: Ids, grids: Sequence[tuple[int, int]]) -> Ids:
        """(3, L) time, height and width of each token: a picture's tokens share its time."""
        found: list[Ids] = []
        at, start, shapes = 0, 0, iter(grids)
        while at < len(ids):
            if ids[at] == self.image_token:
                high, wide = (side // self.merge for side in next(shapes))
                grid = np.indices((1, high, wide)).reshape(3, -1) + start
                found.append(grid)
                at, start = at + high * wide, start + max(high, wide)
            else:
                found.append(np.full((3, 1), start))
                at, start = at + 1, start + 1
        return np.concatenate(found, axis=1)


def _mlp(x: Array, weights: Weights, name: str) -> Array:
    gate = silu(linear(x, weights, f"{name}.gate_proj"))
    return linear(gate * linear(x, weights, f"{name}.up_proj"), weights, f"{name}.down_proj")


def _frequencies(config: dict[str, object], width: int) -> Array:
    """(width / 2,) of the rotary embedding, from high to low."""
    rope = config["rope_parameters"]
    assert isinstance(rope, dict)
    steps = np.arange(0, width, 2, dtype=np.float32) / np.float32(width)
    return np.asarray(1 / np.float32(rope["rope_theta"]) ** steps, np.float32)


def _patches(pixels: Array, side: int, merge: int) -> tuple[Array, Ids]:
    """(P, 3 · side²) patches of (3, H, W), those that are merged together; (P, 2) their rows and columns."""
    high, wide = pixels.shape[1] // side // merge, pixels.shape[2] // side // merge
    grid = pixels.reshape(3, high, merge, side, wide, merge, side).transpose(1, 4, 2, 5, 0, 3, 6)
    places = np.indices((high * merge, wide * merge)).reshape(2, high, merge, wide, merge)
    ordered = places.transpose(1, 3, 2, 4, 0).reshape(-1, 2)
    return grid.reshape(math.prod(grid.shape[:4]), -1), ordered
