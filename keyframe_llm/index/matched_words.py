"""What a text has to do with the words of a video: frames are added for them, and chosen for them."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from keyframe_llm.encoders.meaning import load_meaning_encoder
from keyframe_llm.index.added_frames import with_frames
from keyframe_llm.options import ChooseOptions, DecodeOptions, SelectOptions
from keyframe_llm.proposals.spacing import unseen
from keyframe_llm.scoring.fusion import Fusion, fuse, missing_seconds
from keyframe_llm.scoring.selectors import Choice
from keyframe_llm.video import Decoder
from keyframe_llm.words import Cue
from keyframe_llm.words.matching import asks_for_words, match_cues

if TYPE_CHECKING:
    from keyframe_llm.index.video_index import VideoIndex

__all__ = ["MatchedWords", "cues_inside", "matched_words"]


@dataclass(frozen=True, slots=True, eq=False)
class MatchedWords:
    """The cues of the sampled part of a video, and how well a text fits each."""

    cues: tuple[Cue, ...]
    scores: NDArray[np.float64]
    """(n,) 0–1."""
    asks_for_words: bool
    """Whether the text asks for what is said or written."""

    def with_missing_frames(
        self, index: VideoIndex, decoder: Decoder, choose: ChooseOptions, gap_seconds: float
    ) -> VideoIndex:
        """The index, with a candidate within each cue that the text fits."""
        missing = missing_seconds(
            index.candidates.seconds,
            self.cues,
            self.scores,
            max_frames=choose.max_frames,
            asks_for_words=self.asks_for_words,
        )
        fresh = unseen(missing, choose.exclude_seconds, gap_seconds)
        wanted = [second for second, is_new in zip(missing, fresh, strict=True) if is_new]
        return with_frames(index, decoder, wanted)

    def fused(self, choice: Choice, choose: ChooseOptions, gap_seconds: float) -> Fusion:
        """What the pictures chose, with frames for the words."""
        seconds = choice.candidates.seconds
        return fuse(
            choice.chosen,
            choice.scores.total,
            seconds,
            self.cues,
            self.scores,
            max_frames=choose.max_frames,
            asks_for_words=self.asks_for_words,
            allowed=unseen(seconds, choose.exclude_seconds, gap_seconds),
        )


def matched_words(cues: Sequence[Cue], texts: Sequence[str], options: SelectOptions) -> MatchedWords | None:
    """The cues of the sampled part matched with these texts; None where there is no cue or no text.

    Raises `ModelError` where the text encoder that the options name cannot be had.
    """
    inside = cues_inside(cues, options.decode)
    if not inside or not texts:
        return None
    scores = match_cues(texts, inside, load_meaning_encoder(options.words.text_encoder))
    return MatchedWords(inside, scores, asks_for_words(texts))


def cues_inside(cues: Sequence[Cue], decode: DecodeOptions) -> tuple[Cue, ...]:
    """The cues of the part of the video that is sampled."""
    start = decode.start_seconds or 0.0
    end = math.inf if decode.end_seconds is None else decode.end_seconds
    return tuple(cue for cue in cues if cue.end > start and cue.start < end)
