"""One query over several videos: the best frames of all of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from keyframe_llm.tools.arguments import Detail
from keyframe_llm.tools.frames import fitted_size, image_tokens, picture_side
from keyframe_llm.tools.jobs import Job
from keyframe_llm.tools.limits import ToolError
from keyframe_llm.tools.opened import OpenedVideo
from keyframe_llm.tools.results import Match, Matches
from keyframe_llm.tools.times import format_time

if TYPE_CHECKING:
    from keyframe_llm.tools.runtime import ToolRuntime

__all__ = ["best_frames"]


@dataclass(frozen=True, slots=True, eq=False)
class _Candidate:
    video: str
    second: float
    similarity: float
    image: NDArray[np.uint8]


def best_frames(
    runtime: ToolRuntime,
    job: Job,
    videos: Sequence[str],
    query: str,
    *,
    max_frames: int,
    include_images: bool,
    detail: Detail,
) -> Matches:
    """The best frames of all videos. A video that cannot be read becomes a warning, unless all of them do.

    Frames are compared by the cosine of their embedding with the text's, which means the same in all videos.
    At most twice `max_frames` pictures are held at once. Raises `ToolError`.
    """
    best: list[_Candidate] = []
    warnings: list[str] = []
    for video in dict.fromkeys(videos):
        try:
            found, faults = runtime.run(video, lambda opened: _candidates(opened, query, max_frames))
        except ToolError as error:
            job.check()
            if len(set(videos)) == len(warnings) + 1 and not best:
                raise
            warnings.append(str(error))
            continue
        warnings += faults
        best = sorted([*best, *found], key=lambda each: -each.similarity)[:max_frames]
    side = picture_side(detail, runtime.limits)
    return {"matches": [_match(runtime, each, include_images, side) for each in best], "warnings": warnings}


def _candidates(opened: OpenedVideo, query: str, max_frames: int) -> tuple[list[_Candidate], list[str]]:
    selection = opened.select(query, max_frames=max_frames)
    similarities = selection.scores.raw.semantic[selection.chosen]
    found = [
        _Candidate(opened.file.name, float(second), float(similarity), image)
        for second, similarity, image in zip(
            selection.seconds, similarities, selection.frames.images, strict=True
        )
    ]
    return found, opened.public_texts(selection.warnings)


def _match(runtime: ToolRuntime, found: _Candidate, include_images: bool, side: int) -> Match:
    height, width = found.image.shape[:2]
    return {
        "video": found.video,
        "seconds": round(found.second, 3),
        "time": format_time(found.second),
        "similarity": round(found.similarity, 4),
        "image": runtime.save_picture(found.image, side) if include_images else None,
        "image_tokens": image_tokens(fitted_size(width, height, side)),
    }
