"""The words of a video by the options: its subtitles, and its speech where a recogniser is named."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from keyframe_llm.data import Progress
from keyframe_llm.errors import OptionsError, shortened
from keyframe_llm.options import WordOptions
from keyframe_llm.video.animated_webp import is_animated_webp
from keyframe_llm.video.frame_list import FrameList
from keyframe_llm.video.inputs import VideoInput, existing_source
from keyframe_llm.words.cleaning import without_repeated_speech
from keyframe_llm.words.cues import Words
from keyframe_llm.words.languages import known_tag

if TYPE_CHECKING:
    from keyframe_llm.words.clock import VideoClock

__all__ = ["merged", "read_words"]


def read_words(
    video: VideoInput,
    options: WordOptions | None = None,
    *,
    duration_seconds: float | None = None,
    max_picture_pixels: int | None = None,
    progress: Progress | None = None,
) -> Words:
    """What is subtitled and said in a video, in time order, with warnings of what could not be read or heard.

    Subtitles are read where `options.subtitles` says so, speech is recognised where `options.listen` names a
    recogniser; `options.read_screen` is no part of this. Times are seconds since the first frame shown.
    Cues that begin after `duration_seconds` are left out; without it the length that the file states counts.
    A video that was given as frames has no words. `progress` hears of the stage `listen`. Raises `VideoError`
    where the video cannot be opened, `ModelError` where the recogniser cannot be loaded or does not answer,
    `OptionsError` on options that do not fit.
    """
    options = options or WordOptions()
    if options.language is not None and known_tag(options.language) is None:
        raise OptionsError(
            f"language is {shortened(options.language)}; give a language tag such as en or pt-BR"
        )
    place = existing_source(video)
    if isinstance(place, FrameList) or is_animated_webp(place):
        return Words()
    found: VideoClock | None = None

    def clock() -> VideoClock:
        from keyframe_llm.words.clock import video_clock  # loads FFmpeg

        nonlocal found
        if found is None:
            found = video_clock(place, max_picture_pixels)
            found = replace(found, duration_seconds=duration_seconds or found.duration_seconds)
        return found

    parts: list[Words] = []
    if options.subtitles:
        from keyframe_llm.words.subtitles import read_subtitles

        parts.append(read_subtitles(place, clock, options.language))
    if options.listen is not None:
        from keyframe_llm.words.speech import read_speech

        parts.append(read_speech(place, clock(), options.listen, options.language, progress=progress))
    return merged(parts)


def merged(parts: Sequence[Words]) -> Words:
    """Words of several sources in time order. What was heard is left out where the subtitles say it, too."""
    every = sorted((cue for part in parts for cue in part.cues), key=lambda cue: (cue.start, cue.end))
    cues = without_repeated_speech(every)
    return Words(tuple(cues), tuple(line for part in parts for line in part.warnings))
