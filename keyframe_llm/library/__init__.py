"""Many videos: indexed once, searched, and worked through in batches."""

from __future__ import annotations

from keyframe_llm.library.answer import Evidence, LibraryAnswer, ShownVideo
from keyframe_llm.library.builder import Outcome
from keyframe_llm.library.library import Library, Step
from keyframe_llm.library.moments import FoundMoment, FoundVideo

__all__ = [
    "Evidence",
    "FoundMoment",
    "FoundVideo",
    "Library",
    "LibraryAnswer",
    "Outcome",
    "ShownVideo",
    "Step",
]
