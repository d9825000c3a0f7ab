"""Video-LLMs: chat messages with pictures in, text or label likelihoods out."""

from __future__ import annotations

from keyframe_llm.vlm.transformers import VLM, Messages, Normalise, TransformersVLM, load_vlm

__all__ = ["VLM", "Messages", "Normalise", "TransformersVLM", "load_vlm"]
