"""Prompts for code of one's own: `prompt("question", question=…)`, and the messages made of key frames."""

from __future__ import annotations

from keyframe_llm.messages.prompts import PromptName, frame_messages, prompt, time_label

__all__ = ["PromptName", "frame_messages", "prompt", "time_label"]
