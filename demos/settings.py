"""What a person may set on the chat page; its controls are in the order of these fields."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from keyframe_llm.errors import OptionsError, check_number, check_whole

__all__ = ["LONGEST_TEXT", "Settings"]

LONGEST_TEXT = 2000
"""Characters of a question, a caption or a system prompt."""
_WEIGHTED = ("moments", "paper")
"""The methods that add up KeyScore, and so take its weights."""


@dataclass(frozen=True, slots=True)
class Settings:
    """What a person may set; the defaults need no visit."""

    model: str
    encoder: str
    frames: int = 3
    method: str = "moments"
    semantic: float = 0.5
    temporal: float = 0.0
    drop: float = 0.5
    compare: bool = False
    system: str = ""
    """The system prompt; empty: that of the model itself."""
    temperature: float = 0.0
    longest: int = 512
    """Tokens of an answer, at most."""

    def options(self) -> dict[str, Any]:
        """The fields of `SelectOptions` that differ; raises `OptionsError` on values out of range."""
        check_number("temperature", self.temperature, 0, 2)
        check_whole("longest answer", int(self.longest), 1, 4096)
        if len(self.system) > LONGEST_TEXT:
            raise OptionsError(f"the system prompt is longer than {LONGEST_TEXT:,} characters; shorten it")
        chosen: dict[str, Any] = {"max_frames": int(self.frames), "method": self.method}
        if self.method in _WEIGHTED:
            parts = (self.semantic, self.temporal, self.drop)
            if min(parts) < 0 or sum(parts) <= 0:
                raise OptionsError("all three weights are 0; raise at least one of them in the settings")
            chosen["weights"] = tuple(part / sum(parts) for part in parts)
        return chosen
