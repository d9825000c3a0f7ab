"""Words of a video: what is subtitled, said, and written in the picture, as cues with true times."""

from __future__ import annotations

from keyframe_llm.words.cues import Cue, CueSource

__all__ = ["Cue", "CueSource"]
