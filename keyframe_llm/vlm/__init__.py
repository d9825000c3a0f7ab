"""Video-LLMs: chat messages with pictures in, text or label likelihoods out."""

from __future__ import annotations

from keyframe_llm.vlm.load import DEFAULT_MODEL, load_vlm
from keyframe_llm.vlm.openai_server import OpenAIVLM
from keyframe_llm.vlm.protocol import VLM, CompletedVLM, Messages, Normalise
from keyframe_llm.vlm.transformers import TransformersVLM

__all__ = [
    "DEFAULT_MODEL",
    "VLM",
    "CompletedVLM",
    "Messages",
    "Normalise",
    "OpenAIVLM",
    "TransformersVLM",
    "load_vlm",
]
