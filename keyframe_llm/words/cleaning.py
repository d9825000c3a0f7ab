"""Makes cues of what a subtitle track or a recogniser gives: plain text, true order, no repeats."""

from __future__ import annotations

import html
import math
import re
import unicodedata
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Literal, NamedTuple

from keyframe_llm.words.cues import Cue, CueSource

__all__ = ["Cleaned", "Markup", "RawCue", "clean", "plain_lines", "without_repeated_speech"]

Markup = Literal["ass", "webvtt", "tags", "none"]
"""ASS; WebVTT as FFmpeg decodes it; the tags of SRT and what is like it; text without any."""

LONGEST_LETTERS = 2000
"""A longer text is shortened: no one reads it while it is shown."""
_UNSTATED_SECONDS = 5.0  # at most, for a cue that states no end
_TOGETHER_SECONDS = 0.25  # captions that follow within this time are one caption that rolls or grows
_ROLLING_SHARE = 0.5  # of the cues that are still shown when the next begins: then the captions roll
_FEWEST_ROLLING = 4
_SAME_SECONDS = 2.0  # subtitles stand this much before or after what is said
_SAME_SHARE = 0.6  # of what was heard, in the subtitles of that time: a recogniser mishears some of it

_DRAWING = re.compile(r"\{[^}]*\\p[1-9][^}]*\}.*?(?=\{[^}]*\\p0[^}]*\}|\Z)", re.DOTALL)
_ESCAPED_BRACE, _KEPT_BRACE = "\\{{}", "\x01"
_OVERRIDE, _BRACES = re.compile(r"\{\\[^}]*\}"), re.compile(r"\{[^}]*\}")
_TAG = re.compile(
    r"</?(?:b|i|u|s|c|v|em|strong|font|span|lang|ruby|rt|br)(?:[ .][^<>]*)?/?>|<\d{1,4}:\d\d[\d:.]*>",
    re.IGNORECASE,
)
# Control characters, and marks that change the direction of what is printed after them.
_UNSEEN = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u200b\u200e\u200f\u202a-\u202e\u2060\u2066-\u2069\ufeff]")


class RawCue(NamedTuple):
    """A cue as it was read."""

    start: float
    """Seconds on the video's own clock; may be negative."""
    end: float | None
    """Seconds; None where it is not stated."""
    text: str
    """With markup and line breaks."""


class Cleaned(NamedTuple):
    """Cues in time order, and how many were left out because they begin after the video's end."""

    cues: list[Cue]
    beyond_end: int


@dataclass(frozen=True, slots=True)
class _Caption:
    """A cue between reading and the end of cleaning."""

    start: float
    end: float
    lines: tuple[str, ...]
    """What is new in it."""
    shown: tuple[str, ...]
    """All that is on the screen with it."""


def plain_lines(text: str, markup: Markup = "tags") -> tuple[str, ...]:
    """The lines of a text without its markup, without blanks at their ends; lines without text are left out.

    In ASS everything in braces is a command or a comment; elsewhere only what begins with a backslash.
    """
    text = text.replace(_KEPT_BRACE, "")
    if markup != "none":
        text = _DRAWING.sub("", text.replace(_ESCAPED_BRACE, _KEPT_BRACE))
        text = (_BRACES if markup == "ass" else _OVERRIDE).sub("", text).replace(_KEPT_BRACE, "{")
        text = text.replace("\\N", "\n").replace("\\n", "\n").replace("\\h", " ")
    if markup == "tags":
        text = html.unescape(_TAG.sub("", text))
    text = unicodedata.normalize("NFC", _UNSEEN.sub("", text.replace("\r", "\n")))
    lines = (" ".join(line.split()) for line in text.splitlines())
    return tuple(line for line in lines if line)


def clean(
    raw: Iterable[RawCue],
    *,
    source: CueSource,
    language: str | None = None,
    duration_seconds: float | None = None,
    markup: Markup = "tags",
) -> Cleaned:
    """Cues with plain text of one line, in time order, within the video, without repeats.

    Captions that roll or grow are told once, each line from when it appears. A cue without an end lasts until
    the next one, at most 5 s. `duration_seconds` is the length of the video, None where it is not known.
    """
    end = math.inf if duration_seconds is None else duration_seconds
    read = [(cue, plain_lines(cue.text, markup)) for cue in raw]
    read = [(cue, lines) for cue, lines in read if lines and _is_time(cue)]
    inside = [(cue, lines) for cue, lines in read if cue.start < end]
    captions = _unrolled(_without_repeats(_ended(inside)))
    cues = [
        Cue(round(max(0.0, c.start), 3), round(min(end, c.end), 3), _joined(c.lines), source, language)
        for c in captions
        if c.end > 0
    ]
    return Cleaned([cue for cue in cues if cue.end > cue.start], len(read) - len(inside))


def _is_time(cue: RawCue) -> bool:
    return math.isfinite(cue.start) and (cue.end is None or math.isfinite(cue.end))


def _joined(lines: Sequence[str]) -> str:
    text = " ".join(lines)
    return text if len(text) <= LONGEST_LETTERS else f"{text[: LONGEST_LETTERS - 1]}…"


def _ended(read: Sequence[tuple[RawCue, tuple[str, ...]]]) -> list[_Caption]:
    """The captions in time order, each with an end."""
    read = sorted(read, key=lambda one: (one[0].start, one[0].end or one[0].start))
    later, follows = [math.inf] * len(read), math.inf  # when the next one with a later start begins
    for place in range(len(read) - 1, 0, -1):
        if read[place - 1][0].start < read[place][0].start:
            follows = read[place][0].start
        later[place - 1] = follows
    captions = []
    for (cue, lines), follows in zip(read, later, strict=True):
        stated = cue.end is not None and cue.end > cue.start
        end = cue.end if stated and cue.end is not None else min(follows, cue.start + _UNSTATED_SECONDS)
        captions.append(_Caption(cue.start, end, lines, lines))
    return captions


def _without_repeats(captions: Iterable[_Caption]) -> list[_Caption]:
    """Join captions that repeat what is still shown: rolling, growing, and the same text frame by frame."""
    kept: list[_Caption] = []
    places: dict[tuple[str, ...], int] = {}
    for caption in captions:
        same = places.get(caption.shown)
        if same is not None and caption.start - kept[same].end <= _TOGETHER_SECONDS:
            kept[same] = replace(kept[same], end=max(kept[same].end, caption.end))
            continue
        if kept and caption.start - kept[-1].end <= _TOGETHER_SECONDS:
            last = kept[-1]
            if _grows(last.shown, caption.shown):
                new = (*last.lines[:-1], *caption.shown[len(last.shown) - 1 :])
                kept[-1] = replace(caption, start=last.start, lines=new)
                places[caption.shown] = len(kept) - 1
                continue
            caption = replace(caption, lines=caption.shown[_repeated(last.shown, caption.shown) :])
            if not caption.lines:
                kept[-1] = replace(last, end=max(last.end, caption.end), shown=caption.shown)
                places[caption.shown] = len(kept) - 1
                continue
        places[caption.shown] = len(kept)
        kept.append(caption)
    return kept


def _repeated(before: Sequence[str], now: Sequence[str]) -> int:
    """How many lines of a caption are the last lines of the one before it."""
    most = min(len(before), len(now))
    return next((n for n in range(most, 0, -1) if tuple(before[-n:]) == tuple(now[:n])), 0)


def _grows(before: Sequence[str], now: Sequence[str]) -> bool:
    """Whether a caption is the one before it with more words at its end."""
    last = len(before) - 1
    return (
        len(now) > last
        and tuple(now[:last]) == tuple(before[:last])
        and now[last] != before[last]
        and now[last].startswith(before[last])
    )


def _unrolled(captions: list[_Caption]) -> list[_Caption]:
    """End each caption where the next begins, where most are still shown then: lines that scroll up."""
    pairs = list(pairwise(captions))
    rolling = sum(a.start < b.start < a.end < b.end for a, b in pairs)
    if len(captions) < _FEWEST_ROLLING or rolling <= _ROLLING_SHARE * len(pairs):
        return captions
    cut = [replace(a, end=min(a.end, b.start)) if b.start > a.start else a for a, b in pairs]
    return [*cut, captions[-1]]


def without_repeated_speech(cues: Sequence[Cue]) -> list[Cue]:
    """The cues, in time order, without speech that the subtitles shown meanwhile hold as well.

    Subtitles in another language than the one heard hold other words, so both stay.
    """
    subtitles = [cue for cue in cues if cue.source == "subtitle"]
    letters = [_letter_groups(cue.text) for cue in subtitles]
    kept, first = [], 0
    longest = max((cue.end - cue.start for cue in subtitles), default=0.0)
    for cue in cues:
        if cue.source == "speech":
            while first < len(subtitles) and subtitles[first].start < cue.start - longest - _SAME_SECONDS:
                first += 1
            if _is_shown(cue, subtitles, letters, first):
                continue
        kept.append(cue)
    return kept


def _is_shown(cue: Cue, subtitles: Sequence[Cue], letters: Sequence[set[str]], first: int) -> bool:
    heard, shown = _letter_groups(cue.text), set[str]()
    for i in range(first, len(subtitles)):
        if subtitles[i].start > cue.end + _SAME_SECONDS:
            break
        if subtitles[i].end >= cue.start - _SAME_SECONDS:
            shown |= letters[i]
    return bool(heard) and len(heard & shown) >= _SAME_SHARE * len(heard)


def _letter_groups(text: str) -> set[str]:
    """Groups of three letters, without case and blanks, so that scripts without spaces are compared, too."""
    plain = "".join(sign for sign in unicodedata.normalize("NFKC", text).casefold() if sign.isalnum())
    return {plain[i : i + 3] for i in range(max(1, len(plain) - 2))} - {""}
