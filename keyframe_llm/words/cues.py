"""A cue: some words of a video, with the time for which they are heard or seen."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

__all__ = ["Cue", "CueSource"]

CueSource = Literal["subtitle", "speech", "screen"]


@dataclass(frozen=True, slots=True, order=True)
class Cue:
    """Some words of a video, ordered by their time."""

    start: float
    """Seconds on the video's own clock, at least 0."""
    end: float
    """Seconds, after `start`."""
    text: str
    """Plain text without markup, never empty."""
    source: CueSource = "subtitle"
    language: str | None = None
    """A language tag (`en`, `pt-BR`), where it is known."""
    box: tuple[float, float, float, float] | None = None
    """Where the words stand in the picture: left, top, right, bottom as shares of its size (0–1)."""
