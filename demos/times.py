"""Times as a player shows them, and the times that stand in an answer, made to be clicked on."""

from __future__ import annotations

import re
from itertools import pairwise

import numpy as np

from keyframe_llm.data import Frames

__all__ = ["clock", "linked_times"]

_NUMBER = r"\d+(?:\.\d+)?"
_JOIN = r"(?:,\s(?:and\s|or\s)?|\s(?:and|or|to|through|until)\s|\s?[-–—]\s?)"
_TIME = re.compile(
    rf"""(?<![\w.:])(?:
      (?P<clock>(?:\d+:)?\d{{1,2}}:\d\d(?:[.,]\d+)?)(?![\d:]|\s?[ap]\.?m\b)
      |(?P<name>seconds?|timestamps?)\s(?P<named>{_NUMBER}(?:{_JOIN}(?:second\s)?{_NUMBER}){{0,4}})(?![\w-]|[.:]\d)
      |(?P<run>(?:{_NUMBER}{_JOIN}){{0,4}})
       (?:(?P<hours>\d+)(?:\s?hours?|\s?hrs?|h)\s?(?:and\s)?)?
       (?:(?P<minutes>\d+)(?:\s?minutes?|\s?mins?|m)\s?(?:and\s)?)?
       (?P<seconds>{_NUMBER})(?:\s?(?:seconds?|secs?|s)\b|[-\s]second(?=\s(?:mark|point)\b))
    )""",
    re.IGNORECASE | re.VERBOSE,
)
"""Times as on a clock; "second 3"; "3 seconds", also as the last of several: "between 1, 2 and 3 seconds"."""
_DURATION_BEFORE = re.compile(
    r"\b(?:for|last(?:s|ed|ing)?|within|takes?|took|taking|every|another|over|of|an?|per|first|next|final|previous"
    r"|needs?|spends?|spent|wait(?:s|ed|ing)?|paus(?:e|es|ed|ing)|than|least|most|up\sto|rang(?:e|es|ed|ing)"
    r"|var(?:y|ies|ied)|(?:in|de)creas(?:e|es|ed))\s"
    r"(?:(?:from|between|about|around|only|roughly|some|just|nearly)\s)*$",
    re.IGNORECASE,
)
_DURATION_AFTER = re.compile(
    r"[-\s](?:long|later|earlier|apart|before|after|ago|away|left|of(?!\sthe\s(?:video|clip|film|recording))"
    r"|each|per|delay|pause|gap|worth|clip|video|window|interval|segment|in\s(?:length|duration|total)|on\saverage)\b",
    re.IGNORECASE,
)
_SEVERAL_BEFORE = re.compile(
    r"\b(?:at|from|between|during|around|times?|timestamps?):?\s(?:(?:about|around)\s)?$", re.IGNORECASE
)
"""What stands before several numbers that are moments."""
_NAME_BEFORE = re.compile(
    r"\b(?:at|in|from|by|to|until|around|about|after|before|near|during|between|since)\s$", re.IGNORECASE
)
"""What stands before "second 3", which counts no people or points."""
_ALONE_BEFORE = re.compile(r"(?:^|\n|&#\d+;|[*•-])\s*$")
_ALONE_AFTER = re.compile(r"\s*(?:[:*]|&#\d+;|[-–—]\s|,?\s*(?:\n|$))")
"""A time that stands alone, as before what is seen then."""
_HOW_LONG = re.compile(r"\bhow\s(?:long|many\sseconds|much\stime|fast|quick)|\bduration\b", re.IGNORECASE)
_LOOKED_AT = 60
"""Characters before a time."""
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


def linked_times(text: str, frames: Frames, end_seconds: float | None = None, *, question: str = "") -> str:
    """Make the times in an answer links to the frame they name, in Markdown.

    A time that no frame has links to that second, where the video is as long as that, and a footnote says so.
    Durations are left alone ("for 3 seconds", "takes 1 to 4 seconds"; all of them where the `question` is how
    long something takes), and so is a clock's time after the end of the video: the picture may show it.
    """
    unseen, how_long = False, bool(_HOW_LONG.search(question))

    def link(shown: str, seconds: float) -> str:
        nonlocal unseen
        exactness = _exactness(shown)
        near = np.abs(frames.seconds - seconds)
        best = int(near.argmin())
        if near[best] <= exactness:
            return f"[{shown}](#t={frames.seconds[best]:.3f})"
        unseen = True
        beyond = end_seconds is not None and seconds > end_seconds + exactness
        return f"{shown}\\*" if beyond else f"[{shown}](#t={seconds:.3f})\\*"

    def number(found: re.Match[str]) -> str:
        return link(found[0], float(found[0]))

    def time(found: re.Match[str]) -> str:
        if _is_duration(found) or (
            how_long and found["seconds"] and not _SEVERAL_BEFORE.search(_before(found))
        ):
            return found[0]
        if found["name"] and not _is_named(found):
            return found[0]
        if found["name"]:
            shown = found[0][: -len(found["named"])]
            alone = re.fullmatch(_NUMBER, found["named"])
            return (
                link(found[0], float(alone[0])) if alone else shown + re.sub(_NUMBER, number, found["named"])
            )
        seconds, run = _read(found), found["run"] or ""
        if found["clock"] and end_seconds is not None and seconds > end_seconds + _exactness(found[0]):
            return found[0]
        if run and not _are_several(found):
            return found[0]
        return re.sub(_NUMBER, number, run) + link(found[0][len(run) :], seconds)

    linked = _TIME.sub(time, text)
    return linked + _FOOTNOTE if unseen else linked


def _exactness(shown: str) -> float:
    """How exact a time is, in seconds: half of its last digit."""
    return _SHOWN_EXACTNESS if re.search(r"[.,]\d", shown) else 0.501


def _read(found: re.Match[str]) -> float:
    """The seconds of a time, the last one where there are several."""
    if found["clock"]:
        parts = [float(part) for part in found["clock"].replace(",", ".").split(":")]
        return float(sum(part * 60**i for i, part in enumerate(reversed(parts))))
    return 3600.0 * int(found["hours"] or 0) + 60.0 * int(found["minutes"] or 0) + float(found["seconds"])


def _before(found: re.Match[str]) -> str:
    return found.string[max(0, found.start() - _LOOKED_AT) : found.start()]


def _is_duration(found: re.Match[str]) -> bool:
    return bool(_DURATION_BEFORE.search(_before(found)) or _DURATION_AFTER.match(found.string, found.end()))


def _stands_alone(found: re.Match[str]) -> bool:
    return bool(_ALONE_BEFORE.search(_before(found)) and _ALONE_AFTER.match(found.string, found.end()))


def _is_named(found: re.Match[str]) -> bool:
    """Whether "second 3" names a moment."""
    named = found["name"].lower().startswith("timestamp") or _NAME_BEFORE.search(_before(found))
    return _rises(found["named"]) and bool(named or _stands_alone(found))


def _are_several(found: re.Match[str]) -> bool:
    """Whether the numbers before "and 3 seconds" are moments too."""
    if found["hours"] or found["minutes"] or not _rises(found["run"] + found["seconds"]):
        return False
    return bool(_SEVERAL_BEFORE.search(_before(found))) or _stands_alone(found)


def _rises(numbers: str) -> bool:
    return all(one < other for one, other in pairwise(map(float, re.findall(_NUMBER, numbers))))
