"""Small random checkpoints in the formats of the real ones, made with the libraries' own classes.

Each function writes one checkpoint into `folder` and returns it; `tests/test_encoders.py` and
`tests/test_vlm.py` load them through the public code.
"""

from __future__ import annotations

import json
import string
from pathlib import Path
from typing import Any

__all__ = [
    "QWEN_TEMPLATE",
    "SMALL",
    "chat_tokenizer",
    "clip",
    "decoder",
    "gemma3",
    "idefics3",
    "internvl",
    "internvl3",
    "llava_onevision",
    "open_clip_pe",
    "open_clip_vit",
    "qwen2_5_vl",
    "qwen3_vl",
    "seeded",
    "siglip",
    "siglip2_naflex",
    "smolvlm2",
    "template",
]

SMALL = {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2, "num_attention_heads": 2}
"""Every half of every model."""
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


def seeded(model_class: Any, config: Any) -> Any:
    import torch

    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return model_class(config).eval()


def _towers(vocabulary: int, **vision: int) -> dict[str, dict[str, Any]]:
    """The two halves of a dual encoder: 32 wide, texts of 16 tokens, patches of 8 pixels."""
    ids = {"pad_token_id": 0, "bos_token_id": 1, "eos_token_id": 2}
    text = {"vocab_size": vocabulary, "max_position_embeddings": 16, **ids, **SMALL}
    return {"text_config": text, "vision_config": {"patch_size": 8, **vision, **SMALL}}


def clip(folder: Path) -> Path:
    """CLIP: 32-pixel pictures, 24 dimensions."""
    from transformers import CLIPConfig, CLIPImageProcessor, CLIPModel

    tokenizer = _dual_tokenizer()
    config = CLIPConfig(**_towers(len(tokenizer), image_size=32), projection_dim=24)
    seeded(CLIPModel, config).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    crop = {"height": 32, "width": 32}
    CLIPImageProcessor(size={"shortest_edge": 32}, crop_size=crop).save_pretrained(folder)
    return folder


def siglip(folder: Path) -> Path:
    """SigLIP, which is also how SigLIP2 of fixed size is saved: pictures squeezed to 32 × 32."""
    from transformers import SiglipConfig, SiglipImageProcessor, SiglipModel

    tokenizer = _dual_tokenizer()
    seeded(SiglipModel, SiglipConfig(**_towers(len(tokenizer), image_size=32))).save_pretrained(folder)
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
    seeded(Siglip2Model, config).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    Siglip2ImageProcessor(patch_size=8, max_num_patches=16).save_pretrained(folder)
    return folder


def _open_clip(folder: Path, vision: dict[str, Any], width: int) -> Path:
    import open_clip
    import torch
    from safetensors.torch import save_file

    text = {"context_length": 32, "vocab_size": 49408, "width": 32, "heads": 2, "layers": 2}
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        model = open_clip.CustomTextCLIP(width, vision, text)
    folder.mkdir(parents=True)
    save_file(model.state_dict(), folder / "open_clip_model.safetensors")
    preprocess = {"mean": [0.5] * 3, "std": [0.5] * 3, "interpolation": "bilinear", "resize_mode": "squash"}
    towers = {"embed_dim": width, "vision_cfg": vision, "text_cfg": text, "custom_text": True}
    config = {"model_cfg": towers, "preprocess_cfg": preprocess}
    (folder / "open_clip_config.json").write_text(json.dumps(config))
    return folder


def open_clip_vit(folder: Path) -> Path:
    """A ViT in open_clip's format: 32-pixel pictures, texts of 32 tokens."""
    vision = {"image_size": 32, "patch_size": 8, "width": 32, "layers": 2, "head_width": 16}
    return _open_clip(folder, vision, 24)


def open_clip_pe(folder: Path) -> Path:
    """A Perception Encoder in open_clip's format, with the smallest tower there is: 384-pixel pictures."""
    vision: dict[str, Any] = {"image_size": 384, "timm_model_name": "vit_pe_core_tiny_patch16_384"}
    vision |= {"timm_model_pretrained": False, "timm_pool": "map", "timm_proj": None}
    return _open_clip(folder, vision, 512)


def template(image: str, video: str = "") -> str:
    """A chat template in ChatML, where a picture is written as `image` and a video as `video`."""
    return (
        "{% for message in messages %}<|im_start|>{{ message['role'] }}\n"
        "{% if message['content'] is string %}{{ message['content'] }}{% else %}"
        "{% for part in message['content'] %}"
        "{% if part['type'] == 'image' %}" + image + "{% elif part['type'] == 'video' %}" + video + ""
        "{% else %}{{ part['text'] }}{% endif %}{% endfor %}{% endif %}<|im_end|>\n{% endfor %}"
        "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
    )


def chat_tokenizer(*pictures: str, named: dict[str, str] | None = None) -> tuple[Any, dict[str, int]]:
    """A tokenizer in ChatML with the tokens of pictures; `named` ones are its attributes too."""
    specials = ["<|endoftext|>", "<|im_start|>", "<|im_end|>", *pictures]
    names: dict[str, Any] = {"extra_special_tokens": named} if named else {}
    tokenizer = _tokenizer(specials, pad_token="<|endoftext|>", eos_token="<|im_end|>", **names)
    return tokenizer, {token: tokenizer.convert_tokens_to_ids(token) for token in specials}


def decoder(tokenizer: Any) -> dict[str, Any]:
    """The language half of a Video-LLM: 32 wide, two layers."""
    ids = {
        "bos_token_id": None,
        "eos_token_id": tokenizer.eos_token_id,
        "pad_token_id": tokenizer.pad_token_id,
    }
    lengths = {"vocab_size": len(tokenizer), "max_position_embeddings": 4096}
    return {"num_key_value_heads": 1, **SMALL, **ids, **lengths}


QWEN_TEMPLATE = template(
    "<|vision_start|><|image_pad|><|vision_end|>", "<|vision_start|><|video_pad|><|vision_end|>"
)


def qwen2_5_vl(folder: Path) -> Path:
    """Qwen2.5-VL: patches of 14, merged by two, so 28 × 28 pixels a token."""
    from transformers import (
        Qwen2_5_VLConfig,
        Qwen2_5_VLForConditionalGeneration,
        Qwen2_5_VLProcessor,
        Qwen2VLImageProcessor,
        Qwen2VLVideoProcessor,
    )

    tokenizer, ids = chat_tokenizer("<|vision_start|>", "<|vision_end|>", "<|image_pad|>", "<|video_pad|>")
    rope = {"rope_type": "default", "rope_theta": 10_000.0, "mrope_section": [2, 3, 3]}
    vision = {"depth": 2, "hidden_size": 32, "num_heads": 2, "intermediate_size": 64, "out_hidden_size": 32}
    config = Qwen2_5_VLConfig(
        text_config={**decoder(tokenizer), "rope_parameters": rope},
        vision_config={**vision, "patch_size": 14, "window_size": 56, "fullatt_block_indexes": [1]},
        image_token_id=ids["<|image_pad|>"],
        video_token_id=ids["<|video_pad|>"],
        vision_start_token_id=ids["<|vision_start|>"],
        vision_end_token_id=ids["<|vision_end|>"],
    )
    seeded(Qwen2_5_VLForConditionalGeneration, config).save_pretrained(folder)
    images, videos = Qwen2VLImageProcessor(), Qwen2VLVideoProcessor(cap_pixels_per_frame=True)
    Qwen2_5_VLProcessor(images, tokenizer, videos, chat_template=QWEN_TEMPLATE).save_pretrained(folder)
    return folder


def qwen3_vl(folder: Path) -> Path:
    """Qwen3-VL: patches of 16, merged by two, so 32 × 32 pixels a token; times are text."""
    from transformers import (
        Qwen2VLImageProcessor,
        Qwen3VLConfig,
        Qwen3VLForConditionalGeneration,
        Qwen3VLProcessor,
        Qwen3VLVideoProcessor,
    )

    tokenizer, ids = chat_tokenizer("<|vision_start|>", "<|vision_end|>", "<|image_pad|>", "<|video_pad|>")
    rope = {"rope_type": "default", "rope_theta": 10_000.0, "mrope_section": [4, 2, 2]}
    vision = {"depth": 2, "hidden_size": 32, "num_heads": 2, "intermediate_size": 64, "out_hidden_size": 32}
    config = Qwen3VLConfig(
        text_config={
            **decoder(tokenizer),
            "head_dim": 16,
            "rope_parameters": {**rope, "mrope_interleaved": True},
        },
        vision_config={**vision, "num_position_embeddings": 64, "deepstack_visual_indexes": [0]},
        image_token_id=ids["<|image_pad|>"],
        video_token_id=ids["<|video_pad|>"],
        vision_start_token_id=ids["<|vision_start|>"],
        vision_end_token_id=ids["<|vision_end|>"],
    )
    seeded(Qwen3VLForConditionalGeneration, config).save_pretrained(folder)
    images = Qwen2VLImageProcessor(
        patch_size=16, size={"shortest_edge": 32**2 * 4, "longest_edge": 32**2 * 1024}
    )
    videos = Qwen3VLVideoProcessor(cap_pixels_per_frame=True)
    Qwen3VLProcessor(images, tokenizer, videos, chat_template=QWEN_TEMPLATE).save_pretrained(folder)
    return folder


def _tiled(model_class: Any, config_class: Any, folder: Path) -> tuple[Any, dict[str, Any]]:
    """Save a model of 56-pixel tiles, four tokens each, the picture cut into tiles and one of the whole."""
    tiles = [f"<row_{row}_col_{column}>" for row in range(1, 7) for column in range(1, 7)]
    pictures = ["<image>", "<fake_token_around_image>", "<end_of_utterance>", "<global-img>", *tiles]
    tokenizer, ids = chat_tokenizer(*pictures)
    config = config_class(
        text_config={"model_type": "llama", **decoder(tokenizer)},
        vision_config={**SMALL, "image_size": 56, "patch_size": 14},
        image_token_id=ids["<image>"],
        pad_token_id=tokenizer.pad_token_id,
    )
    seeded(model_class, config).save_pretrained(folder)
    return tokenizer, {"size": {"longest_edge": 112}, "max_image_size": {"longest_edge": 56}}


def idefics3(folder: Path) -> Path:
    """Idefics3, which SmolVLM is built like."""
    from transformers import (
        Idefics3Config,
        Idefics3ForConditionalGeneration,
        Idefics3ImageProcessor,
        Idefics3Processor,
    )

    tokenizer, sizes = _tiled(Idefics3ForConditionalGeneration, Idefics3Config, folder)
    images = Idefics3ImageProcessor(**sizes)
    processor = Idefics3Processor(images, tokenizer, image_seq_len=4, chat_template=template("<image>"))
    processor.save_pretrained(folder)
    return folder


def smolvlm2(folder: Path) -> Path:
    """SmolVLM2: as Idefics3, with a processor for videos."""
    from transformers import (
        SmolVLMConfig,
        SmolVLMForConditionalGeneration,
        SmolVLMImageProcessor,
        SmolVLMProcessor,
        SmolVLMVideoProcessor,
    )

    tokenizer, sizes = _tiled(SmolVLMForConditionalGeneration, SmolVLMConfig, folder)
    pictures = SmolVLMImageProcessor(**sizes), tokenizer, SmolVLMVideoProcessor(**sizes)
    SmolVLMProcessor(*pictures, image_seq_len=4, chat_template=template("<image>")).save_pretrained(folder)
    return folder


def llava_onevision(folder: Path) -> Path:
    """LLaVA-OneVision: SigLIP's tower, 56-pixel tiles of 16 tokens, a Qwen2 language model."""
    from transformers import (
        LlavaOnevisionConfig,
        LlavaOnevisionForConditionalGeneration,
        LlavaOnevisionImageProcessor,
        LlavaOnevisionProcessor,
        LlavaOnevisionVideoProcessor,
    )

    tokenizer, ids = chat_tokenizer("<image>", "<video>")
    vision = {"model_type": "siglip_vision_model", "image_size": 56, "patch_size": 14, **SMALL}
    grid = [[56, 56], [56, 112], [112, 56], [112, 112]]
    config = LlavaOnevisionConfig(
        text_config={"model_type": "qwen2", **decoder(tokenizer)},
        vision_config={**vision, "vision_use_head": False},
        image_token_index=ids["<image>"],
        video_token_index=ids["<video>"],
        image_grid_pinpoints=grid,
    )
    seeded(LlavaOnevisionForConditionalGeneration, config).save_pretrained(folder)
    processor = LlavaOnevisionProcessor(
        LlavaOnevisionImageProcessor(size={"height": 56, "width": 56}, image_grid_pinpoints=grid),
        tokenizer,
        LlavaOnevisionVideoProcessor(size={"height": 56, "width": 56}),
        num_image_tokens=16,
        vision_feature_select_strategy="full",
        chat_template=template("<image>"),
    )
    processor.save_pretrained(folder)
    return folder


def internvl3(folder: Path) -> Path:
    """InternVL3: tiles before a Qwen2 language model."""
    return internvl(folder, "qwen2")


def internvl(folder: Path, language_model: str) -> Path:
    """InternVL: 56-pixel tiles of four tokens after the pixel shuffle, before some language model."""
    from transformers import (
        GotOcr2ImageProcessor,
        InternVLConfig,
        InternVLForConditionalGeneration,
        InternVLProcessor,
        InternVLVideoProcessor,
    )

    names = {"start_image_token": "<img>", "end_image_token": "</img>"}
    names |= {"context_image_token": "<IMG_CONTEXT>", "video_token": "<video>"}
    tokenizer, ids = chat_tokenizer(*names.values(), named=names)
    config = InternVLConfig(
        text_config={"model_type": language_model, **decoder(tokenizer), "head_dim": 16},
        vision_config={**SMALL, "image_size": [56, 56], "patch_size": [14, 14]},
        image_token_id=ids["<IMG_CONTEXT>"],
        image_seq_length=4,
        tie_word_embeddings=False,  # tied random weights only repeat the prompt's last token
    )
    seeded(InternVLForConditionalGeneration, config).save_pretrained(folder)
    size = {"height": 56, "width": 56}
    processor = InternVLProcessor(
        GotOcr2ImageProcessor(size=size, max_patches=2),
        tokenizer,
        InternVLVideoProcessor(size=size),
        image_seq_length=4,
        chat_template=template("<IMG_CONTEXT>"),
    )
    processor.save_pretrained(folder)
    return folder


def gemma3(folder: Path) -> Path:
    """Gemma 3: pictures squeezed to 56 × 56, four tokens each, bidirectional among themselves."""
    import torch
    from transformers import (
        Gemma3Config,
        Gemma3ForConditionalGeneration,
        Gemma3ImageProcessor,
        Gemma3Processor,
    )

    names = {
        "boi_token": "<start_of_image>",
        "eoi_token": "<end_of_image>",
        "image_token": "<image_soft_token>",
    }
    tokenizer, ids = chat_tokenizer(*names.values(), named=names)
    config = Gemma3Config(
        text_config={**decoder(tokenizer), "head_dim": 16, "sliding_window": 512},
        vision_config={**SMALL, "image_size": 56, "patch_size": 14},
        mm_tokens_per_image=4,
        boi_token_index=ids["<start_of_image>"],
        eoi_token_index=ids["<end_of_image>"],
        image_token_index=ids["<image_soft_token>"],
    )
    model = seeded(Gemma3ForConditionalGeneration, config)
    # All zeros when it is new: no picture would change what it says.
    torch.nn.init.eye_(model.model.multi_modal_projector.mm_input_projection_weight)
    model.save_pretrained(folder)
    processor = Gemma3Processor(
        Gemma3ImageProcessor(size={"height": 56, "width": 56}),
        tokenizer,
        chat_template=template("<start_of_image>"),
        image_seq_length=4,
    )
    processor.save_pretrained(folder)
    return folder
