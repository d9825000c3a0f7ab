"""From key frames to chat messages: prompts, formats of other clients, times in a video of key frames."""

from __future__ import annotations

from keyframe_llm.messages.formats import MAX_IMAGE_BYTES, Format, Messages, jpeg, to_format

__all__ = ["MAX_IMAGE_BYTES", "Format", "Messages", "jpeg", "to_format"]
