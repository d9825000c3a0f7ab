"""Dual encoders: pictures and texts as unit vectors in one space.

Anything with `embed_images` and `embed_texts` is an encoder. Four kinds come with the package: CLIP, SigLIP
and SigLIP2 through transformers, the Perception Encoder (the paper's backbone) through open_clip, Qwen3-VL's
embedding models through sentence-transformers, and any of them behind a server.
"""

from __future__ import annotations

from keyframe_llm.cartoon import encoder_path, is_embedded
from keyframe_llm.data import Progress
from keyframe_llm.encoders import huggingface, onnx, openclip
from keyframe_llm.encoders.base import Encoder, on_processor, preferred_image_size, split_text
from keyframe_llm.encoders.embedded import EmbeddedEncoder
from keyframe_llm.encoders.huggingface import TransformersEncoder
from keyframe_llm.encoders.onnx import ONNX_PREFIX, OnnxEncoder
from keyframe_llm.encoders.openclip import FOLDER_PREFIX, HUB_PREFIX, OpenClipEncoder
from keyframe_llm.encoders.sentence import SENTENCE_PREFIX, SentenceEncoder
from keyframe_llm.encoders.server import SERVER_PREFIXES, ServerEncoder
from keyframe_llm.errors import OptionsError

__all__ = [
    "DEFAULT_ENCODER",
    "FOLDER_PREFIX",
    "HUB_PREFIX",
    "NAMED_ENCODERS",
    "ONNX_PREFIX",
    "SENTENCE_PREFIX",
    "Encoder",
    "OnnxEncoder",
    "OpenClipEncoder",
    "SentenceEncoder",
    "ServerEncoder",
    "TransformersEncoder",
    "default_encoder",
    "encoder_source",
    "load_encoder",
    "preferred_image_size",
    "split_text",
    "stated_image_size",
]


DEFAULT_ENCODER = "google/siglip2-base-patch16-224"

NAMED_ENCODERS = {
    "fast": "google/siglip2-base-patch32-256",
    "balanced": DEFAULT_ENCODER,
    "best": "hf-hub:timm/PE-Core-L-14-336",
}
"""Names for those who do not want to choose a model; all three have the licence Apache-2.0."""


_CONVERTED = {NAMED_ENCODERS["fast"], NAMED_ENCODERS["balanced"]}
"""Models that run through ONNX Runtime where there is no GPU."""


def default_encoder(model: object) -> str:
    """The encoder for a Video-LLM that is given without one: the embedded encoder for the embedded model."""
    return "cartoon" if is_embedded(model) else DEFAULT_ENCODER


def encoder_source(name: str) -> str:
    """The model behind one of `NAMED_ENCODERS`; any other name is its own."""
    return NAMED_ENCODERS.get(name, name)


def load_encoder(name: str | Encoder, device: str | None = None, progress: Progress | None = None) -> Encoder:
    """The encoder of that name; an object with the two methods is passed through.

    `name` is a hub id or local folder (transformers), `hf-hub:<id>` or `local-dir:<folder>` (open_clip),
    `sentence:<id or folder>` (sentence-transformers), `http://host:port/v1#served-name`, one of
    `NAMED_ENCODERS`, or `cartoon`, the small one inside the package. `device` is a torch device; None takes
    the best there is. `onnx:<id or folder>` runs a model of transformers on the processor through ONNX
    Runtime, as `fast` and `balanced` run where there is no GPU. `progress` is told of the
    conversion to ONNX that a first call makes. Raises `OptionsError` for an object that is no encoder and
    `ModelError` for a model that cannot be had.
    """
    if not isinstance(name, str):
        missing = [m for m in ("embed_images", "embed_texts") if not callable(getattr(name, m, None))]
        if missing:
            raise OptionsError(
                f"encoder is a {type(name).__name__} without {' and '.join(missing)}; give a name, or "
                "an object with embed_images(images) and embed_texts(texts)"
            )
        return name
    name = encoder_source(name)
    if name.startswith(ONNX_PREFIX) or (name in _CONVERTED and on_processor(device)):
        return OnnxEncoder(name, progress=progress)
    if is_embedded(name, encoder_path()) and on_processor(device):
        return EmbeddedEncoder()
    if name.startswith((HUB_PREFIX, FOLDER_PREFIX)):
        return OpenClipEncoder(name, device=device)
    if name.startswith(SENTENCE_PREFIX):
        return SentenceEncoder(name, device=device)
    if name.startswith(SERVER_PREFIXES):
        return ServerEncoder(name)
    return TransformersEncoder(_source(name), device=device)


def stated_image_size(name: str) -> int | None:
    """The `preferred_image_size` of the encoder of that name, from the small files beside its weights.

    None where it does not lie on this machine or they do not say: then it has to be loaded. Imports no torch.
    """
    name = encoder_source(name)
    if name.startswith(ONNX_PREFIX):
        return onnx.stated_image_size(name)
    if name.startswith((HUB_PREFIX, FOLDER_PREFIX)):
        return openclip.stated_image_size(name)
    if name.startswith((SENTENCE_PREFIX, *SERVER_PREFIXES)):
        return None
    return huggingface.stated_image_size(_source(name))


def _source(name: str) -> str:
    return str(encoder_path()) if name == "cartoon" else name
