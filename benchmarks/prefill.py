"""What key frames save a Video-LLM: tokens, prefill time and memory, beside its own two frames a second.

    python benchmarks/prefill.py                                    # a small model where there is no GPU
    python benchmarks/prefill.py --shapes qwen2.5-vl-7b qwen3-vl-8b --seconds 30 120 600 --keyframes 3 8

The architecture and the tokens of a picture are the real ones, the weights random: they change no time.
"""

from __future__ import annotations

import argparse
import statistics
import time
from dataclasses import dataclass
from typing import Any

import torch
from measuring import machine, table
from transformers import (
    Qwen2_5_VLConfig,
    Qwen2_5_VLForConditionalGeneration,
    Qwen3VLConfig,
    Qwen3VLForConditionalGeneration,
)

from keyframe_llm.cost import frames_at, tokens_of_video

__all__ = ["main"]

TEXT_TOKENS = 60
IMAGE, VIDEO, START, END = 10, 11, 12, 13


@dataclass(frozen=True)
class Shape:
    """A model's size: text and vision as (hidden size, layers, heads, feed-forward)."""

    family: str
    text: tuple[int, int, int, int]
    groups: int
    vision: tuple[int, int, int, int]
    words: int = 1000

    @property
    def side(self) -> int:
        """Pixels on a side of what one token shows."""
        return 28 if self.family == "qwen2.5" else 32


SHAPES = {
    "small": Shape("qwen2.5", (512, 6, 8, 2048), 2, (320, 8, 16, 864)),
    "small-qwen3": Shape("qwen3", (512, 6, 8, 2048), 2, (320, 8, 16, 864)),
    "qwen2.5-vl-3b": Shape("qwen2.5", (2048, 36, 16, 11_008), 2, (1280, 32, 16, 3420), 151_936),
    "qwen2.5-vl-7b": Shape("qwen2.5", (3584, 28, 28, 18_944), 4, (1280, 32, 16, 3420), 152_064),
    "qwen3-vl-8b": Shape("qwen3", (4096, 36, 32, 12_288), 8, (1152, 27, 16, 4304), 151_936),
}


def main() -> None:
    """Measure and print a table for each shape."""
    device = "cuda" if torch.cuda.is_available() else "cpu"
    parser = argparse.ArgumentParser(description="Compare tokens, prefill time and memory.")
    usual = ["qwen2.5-vl-7b"] if device == "cuda" else ["small"]
    parser.add_argument("--shapes", nargs="+", choices=SHAPES, default=usual)
    parser.add_argument("--seconds", nargs="+", type=float, default=[20.0], help="lengths of the video")
    parser.add_argument("--keyframes", nargs="+", type=int, default=[3])
    parser.add_argument("--height", type=int, default=720)
    parser.add_argument("--width", type=int, default=1280)
    parser.add_argument("--repeat", type=int, default=3)
    asked = parser.parse_args()
    print(f"{machine()}; torch {torch.__version__} on {_device_name(device)}; {asked.width} × {asked.height}")
    for name in asked.shapes:
        began = time.perf_counter()
        model = build(SHAPES[name], device)
        held = torch.cuda.memory_allocated() / 1e9 if device == "cuda" else 0.0
        print(f"\n{name}, random weights ({held:.1f} GB), made in {time.perf_counter() - began:.0f} s\n")
        print(table(("prompt", "visual tokens", "prefill s", "memory above weights, GB"), rows(model, asked)))
        del model
        if device == "cuda":
            torch.cuda.empty_cache()


def rows(model: Any, asked: argparse.Namespace) -> list[tuple[object, ...]]:
    """One line for each number of key frames and for each length at two frames a second."""
    shape: Shape = model.shape
    size = (asked.height, asked.width, shape.side)
    one = tokens_of_video(2, *size)  # two frames fused cost what one picture does
    prompts = [(f"{count} key frames", "image", [(1, one)] * count) for count in asked.keyframes]
    for seconds_long in asked.seconds:
        frames = frames_at(seconds_long)
        pair = tokens_of_video(frames, *size) // (frames // 2)
        name = f"{seconds_long:g} s at 2 a second ({frames} frames)"
        whole = shape.family == "qwen2.5"  # from Qwen3-VL on, a time stands before every pair
        prompts.append((name, "video", [(frames // 2, pair)] if whole else [(1, pair)] * (frames // 2)))
    lines: list[tuple[object, ...]] = []
    for name, kind, parts in prompts:
        tokens = sum(pairs * each for pairs, each in parts)
        lines.append((name, f"{tokens:,}", *measure(model, prompt(kind, parts, model), asked.repeat)))
    return lines


def build(shape: Shape, device: str) -> Any:
    """A model of this shape with random weights, in bfloat16 on a GPU."""
    hidden, layers, heads, inner = shape.text
    head = hidden // heads
    split = (
        [head // 8, head * 3 // 16, head * 3 // 16] if shape.family == "qwen2.5" else _interleaved(head // 2)
    )
    text = {
        **{"hidden_size": hidden, "num_hidden_layers": layers, "num_attention_heads": heads},
        **{"num_key_value_heads": shape.groups, "intermediate_size": inner, "vocab_size": shape.words},
        **{"head_dim": head, "max_position_embeddings": 262_144},
        "rope_parameters": {"rope_type": "default", "rope_theta": 1e6, "mrope_section": split},
    }
    tokens = {
        **{"image_token_id": IMAGE, "video_token_id": VIDEO},
        **{"vision_start_token_id": START, "vision_end_token_id": END},
    }
    wide, blocks, vision_heads, vision_inner = shape.vision
    vision: dict[str, Any] = {"hidden_size": wide, "depth": blocks, "num_heads": vision_heads}
    vision |= {"intermediate_size": vision_inner, "out_hidden_size": hidden}
    quarters = [blocks // 4 * (i + 1) - 1 for i in range(4)]
    config: Any
    if shape.family == "qwen2.5":
        vision["fullatt_block_indexes"] = quarters
        config = Qwen2_5_VLConfig(text_config=text, vision_config=vision, **tokens)
        kind: Any = Qwen2_5_VLForConditionalGeneration
    else:
        vision |= {"patch_size": 16, "deepstack_visual_indexes": quarters[:3]}
        config = Qwen3VLConfig(text_config=text, vision_config=vision, **tokens)
        kind = Qwen3VLForConditionalGeneration
    torch.set_default_dtype(torch.bfloat16 if device == "cuda" else torch.float32)
    with torch.device(device):
        model = kind(config)
    torch.set_default_dtype(torch.float32)
    model.shape = shape
    return model.eval()


def _interleaved(half: int) -> list[int]:
    side = half * 5 // 16
    return [half - 2 * side, side, side]


def prompt(kind: str, parts: list[tuple[int, int]], model: Any) -> dict[str, torch.Tensor]:
    """Inputs with one visual part for each (pairs of frames, tokens of a pair), and some text."""
    token = IMAGE if kind == "image" else VIDEO
    ids: list[int] = []
    grids, patches = [], 0
    for pairs, tokens in parts:
        side = next(r for r in range(int(tokens**0.5), 0, -1) if tokens % r == 0)
        ids += [*range(20, 26), START, *[token] * (pairs * tokens), END]
        grids.append((pairs, 2 * side, 2 * tokens // side))
        patches += pairs * tokens * 4
    if kind == "video" and len(grids) > 1:
        grids = [(len(grids), *grids[0][1:])]
    ids += [20 + i % 50 for i in range(TEXT_TOKENS)]
    row = torch.tensor([ids], device=model.device)
    side = model.config.vision_config.patch_size
    pixels = torch.randn(patches, 3 * 2 * side * side, device=model.device, dtype=model.dtype)
    return {
        "input_ids": row,
        "mm_token_type_ids": (row == IMAGE) + 2 * (row == VIDEO),
        "pixel_values" if kind == "image" else "pixel_values_videos": pixels,
        f"{kind}_grid_thw": torch.tensor(grids, device=model.device),
    }


@torch.inference_mode()
def measure(model: Any, inputs: dict[str, torch.Tensor], repeat: int) -> tuple[str, str]:
    """The median time until the first token could be chosen, and the peak memory beside the weights."""
    cuda = model.device.type == "cuda"
    runs, held = [], torch.cuda.memory_allocated() if cuda else 0
    if cuda:
        torch.cuda.reset_peak_memory_stats()
    for _ in range(repeat + 1):
        began = time.perf_counter()
        model(**inputs, use_cache=True, logits_to_keep=1)
        if cuda:
            torch.cuda.synchronize()
        runs.append(time.perf_counter() - began)
    more = f"{(torch.cuda.max_memory_allocated() - held) / 1e9:.1f}" if cuda else "–"
    return f"{statistics.median(runs[1:]):.2f}", more


def _device_name(device: str) -> str:
    return torch.cuda.get_device_name() if device == "cuda" else "the processor"


if __name__ == "__main__":
    main()
