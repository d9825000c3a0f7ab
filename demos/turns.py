"""A question of a conversation, its key frames, and the answer as far as it has come."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from secrets import token_hex
from typing import Any

from keyframe_llm.data import Frames
from keyframe_llm.demos.decoding import small
from keyframe_llm.demos.span import Part
from keyframe_llm.selection import Selection

__all__ = ["Turn", "with_small_frames"]


@dataclass(slots=True, eq=False)
class Turn:
    """A question, and the answer as far as it has come."""

    question: str
    answer: str = ""
    part: Part | None = None
    """The part of the video that it is about; None: the whole."""
    selection: Selection | None = None
    uniform: Frames | None = None
    uniform_answer: str = ""
    tokens: tuple[int, int] | None = None
    """Of the prompt, and those of them that stand for pictures; None where the model does not count."""
    answer_seconds: float = 0.0
    saved_seconds: float = 0.0
    """What indexing the video took and this question did not have to pay again."""
    state: str = "working"
    """`working`, `done`, `stopped`, `failed`, or `kept`: of an earlier session, kept by the browser."""
    trouble: str = ""
    warnings: tuple[str, ...] = ()
    """Why its words mean nothing, where an embedded model answers about other footage than its own."""
    about: str = ""
    """The name of the video, of a turn of an earlier session."""
    drawn: dict[str, Any] = field(default_factory=dict)
    """HTML that is drawn once."""
    name: str = field(default_factory=lambda: token_hex(6))
    """What the page calls it by; other turns have other names."""

    def keep_small_frames(self) -> None:
        """Keep its frames as the page needs them, now that the Video-LLM has seen them."""
        if self.selection is not None:
            self.selection = with_small_frames(self.selection)
        if self.uniform is not None:
            self.uniform = small(self.uniform)


def with_small_frames(selection: Selection) -> Selection:
    """A selection as it is kept once the Video-LLM has seen it; a frame that is saved is decoded again."""
    return replace(selection, frames=small(selection.frames))
