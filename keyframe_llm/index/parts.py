"""The index of a part of a video, out of frames that the index of the whole video has already."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from keyframe_llm.index.embedder import Embedder
from keyframe_llm.index.video_index import VideoIndex, propose_index
from keyframe_llm.options import SelectOptions
from keyframe_llm.proposals.sample import Samples

__all__ = ["is_part", "part_of_index", "whole_options"]

_ENOUGH_SHARE = 0.8


def is_part(options: SelectOptions) -> bool:
    """Whether the options ask for a part of a video."""
    return (options.decode.start_seconds, options.decode.end_seconds) != (None, None)


def whole_options(options: SelectOptions) -> SelectOptions:
    """The same options for the whole video."""
    return options.replaced(start_seconds=None, end_seconds=None)


def part_of_index(
    whole: VideoIndex, pictures: Sequence[bytes], options: SelectOptions, embedder: Embedder, most: int
) -> VideoIndex | None:
    """The index of the part that the options name.

    `pictures` are JPEG pictures of all N samples of the whole index, or empty where they are not kept. `most`
    is how many samples a reading of the part would give: None where the whole index has there less than four
    fifths of them.
    """
    start, end = options.decode.start_seconds or 0.0, options.decode.end_seconds
    length = whole.video.duration_seconds
    last = min(second for second in (end, length) if second is not None)
    inside = np.flatnonzero((whole.seconds >= start) & (whole.seconds <= last))
    kept = tuple(pictures[i] for i in inside.tolist())
    if len(inside) < max(1.0, _ENOUGH_SHARE * most) or not all(kept):
        return None
    samples = Samples(
        seconds=whole.seconds[inside],
        histograms=whole.histograms[inside],
        pictures=kept,
        sharpness=None if whole.sharpness is None else whole.sharpness[inside],
        span_seconds=last - start,
        decode_seconds=0.0,
        plan=f"frames of the whole video's index ({whole.plan})",
    )
    index = propose_index(samples, whole.video, options, None, {})
    return replace(index, embedder=embedder, warnings=whole.warnings)
