"""What is known about containers: which index they have, which times they keep, and how well they seek."""

from __future__ import annotations

from dataclasses import dataclass

from keyframe_llm.video.byte_source import Place, open_bytes

__all__ = ["ContainerTraits", "container_traits", "has_one_segment"]


@dataclass(frozen=True, slots=True)
class ContainerTraits:
    """The properties of one container format that decide how it is read."""

    lists_frames: bool = False
    """Its index lists every frame, with true key flags."""
    lists_key_frames: bool = False
    """Its index lists key frames, and is read at the first seek."""
    decoding_times: bool = False
    """It keeps the times at which frames are decoded, not those at which they are shown."""
    loose_seeks: bool = False
    """A seek guesses a byte position, and may give the first frames there wrong times."""
    forwards_only: bool = False
    """Frames depend on all earlier ones, so that it is read from the start."""
    ends_with_packets: bool = False
    """Hardly anything but another recording can follow its last packet."""
    clock_may_jump: bool = False
    """It carries the clock of a transmission, which may jump where the recording was interrupted."""


_TRAITS = {
    "mov": ContainerTraits(lists_frames=True),
    "avi": ContainerTraits(lists_frames=True, decoding_times=True),
    "matroska": ContainerTraits(lists_key_frames=True),
    "asf": ContainerTraits(decoding_times=True, ends_with_packets=True),
    "mxf": ContainerTraits(decoding_times=True),
    "rm": ContainerTraits(decoding_times=True, ends_with_packets=True),
    "nut": ContainerTraits(ends_with_packets=True),
    "swf": ContainerTraits(ends_with_packets=True),
    "ivf": ContainerTraits(ends_with_packets=True),
    "yuv4mpegpipe": ContainerTraits(ends_with_packets=True),
    "mpegvideo": ContainerTraits(decoding_times=True),
    "mpeg": ContainerTraits(loose_seeks=True, clock_may_jump=True),
    "mpegts": ContainerTraits(loose_seeks=True, clock_may_jump=True),
    "flv": ContainerTraits(clock_may_jump=True, ends_with_packets=True),
    "gif": ContainerTraits(forwards_only=True),
    "apng": ContainerTraits(forwards_only=True),
}
_EBML, _SEGMENT = b"\x1a\x45\xdf\xa3", b"\x18\x53\x80\x67"
_LONGEST_HEADER = 4096


def container_traits(format_name: str) -> ContainerTraits:
    """The traits of a format by FFmpeg's name of it, e.g. `mov,mp4,m4a,3gp,3g2,mj2`."""
    return _TRAITS.get(format_name.split(",")[0], ContainerTraits())


def has_one_segment(place: Place) -> bool:
    """Whether a Matroska file holds one recording alone: False where others are joined to it, or unknown."""
    with open_bytes(place) as file:
        head = file.read(_LONGEST_HEADER)
        at = _end_of_element(head, 0, _EBML)
        end = None if at is None else _end_of_element(head, at, _SEGMENT)
        if end is None:
            return False
        file.seek(end)
        return file.read(4) not in (_EBML, _SEGMENT)


def _end_of_element(data: bytes, at: int, identifier: bytes) -> int | None:
    """Where the element at this position ends; None where it is another one or of unknown size."""
    start = at + len(identifier)
    if data[at:start] != identifier or len(data) <= start or data[start] == 0:
        return None
    # The number of leading zero bits tells how many bytes the size takes; all ones: not known.
    width = 9 - data[start].bit_length()
    size = int.from_bytes(data[start : start + width], "big") & ((1 << 7 * width) - 1)
    return None if size == (1 << 7 * width) - 1 else start + width + size
