"""A cue: some words of a video, with the time for which they are heard or seen."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Literal, NamedTuple

__all__ = ["Cue", "CueSource", "Words"]

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

    def to_dict(self) -> dict[str, Any]:
        """The fields as JSON takes them; those that are not known are left out."""
        return {name: value for name, value in asdict(self).items() if value is not None}

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Cue:
        """The cue that `to_dict` wrote, also after a way through JSON."""
        box = values.get("box")
        return cls(**{**values, "box": None if box is None else tuple(box)})


class Words(NamedTuple):
    """What was read and heard of a video."""

    cues: tuple[Cue, ...] = ()
    """In time order."""
    warnings: tuple[str, ...] = ()
    """What could not be read or heard, and why: one line each."""
