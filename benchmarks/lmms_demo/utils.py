"""What lmms-eval asks of a document of `kf_demo`: its video and its text."""

from __future__ import annotations

from typing import Any

from keyframe_llm.demos.videos import demo_video
from keyframe_llm.prompting import prompt

__all__ = ["doc_to_text", "doc_to_visual"]


def doc_to_visual(document: dict[str, Any]) -> list[str]:
    """The path of the document's bundled clip."""
    return [str(demo_video(document["video"]))]


def doc_to_text(document: dict[str, Any]) -> str:
    """The question in the words that the embedded model knows."""
    return prompt("question", question=document["question"])
