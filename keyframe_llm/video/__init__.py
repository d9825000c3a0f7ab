"""Decoding: `open_video` gives a `Decoder`, whatever library does the work.

Pass 1 (`sample`) streams small frames at a stride in constant memory; pass 2 (`decode_at`) decodes only the
chosen seconds, exact and full size.
"""

from __future__ import annotations

import os
from typing import get_args

from keyframe_llm.errors import OptionsError
from keyframe_llm.options import Backend
from keyframe_llm.video.decoder import DecodePlan, Decoder

__all__ = ["DecodePlan", "Decoder", "open_video"]


def open_video(
    path: str | os.PathLike[str],
    backend: Backend = "pyav",
    max_pixels: int | None = None,
    hardware: str | None = None,
) -> Decoder:
    """Open a local video file. Use as a context manager, or `close()` it.

    `max_pixels` bounds every picture that is decoded, also where the size changes midway. Raises `VideoError`
    where the file is missing, unreadable, or holds no picture that can be shown, and `OptionsError` on an
    unknown backend, or one that knows no such bound. `hardware` names the kind of device that decodes
    (`cuda`, `vaapi`, `videotoolbox`, …; None: the processor); where there is none, that is a `VideoError`.
    """
    if backend == "pyav":
        from keyframe_llm.video.pyav_backend import PyAVDecoder

        return PyAVDecoder(path, max_pixels, hardware=hardware)
    if backend == "decord":
        if hardware is not None:
            raise OptionsError(
                f'hardware is {hardware!r}, but decord decodes in software; use backend="pyav"'
            )
        if max_pixels is not None:
            raise OptionsError('decord cannot bound the size of pictures; use backend="pyav"')
        from keyframe_llm.video.decord_backend import DecordDecoder

        return DecordDecoder(path)
    raise OptionsError(f"backend is {backend!r}; choose one of {', '.join(get_args(Backend))}")
