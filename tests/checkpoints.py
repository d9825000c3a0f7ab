"""Small random checkpoints in the formats of the real ones, made with the libraries' own classes.

Each function writes one checkpoint into `folder` and returns it; `tests/test_encoders.py` and
`tests/test_vlm.py` load them through the public code.
"""

from __future__ import annotations

import json
import string
from pathlib import Path
from typing import Any

__all__ = ["clip", "llava_onevision", "open_clip_pe", "qwen2_5_vl", "siglip", "siglip2_naflex", "smolvlm"]

_WORDS = "a man woman dog is walking running jumping sitting in the park kitchen red blue green shirt hat and"


def _tokenizer(specials: list[str], *, start: str | None = None, **names: str) -> Any:
    """Byte-level BPE over printable ASCII, so that any English text becomes tokens and back."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors, trainers
    from transformers import PreTrainedTokenizerFast

    bpe = Tokenizer(models.BPE())
    bpe.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    bpe.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(vocab_size=200, special_tokens=specials, show_progress=False)
    bpe.train_from_iterator([_WORDS, string.printable], trainer)
    if start is not None:
        end = names["eos_token"]
        bpe.post_processor = processors.TemplateProcessing(
            single=f"{start} $A {end}",
            special_tokens=[(token, bpe.token_to_id(token)) for token in (start, end)],
        )
    extra = [token for token in specials if token not in names.values()]
    return PreTrainedTokenizerFast(tokenizer_object=bpe, additional_special_tokens=extra, **names)


def _dual_tokenizer() -> Any:
    names = {"pad_token": "<pad>", "bos_token": "<s>", "eos_token": "</s>"}
    return _tokenizer(list(names.values()), start="<s>", **names)


def _seeded(model_class: Any, config: Any) -> Any:
    import torch

    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return model_class(config).eval()


def _towers(vocabulary: int, **vision: int) -> dict[str, dict[str, Any]]:
    """The two halves of a dual encoder: 32 wide, texts of 16 tokens, patches of 8 pixels."""
    shape = {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2, "num_attention_heads": 2}
    ids = {"pad_token_id": 0, "bos_token_id": 1, "eos_token_id": 2}
    text = {"vocab_size": vocabulary, "max_position_embeddings": 16, **ids, **shape}
    return {"text_config": text, "vision_config": {"patch_size": 8, **vision, **shape}}


def clip(folder: Path) -> Path:
    """CLIP: 32-pixel pictures, 24 dimensions."""
    from transformers import CLIPConfig, CLIPImageProcessor, CLIPModel

    tokenizer = _dual_tokenizer()
    config = CLIPConfig(**_towers(len(tokenizer), image_size=32), projection_dim=24)
    _seeded(CLIPModel, config).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    crop = {"height": 32, "width": 32}
    CLIPImageProcessor(size={"shortest_edge": 32}, crop_size=crop).save_pretrained(folder)
    return folder


def siglip(folder: Path) -> Path:
    """SigLIP, which is also how SigLIP2 of fixed size is saved: pictures squeezed to 32 × 32."""
    from transformers import SiglipConfig, SiglipImageProcessor, SiglipModel

    tokenizer = _dual_tokenizer()
    _seeded(SiglipModel, SiglipConfig(**_towers(len(tokenizer), image_size=32))).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    SiglipImageProcessor(size={"height": 32, "width": 32}).save_pretrained(folder)
    return folder


def siglip2_naflex(folder: Path) -> Path:
    """SigLIP2 NaFlex: pictures keep their shape, up to 16 patches; its own tokenizer, a letter a token."""
    from transformers import Siglip2Config, Siglip2ImageProcessor, Siglip2Model, Siglip2Tokenizer

    letters = [
        "<pad>",
        "<bos>",
        "<eos>",
        "<unk>",
        "<mask>",
        "▁",
        *string.ascii_lowercase,
        *string.punctuation,
    ]
    tokenizer = Siglip2Tokenizer(vocab={letter: i for i, letter in enumerate(letters)}, merges=[])
    config = Siglip2Config(**_towers(len(letters), num_patches=16))
    _seeded(Siglip2Model, config).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    Siglip2ImageProcessor(patch_size=8, max_num_patches=16).save_pretrained(folder)
    return folder


def open_clip_pe(folder: Path) -> Path:
    """A Perception Encoder in open_clip's format: the smallest tower it has, texts of 32 tokens."""
    import open_clip
    import torch
    from safetensors.torch import save_file

    vision: dict[str, Any] = {"image_size": 384, "timm_model_name": "vit_pe_core_tiny_patch16_384"}
    vision |= {"timm_model_pretrained": False, "timm_pool": "map", "timm_proj": None}
    text = {"context_length": 32, "vocab_size": 49408, "width": 32, "heads": 2, "layers": 2}
    model_cfg = {"embed_dim": 512, "vision_cfg": vision, "text_cfg": text, "custom_text": True}
    preprocess = {"mean": [0.5] * 3, "std": [0.5] * 3, "interpolation": "bilinear", "resize_mode": "squash"}
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        model = open_clip.CustomTextCLIP(512, vision, text)
    folder.mkdir(parents=True, exist_ok=True)
    save_file(model.state_dict(), folder / "open_clip_model.safetensors")
    config = {"model_cfg": model_cfg, "preprocess_cfg": preprocess}
    (folder / "open_clip_config.json").write_text(json.dumps(config))
    return folder


_QWEN_TEMPLATE = (
    "{% for message in messages %}<|im_start|>{{ message['role'] }}\n"
    "{% if message['content'] is string %}{{ message['content'] }}{% else %}{% for part in message['content'] %}"
    "{% if part['type'] == 'image' %}<|vision_start|><|image_pad|><|vision_end|>"
    "{% else %}{{ part['text'] }}{% endif %}{% endfor %}{% endif %}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)


def qwen2_5_vl(folder: Path) -> Path:
    """Qwen2.5-VL: two layers on either side, patches of 14, merged by two: 28 pixels a token."""
    from transformers import (
        Qwen2_5_VLConfig,
        Qwen2_5_VLForConditionalGeneration,
        Qwen2_5_VLProcessor,
        Qwen2VLImageProcessor,
        Qwen2VLVideoProcessor,
    )

    vision_tokens = ["<|vision_start|>", "<|vision_end|>", "<|image_pad|>", "<|video_pad|>"]
    specials = ["<|endoftext|>", "<|im_start|>", "<|im_end|>", *vision_tokens]
    tokenizer = _tokenizer(specials, pad_token="<|endoftext|>", eos_token="<|im_end|>")
    ids = {token: tokenizer.convert_tokens_to_ids(token) for token in specials}
    text = {
        "vocab_size": len(tokenizer),
        "hidden_size": 32,
        "intermediate_size": 64,
        "num_key_value_heads": 1,
    }
    rope = {"rope_type": "default", "rope_theta": 10_000.0, "mrope_section": [2, 3, 3]}
    text |= {"max_position_embeddings": 2048, "rope_parameters": rope, "eos_token_id": ids["<|im_end|>"]}
    text |= {"num_hidden_layers": 2, "num_attention_heads": 2}
    vision = {"depth": 2, "hidden_size": 32, "num_heads": 2, "intermediate_size": 64, "out_hidden_size": 32}
    vision |= {"patch_size": 14, "window_size": 56, "fullatt_block_indexes": [1]}
    config = Qwen2_5_VLConfig(
        text_config=text,
        vision_config=vision,
        image_token_id=ids["<|image_pad|>"],
        video_token_id=ids["<|video_pad|>"],
        vision_start_token_id=ids["<|vision_start|>"],
        vision_end_token_id=ids["<|vision_end|>"],
        eos_token_id=ids["<|im_end|>"],
    )
    _seeded(Qwen2_5_VLForConditionalGeneration, config).save_pretrained(folder)
    processor = Qwen2_5_VLProcessor(
        image_processor=Qwen2VLImageProcessor(),
        tokenizer=tokenizer,
        video_processor=Qwen2VLVideoProcessor(),
        chat_template=_QWEN_TEMPLATE,
    )
    processor.save_pretrained(folder)
    return folder
