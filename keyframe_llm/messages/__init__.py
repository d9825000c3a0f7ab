"""From key frames to chat messages: prompts, the formats of clients, true times in a video of key frames."""

from __future__ import annotations

from keyframe_llm.messages.formats import MAX_IMAGE_BYTES, Format, Messages, to_format
from keyframe_llm.messages.prompts import PromptName, frame_messages, prompt, time_label
from keyframe_llm.messages.quoted_words import quoted_words, told_cues, with_words
from keyframe_llm.messages.sheet import Layout, laid_out
from keyframe_llm.messages.timestamps import as_video, frame_seconds, with_time_labels, with_true_times
from keyframe_llm.messages.video_fields import video_fields, videos_of

__all__ = [
    "MAX_IMAGE_BYTES",
    "Format",
    "Layout",
    "Messages",
    "PromptName",
    "as_video",
    "frame_messages",
    "frame_seconds",
    "laid_out",
    "prompt",
    "quoted_words",
    "time_label",
    "to_format",
    "told_cues",
    "video_fields",
    "videos_of",
    "with_time_labels",
    "with_true_times",
    "with_words",
]
