"""Key frames on one picture, each under its time: for models and servers that take a single picture."""

from __future__ import annotations

from typing import Literal, get_args

from keyframe_llm.data import Frames
from keyframe_llm.errors import OptionsError, shortened
from keyframe_llm.messages.formats import Messages
from keyframe_llm.messages.prompts import frame_messages, time_label
from keyframe_llm.prompts import Prompts, default_prompts

__all__ = ["Layout", "checked_layout", "laid_out", "sheet_messages"]

Layout = Literal["images", "sheet"]
"""How key frames are shown: `images`, one picture each after its time; `sheet`, all on one picture."""


def laid_out(
    frames: Frames,
    text: str | None = None,
    *,
    layout: Layout = "images",
    prompts: Prompts | None = None,
    duration_seconds: float | None = None,
) -> Messages:
    """One user message with the key frames in a layout, then `text`; `prompts` hold the words for a sheet.

    `duration_seconds` is the whole video's (see `frame_messages`). Raises `OptionsError` on an unknown
    layout.
    """
    if checked_layout(layout) == "sheet":
        return sheet_messages(frames, text, prompts)
    return frame_messages(frames, text, duration_seconds=duration_seconds)


def sheet_messages(frames: Frames, text: str | None = None, prompts: Prompts | None = None) -> Messages:
    """One user message: what the picture shows and at which times, one picture of all frames, then `text`."""
    from keyframe_llm.report.grid import frame_sheet

    labels = [time_label(float(second)) for second in frames.seconds]
    head = (prompts or default_prompts()).text("sheet", times=", ".join(labels))
    parts = [{"type": "text", "text": head}, {"type": "image", "image": frame_sheet(frames.images, labels)}]
    tail = [{"type": "text", "text": text}] if text else []
    return [{"role": "user", "content": [*parts, *tail]}]


def checked_layout(layout: Layout) -> Layout:
    """The layout; raises `OptionsError` where there is none of that name."""
    if layout not in get_args(Layout):
        raise OptionsError(f"layout is {shortened(layout)}; choose one of {', '.join(get_args(Layout))}")
    return layout
