"""Which subtitles a video has, inside its file and in files beside it, and which of them are read."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from keyframe_llm.words.languages import distance, known_tag

if TYPE_CHECKING:
    from av.container import InputContainer

__all__ = ["SUFFIXES", "Track", "embedded_tracks", "files_beside", "preferred", "tracks_beside"]

SUFFIXES = {".srt": "srt", ".vtt": "webvtt", ".ass": "ass", ".ssa": "ass"}
"""Subtitle files by the ends of their names, and FFmpeg's names of their formats."""
_REMARKS = ("forced", "foreign", "sdh", "cc", "hi", "default", "orig", "auto", "full")
_FORCED = ("forced", "foreign")


@dataclass(frozen=True, slots=True)
class Track:
    """One set of subtitles."""

    kind: Literal["text", "pictures", "unknown"]
    """What it is made of; unknown: FFmpeg has no decoder for it."""
    codec: str
    language: str | None = None
    """A language tag, where it is stated."""
    stream: int | None = None
    """The index of the stream in the video's file; None for a file of its own."""
    file: Path | None = None
    """The file beside the video; None for a stream."""
    default: bool = False
    forced: bool = False
    """Whether it has only what is foreign to the audience, such as signs."""

    @property
    def name(self) -> str:
        """How a warning names it."""
        if self.file is not None:
            return str(self.file)
        return f"subtitle stream {self.stream} ({', '.join(filter(None, (self.codec, self.language)))})"


def embedded_tracks(container: InputContainer) -> list[Track]:
    """The subtitle streams of an open file."""
    return [_embedded(stream) for stream in container.streams.subtitles]


def _embedded(stream: Any) -> Track:
    from av.stream import Disposition

    context = stream.codec_context
    codec = None if context is None else context.codec
    kind: Literal["text", "pictures", "unknown"] = "unknown"
    if codec is not None:
        kind = "text" if codec.text_sub else "pictures" if codec.bitmap_sub else "unknown"
    return Track(
        kind=kind,
        codec="unknown codec" if codec is None else codec.canonical_name,
        language=known_tag(stream.language),
        stream=stream.index,
        default=bool(stream.disposition & Disposition.default),
        forced=bool(stream.disposition & Disposition.forced),
    )


def files_beside(video: str | Path) -> list[Path]:
    """The subtitle files that belong to a video by their names: `clip.srt`, `clip.en.vtt`, `clip.mp4.srt`."""
    video = Path(video)
    try:
        names = sorted(path.name for path in video.parent.iterdir())
    except OSError:
        return []
    others = {Path(name).stem for name in names if Path(name).suffix.lower() not in SUFFIXES}
    return [
        video.parent / name
        for name in names
        if Path(name).suffix.lower() in SUFFIXES and _belongs(Path(name).stem, video, others)
    ]


def _belongs(stem: str, video: Path, others: Iterable[str]) -> bool:
    if stem in (video.stem, video.name):
        return True
    if not stem.startswith(f"{video.stem}."):
        return False
    # `clip.part2.srt` beside `clip.part2.mp4` is that one's, and `clip.2.srt` no one's that is known.
    return stem not in others and all(_is_remark(part) for part in _parts(stem, video))


def _parts(stem: str, video: Path) -> list[str]:
    """The parts of a name after the video's own: `clip.en.forced` → `en`, `forced`."""
    own = video.name if stem.startswith(f"{video.name}.") else video.stem
    return [part for part in stem[len(own) :].split(".") if part]


def _is_remark(part: str) -> bool:
    plain = part.removesuffix("-orig")
    return plain.lower() in _REMARKS or known_tag(plain) is not None or (plain.isalpha() and len(plain) > 3)


def tracks_beside(video: str | Path) -> list[Track]:
    """The subtitle files that belong to a video, as tracks; an empty one is about to be written."""
    return [_beside(path, Path(video)) for path in files_beside(video) if path.stat().st_size]


def _beside(path: Path, video: Path) -> Track:
    parts = [part.removesuffix("-orig") for part in _parts(path.stem, video)]
    tags = [known_tag(part) for part in parts if part.lower() not in _REMARKS]
    if not any(tags) and "hi" in parts:  # Hindi, where no other language is named; else: hearing impaired
        tags = ["hi"]
    return Track(
        kind="text",
        codec=SUFFIXES[path.suffix.lower()],
        language=next((tag for tag in tags if tag), None),
        file=path,
        default="default" in parts,
        forced=any(part.lower() in _FORCED for part in parts),
    )


def preferred(tracks: Sequence[Track], language: str | None) -> list[Track]:
    """The tracks, the one to read first: of the language asked for, else the default one.

    Text goes before pictures, whole subtitles before forced ones, a file beside the video before a stream.
    """

    def rank(track: Track) -> tuple[Any, ...]:
        far = 0 if language is None else distance(language, track.language)
        return (far, track.kind != "text", track.forced, track.file is None, not track.default)

    return sorted(tracks, key=rank)
