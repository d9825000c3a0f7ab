"""The words of a video, from the disk where they were heard or read from its pictures before."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, cast

from keyframe_llm.data import Progress
from keyframe_llm.index.feature_cache import FeatureCache
from keyframe_llm.index.store import model_identity
from keyframe_llm.options import DecodeOptions, WordOptions
from keyframe_llm.video import open_video
from keyframe_llm.video.inputs import VideoInput, VideoSource, existing_source
from keyframe_llm.words import Cue, Words, read_words
from keyframe_llm.words.read import merged

if TYPE_CHECKING:
    from keyframe_llm.words.ocr import TextReader

__all__ = ["cached_words"]


def cached_words(
    video: VideoInput,
    words: WordOptions,
    decode: DecodeOptions | None = None,
    *,
    cache: FeatureCache,
    duration_seconds: float | None = None,
    candidates: Sequence[float] = (),
    progress: Progress | None = None,
) -> Words:
    """What is subtitled, said, and written in the pictures of a video, as `words` asks, in time order.

    Subtitles are read anew, which costs less than looking for what was kept; speech and screen text are kept
    in the `cache`, where the recogniser or reader has a name or an `identity`. `candidates` are seconds at
    which screen text is read first; cues that begin after `duration_seconds` are left out. Raises
    `VideoError`, `ModelError` and `OptionsError`, as `read_words` and `read_screen` do.
    """
    source, decode = existing_source(video), decode or DecodeOptions()
    name = source if isinstance(source, str) else source.name
    most = decode.max_picture_pixels
    read = partial(read_words, max_picture_pixels=most)
    parts = [read(source, replace(words, listen=None), duration_seconds=duration_seconds)]
    if words.listen is not None:
        identity = model_identity(words.listen)
        key = None if identity is None else cache.key("speech", source, identity, words.language)
        only = replace(words, subtitles=False)
        parts.append(_kept(cache, key, name, lambda: read(source, only, progress=progress)))
    if words.read_screen:
        own = None if words.read_screen is True else cast("TextReader", words.read_screen)
        at = tuple(float(second) for second in candidates)
        identity = "" if own is None else model_identity(own)
        key = None if identity is None else cache.key("screen", source, identity, decode, at)
        parts.append(_kept(cache, key, name, lambda: _on_screen(source, own, decode, at, progress)))
    end = math.inf if duration_seconds is None else duration_seconds
    told = merged(parts)
    return Words(tuple(cue for cue in told.cues if cue.start < end), told.warnings)


def _on_screen(
    source: VideoSource,
    reader: TextReader | None,
    decode: DecodeOptions,
    candidates: Sequence[float],
    progress: Progress | None,
) -> Words:
    from keyframe_llm.words.screen import read_screen

    with open_video(source, decode.backend, decode.max_picture_pixels, decode.hardware) as decoder:
        return read_screen(
            decoder,
            reader,
            candidates=candidates,
            start_seconds=decode.start_seconds or 0.0,
            end_seconds=decode.end_seconds,
            progress=progress,
        )


def _kept(cache: FeatureCache, key: str | None, name: str, make: Callable[[], Words]) -> Words:
    """What is kept under the key; where nothing is, it is made and kept."""
    known = cache.text(key)
    if known is not None:
        facts = json.loads(known)
        warnings = tuple(line.replace(facts["video"], name) for line in facts["warnings"])
        return Words(tuple(Cue.from_dict(each) for each in facts["cues"]), warnings)
    made = make()
    facts = {"video": name, "cues": [cue.to_dict() for cue in made.cues], "warnings": made.warnings}
    cache.keep_text(key, json.dumps(facts))
    return made
