"""Small random checkpoints of Video-LLMs that are not Qwen's, in the formats of the real ones.

As in `support.checkpoints`, each function writes one checkpoint into `folder` and returns it. `NOT_BUILT`
names what people run and no class of transformers stands for, with the reason.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from support.checkpoints import SMALL, chat_tokenizer, decoder, internvl, seeded, template
from support.qwens import ROPE, TOWER, linear_attention

__all__ = [
    "NOT_BUILT",
    "gemma3n",
    "gemma4",
    "gemma4_unified",
    "glm4v",
    "glm4v_moe",
    "glm46v",
    "internvl3_5",
    "minicpmv4_6",
    "minicpmv4_7",
]

NOT_BUILT = {
    "llavaonevision1_5": "LLaVA-OneVision-1.5: its class is code inside its repository",
    "minicpmv": "MiniCPM-V up to 4.5: their classes are code inside their repositories",
    "internvl_chat": "InternVL3.5 in its first format (`-HF` repositories are `internvl`): code inside them",
}
"""`model_type`s that people run and transformers has no class for, so that no checkpoint can be built."""

_GLM = (
    "<|begin_of_image|>",
    "<|end_of_image|>",
    "<|begin_of_video|>",
    "<|end_of_video|>",
    "<|image|>",
    "<|video|>",
)


def _glm(names: str, prefix: str, folder: Path, text: dict[str, Any]) -> Path:
    """Save a GLM-4.xV: Qwen2.5-VL's kind of patches, GLM's text model, `<|image|>` in its prompt."""
    import transformers

    tokenizer, ids = chat_tokenizer(*_GLM)
    numbers = ("image_start_token_id", "image_end_token_id", "video_start_token_id", "video_end_token_id")
    numbers = (*numbers, "image_token_id", "video_token_id")
    rope = {"rope_parameters": {**ROPE, "partial_rotary_factor": 1.0}}
    config = getattr(transformers, f"{prefix}Config")(
        text_config={**decoder(tokenizer), **rope, **text},
        vision_config={**TOWER, "image_size": 56, "patch_size": 14},
        **dict(zip(numbers, (ids[token] for token in _GLM), strict=True)),
    )
    seeded(getattr(transformers, f"{prefix}ForConditionalGeneration"), config).save_pretrained(folder)
    images, videos = (getattr(transformers, f"{names}{kind}Processor")() for kind in ("Image", "Video"))
    chat = template(
        "<|begin_of_image|><|image|><|end_of_image|>", "<|begin_of_video|><|video|><|end_of_video|>"
    )
    processor = getattr(transformers, f"{names}Processor")(images, tokenizer, videos, chat_template=chat)
    processor.save_pretrained(folder)
    return folder


def glm4v(folder: Path) -> Path:
    """GLM-4.1V."""
    return _glm("Glm4v", "Glm4v", folder, {})


def glm4v_moe(folder: Path) -> Path:
    """GLM-4.5V: with experts."""
    experts = {"n_routed_experts": 4, "num_experts_per_tok": 2, "moe_intermediate_size": 32}
    return _glm("Glm4v", "Glm4vMoe", folder, experts)


def glm46v(folder: Path) -> Path:
    """GLM-4.6V."""
    return _glm("Glm46V", "Glm46V", folder, {"model_type": "glm4v_text"})


def internvl3_5(folder: Path) -> Path:
    """InternVL3.5: InternVL3's tiles before a Qwen3 language model."""
    return internvl(folder, "qwen3")


def _minicpmv(version: str, folder: Path, places: dict[str, str]) -> Path:
    """Save a MiniCPM-V 4.x: pictures cut into slices, one of them the whole, before Qwen3.5's text model."""
    import transformers

    kinds = ("image", "slice", "image_id")
    named = {
        f"{kind}_{end}_token": f"<{'' if end == 'start' else '/'}{kind}>"
        for kind in kinds
        for end in ("start", "end")
    }
    named |= {"image_token": "<|image_pad|>", "video_token": "<|video_pad|>"}
    tokenizer, ids = chat_tokenizer(*named.values(), named=named)
    text = linear_attention()
    rope = {"rope_type": "default", "rope_theta": 10_000.0, **text.pop("rope")}
    numbers = {name: tokenizer.encode(token)[0] for name, token in places.items()}
    config = getattr(transformers, f"MiniCPMV{version}Config")(
        text_config={"model_type": "qwen3_5_text", **decoder(tokenizer), "rope_parameters": rope, **text},
        vision_config={**SMALL, "image_size": 56, "patch_size": 14, "insert_layer_id": 0},
        insert_layer_id=0,
        image_size=56,
        image_token_id=ids["<|image_pad|>"],
        video_token_id=ids["<|video_pad|>"],
        **numbers,
    )
    model = getattr(transformers, f"MiniCPMV{version}ForConditionalGeneration")
    seeded(model, config).save_pretrained(folder)
    sizes = {"scale_resolution": 56, "patch_size": 14}
    processor = getattr(transformers, f"MiniCPMV{version}Processor")(
        transformers.MiniCPMV4_6ImageProcessor(**sizes),
        transformers.MiniCPMV4_6VideoProcessor(**sizes),
        tokenizer,
        chat_template=template("<|image_pad|>", "<|video_pad|>"),
    )
    processor.save_pretrained(folder)
    return folder


def minicpmv4_6(folder: Path) -> Path:
    """MiniCPM-V 4.6."""
    return _minicpmv("4_6", folder, {})


def minicpmv4_7(folder: Path) -> Path:
    """MiniCPM-V 4.7: tokens know their place on the picture by the markers around slices and rows."""
    places = {"image_start_id": "<image>", "image_end_id": "</image>", "newline_id": "\n"}
    return _minicpmv("4_7", folder, {**places, "slice_start_id": "<slice>", "slice_end_id": "</slice>"})


def gemma3n(folder: Path) -> Path:
    """Gemma 3n: a MobileNet of timm sees, three layers with embeddings of their own read."""
    from transformers import (
        Gemma3nAudioFeatureExtractor,
        Gemma3nConfig,
        Gemma3nForConditionalGeneration,
        Gemma3nProcessor,
        SiglipImageProcessor,
    )

    named = {
        "boi_token": "<start_of_image>",
        "eoi_token": "<end_of_image>",
        "image_token": "<image_soft_token>",
    }
    named |= {
        "boa_token": "<start_of_audio>",
        "eoa_token": "<end_of_audio>",
        "audio_token": "<audio_soft_token>",
    }
    tokenizer, ids = chat_tokenizer(*named.values(), named=named)
    words = len(tokenizer)
    text = {**decoder(tokenizer), "head_dim": 16, "num_hidden_layers": 3, "num_kv_shared_layers": 1}
    text |= {"vocab_size_per_layer_input": words, "hidden_size_per_layer_input": 8, "laurel_rank": 4}
    text |= {"layer_types": ["sliding_attention", "full_attention", "full_attention"], "altup_num_inputs": 2}
    text["activation_sparsity_pattern"] = [0.0] * 3
    kinds = {"boi": "boi_token", "eoi": "eoi_token", "image": "image_token"}
    kinds |= {"boa": "boa_token", "eoa": "eoa_token", "audio": "audio_token"}
    config = Gemma3nConfig(
        text_config=text,
        vision_config={
            "architecture": "test_convnext",
            "hidden_size": 64,
            "vocab_size": 4,
            "vocab_offset": words,
        },
        audio_config={
            "hidden_size": 16,
            "conf_num_attention_heads": 2,
            "conf_num_hidden_layers": 1,
            "vocab_size": 4,
            "vocab_offset": words + 4,
        },
        vision_soft_tokens_per_image=4,
        **{f"{kind}_token_id": ids[named[name]] for kind, name in kinds.items()},
    )
    seeded(Gemma3nForConditionalGeneration, config).save_pretrained(folder)
    processor = Gemma3nProcessor(
        Gemma3nAudioFeatureExtractor(),
        SiglipImageProcessor(size={"height": 64, "width": 64}),
        tokenizer,
        chat_template=template("<image_soft_token>"),
        image_seq_length=4,
    )
    processor.save_pretrained(folder)
    return folder


_GEMMA4 = {
    **{"boi_token": "<|image>", "eoi_token": "<image|>", "image_token": "<|image|>"},
    **{"boa_token": "<|audio>", "eoa_token": "<audio|>", "audio_token": "<|audio|>"},
}


def _gemma4(name: str, folder: Path, text: dict[str, Any], **halves: Any) -> Path:
    """Save a Gemma 4: pictures keep their shape, up to 70 tokens each."""
    import transformers

    tokenizer, ids = chat_tokenizer(*_GEMMA4.values(), "<|video|>", named=_GEMMA4)
    kinds = {"boi": "boi_token", "eoi": "eoi_token", "image": "image_token"}
    kinds |= {"boa": "boa_token", "audio": "audio_token"}
    layers = {"layer_types": ["sliding_attention", "full_attention"]}
    if "vocab_size_per_layer_input" in text:
        text = {**text, "vocab_size_per_layer_input": len(tokenizer)}
    config = getattr(transformers, f"{name}Config")(
        text_config={**decoder(tokenizer), "head_dim": 16, "global_head_dim": 16, **layers, **text},
        video_token_id=ids["<|video|>"],
        eoa_token_index=ids["<audio|>"],
        **{f"{kind}_token_id": ids[_GEMMA4[token]] for kind, token in kinds.items()},
        **halves,
    )
    seeded(getattr(transformers, f"{name}ForConditionalGeneration"), config).save_pretrained(folder)
    processor = getattr(transformers, f"{name}Processor")(
        getattr(transformers, f"{name}AudioFeatureExtractor")(),
        getattr(transformers, f"{name}ImageProcessor")(max_soft_tokens=70),
        tokenizer,
        getattr(transformers, f"{name}VideoProcessor")(),
        chat_template=template("<|image|>", "<|video|>"),
    )
    processor.save_pretrained(folder)
    return folder


def gemma4(folder: Path) -> Path:
    """Gemma 4 with a tower that sees."""
    vision = {**SMALL, "num_key_value_heads": 2, "head_dim": 16, "position_embedding_size": 64}
    text = {"vocab_size_per_layer_input": 0, "hidden_size_per_layer_input": 8}
    return _gemma4("Gemma4", folder, text, vision_config=vision, audio_config=None)


def gemma4_unified(folder: Path) -> Path:
    """Gemma 4 12B: patches of pictures go to the language model as they are."""
    vision = {"mm_embed_dim": 32, "mm_posemb_size": 64, "output_proj_dims": 32}
    return _gemma4("Gemma4Unified", folder, {}, vision_config=vision, audio_config=None)
