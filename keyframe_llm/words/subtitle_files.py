"""Reads subtitle files, `.srt`, `.vtt`, `.ass` and `.ssa`, in whatever encoding they are."""

from __future__ import annotations

import codecs
import io
import re
from pathlib import Path

import av
import av.error

from keyframe_llm.errors import VideoError
from keyframe_llm.words.cleaning import RawCue
from keyframe_llm.words.events import event_text

__all__ = ["MOST_BYTES", "read_subtitle_file", "unicode_text"]

MOST_BYTES = 8_000_000
"""A subtitle file of more bytes is not read; two hours of talk are about 100 kB."""
_BYTE_ORDERS = {
    codecs.BOM_UTF8: "utf-8-sig",
    codecs.BOM_UTF32_LE: "utf-32",
    codecs.BOM_UTF32_BE: "utf-32",
    codecs.BOM_UTF16_LE: "utf-16",
    codecs.BOM_UTF16_BE: "utf-16",
}
_ENCODINGS = (
    *("utf-8", "utf-16", "utf-16-le", "utf-16-be", "iso-8859-2", "koi8-r", "koi8-u"),
    *("cp1250", "cp1251", "cp1252", "cp1253", "cp1254", "cp1255", "cp1256", "cp1257", "cp1258"),
    *("cp932", "shift_jis", "euc-jp", "gb18030", "big5", "cp949", "euc-kr", "cp874", "tis-620"),
)
"""The encodings in which subtitle files are found; rarer ones are guessed wrongly more often than rightly."""
# `00:00:03,5` is three and a half seconds; FFmpeg reads five milliseconds.
_SHORT_FRACTION = re.compile(r"(?m)(?<=\d[:.]\d\d[,.])(\d{1,2})(?=[ \t]*(?:-->|$|\r|[ \t]))")


def read_subtitle_file(path: Path, format_name: str, language: str | None = None) -> list[RawCue]:
    """The cues of a file, in time order. Raises `VideoError` where it cannot be read or is too large.

    `format_name` is FFmpeg's (`srt`, `webvtt`, `ass`); `language` helps to tell the encoding.
    """
    try:
        with path.open("rb") as file:
            data = file.read(MOST_BYTES + 1)
            size = path.stat().st_size
    except OSError as error:
        raise VideoError(f"{path} cannot be read ({error.strerror or error}); check the file") from error
    if len(data) > MOST_BYTES:
        raise VideoError(
            f"{path} has {max(size, len(data)) / 1e6:.0f} MB, and subtitles of more than "
            f"{MOST_BYTES / 1e6:.0f} MB are not read; give a file with the text alone"
        )
    text = unicode_text(data, language)
    if format_name != "ass":
        text = "\n".join(
            _SHORT_FRACTION.sub(lambda found: found[1].ljust(3, "0"), line) if "-->" in line else line
            for line in text.splitlines()
        )
    try:
        return _parsed(text, format_name)
    except av.error.FFmpegError as error:
        raise VideoError(f"{path} holds no subtitles that can be read; check it in an editor") from error


def unicode_text(data: bytes, language: str | None = None) -> str:
    """The text of a file: by its mark of byte order, as UTF-8, or in the encoding that it is likely in.

    Where several encodings are possible, one in which the `language` is written goes first.
    """
    for mark, encoding in _BYTE_ORDERS.items():
        if data.startswith(mark):
            return data.decode(encoding, errors="replace")
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError:
        return data.decode(_likely_encoding(data, language), errors="replace")


def _likely_encoding(data: bytes, language: str | None) -> str:
    import chardet

    found = chardet.detect_all(data, include_encodings=_ENCODINGS, ignore_threshold=True)
    plain = (language or "").partition("-")[0]
    named = [each for each in found if plain and each["language"] == plain]
    return (named or found)[0]["encoding"] or "cp1252"


def _parsed(text: str, format_name: str) -> list[RawCue]:
    cues = []
    with av.open(io.BytesIO(text.encode("utf-8", errors="replace")), format=format_name) as container:
        stream = container.streams.subtitles[0]
        base = float(stream.time_base or 0)
        for packet in container.demux(stream):
            if packet.pts is None:
                continue
            start = packet.pts * base
            end = start + packet.duration * base if packet.duration else None
            cues += [RawCue(start, end, text) for text in event_text(packet)]
    return cues
