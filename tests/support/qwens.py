"""Small random checkpoints of Qwen's other Video-LLMs, in the formats of the real ones.

As in `support.checkpoints`, each function writes one checkpoint into `folder` and returns it.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from support.checkpoints import QWEN_TEMPLATE, chat_tokenizer, decoder, qwen3_vl, seeded, template

__all__ = [
    "EXPERTS",
    "ROPE",
    "TOWER",
    "linear_attention",
    "qwen2_5_omni",
    "qwen2_vl",
    "qwen3_5",
    "qwen3_5_moe",
    "qwen3_omni",
    "qwen3_vl_embedding",
    "qwen3_vl_moe",
    "qwen4_exp",
]

_QWEN = ("<|vision_start|>", "<|vision_end|>", "<|image_pad|>", "<|video_pad|>")
EXPERTS = {"num_experts": 4, "num_experts_per_tok": 2, "moe_intermediate_size": 32}
ROPE = {"rope_type": "default", "rope_theta": 10_000.0, "mrope_section": [2, 3, 3]}
TOWER = {"depth": 2, "hidden_size": 32, "num_heads": 2, "intermediate_size": 64, "out_hidden_size": 32}


def _qwen_ids(ids: dict[str, int]) -> dict[str, int]:
    names = ("vision_start_token_id", "vision_end_token_id", "image_token_id", "video_token_id")
    return dict(zip(names, (ids[token] for token in _QWEN), strict=True))


def qwen2_vl(folder: Path) -> Path:
    """Qwen2-VL: as Qwen2.5-VL, without windows in its vision half."""
    from transformers import (
        Qwen2VLConfig,
        Qwen2VLForConditionalGeneration,
        Qwen2VLImageProcessor,
        Qwen2VLProcessor,
        Qwen2VLVideoProcessor,
    )

    tokenizer, ids = chat_tokenizer(*_QWEN)
    config = Qwen2VLConfig(
        text_config={**decoder(tokenizer), "rope_parameters": ROPE},
        vision_config={"depth": 2, "embed_dim": 32, "num_heads": 2, "mlp_ratio": 2, "hidden_size": 32},
        **_qwen_ids(ids),
    )
    seeded(Qwen2VLForConditionalGeneration, config).save_pretrained(folder)
    images = Qwen2VLImageProcessor(size={"shortest_edge": 28**2, "longest_edge": 28**2 * 1024})
    processor = Qwen2VLProcessor(images, tokenizer, Qwen2VLVideoProcessor(), chat_template=QWEN_TEMPLATE)
    processor.save_pretrained(folder)
    return folder


def _qwen3(model_class: Any, config_class: Any, folder: Path, text: dict[str, Any], **vision: Any) -> Path:
    """Save a model that Qwen3-VL's processor stands before: patches of 16, merged by two; it can think."""
    from transformers import Qwen2VLImageProcessor, Qwen3VLProcessor, Qwen3VLVideoProcessor

    tokenizer, ids = chat_tokenizer(*_QWEN)
    tokenizer.add_tokens(["<think>", "</think>", "<tool_call>"])  # not special, and steering all the same
    rope = {"rope_parameters": {**ROPE, "mrope_interleaved": True, **text.pop("rope", {})}}
    config = config_class(
        text_config={**decoder(tokenizer), "head_dim": 16, **rope, **text},
        vision_config={**TOWER, "num_position_embeddings": 64, **vision},
        **_qwen_ids(ids),
    )
    seeded(model_class, config).save_pretrained(folder)
    size = {"shortest_edge": 32**2 * 4, "longest_edge": 32**2 * 1024}
    images = Qwen2VLImageProcessor(patch_size=16, size=size)
    videos = Qwen3VLVideoProcessor(cap_pixels_per_frame=True)
    chat = QWEN_TEMPLATE + (_THINKING if "layer_types" in text else "")
    Qwen3VLProcessor(images, tokenizer, videos, chat_template=chat).save_pretrained(folder)
    return folder


def qwen3_vl_moe(folder: Path) -> Path:
    """Qwen3-VL with experts: four of them, two at a time."""
    from transformers import Qwen3VLMoeConfig, Qwen3VLMoeForConditionalGeneration

    return _qwen3(
        Qwen3VLMoeForConditionalGeneration,
        Qwen3VLMoeConfig,
        folder,
        dict(EXPERTS),
        deepstack_visual_indexes=[0],
    )


_THINKING = (
    "{% if add_generation_prompt %}{% if enable_thinking is defined and not enable_thinking %}"
    "{{ '<think>\n\n</think>\n\n' }}{% else %}{{ '<think>\n' }}{% endif %}{% endif %}"
)
"""How Qwen3.5's template begins an answer."""


def linear_attention() -> dict[str, Any]:
    """Qwen3.5's hybrid: one layer of linear attention, one of full attention."""
    heads = {"linear_num_key_heads": 1, "linear_num_value_heads": 2}
    sizes = {"linear_key_head_dim": 16, "linear_value_head_dim": 16}
    layers = ["linear_attention", "full_attention"]
    return {**heads, **sizes, "layer_types": layers, "head_dim": 64, "rope": {"partial_rotary_factor": 0.25}}


def qwen3_5(folder: Path) -> Path:
    """Qwen3.5, 3.6 and 3.8: a layer of linear attention, then one of full attention."""
    from transformers import Qwen3_5Config, Qwen3_5ForConditionalGeneration

    return _qwen3(Qwen3_5ForConditionalGeneration, Qwen3_5Config, folder, linear_attention())


def qwen3_5_moe(folder: Path) -> Path:
    """Qwen3.5 with experts."""
    from transformers import Qwen3_5MoeConfig, Qwen3_5MoeForConditionalGeneration

    text = {**linear_attention(), **EXPERTS, "shared_expert_intermediate_size": 32}
    return _qwen3(Qwen3_5MoeForConditionalGeneration, Qwen3_5MoeConfig, folder, text)


def qwen4_exp(folder: Path) -> Path:
    """Qwen4-Exp: Qwen3.5's layers, two residual streams, n-grams on the first layer, a choice of keys."""
    from transformers import Qwen4ExpConfig, Qwen4ExpForConditionalGeneration

    text = {**linear_attention(), **EXPERTS, "shared_expert_intermediate_size": 32}
    text |= {"layer_types": ["linear_attention", "indexed_attention"], "hc_count": 2, "hc_lowrank": 8}
    grams = {"heads_per_ngram": 1, "ngram_vocab_size_base": 64, "make_ngram_vocab_size_divisible_by": 8}
    text |= {"ple_layer_ids": [1], "ngram_size": 2, "split_ngram_parts": 1, **grams}
    names = ("n_heads", "kv_heads", "head_dim", "budget", "compress_ratio")
    text |= {f"indexer_{name}": value for name, value in zip(names, (2, 1, 16, 64, 4), strict=True)}
    return _qwen3(Qwen4ExpForConditionalGeneration, Qwen4ExpConfig, folder, text)


def _omni(
    model_class: Any, config_class: Any, folder: Path, text: dict[str, Any], vision: dict[str, Any]
) -> Any:
    """Save the half of an Omni model that reads and answers in text; return the tokenizer and its numbers."""
    from transformers import WhisperFeatureExtractor

    named = {"image_token": "<|IMAGE|>", "video_token": "<|VIDEO|>", "audio_token": "<|AUDIO|>"}
    named |= {"vision_bos_token": "<|vision_bos|>", "vision_eos_token": "<|vision_eos|>"}
    named |= {"audio_bos_token": "<|audio_bos|>", "audio_eos_token": "<|audio_eos|>"}
    tokenizer, ids = chat_tokenizer(*named.values(), named=named)
    sound = {"d_model": 32, "encoder_layers": 1, "encoder_attention_heads": 2, "encoder_ffn_dim": 64}
    sound |= {"num_mel_bins": 16, "output_dim": 32, "max_source_positions": 64, "n_window": 8}
    sound |= {"downsample_hidden_size": 8} if "experts" in "".join(text) else {}
    kinds = ("image", "video", "audio")
    numbers = {
        f"{kind}_token_{word}": ids[named[f"{kind}_token"]] for kind in kinds for word in ("id", "index")
    }
    thinker = {
        "text_config": {**decoder(tokenizer), "rope_parameters": ROPE, **text},
        "vision_config": {**TOWER, **vision},
        "audio_config": sound,
        "vision_start_token_id": ids["<|vision_bos|>"],
        "vision_end_token_id": ids["<|vision_eos|>"],
        "audio_start_token_id": ids["<|audio_bos|>"],
        "audio_end_token_id": ids["<|audio_eos|>"],
        **numbers,
    }
    seeded(model_class, config_class(thinker_config=thinker, enable_audio_output=False)).save_pretrained(
        folder
    )
    return tokenizer, WhisperFeatureExtractor(feature_size=16)


_OMNI_TEMPLATE = template("<|vision_bos|><|IMAGE|><|vision_eos|>", "<|vision_bos|><|VIDEO|><|vision_eos|>")


def qwen2_5_omni(folder: Path) -> Path:
    """Qwen2.5-Omni: Qwen2.5-VL's eyes, Whisper's ears; without the half that speaks."""
    import torch
    from transformers import (
        Qwen2_5OmniConfig,
        Qwen2_5OmniForConditionalGeneration,
        Qwen2_5OmniProcessor,
        Qwen2VLImageProcessor,
        Qwen2VLVideoProcessor,
    )

    vision = {"patch_size": 14, "window_size": 56, "fullatt_block_indexes": [1]}
    tokenizer, sound = _omni(Qwen2_5OmniForConditionalGeneration, Qwen2_5OmniConfig, folder, {}, vision)
    torch.save({}, folder / "spk_dict.pt")  # the voices, which transformers asks for
    images, videos = Qwen2VLImageProcessor(), Qwen2VLVideoProcessor()
    Qwen2_5OmniProcessor(images, videos, sound, tokenizer, chat_template=_OMNI_TEMPLATE).save_pretrained(
        folder
    )
    return folder


def qwen3_omni(folder: Path) -> Path:
    """Qwen3-Omni: Qwen3-VL's eyes and experts, its own ears; without the half that speaks."""
    from transformers import (
        Qwen2VLImageProcessor,
        Qwen2VLVideoProcessor,
        Qwen3OmniMoeConfig,
        Qwen3OmniMoeForConditionalGeneration,
        Qwen3OmniMoeProcessor,
    )

    text = {**EXPERTS, "rope_parameters": {**ROPE, "mrope_interleaved": True}, "head_dim": 16}
    vision = {"num_position_embeddings": 64, "deepstack_visual_indexes": [0]}
    tokenizer, sound = _omni(Qwen3OmniMoeForConditionalGeneration, Qwen3OmniMoeConfig, folder, text, vision)
    images, videos = Qwen2VLImageProcessor(patch_size=16), Qwen2VLVideoProcessor(patch_size=16)
    Qwen3OmniMoeProcessor(images, videos, sound, tokenizer, chat_template=_OMNI_TEMPLATE).save_pretrained(
        folder
    )
    return folder


def qwen3_vl_embedding(folder: Path) -> Path:
    """Qwen3-VL-Embedding: Qwen3-VL read by sentence-transformers, the last token's state as the embedding."""
    from sentence_transformers import SentenceTransformer
    from sentence_transformers.base.modules import Normalize, Transformer
    from sentence_transformers.sentence_transformer.modules import Pooling

    model = Transformer(str(qwen3_vl(folder / "model")))
    model.tokenizer.model_max_length = 64
    modules = [model, Pooling(32, pooling_mode="lasttoken"), Normalize()]
    prompts = {"query": "Find what the user describes.", "document": "Represent the picture."}
    SentenceTransformer(modules=modules, device="cpu", prompts=prompts).save_pretrained(str(folder))
    return folder
