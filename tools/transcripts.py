"""What is said in a video, in pages: the cues of a window, or those that fit a query."""

from __future__ import annotations

import math

import numpy as np

from keyframe_llm.tools.opened import OpenedVideo
from keyframe_llm.tools.results import Transcript, TranscriptCue
from keyframe_llm.tools.text import printable
from keyframe_llm.tools.times import format_time
from keyframe_llm.words import Cue

__all__ = ["transcript_page"]

_PAGE = 40
_LONGEST_CUE = 300


def transcript_page(
    opened: OpenedVideo, query: str | None, start: float | None, end: float | None, page: int
) -> Transcript:
    """One page of the cues between two times; with a query those that fit it, the best first."""
    words = opened.words()
    last = math.inf if end is None else end
    inside = [cue for cue in words.cues if cue.end > (start or 0.0) and cue.start < last]
    found = inside if query is None else _fitting(query, inside)
    return {
        "video": opened.facts(opened.stated()),
        "cues": [_shown(cue) for cue in found[(page - 1) * _PAGE : page * _PAGE]],
        "total": len(found),
        "next_page": page + 1 if page * _PAGE < len(found) else None,
        "warnings": opened.public_texts(words.warnings),
    }


def _fitting(query: str, cues: list[Cue]) -> list[Cue]:
    from keyframe_llm.words.matching import match_cues

    scores = match_cues(query, cues)
    return [cues[i] for i in np.argsort(-scores, kind="stable") if scores[i] > 0]


def _shown(cue: Cue) -> TranscriptCue:
    return {
        "start_seconds": round(cue.start, 3),
        "time": format_time(cue.start),
        "end_seconds": round(cue.end, 3),
        "text": printable(cue.text, _LONGEST_CUE),
    }
