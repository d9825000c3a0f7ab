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


def frame_messages(
    frames: Frames, text: str | None = None, *, duration_seconds: float | None = None
) -> list[dict[str, Any]]:
    """One user message in Hugging Face chat format: a time and an image per frame, then `text`.

    Images are PIL images; `processor.apply_chat_template(messages, tokenize=True, return_dict=True)` takes
    the result as it is. Under `frame` a time and an image say which frame they are of, `number` (from 0) and
    `seconds`, and the whole video's `duration`, where it is given: `to_format` needs them for a video of the
    frames, and leaves them out of every message.
    """
    from PIL import Image

    content: list[dict[str, Any]] = []
    for number, (second, image) in enumerate(zip(frames.seconds.tolist(), frames.images, strict=True)):
        frame = {"number": number, "seconds": second, "duration": duration_seconds}
        content.append({"type": "text", "text": time_label(second), "frame": frame})
        content.append({"type": "image", "image": Image.fromarray(image), "frame": frame})
    if text:
        content.append({"type": "text", "text": text})
    return [{"role": "user", "content": content}]
