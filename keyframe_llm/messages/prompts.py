"""From key frames to chat messages: `[12.3s]`, image, `[15.0s]`, image, … and then the prompt.

Times stand as text before each image. A Video-LLM that is given frames at unequal distances as a video would
take them to be evenly spread, for its positions assume a constant frame rate.
"""

from __future__ import annotations

from typing import Any

from keyframe_llm.data import Frames
from keyframe_llm.prompts import PromptName, default_prompts

__all__ = ["PromptName", "frame_messages", "prompt", "time_label"]


def prompt(name: PromptName, **values: str) -> str:
    """Return the text of `prompts/<name>.txt` with its `{placeholders}` filled in."""
    return default_prompts().text(name, **values)


def time_label(seconds: float) -> str:
    """Write a time the way models are shown it: `[12.3s]`."""
    return f"[{seconds:.1f}s]"


def frame_messages(frames: Frames, text: str | None = None) -> list[dict[str, Any]]:
    """One user message in Hugging Face chat format: a time and an image per frame, then `text`.

    Images are PIL images; `processor.apply_chat_template(messages, tokenize=True, return_dict=True)` takes
    the result as it is.
    """
    from PIL import Image

    content: list[dict[str, Any]] = []
    for second, image in zip(frames.seconds, frames.images, strict=True):
        content.append({"type": "text", "text": time_label(float(second))})
        content.append({"type": "image", "image": Image.fromarray(image)})
    if text:
        content.append({"type": "text", "text": text})
    return [{"role": "user", "content": content}]
