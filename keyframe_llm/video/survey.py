"""Surveys a video for the planner: reads its index, or all its packets; hardly anything is decoded."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from itertools import islice

import av.error
import numpy as np

from keyframe_llm.video.clock import Clock, ClockRules
from keyframe_llm.video.costs import Survey, Times
from keyframe_llm.video.index import read_index
from keyframe_llm.video.packets import (
    Rows,
    group_bytes,
    packet_rows,
    readable_packets,
    shown_packets,
    with_times,
)
from keyframe_llm.video.reader import FrameReader
from keyframe_llm.video.source import av_errors
from keyframe_llm.video.unseen import unseen_parts

__all__ = ["FileSurvey", "packet_times", "shown_length", "survey_video"]

_HEAD_PACKETS = 300
_PROBED_SHARES = (0.5, 0.25, 0.75)
# B-frames of these codecs can be left out where a frame is dated by the packet that made it appear.
_PLAIN_B_FRAMES = ("mpeg1video", "mpeg2video", "mpeg4")
# Packets of AV1 are in the order of display, which says nothing of references. Its encoders hardly leave two
# neighbours unreferenced, and where they do, sampling decodes in full.
_AV1_STEPS = 2
_SLACK_SECONDS = 0.1
_LONGEST_GAP_SECONDS = 300.0  # of a transmission
_IMPOSSIBLE_GAP_SECONDS = 30 * 86_400.0  # of any recording


@dataclass(frozen=True, slots=True, eq=False)
class FileSurvey:
    """What was found out about a file."""

    survey: Survey
    """For the planner."""
    key_seconds: Times | None
    """(K,) ascending times of the key frames to which a seek leads; None: the file is read from the start."""
    average_fps: float | None = None
    """Frames per second on average; None where they were not counted."""
    clock_rules: ClockRules | None = None
    """How to correct timestamps that start again or jump; None: they run on."""
    clock_breaks: tuple[float, ...] = ()
    """The corrected times at which they do, in seconds."""
    unseen: tuple[str, ...] = ()
    """Parts of the file that are not shown, one line each."""


def survey_video(reader: FrameReader, stated_seconds: float | None) -> FileSurvey:
    """Survey the file of an open, otherwise unused reader. Raises `VideoError`.

    `stated_seconds` is the length that the file states, if any.
    """
    with av_errors(reader.path):
        index = read_index(reader)
        if index is None:
            return _scanned(reader)
        head = packet_rows(islice(shown_packets(reader), _HEAD_PACKETS), reader)
        keys = index.key_seconds + _index_delay(reader, head)
        tail = _tail(reader, float(keys.max()))
        length = shown_length(np.sort(tail["seconds"]))
        if reader.traits.lists_frames or not length:  # others may state the length of their sound
            length = max(stated_seconds or 0.0, length) or math.inf
        rate = float(reader.stream.average_rate or reader.stream.guessed_rate or 25)
        frames = index.frames or (round(length * rate) if math.isfinite(length) else 1)
        survey = Survey(frames, length, keys, _anchor_gap(reader, head), index.group_bytes, _pixels(reader))
        return _checked(reader, survey)


def shown_length(times: Times) -> float:
    """About the seconds from the first frame to the end of the last, from (N,) ascending times of frames."""
    if len(times) == 0:
        return 0.0
    return float(times[-1] + (np.median(np.diff(times)) if len(times) > 1 else 0.0))


def packet_times(reader: FrameReader) -> Times:
    """(N,) seconds of all packets shown, ascending, from an otherwise unused reader. Raises `VideoError`."""
    with av_errors(reader.path):
        rows = packet_rows(shown_packets(reader), reader)
        return np.unique(with_times(rows, reader)["seconds"])


def _scanned(reader: FrameReader) -> FileSurvey:
    """The survey of a file without a usable index: all its packets are read."""
    rows, clock, rules = _corrected_rows(reader, _clock_rules(reader))
    shown = np.sort(rows["seconds"])
    keys, order = np.unique(rows["seconds"][rows["key"]], return_index=True)
    length = shown_length(shown)
    anchor_gap = _anchor_gap(reader, rows[:_HEAD_PACKETS])
    survey = Survey(
        max(1, len(rows)), length or math.inf, keys, anchor_gap, group_bytes(rows)[order], _pixels(reader)
    )
    if clock.breaks or clock.outliers:
        breaks = tuple(reader.timeline.seconds(stamp) for stamp in clock.breaks)
        survey = replace(survey, key_seconds=None)
        found = FileSurvey(survey, None, clock_rules=rules, clock_breaks=breaks)
    else:
        found = _checked(reader, survey if _seeks_hold(reader, rows) else replace(survey, key_seconds=None))
    span = float(shown[-1] - shown[0]) if len(shown) else 0.0
    unseen = unseen_parts(reader, int(rows["end"].max(initial=-1)), length)
    return replace(found, average_fps=(len(shown) - 1) / span if span else None, unseen=tuple(unseen))


def _corrected_rows(reader: FrameReader, rules: ClockRules) -> tuple[Rows, Clock, ClockRules]:
    """All packets, with times that go on where a clock starts again or jumps; and by which rules they do."""
    reader.restart()
    clock = Clock(rules)
    rows = packet_rows(shown_packets(reader, clock), reader)
    longest = reader.timeline.ticks(_IMPOSSIBLE_GAP_SECONDS)
    if clock.breaks and rules.longest_gap < longest and _sound_goes_on(reader):
        return _corrected_rows(reader, replace(rules, longest_gap=longest))
    return with_times(rows, reader), clock, rules


def _clock_rules(reader: FrameReader) -> ClockRules:
    gap = _LONGEST_GAP_SECONDS if reader.traits.clock_may_jump else _IMPOSSIBLE_GAP_SECONDS
    return ClockRules(
        step=reader.timeline.ticks_per_frame,
        slack=reader.timeline.ticks(_SLACK_SECONDS),
        longest_gap=reader.timeline.ticks(gap),
        decoding_times=reader.traits.decoding_times,
    )


def _sound_goes_on(reader: FrameReader) -> bool:
    """Whether a sound track goes on through the gaps, which then are not jumps of the clock."""
    reader.restart()
    sound = next(iter(reader.container.streams.audio), None)
    if sound is None or sound.time_base is None:
        return False
    base = float(sound.time_base)
    stamps = (packet.pts for packet in readable_packets(reader, sound))
    times = np.fromiter((stamp * base for stamp in stamps if stamp is not None), np.float64)
    steps = np.abs(np.diff(times))
    return len(steps) > 0 and float(steps.max()) < _LONGEST_GAP_SECONDS


def _checked(reader: FrameReader, survey: Survey) -> FileSurvey:
    """The survey without the key frames if seeks do not lead to them, or not to exact times."""
    keys = survey.key_seconds
    if reader.sequential or keys is None or len(keys) == 0 or not _keys_hold(reader, keys):
        return FileSurvey(replace(survey, key_seconds=None), None)
    keys, order = np.unique(keys, return_index=True)
    sizes = survey.group_bytes
    survey = replace(
        survey,
        key_seconds=None if reader.timeline.dated_by_decoding else keys,
        group_bytes=None if sizes is None else sizes[order],
        exact_seeks=not reader.traits.loose_seeks,
    )
    return FileSurvey(survey, keys)


def _keys_hold(reader: FrameReader, keys: Times) -> bool:
    """Whether a frame that is listed as a key frame can be decoded on its own; a few are tried."""
    tried = {float(keys[int(share * len(keys))]) for share in _PROBED_SHARES} if len(keys) > 1 else set()
    return not tried or any(reader.is_key_frame_at(second) for second in tried)


def _seeks_hold(reader: FrameReader, rows: Rows) -> bool:
    """Whether the packets to which a few seeks lead are those that were read, at the same times.

    In recordings that were joined byte by byte, a seek may find the place of the same time in another one.
    """
    if reader.sequential or reader.traits.loose_seeks:
        return True
    keys = rows[rows["key"] & (rows["end"] >= 0)]
    reader.restart()
    first = packet_rows(islice(shown_packets(reader), 1), reader)
    shifts = _shifts(first, rows)
    for share in _PROBED_SHARES if len(keys) > 1 else ():
        to = float(keys["seconds"][int(share * len(keys))])
        try:
            reader.container.seek(reader.timeline.timestamp(to), stream=reader.stream)
        except av.error.FFmpegError:
            return False
        shifts += _shifts(packet_rows(islice(shown_packets(reader), 1), reader), rows)
    return not shifts or max(shifts) - min(shifts) <= _SLACK_SECONDS


def _shifts(found: Rows, rows: Rows) -> list[float]:
    """By how much the time of a packet differs from that of the packet read there; infinite: none was."""
    shifts = []
    for packet in found:
        if packet["end"] >= 0 and math.isfinite(packet["seconds"]):
            there = rows["seconds"][rows["end"] == packet["end"]]
            shifts.append(float(there[0] - packet["seconds"]) if len(there) else math.inf)
    return shifts


def _pixels(reader: FrameReader) -> int:
    return reader.stream.codec_context.width * reader.stream.codec_context.height


def _anchor_gap(reader: FrameReader, head: Rows) -> float | None:
    """The longest step in seconds between frames other than B-frames; None where none can be left out."""
    plain = reader.stream.codec_context.codec.canonical_name in _PLAIN_B_FRAMES
    if len(head) == 0 or (reader.timeline.dated_by_decoding and not plain):
        return None
    times = head["seconds"] + (head["delay"] if reader.traits.decoding_times else 0.0)
    if reader.stream.codec_context.codec.canonical_name == "av1" and len(times) > 1:
        return _AV1_STEPS * float(np.diff(np.sort(times)).max())
    anchors = np.unique(np.maximum.accumulate(times))
    if len(anchors) == len(times) or len(anchors) < 2:
        return None
    return float(np.diff(anchors).max())


def _index_delay(reader: FrameReader, head: Rows) -> float:
    """Seconds from the decoding times that an index lists to the times of display."""
    if reader.traits.decoding_times:
        return -float(np.nanmin(head["seconds"], initial=0.0))
    delays = head["delay"][head["key"]]
    return float(delays[0]) if reader.traits.lists_frames and len(delays) else 0.0


def _tail(reader: FrameReader, last_key: float) -> Rows:
    """The packets from the last key frame on: where frames are reordered, the stated length is too short."""
    reader.container.seek(reader.timeline.timestamp(last_key), stream=reader.stream)
    rows = packet_rows(shown_packets(reader), reader)
    known: Rows = rows[np.isfinite(rows["seconds"])]
    return known
