"""Subtitles of a video: one set, from its own file or from a file beside it, on the video's clock."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import av.error

from keyframe_llm.errors import VideoError
from keyframe_llm.video.byte_source import Place
from keyframe_llm.video.source import demux, open_container
from keyframe_llm.words.cleaning import Cleaned, Markup, RawCue, clean
from keyframe_llm.words.clock import VideoClock
from keyframe_llm.words.cues import Cue, Words
from keyframe_llm.words.events import event_text
from keyframe_llm.words.languages import FAR, distance
from keyframe_llm.words.subtitle_files import read_subtitle_file
from keyframe_llm.words.tracks import Track, embedded_tracks, preferred, tracks_beside

__all__ = ["read_subtitles"]

_MOST_CUES = 50_000  # a day of talk
_OTHER_VIDEO_SHARE = 0.5  # of a file's cues after the end of the video: then it is not this video's
_MARKUP: Mapping[str, Markup] = {"ass": "ass", "ssa": "ass", "webvtt": "webvtt"}


def read_subtitles(place: Place, clock: Callable[[], VideoClock], language: str | None = None) -> Words:
    """The cues of the one set of subtitles that is of the language asked for, else of the default one.

    Where that one cannot be read the next is tried, and a warning says why. `clock` is called only where
    there are subtitles. Raises `VideoError` where the file cannot be opened.
    """
    with open_container(place) as container:
        tracks = embedded_tracks(container)
    beside = tracks_beside(place) if isinstance(place, str) else []
    tracks = preferred([*beside, *tracks], language)
    warnings: list[str] = []
    for track in tracks:
        cues, problem = _read(place, track, clock)
        if cues:
            other = _other_language(place, track, tracks, language)
            return Words(tuple(cues), (*warnings, *([problem] if problem else ()), *other))
        warnings.append(problem or f"{_where(place, track)}: there is no text in it")
    return Words((), tuple(warnings))


def _read(place: Place, track: Track, clock: Callable[[], VideoClock]) -> tuple[list[Cue], str]:
    """The cues of one track, and one line where there are none."""
    if track.kind == "pictures":
        return [], (
            f"{_where(place, track)} holds pictures, which are not read as text; put an .srt or .vtt file "
            "beside the video, or let speech be recognised"
        )
    if track.kind == "unknown":
        return [], (
            f"{_where(place, track)} is in a format that this FFmpeg cannot decode; put an .srt or .vtt file "
            "beside the video"
        )
    try:
        return (_from_stream if track.file is None else _from_file)(place, track, clock())
    except VideoError as error:
        return [], str(error)


def _from_stream(place: Place, track: Track, clock: VideoClock) -> tuple[list[Cue], str]:
    raw, problem = _stream_cues(place, track, clock)
    return _cleaned(raw, track, clock).cues, problem


def _stream_cues(place: Place, track: Track, clock: VideoClock) -> tuple[list[RawCue], str]:
    raw: list[RawCue] = []
    with open_container(place) as container:
        stream = next(each for each in container.streams.subtitles if each.index == track.stream)
        for other in container.streams:
            if other.index != stream.index and hasattr(other, "discard"):  # PyAV 16 and later
                other.discard = type(other.discard).all
        base = float(stream.time_base or 0)
        try:
            for packet in demux(container, stream):
                if packet.pts is None:
                    continue
                start = packet.pts * base - clock.first_frame_seconds
                end = start + packet.duration * base if packet.duration else None
                raw += [RawCue(start, end, text) for text in event_text(packet)]
                if len(raw) >= _MOST_CUES:
                    return raw, _too_many(_where(place, track))
        except av.error.FFmpegError as error:
            return raw, f"{_where(place, track)} cannot be read ({error.strerror}); make the file again"
    return raw, ""


def _from_file(place: Place, track: Track, clock: VideoClock) -> tuple[list[Cue], str]:
    assert track.file is not None
    raw = read_subtitle_file(track.file, track.codec, track.language)
    problem = _too_many(str(track.file)) if len(raw) > _MOST_CUES else ""
    raw = raw[:_MOST_CUES]
    delay = clock.subtitle_file_delay
    shifted = [RawCue(c.start + delay, None if c.end is None else c.end + delay, c.text) for c in raw]
    found = _cleaned(shifted, track, clock)
    if found.beyond_end > _OTHER_VIDEO_SHARE * len(raw):
        return [], (
            f"{track.file}: {found.beyond_end} of {len(raw)} cues begin after the video's end at "
            f"{clock.duration_seconds:.1f} s, so it is taken for another video's and not used; rename it, or "
            "put the right one there"
        )
    return found.cues, problem


def _too_many(where: str) -> str:
    return f"{where} has more than {_MOST_CUES:,} cues; those after them are not read"


def _cleaned(raw: Sequence[RawCue], track: Track, clock: VideoClock) -> Cleaned:
    return clean(
        raw,
        source="subtitle",
        language=track.language,
        duration_seconds=clock.duration_seconds,
        markup=_MARKUP.get(track.codec, "tags"),
    )


def _other_language(place: Place, track: Track, tracks: Sequence[Track], language: str | None) -> list[str]:
    """One line where the language asked for is not there."""
    if language is None or track.language is None or distance(language, track.language) < FAR:
        return []
    known = ", ".join(sorted({each.language for each in tracks if each.language}))
    return [
        f"{_named(place)} has no subtitles in {language!r} (but in {known}); those in {track.language!r} "
        "are read"
    ]


def _where(place: Place, track: Track) -> str:
    return str(track.file) if track.file is not None else f"{_named(place)}: {track.name}"


def _named(place: Place) -> str:
    return place if isinstance(place, str) else place.name
