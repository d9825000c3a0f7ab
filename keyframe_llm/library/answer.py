"""A question to a library: the best moments of several videos as one prompt, and the answer."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import zip_longest
from pathlib import Path
from typing import Any, get_args

from keyframe_llm.data import Frames
from keyframe_llm.errors import OptionsError, as_one_line
from keyframe_llm.library.catalogue import CAPTION
from keyframe_llm.library.cue_index import StoredCue
from keyframe_llm.library.moments import FoundVideo
from keyframe_llm.messages import Messages, frame_messages, quoted_words
from keyframe_llm.prompts import Prompts, default_prompts
from keyframe_llm.words import Cue, CueSource

__all__ = ["Evidence", "LibraryAnswer", "ShownVideo", "best_seconds"]

_LEAST_GAP_SECONDS = 1.0
_LONGEST_NAME, _LONGEST_CAPTION = 100, 300


@dataclass(frozen=True, slots=True, eq=False)
class ShownVideo:
    """One of the videos that a question is answered from."""

    path: str
    duration_seconds: float | None
    frames: Frames
    """Its best moments, in time order, with their true times."""
    cues: tuple[StoredCue, ...] = ()
    """All words of the video."""
    found: tuple[tuple[float, float], ...] = ()
    """Start and end, in seconds, of the words that the question fits."""

    def words(self, prompts: Prompts | None = None) -> str | None:
        """What is said around the frames and what the question fits, quoted; None where nothing is."""
        cues = [_cue(cue) for cue in self.cues if cue.source in get_args(CueSource)]
        matched = [
            i for i, cue in enumerate(cues) if any(cue.start < e and cue.end > s for s, e in self.found)
        ]
        return quoted_words(cues, self.frames.seconds, matched=matched, prompts=prompts)

    def said_at(self, second: float) -> str:
        """The words that the question fits and that are said at that time; empty where none are."""
        for start, end in self.found:
            if start <= second <= end:
                return " ".join(
                    cue.text
                    for cue in self.cues
                    if cue.source != CAPTION and cue.start < end and cue.end > start
                )
        return ""

    @property
    def label(self) -> str:
        """Its name, and the caption given with it, as JSON: nothing in them ends the quotation."""
        captions = [cue.text for cue in self.cues if cue.source == CAPTION]
        caption = f", caption: {_quoted(captions[0], _LONGEST_CAPTION)}" if captions else ""
        return _quoted(Path(self.path).name, _LONGEST_NAME) + caption


@dataclass(frozen=True, slots=True, eq=False)
class Evidence:
    """What a library has for a question: frames of several videos, with their names, times and words."""

    question: str
    videos: tuple[ShownVideo, ...]
    """The best first."""
    problems: tuple[str, ...] = ()
    """A line for each video that was found and cannot be shown any more."""

    def messages(self, prompts: Prompts | None = None) -> Messages:
        """One user message in Hugging Face's chat format: each video's name, frames and words; the question.

        Raises `OptionsError` where there is no video to show.
        """
        if not self.videos:
            raise OptionsError(
                "no video of the library can be shown for the question"
                + (f" ({self.problems[0]})" if self.problems else "; index some, or look in another folder")
            )
        prompts = prompts or default_prompts()
        parts: list[dict[str, Any]] = []
        for number, video in enumerate(self.videos, 1):
            parts.append(_text(prompts.text("several_video", number=str(number), video=video.label)))
            length = video.duration_seconds
            shown = frame_messages(video.frames, video.words(prompts), duration_seconds=length)
            parts += shown[0]["content"]
        parts.append(_text(prompts.text("several", question=self.question)))
        return [{"role": "user", "content": parts}]

    def to_dict(self) -> dict[str, Any]:
        """What `ask --library --json` prints of it: each video with the seconds that were shown."""
        videos = [
            {
                "number": number,
                "video": video.path,
                "duration_seconds": video.duration_seconds,
                "seconds": [float(second) for second in video.frames.seconds],
            }
            for number, video in enumerate(self.videos, 1)
        ]
        return {"question": self.question, "videos": videos, "problems": list(self.problems)}


@dataclass(frozen=True, slots=True, eq=False)
class LibraryAnswer:
    """The answer to a question about the videos of a library, and what it rests on."""

    text: str
    evidence: Evidence
    model: str
    prompt_tokens: int | None
    """Tokens of the whole prompt; None where the model does not count them."""
    visual_tokens: int | None
    """Those of them that stand for pictures."""
    warnings: tuple[str, ...] = ()
    """What the caller should know: a model used outside its world."""

    def __str__(self) -> str:
        return self.text

    def to_dict(self) -> dict[str, Any]:
        """What `ask --library --json` prints."""
        return {
            **self.evidence.to_dict(),
            "answer": self.text,
            "model": self.model,
            "prompt_tokens": self.prompt_tokens,
            "visual_tokens": self.visual_tokens,
            "warnings": list(self.warnings),
        }


def best_seconds(found: Sequence[FoundVideo], most: int) -> list[list[float]]:
    """For each video the times to be shown, ascending; at most `most` in all.

    The videos take turns. In each, moments by picture and by words take turns, the best first. Of moments
    less than a second apart the first is taken.
    """
    chosen: list[list[float]] = [[] for _ in found]
    for turn in zip_longest(*(_shown_seconds(video) for video in found)):
        for taken, second in zip(chosen, turn, strict=True):
            if second is None or sum(map(len, chosen)) >= most:
                continue
            if all(abs(second - other) >= _LEAST_GAP_SECONDS for other in taken):
                taken.append(second)
    return [sorted(taken) for taken in chosen]


def _shown_seconds(video: FoundVideo) -> list[float]:
    """The times of a video's moments, the best first.

    A caption holds for a whole video, whose middle shows nothing that was asked for.
    """
    best = video.best_moments()
    moments = [moment for moment in best if moment.source != CAPTION] or best
    return [moment.seconds for moment in moments]


def _cue(cue: StoredCue) -> Cue:
    source: CueSource = next(one for one in get_args(CueSource) if one == cue.source)
    return Cue(cue.start, cue.end, cue.text, source)


def _quoted(text: str, letters: int) -> str:
    plain = as_one_line(" ".join(text.split()))
    return json.dumps(plain if len(plain) <= letters else f"{plain[:letters]}…", ensure_ascii=False)


def _text(text: str) -> dict[str, Any]:
    return {"type": "text", "text": text}
