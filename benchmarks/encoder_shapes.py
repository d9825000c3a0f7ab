"""Encoders of real shapes with random weights, in the real formats: they cost what the real ones cost.

    python benchmarks/encoder_shapes.py fast FOLDER   # writes one, and prints the name to load it by

Their scores mean nothing. The tokenizer of the SigLIP 2 shapes has as many tokens as the real one, but none
of its merges.
"""

from __future__ import annotations

import json
import string
import sys
from pathlib import Path
from typing import Any

from keyframe_llm.encoders import ONNX_PREFIX, load_encoder
from keyframe_llm.encoders.base import has_accelerator

__all__ = ["SHAPES", "make_encoder"]

SHAPES: dict[str, tuple[int, int] | str] = {
    "fast": (32, 256),
    "balanced": (16, 224),
    "best": "PE-Core-L-14-336",
    "PE-Core-T": "PE-Core-T-16-384",
    "PE-Core-S": "PE-Core-S-16-384",
    "MobileCLIP2-S0": "MobileCLIP2-S0",
    "MobileCLIP2-S2": "MobileCLIP2-S2",
}
"""SigLIP 2 base with its patch and picture size in pixels, or the name of a configuration in open_clip."""
_TOKENS = 256_000


def make_encoder(shape: str, folder: Path) -> str:
    """Write the encoder into the folder, unless it is there already; returns the name to load it by.

    Those of `fast` and `balanced` run as they do by these names: through ONNX Runtime where there is no GPU.
    """
    made_of = SHAPES[shape]
    if not folder.is_dir():
        unfinished = folder.with_name(folder.name + ".part")
        unfinished.mkdir(parents=True, exist_ok=True)
        if isinstance(made_of, str):
            _open_clip(unfinished, made_of)
        else:
            _siglip2(unfinished, *made_of)
        unfinished.rename(folder)
    if isinstance(made_of, str):
        return f"local-dir:{folder}"
    return str(folder) if has_accelerator() else f"onnx:{folder}"


def _siglip2(folder: Path, patch: int, side: int) -> None:
    from tokenizers import Tokenizer, models, pre_tokenizers, processors
    from transformers import PreTrainedTokenizerFast, SiglipConfig, SiglipImageProcessor, SiglipModel

    base = {"hidden_size": 768, "intermediate_size": 3072, "num_hidden_layers": 12, "num_attention_heads": 12}
    text = {**base, "vocab_size": _TOKENS, "max_position_embeddings": 64, "projection_size": 768}
    text |= {"pad_token_id": 0, "eos_token_id": 1, "bos_token_id": 2}
    config = SiglipConfig(text_config=text, vision_config={**base, "image_size": side, "patch_size": patch})
    SiglipModel(config).save_pretrained(folder)
    words = ["<pad>", "<eos>", "<bos>", "<unk>", "▁", *string.ascii_lowercase]
    words += [f"word{number}" for number in range(_TOKENS - len(words))]
    bpe = Tokenizer(models.BPE({word: i for i, word in enumerate(words)}, [], unk_token="<unk>"))
    bpe.pre_tokenizer = pre_tokenizers.Metaspace()
    bpe.post_processor = processors.TemplateProcessing(single="$A <eos>", special_tokens=[("<eos>", 1)])
    names: dict[str, Any] = {"pad_token": "<pad>", "eos_token": "<eos>", "unk_token": "<unk>"}
    PreTrainedTokenizerFast(tokenizer_object=bpe, **names).save_pretrained(folder)
    SiglipImageProcessor(size={"height": side, "width": side}).save_pretrained(folder)


def _open_clip(folder: Path, name: str) -> None:
    import open_clip
    from safetensors.torch import save_file

    model = open_clip.create_model(name, pretrained=None, load_weights=False)
    save_file(
        {key: value.contiguous() for key, value in model.state_dict().items()},
        folder / "open_clip_model.safetensors",
    )
    squash = {"mean": [0.5] * 3, "std": [0.5] * 3, "interpolation": "bilinear", "resize_mode": "squash"}
    config = {"model_cfg": open_clip.get_model_config(name), "preprocess_cfg": squash}
    (folder / "open_clip_config.json").write_text(json.dumps(config))


if __name__ == "__main__":
    made = make_encoder(sys.argv[1], Path(sys.argv[2]))
    if made.startswith(ONNX_PREFIX):
        load_encoder(made)  # converts it, which happens once
    print(made)
