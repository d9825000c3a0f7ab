"""Times as a player shows them, and the times that stand in an answer, made to be clicked on."""

from __future__ import annotations

import re

import numpy as np

from keyframe_llm.data import Frames

__all__ = ["clock", "linked_times"]

_TIME = re.compile(
    r"(?<![\w.:])(?:"
    r"(?P<clock>(?:\d+:)?\d{1,2}:\d\d(?:\.\d+)?)(?![\d:]|\s?[ap]\.?m\b)"
    r"|(?:(?P<minutes>\d+)\s?min(?:ute)?s?\s(?:and\s)?)?(?P<seconds>\d+(?:\.\d+)?)\s?(?:seconds?|secs?|s)\b)",
    re.IGNORECASE,
)
_DURATION_BEFORE = re.compile(
    r"\b(?:for|last(?:s|ed|ing)?|within|takes?|took|every|another|over|of)\s"
    r"(?:(?:about|around|only|roughly|some|just|nearly)\s)?$",
    re.IGNORECASE,
)
_DURATION_AFTER = re.compile(r"\s(?:long|later|earlier|apart|before|after)\b", re.IGNORECASE)
_SHOWN_EXACTNESS = 0.0501
"""Seconds: models are shown tenths; what they say can only be that exact."""
_FOOTNOTE = "\n\n*\\* No frame that the model was shown has this time.*"


def clock(seconds: float) -> str:
    """Write a time as people read it off a player: `31.5 s`, `2:05.3`, `1:02:05`."""
    tenths = round(seconds * 10)
    if tenths < 600:
        return f"{tenths / 10:.1f} s"
    minutes, rest = divmod(tenths, 600)
    if minutes < 60:
        return f"{minutes}:{rest / 10:04.1f}"
    return f"{minutes // 60}:{minutes % 60:02d}:{rest // 10:02d}"


def linked_times(text: str, frames: Frames, end_seconds: float | None = None) -> str:
    """Make the times in an answer links to the frame they name, in Markdown.

    A time that no frame has links to that second, where the video is as long as that, and a footnote says so.
    Durations ("for 3 seconds") are left alone, and so is a clock's time after the end of the video: it may be
    one that is seen in the picture.
    """
    unseen = False

    def link(found: re.Match[str]) -> str:
        nonlocal unseen
        seconds, exactness = _read(found)
        beyond = end_seconds is not None and seconds > end_seconds + exactness
        if _is_duration(found) or (beyond and found["clock"]):
            return found[0]
        near = np.abs(frames.seconds - seconds)
        best = int(near.argmin())
        if near[best] <= exactness:
            return f"[{found[0]}](#t={frames.seconds[best]:.3f})"
        unseen = True
        return f"{found[0]}\\*" if beyond else f"[{found[0]}](#t={seconds:.3f})\\*"

    linked = _TIME.sub(link, text)
    return linked + _FOOTNOTE if unseen else linked


def _read(found: re.Match[str]) -> tuple[float, float]:
    """The seconds of a time, and how exact it is: half of its last digit."""
    if found["clock"]:
        parts = [float(part) for part in found["clock"].split(":")]
        seconds = sum(part * 60**i for i, part in enumerate(reversed(parts)))
    else:
        seconds = 60.0 * int(found["minutes"] or 0) + float(found["seconds"])
    exact = "." in found[0]
    return seconds, _SHOWN_EXACTNESS if exact else 0.501


def _is_duration(found: re.Match[str]) -> bool:
    before, after = found.string[: found.start()], found.string[found.end() :]
    return bool(_DURATION_BEFORE.search(before) or _DURATION_AFTER.match(after))
