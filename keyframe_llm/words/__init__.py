"""Words of a video: what is subtitled, said, and written in the picture, as cues with true times."""

from __future__ import annotations

from keyframe_llm.words.cues import Cue, CueSource, Words
from keyframe_llm.words.read import read_words

__all__ = ["Cue", "CueSource", "Words", "read_words"]
