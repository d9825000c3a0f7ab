"""What is known of a video before it is decoded, and what decoding it costs.

Costs are counted in frames of ordinary decoding. The constants were measured with x264 and x265 footage on
two cores. A wrong estimate costs time, never correctness: sampling decodes in full where a frame is missing.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

__all__ = [
    "DEMUX_COST",
    "KEY_FRAME_COST",
    "REFERENCE_SHARE",
    "SEEK_COST",
    "SEGMENT_SECONDS",
    "WORTHWHILE_SHARE",
    "Survey",
    "Times",
    "reference_frames_suffice",
    "window_share",
]

Times = NDArray[np.float64]

KEY_FRAME_COST = 3.0
"""A key frame has about this many times the data of another frame."""
REFERENCE_SHARE = 0.55
"""The share of the work that is left without B-frames."""
WORTHWHILE_SHARE = 0.9
"""A plan must cost less than this share of decoding everything; otherwise it only adds seeks."""
DEMUX_COST = 0.03
"""Reading a packet without decoding it."""
SEEK_COST = 4.0
"""Going to another position in the file and filling the decoder again."""
SEGMENT_SECONDS = 10.0
"""The length of a segment: long enough for few seeks, short enough for few pictures waiting in memory."""


@dataclass(frozen=True, slots=True, eq=False)
class Survey:
    """What is known of a video without decoding it."""

    frames: int
    """The number of frames, exact or estimated."""
    duration_seconds: float
    """From the first frame to the end; infinity where unknown."""
    key_seconds: Times | None
    """(K,) times of the key frames, ascending; None where unknown."""
    anchor_gap_seconds: float | None
    """The longest distance between frames other than B-frames; None: there are no B-frames."""
    group_bytes: Times | None = None
    """(K, 2) bytes of each key frame, and of the frames from it to the next key frame; None where unknown."""
    pixels: int = 0
    """Pixels of one picture; 0 where unknown."""
    exact_seeks: bool = True
    """Whether a seek to a key frame gives that frame and its exact time."""


def reference_frames_suffice(survey: Survey, stride_seconds: float) -> bool:
    """Whether the stride can be served without B-frames."""
    return survey.anchor_gap_seconds is not None and survey.anchor_gap_seconds <= stride_seconds


def window_share(survey: Survey, start: float, end: float) -> float:
    """The share (0–1) of the video between two times in seconds; 1 where its length is unknown."""
    if not np.isfinite(survey.duration_seconds) or survey.duration_seconds <= 0:
        return 1.0
    return min(1.0, max(0.0, (end - start) / survey.duration_seconds))
