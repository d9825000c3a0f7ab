"""A decoder that works in a process of its own: see `DecodeProcess`."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from types import TracebackType
from typing import Any

from keyframe_llm.data import Frames, VideoInfo
from keyframe_llm.options import WordOptions
from keyframe_llm.tools.decode_child import close_video, open_in_child, sampled, used, words_in_child
from keyframe_llm.tools.decode_process import DecodePool
from keyframe_llm.video import DecodePlan
from keyframe_llm.video.decoder import Samples
from keyframe_llm.words import Words

__all__ = ["RemoteDecoder", "decoder_opener"]


class RemoteDecoder:
    """A `Decoder`, whose methods run in another process. Raises `VideoError` also where that one fails."""

    def __init__(self, pool: DecodePool, path: str, max_pixels: int | None) -> None:
        self._pool, self._path, self._max_pixels = pool, path, max_pixels
        self._process = pool.take()
        self._closed = False
        try:
            self.info, self.warnings = self._process.call(path, open_in_child, path, max_pixels)
        except BaseException:
            self._give_back()
            raise

    def plan(self, stride_seconds: float, **window: Any) -> DecodePlan:
        """See `Decoder.plan`."""
        plan: DecodePlan = self._used("plan", stride_seconds, **window)
        return plan

    def sample(self, stride_seconds: float, **options: Any) -> Samples:
        """See `Decoder.sample`."""
        known = yield from self._process.stream(self._path, sampled, (stride_seconds,), options)
        self._note(*known)

    def decode_at(self, seconds: Sequence[float], *, short_side: int | None = None) -> Frames:
        """See `Decoder.decode_at`."""
        frames: Frames = self._used("decode_at", list(seconds), short_side=short_side)
        return frames

    def read_words(self, options: WordOptions) -> Words:
        """See `keyframe_llm.words.read_words`."""
        length = self.info.duration_seconds
        return self._process.call(self._path, words_in_child, self._path, options, length, self._max_pixels)

    def close(self) -> None:
        """Free the file and the process."""
        if not self._closed:
            try:
                if self._process.alive:
                    self._process.call(self._path, close_video)
            finally:
                self._give_back()

    def __enter__(self) -> RemoteDecoder:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _used(self, method: str, *arguments: Any, **named: Any) -> Any:
        result, info, warnings = self._process.call(self._path, used, method, arguments, named)
        self._note(info, warnings)
        return result

    def _note(self, info: VideoInfo, warnings: list[str]) -> None:
        self.info = info
        self.warnings[:] = warnings

    def _give_back(self) -> None:
        self._closed = True
        self._pool.give_back(self._process)


def decoder_opener(pool: DecodePool, max_pixels: int | None) -> Callable[[str], RemoteDecoder]:
    """A backend for `SelectOptions`: opens a path in a process of the pool."""
    return _Opener(pool, max_pixels)


class _Opener:
    """Equal openers, and what is kept on disk of their videos, are told by what they limit."""

    def __init__(self, pool: DecodePool, max_pixels: int | None) -> None:
        self._pool, self._max_pixels = pool, max_pixels

    def __call__(self, path: str) -> RemoteDecoder:
        return RemoteDecoder(self._pool, path, self._max_pixels)

    def __repr__(self) -> str:
        return f"decoder_opener(max_pixels={self._max_pixels})"
