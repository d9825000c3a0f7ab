"""The process that reads files of strangers: it runs one function after the other, in bounded memory.

Its standard input brings functions and arguments, its standard output takes results; both are pickled. Of a
generator every item is sent, and the other side acknowledges each: True for more, False to end it.
"""

from __future__ import annotations

import os
import pickle
import sys
from collections.abc import Callable, Generator
from typing import Any, BinaryIO

from keyframe_llm.data import Frames, VideoInfo
from keyframe_llm.errors import KeyframeError
from keyframe_llm.options import WordOptions
from keyframe_llm.video import DecodePlan, Decoder, open_video
from keyframe_llm.video.decoder import Samples
from keyframe_llm.words import Words, read_words

__all__ = ["close_video", "main", "open_in_child", "sampled", "used", "words_in_child"]

_ITEMS_AHEAD = 8  # that are sent before the first one is acknowledged
_open: list[Decoder] = []


def main(memory_bytes: int) -> None:
    """Serve until the other side closes the pipe."""
    requests, results = os.fdopen(os.dup(0), "rb"), os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # whatever a library prints must not come between
    _limit_memory(memory_bytes)
    while True:
        try:
            function, arguments = pickle.load(requests)
        except EOFError:
            return
        _reply(results, *_outcome(function, arguments, requests, results))


def open_in_child(path: str, max_pixels: int | None) -> tuple[VideoInfo, list[str]]:
    """Open the one video that this process has open at a time."""
    close_video()
    _open.append(open_video(path, max_pixels=max_pixels))
    return _known(_open[0])


def used(
    method: str, arguments: tuple[Any, ...], named: dict[str, Any]
) -> tuple[DecodePlan | Frames, VideoInfo, list[str]]:
    """What a method of the open decoder returns, and what is known of the video then."""
    decoder = _open[0]
    return getattr(decoder, method)(*arguments, **named), *_known(decoder)


def sampled(arguments: tuple[Any, ...], named: dict[str, Any]) -> Generator[Any, None, Any]:
    """The samples of the open decoder; at the end, what is known of the video."""
    decoder = _open[0]
    samples: Samples = decoder.sample(*arguments, **named)
    try:
        yield from samples
    finally:
        samples.close()
    return _known(decoder)


def words_in_child(
    path: str, options: WordOptions, duration_seconds: float | None, max_pixels: int | None
) -> Words:
    """What is subtitled and said in a video."""
    return read_words(path, options, duration_seconds=duration_seconds, max_picture_pixels=max_pixels)


def close_video() -> None:
    """Close the open video."""
    while _open:
        _open.pop().close()


def _known(decoder: Decoder) -> tuple[VideoInfo, list[str]]:
    return decoder.info, list(decoder.warnings)


def _outcome(
    function: Callable[..., Any], arguments: tuple[Any, ...], requests: BinaryIO, results: BinaryIO
) -> tuple[str, Any]:
    """What came of a call: `result` and what it is, `error` and which one, or `memory` and nothing."""
    try:
        result = function(*arguments)
        return "result", _sent(result, requests, results) if isinstance(result, Generator) else result
    except MemoryError:
        return "memory", None
    except KeyframeError as error:
        return "error", error
    except Exception as error:
        return "error", RuntimeError(f"{type(error).__name__}: {error}")


def _sent(items: Generator[Any, None, Any], requests: BinaryIO, results: BinaryIO) -> Any:
    """Send the items of a generator, and return what it returns."""
    ahead = 0
    try:
        while True:
            item = next(items)
            _reply(results, "item", item)
            ahead += 1
            while ahead >= _ITEMS_AHEAD:
                ahead -= 1
                if not pickle.load(requests):
                    items.close()
                    return None
    except StopIteration as end:
        return end.value
    finally:
        for _ in range(ahead):
            pickle.load(requests)


def _reply(results: BinaryIO, kind: str, value: Any) -> None:
    pickle.dump((kind, value), results, protocol=pickle.HIGHEST_PROTOCOL)
    results.flush()


def _limit_memory(memory_bytes: int) -> None:
    """Have the operating system refuse more memory than that; Windows has no such limit."""
    if sys.platform != "win32":
        import resource

        kind = resource.RLIMIT_DATA if sys.platform == "linux" else resource.RLIMIT_AS
        resource.setrlimit(kind, (memory_bytes, memory_bytes))
