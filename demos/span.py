"""The part of a video that is asked about: what is allowed, and the control that shows and clears it."""

from __future__ import annotations

import math
import re
from typing import Any

from keyframe_llm.demos.times import clock
from keyframe_llm.errors import OptionsError, shortened

__all__ = ["Part", "checked_part", "control", "part_name", "part_options"]

Part = tuple[float, float]
"""Start and end in seconds."""

_LEAST_SECONDS = 0.5
_CLOCK = re.compile(r"\s*(?:(?:(\d+):)?(\d{1,2}):)?(\d+(?:\.\d+)?)\s*s?\s*$")


def checked_part(start: Any, end: Any, duration_seconds: float) -> Part:
    """The part from `start` to `end`, seconds or times such as `1:05.2`, inside the video.

    Raises `OptionsError` where it is none, or shorter than half a second.
    """
    first = max(0.0, _seconds("start", start))
    last = min(duration_seconds, _seconds("end", end))
    if last - first < _LEAST_SECONDS:
        raise OptionsError(
            f"the part from {clock(first)} to {clock(max(0.0, last))} is shorter than {_LEAST_SECONDS} s; "
            f"give two times from 0 s to {clock(duration_seconds)}, the earlier one first"
        )
    return round(first, 3), round(last, 3)


def part_options(part: Part | None) -> dict[str, float]:
    """The options that have frames and words chosen from the part alone."""
    return {} if part is None else {"start_seconds": part[0], "end_seconds": part[1]}


def part_name(part: Part) -> str:
    """The part as people read it: `10.0 s – 1:05.2`."""
    return f"{clock(part[0])} – {clock(part[1])}"


def control(part: Part | None) -> str:
    """Draw the part that is asked about with a button that clears it; without one, how to give one."""
    if part is not None:
        return (
            f'<div class="kf-part" data-start="{part[0]:.3f}" data-end="{part[1]:.3f}">'
            f"<span>Only <b>{part_name(part)}</b> is asked about</span>"
            '<button type="button" class="kf-whole">Ask about the whole video</button></div>'
        )
    fields = "".join(
        f'<label>{name} <input type="text" inputmode="decimal" size="7" maxlength="12" name="{name}"></label>'
        f'<button type="button" class="kf-here" data-field="{name}">here</button>'
        for name in ("from", "to")
    )
    return (
        '<details class="kf-part"><summary>Ask about a part: drag over the curves, or give times</summary>'
        f'<form>{fields}<button type="submit" class="kf-apply">Ask about this part</button></form></details>'
    )


def _seconds(name: str, value: Any) -> float:
    """Seconds, from a number or a time as a player shows it."""
    if isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value):
        return float(value)
    found = _CLOCK.match(value[:20]) if isinstance(value, str) else None
    if found is None:
        raise OptionsError(f"the {name} of the part is {shortened(value)}; give a time such as 12.5 or 1:05")
    hours, minutes, seconds = found.groups()
    return 3600.0 * int(hours or 0) + 60.0 * int(minutes or 0) + float(seconds)
