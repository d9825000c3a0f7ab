"""Times and lists as people and models write them: `0:05`, `1:02:03.5`, `90 s`; `walk, sit down`."""

from __future__ import annotations

import json
import re
from contextlib import suppress
from typing import Any

__all__ = ["format_time", "parse_list", "parse_time"]

_CLOCK = re.compile(r"(?:(?P<h>\d+):(?=\d+:))?(?P<m>\d+):(?P<s>\d{1,2}(?:[.,]\d+)?)")
_UNITS = re.compile(
    r"(?:(?P<h>\d+) ?h(?:ours?)? ?)?(?:(?P<m>\d+) ?m(?:in(?:utes?)?)? ?)?"
    r"(?:(?P<s>\d+(?:[.,]\d+)?) ?(?:s|secs?|seconds?)?)?"
)
_EXAMPLES = "give seconds, such as 62.5, or a time, such as 1:02:03.5"


def parse_time(value: float | str) -> float:
    """Seconds from a number, or from a text; raises `ValueError` for what is no time."""
    if not isinstance(value, str):
        return value
    text = value.strip().lower()
    found = _CLOCK.fullmatch(text) or _UNITS.fullmatch(text)
    if not text or found is None:
        raise ValueError(_EXAMPLES)
    hours, minutes = int(found["h"] or 0), int(found["m"] or 0)
    seconds = float((found["s"] or "0").replace(",", "."))
    if (found["m"] and seconds >= 60) or (found["h"] and minutes >= 60):
        raise ValueError(_EXAMPLES)
    return 3600 * hours + 60 * minutes + seconds


def parse_list(value: Any) -> Any:
    """A list from a text: JSON of one, or members between commas or line ends; a number is a list of one."""
    if isinstance(value, (int, float)):
        return [value]
    if not isinstance(value, str):
        return value
    if value.strip().startswith("["):
        with suppress(ValueError):
            return json.loads(value)
    return [part.strip() for part in re.split(r"[,\n]", value) if part.strip()]


def format_time(seconds: float) -> str:
    """`0:05` or `1:02:03.458`: to the millisecond, without zeros at the end."""
    milliseconds = round(seconds * 1000)
    minutes, rest = divmod(milliseconds, 60_000)
    hours, minutes = divmod(minutes, 60)
    shown = f"{rest // 1000:02d}" + (f".{rest % 1000:03d}".rstrip("0") if rest % 1000 else "")
    return f"{hours}:{minutes:02d}:{shown}" if hours else f"{minutes}:{shown}"
