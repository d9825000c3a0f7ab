"""Reads the key frames of a video from the container's index, where that is complete."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from keyframe_llm.video.container import has_one_segment
from keyframe_llm.video.costs import Times
from keyframe_llm.video.reader import FrameReader

__all__ = ["FileIndex", "read_index"]

_ENTRY = np.dtype([("stamp", np.int64), ("key", bool), ("size", np.float64)])
# Up to the stated end, an index may leave out this much, or as much as lies between two of its entries.
_REST_SECONDS = 2.0


@dataclass(frozen=True, slots=True, eq=False)
class FileIndex:
    """The key frames of a file by its index."""

    key_seconds: Times
    """(K,) as listed: decoding times where the index lists every frame."""
    group_bytes: Times | None
    """(K, 2) bytes of each key frame, and of the frames from it to the next; None where not listed."""
    frames: int | None
    """How many frames there are; None where not listed."""


def read_index(reader: FrameReader) -> FileIndex | None:
    """The index of an open, otherwise unused reader's file; None where there is none, or it is incomplete."""
    if not (reader.traits.lists_frames or reader.traits.lists_key_frames):
        return None
    if reader.traits.lists_key_frames:
        if not has_one_segment(reader.place):
            return None
        reader.container.seek(reader.timeline.timestamp(0.0), stream=reader.stream)
    entries = getattr(reader.stream, "index_entries", ())  # PyAV 16 and later
    if len(entries) < 2:
        return None
    rows = _entry_rows(entries)
    keys = np.array([reader.timeline.seconds(int(stamp)) for stamp in rows["stamp"][rows["key"]]])
    if len(keys) == 0 or not _reaches_end(reader, rows):
        return None
    if not reader.traits.lists_frames:
        return FileIndex(keys, None, None)
    at = np.flatnonzero(rows["key"])
    sizes = rows["size"]
    groups = np.column_stack([sizes[at], np.add.reduceat(sizes, at) - sizes[at]])
    return FileIndex(keys, groups, len(rows))


def _entry_rows(entries: Any) -> Any:
    # Read one by one, because a list of all entries of an hour takes much memory.
    listed = ((e.timestamp, e.is_keyframe and not e.is_discard, e.size) for e in entries)
    return np.fromiter(listed, _ENTRY, len(entries))


def _reaches_end(reader: FrameReader, rows: Any) -> bool:
    """Whether the entries go on to about the stated end; a recording that was interrupted has fewer."""
    if reader.stated_seconds is None:
        return False
    stamps = np.array([reader.timeline.seconds(int(stamp)) for stamp in rows["stamp"][[0, -1]]])
    steps = np.diff(rows["stamp"])
    longest = reader.timeline.seconds((reader.timeline.origin or 0) + int(steps.max()))
    return bool(reader.stated_seconds - stamps[-1] <= max(_REST_SECONDS, 2 * longest))
