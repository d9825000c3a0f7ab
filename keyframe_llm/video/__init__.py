"""Decoding: `open_video` returns a `Decoder`, whichever library does the work.

Pass 1 (`sample`) yields small frames at a stride in constant memory. Pass 2 (`decode_at`) decodes only the
chosen seconds, exact and in full size.
"""

from __future__ import annotations

from keyframe_llm.errors import OptionsError
from keyframe_llm.video.byte_source import ByteSource
from keyframe_llm.video.decoder import DecodePlan, Decoder, OpenDecoder
from keyframe_llm.video.frame_list import FrameList
from keyframe_llm.video.inputs import VideoInput, VideoSource, as_source, existing_source
from keyframe_llm.video.simple import SimpleDecoder

__all__ = [
    "ByteSource",
    "DecodePlan",
    "Decoder",
    "FrameList",
    "OpenDecoder",
    "SimpleDecoder",
    "VideoInput",
    "VideoSource",
    "as_source",
    "existing_source",
    "open_video",
]

_ATTRIBUTES = ("info", "warnings", "plan", "sample", "decode_at", "close", "__enter__", "__exit__")


def open_video(
    video: VideoInput,
    backend: str | OpenDecoder = "pyav",
    max_pixels: int | None = None,
    hardware: str | None = None,
) -> Decoder:
    """Open a video. Use it as a context manager, or call `close()`.

    `video` is the path of a local file, an address, bytes, a file object or frames (see `as_source`).
    `backend` is `pyav`, `decord`, or a function that opens a path and returns a `Decoder` of one's own.
    `max_pixels` bounds every decoded picture, also where the size changes within the video. `hardware` names
    the kind of device that decodes (`cuda`, `vaapi`, `videotoolbox`, …; None: the processor).
    Raises `VideoError` where the file is missing, unreadable, or holds no picture that can be shown, or where
    the device is missing; `OptionsError` on an unknown backend, or one that lacks `max_pixels` or `hardware`.
    """
    source = as_source(video)
    if backend == "pyav":
        if isinstance(source, FrameList):
            return _of_frames(source, max_pixels, hardware)
        return _of_file(source, max_pixels, hardware)
    if backend != "decord" and not callable(backend):
        raise OptionsError(
            f"backend is {backend!r}; choose pyav or decord, or give a function that opens a path"
        )
    name = "decord" if backend == "decord" else "a backend of one's own"
    if hardware is not None:
        raise OptionsError(f'hardware is {hardware!r}, which {name} does not take; use backend="pyav"')
    if max_pixels is not None:
        raise OptionsError(f'{name} cannot limit the size of pictures; use backend="pyav"')
    if not isinstance(source, str):
        raise OptionsError(f'{name} reads local files, and {source.name} is none; use backend="pyav"')
    if callable(backend):
        return _checked(backend(source), backend)
    from keyframe_llm.video.decord_backend import DecordDecoder

    return DecordDecoder(source)


def _of_file(source: str | ByteSource, max_pixels: int | None, hardware: str | None) -> Decoder:
    from keyframe_llm.video.animated_webp import AnimatedWebp, is_animated_webp
    from keyframe_llm.video.pyav_backend import PyAVDecoder
    from keyframe_llm.video.source import check_path

    place = check_path(source) if isinstance(source, str) else source
    if hardware is None and is_animated_webp(place):
        return AnimatedWebp(place, max_pixels)
    return PyAVDecoder(place, max_pixels, hardware=hardware)


def _of_frames(frames: FrameList, max_pixels: int | None, hardware: str | None) -> Decoder:
    if hardware is not None:
        raise OptionsError(f"hardware is {hardware!r}, and {frames.name} needs no decoding; leave it out")
    from keyframe_llm.video.frame_list_decoder import FrameListDecoder

    return FrameListDecoder(frames, max_pixels)


def _checked(decoder: Decoder, backend: OpenDecoder) -> Decoder:
    missing = [name for name in _ATTRIBUTES if not hasattr(decoder, name)]
    if missing:
        raise OptionsError(
            f"backend {getattr(backend, '__name__', backend)!r} returned a {type(decoder).__name__} without "
            f"{', '.join(missing)}; return a Decoder, e.g. a subclass of keyframe_llm.video.SimpleDecoder"
        )
    return decoder
