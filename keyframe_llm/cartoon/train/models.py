"""The two embedded models before training: a small CLIP and a small Qwen2.5-VL.

They have the architectures, tokenizers, processors and file formats of the real models, so that the code
which loads the real ones loads these too.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from keyframe_llm.cartoon.train.tokenization import CHAT_TOKENS, chat_tokenizer, clip_tokenizer

__all__ = [
    "CLIP_SIDE",
    "FRAME_PIXELS",
    "VISUAL_TOKENS",
    "new_clip",
    "new_processor",
    "new_vlm",
    "save_clip",
    "save_vlm",
]

CLIP_SIDE = 64
"""Side in pixels of CLIP's square input; the 4:3 picture is squeezed into it."""
PATCH = 10
FRAME_PIXELS = (8 * PATCH) * (6 * PATCH)
"""Pixels of a frame as Qwen2.5-VL sees it: 80×60.

A patch of 10 pixels is 300 numbers for 128 channels; the usual 14 would lose too much of a limb."""
VISUAL_TOKENS = 12
"""Visual tokens of a frame: 8 × 6 patches, merged two by two."""

_CHAT_TEMPLATE = (
    "{% for message in messages %}<|im_start|>{{ message['role'] }}\n"
    "{% if message['content'] is string %}{{ message['content'] }}{% else %}"
    "{% for part in message['content'] %}"
    "{% if part['type'] == 'image' %}<|vision_start|><|image_pad|><|vision_end|>"
    "{% elif part['type'] == 'video' %}<|vision_start|><|video_pad|><|vision_end|>"
    "{% else %}{{ part['text'] }}{% endif %}{% endfor %}{% endif %}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)


def new_processor() -> Any:
    """The Qwen2.5-VL processor of the embedded model, for 4:3 frames of 80×60 pixels."""
    from transformers import Qwen2_5_VLProcessor, Qwen2VLImageProcessor, Qwen2VLVideoProcessor

    size = {"shortest_edge": FRAME_PIXELS, "longest_edge": FRAME_PIXELS}
    options = {"patch_size": PATCH, "merge_size": 2, "temporal_patch_size": 2, "size": size}
    return Qwen2_5_VLProcessor(
        image_processor=Qwen2VLImageProcessor(**options),
        tokenizer=chat_tokenizer(),
        video_processor=Qwen2VLVideoProcessor(**options),
        chat_template=_CHAT_TEMPLATE,
    )


def new_vlm(tokenizer: Any, seed: int = 0) -> Any:
    """An untrained Qwen2.5-VL with about 1.8 million parameters."""
    import torch
    from transformers import Qwen2_5_VLConfig, Qwen2_5_VLForConditionalGeneration

    torch.manual_seed(seed)
    ids = {token: tokenizer.convert_tokens_to_ids(token) for token in CHAT_TOKENS}
    config = Qwen2_5_VLConfig(
        text_config={
            "vocab_size": len(tokenizer),
            "hidden_size": 128,
            "intermediate_size": 256,
            "num_hidden_layers": 4,
            "num_attention_heads": 4,
            "num_key_value_heads": 4,
            "max_position_embeddings": 2048,
            "initializer_range": 0.08,  # the usual 0.02 is for widths of a thousand and more
            "tie_word_embeddings": True,
            "rope_parameters": {"rope_type": "default", "rope_theta": 1e6, "mrope_section": [4, 6, 6]},
            "bos_token_id": ids["<|endoftext|>"],
            "eos_token_id": ids["<|im_end|>"],
            "pad_token_id": ids["<|endoftext|>"],
        },
        vision_config={
            "depth": 4,
            "initializer_range": 0.08,
            "hidden_size": 128,
            "intermediate_size": 256,
            "num_heads": 4,
            "out_hidden_size": 128,
            "patch_size": PATCH,
            "spatial_merge_size": 2,
            "temporal_patch_size": 2,
            "window_size": 4 * PATCH,
            "fullatt_block_indexes": [0, 1, 2, 3],
        },
        image_token_id=ids["<|image_pad|>"],
        video_token_id=ids["<|video_pad|>"],
        vision_start_token_id=ids["<|vision_start|>"],
        vision_end_token_id=ids["<|vision_end|>"],
        tie_word_embeddings=True,
    )
    model = Qwen2_5_VLForConditionalGeneration(config)
    _match_and_copy(model.model.language_model)
    model.generation_config.eos_token_id = ids["<|im_end|>"]
    model.generation_config.pad_token_id = ids["<|endoftext|>"]
    return model


def _match_and_copy(language: Any) -> None:
    """Let every attention head begin by copying tokens that are like its own: K = Q, and O = Vᵀ.

    Answering is mostly such copying, and a small model takes long to find it from random weights.
    """
    import torch

    with torch.no_grad():
        for layer in language.layers:
            attention = layer.self_attn
            attention.k_proj.weight.copy_(attention.q_proj.weight)
            attention.o_proj.weight.copy_(attention.v_proj.weight.T)


def new_clip(seed: int = 0) -> tuple[Any, Any, Any]:
    """An untrained CLIP with about 0.8 million parameters, its image processor and its tokenizer."""
    import torch
    from transformers import CLIPConfig, CLIPImageProcessor, CLIPModel

    torch.manual_seed(seed)
    tokenizer = clip_tokenizer()
    # With eos_token_id 2, transformers would pool the token of the highest id (an old rule) and not the end:
    # `<unused>` keeps that number away from the end token.
    config = CLIPConfig(
        text_config={
            "vocab_size": len(tokenizer),
            "hidden_size": 96,
            "intermediate_size": 256,
            "num_hidden_layers": 2,
            "num_attention_heads": 4,
            "max_position_embeddings": 48,
            "eos_token_id": tokenizer.convert_tokens_to_ids("<end>"),
            "bos_token_id": 1,
            "pad_token_id": 0,
        },
        vision_config={
            "image_size": CLIP_SIDE,
            "patch_size": 8,
            "hidden_size": 128,
            "intermediate_size": 256,
            "num_hidden_layers": 4,
            "num_attention_heads": 4,
        },
        projection_dim=96,
    )
    side = {"height": CLIP_SIDE, "width": CLIP_SIDE}
    images = CLIPImageProcessor(size=side, do_center_crop=False, crop_size=side)
    return CLIPModel(config), images, tokenizer


def _save_half(model: Any, folder: Path) -> None:
    """Write the weights in half precision, which halves the file; `from_pretrained` loads them as float32."""
    import torch

    model.to(torch.float16).save_pretrained(folder)
    config = folder / "config.json"
    settings = json.loads(config.read_text())
    settings["dtype"] = "float32"  # CPUs are slow in half precision
    config.write_text(json.dumps(settings, indent=2, sort_keys=True) + "\n")


def save_vlm(model: Any, processor: Any, folder: Path) -> None:
    """Write the Qwen2.5-VL checkpoint in the format of the hub."""
    _save_half(model, folder)
    processor.save_pretrained(folder)


def save_clip(model: Any, images: Any, tokenizer: Any, folder: Path) -> None:
    """Write the CLIP checkpoint in the format of the hub."""
    _save_half(model, folder)
    images.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
