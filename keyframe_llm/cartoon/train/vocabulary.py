"""The words that the embedded models' tokenizers know whole."""

from __future__ import annotations

import re

from keyframe_llm.cartoon.world.language import (
    ACTION_LABELS,
    ACTION_PHRASES,
    CAPTION_REQUESTS,
    DIRECTION_PHRASES,
    PLACE_PHRASES,
)
from keyframe_llm.cartoon.world.questions import NOT_SHOWN
from keyframe_llm.cartoon.world.scenes import ACTIONS, COLOURS, PLACES, SUBJECTS, THINGS
from keyframe_llm.messages.prompts import prompt

__all__ = ["vocabulary"]

_OTHER_WORDS = (
    "what does doing the a an in do where is next to nothing when seen at seconds",
    "which way go colour color wear who or",
    "then next person video of , . ? [ ] : ! '",
    "yes no and with there how many people man men woman women first last before after",
    "0 1 2 3 4 5 6 7 8 9 s",
)
"""Words of questions and times, and some that a user may write."""


def vocabulary() -> list[str]:
    """Every word and sign of the drawn world's sentences, of the prompts and of times, sorted."""
    phrases = [
        *PLACE_PHRASES.values(),
        *ACTION_PHRASES.values(),
        *DIRECTION_PHRASES.values(),
        *ACTION_LABELS.values(),
        *SUBJECTS,
        *COLOURS,
        *PLACES,
        *ACTIONS,
        *THINGS,
        prompt("caption"),
        prompt("question", question=""),
        prompt("classify"),
        *CAPTION_REQUESTS,
        NOT_SHOWN,
        *_OTHER_WORDS,
    ]
    return sorted({word for phrase in phrases for word in re.findall(r"[a-z]+|[^\sa-z]", phrase.lower())})
