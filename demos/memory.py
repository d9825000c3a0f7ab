"""Memory of videos that were put away, given back to the system."""

from __future__ import annotations

from threading import Timer

from keyframe_llm.memory import trim_memory

__all__ = ["give_back_memory"]

_DELAY_SECONDS = 1.0


def give_back_memory() -> None:
    """In a moment, when nobody holds the video any more, free what is left of it."""
    timer = Timer(_DELAY_SECONDS, trim_memory)
    timer.daemon = True
    timer.start()
