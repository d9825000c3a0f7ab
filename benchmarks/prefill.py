"""What key frames save a Video-LLM: tokens and prefill time of Qwen2.5-VL, beside its own 2 fps sampling.

    python benchmarks/prefill.py                                # a small model where there is no GPU
    python benchmarks/prefill.py --size 7b --seconds 120        # the real shape, on a GPU

The architecture and the tokens of a picture are the real ones, the weights random: they change no time.
"""

from __future__ import annotations

import argparse
import statistics
import time
from typing import Any

import torch
from measuring import machine, table
from transformers import Qwen2_5_VLConfig, Qwen2_5_VLForConditionalGeneration

from keyframe_llm.cost import frames_at, tokens_of_video

__all__ = ["main"]

# Text: hidden size, layers, heads, key-value heads, feed-forward. Vision: hidden size, layers, feed-forward.
SIZES = {
    "small": ((512, 6, 8, 2, 2048), (320, 8, 864)),
    "3b": ((2048, 36, 16, 2, 11008), (1280, 32, 3420)),
    "7b": ((3584, 28, 28, 4, 18944), (1280, 32, 3420)),
}
TEXT_TOKENS = 60
IMAGE, VIDEO, START, END = 10, 11, 12, 13


def main() -> None:
    """Measure and print."""
    device = "cuda" if torch.cuda.is_available() else "cpu"
    parser = argparse.ArgumentParser(description="Compare tokens and prefill time.")
    parser.add_argument("--size", choices=SIZES, default="7b" if device == "cuda" else "small")
    parser.add_argument("--seconds", type=float, default=20.0, help="length of the video (default 20)")
    parser.add_argument("--height", type=int, default=720)
    parser.add_argument("--width", type=int, default=1280)
    parser.add_argument("--keyframes", type=int, default=3)
    parser.add_argument("--repeat", type=int, default=3)
    asked = parser.parse_args()
    model = build(asked.size, device)
    frames = frames_at(asked.seconds)
    dense = tokens_of_video(frames, asked.height, asked.width)
    one = tokens_of_video(
        2, asked.height, asked.width
    )  # of two frames fused, which is what one picture costs
    prompts = {
        f"{asked.keyframes} key frames": prompt(IMAGE, [(1, one)] * asked.keyframes, device),
        f"{frames} frames, 2 a second": prompt(VIDEO, [(frames // 2, dense // (frames // 2))], device),
    }
    took = {name: seconds(model, inputs, asked.repeat) for name, inputs in prompts.items()}
    print(
        f"{machine()}; torch {torch.__version__} on {device}, shape {asked.size}; "
        f"{asked.seconds:g} s of video\n"
    )
    tokens = [asked.keyframes * one, dense]
    rows = [(name, count, f"{took[name]:.2f}") for name, count in zip(took, tokens, strict=True)]
    print(table(("", "visual tokens", "prefill s"), rows))
    fast, slow = took.values()
    print(f"\n{tokens[1] / tokens[0]:.1f} times fewer visual tokens, prefill {slow / fast:.1f} times as fast")


def build(size: str, device: str) -> Any:
    """A model of this shape with random weights."""
    (hidden, layers, heads, groups, inner), (vision, blocks, vision_inner) = SIZES[size]
    head = hidden // heads
    config = Qwen2_5_VLConfig(
        text_config={
            **{"hidden_size": hidden, "num_hidden_layers": layers, "num_attention_heads": heads},
            **{"num_key_value_heads": groups, "intermediate_size": inner, "vocab_size": 1000},
            "rope_parameters": {
                **{"rope_type": "default", "rope_theta": 1e6},
                "mrope_section": [head // 8, head * 3 // 16, head * 3 // 16],
            },
        },
        vision_config={
            **{"hidden_size": vision, "depth": blocks, "num_heads": 16, "intermediate_size": vision_inner},
            **{
                "out_hidden_size": hidden,
                "fullatt_block_indexes": [blocks // 4 * (i + 1) - 1 for i in range(4)],
            },
        },
        **{"image_token_id": IMAGE, "video_token_id": VIDEO},
        **{"vision_start_token_id": START, "vision_end_token_id": END},
    )
    kind = torch.bfloat16 if device == "cuda" else torch.float32
    torch.set_default_dtype(kind)
    with torch.device(device):
        model = Qwen2_5_VLForConditionalGeneration(config)
    torch.set_default_dtype(torch.float32)
    return model.eval()


def prompt(kind: int, parts: list[tuple[int, int]], device: str) -> dict[str, torch.Tensor]:
    """Inputs with one visual part for each (pairs of frames, tokens of a pair), and some text."""
    ids: list[int] = []
    grids, patches = [], 0
    for pairs, tokens in parts:
        rows = next(r for r in range(int(tokens**0.5), 0, -1) if tokens % r == 0)
        ids += [START, *[kind] * (pairs * tokens), END, *range(20, 26)]
        grids.append((pairs, 2 * rows, 2 * tokens // rows))
        patches += pairs * tokens * 4
    ids += [20 + i % 50 for i in range(TEXT_TOKENS)]
    row = torch.tensor([ids], device=device)
    name = "image" if kind == IMAGE else "video"
    pixels = torch.randn(patches, 3 * 2 * 14 * 14, device=device)
    return {
        "input_ids": row,
        "attention_mask": torch.ones_like(row),
        "mm_token_type_ids": (row == IMAGE) + 2 * (row == VIDEO),
        "pixel_values" if kind == IMAGE else "pixel_values_videos": pixels,
        f"{name}_grid_thw": torch.tensor(grids, device=device),
    }


@torch.inference_mode()
def seconds(model: Any, inputs: dict[str, torch.Tensor], repeat: int) -> float:
    """The median time until the first token could be chosen."""
    runs = []
    for _ in range(repeat + 1):
        began = time.perf_counter()
        model(**inputs, use_cache=True, logits_to_keep=1)
        if torch.cuda.is_available():
            torch.cuda.synchronize()
        runs.append(time.perf_counter() - began)
    return statistics.median(runs[1:])


if __name__ == "__main__":
    main()
