"""Reading the text in one picture: what a reader is, and the built-in one, RapidOCR on the processor."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from keyframe_llm.errors import ModelError, shortened

__all__ = ["RapidReader", "TextLine", "TextReader", "checked_lines"]

_LEAST_SIDE = 8  # pixels; RapidOCR fails on slivers, which hold no text anyway
_MOST_ASPECT = 40
_LONGEST_SIDE = 960  # text of 20 px at 1280 × 720 is 15 px high at this size, and read as well as at 1280
_MOST_LINES = 500
_LONGEST_LINE = 500


class TextLine(NamedTuple):
    """One line of text in a picture."""

    text: str
    box: tuple[float, float, float, float]
    """Left, top, right, bottom in pixels of the picture."""
    score: float
    """How sure the reader is, 0–1."""


class TextReader(Protocol):
    """Anything that reads the text in a picture."""

    def read(self, picture: NDArray[np.uint8], /) -> Iterable[tuple[str, Any, float]]:
        """Lines of an (H, W, 3) RGB picture: text, box (left, top, right, bottom in pixels), score 0–1."""
        ...


class RapidReader:
    """RapidOCR with the weights inside its package: Latin letters and Chinese. Loaded when it first reads.

    Raises `ModelError` where it is not installed (the extra `ocr`).
    """

    def __init__(self, threads: int = 2) -> None:
        """`threads` is how many cores one picture may use."""
        self._threads = threads
        self._engine: Any = None

    def read(self, picture: NDArray[np.uint8], /) -> list[TextLine]:
        """The lines of an (H, W, 3) RGB picture."""
        height, width = picture.shape[:2]
        if min(height, width) < _LEAST_SIDE or max(height, width) > _MOST_ASPECT * min(height, width):
            return []
        from PIL import Image

        if self._engine is None:
            self._engine = self._loaded()
        # RapidOCR would fetch a text that is an address; a PIL picture it only reads.
        found = self._engine(Image.fromarray(picture))
        if found.boxes is None:
            return []
        return [
            TextLine(str(text), _bounds(box), float(score))
            for text, box, score in zip(found.txts, found.boxes, found.scores, strict=True)
        ]

    def _loaded(self) -> Any:
        try:
            from rapidocr import RapidOCR
        except ImportError as error:
            raise ModelError(
                f"reading text in the picture needs rapidocr and onnxruntime ({error}); "
                "`pip install keyframe-llm[ocr]`, or give a reader of your own"
            ) from error
        return RapidOCR(
            params={
                "Global.use_cls": False,
                "Global.log_level": "critical",
                "EngineConfig.onnxruntime.intra_op_num_threads": self._threads,
                "Det.limit_type": "max",
                "Det.limit_side_len": _LONGEST_SIDE,
            }
        )


def checked_lines(reader: TextReader, picture: NDArray[np.uint8]) -> list[TextLine]:
    """What a reader returned for a picture, at most 500 lines of 500 characters.

    Raises `ModelError` where that is anything but lines of text.
    """
    returned = reader.read(picture)
    try:
        lines = [
            TextLine(text[:_LONGEST_LINE], _bounds(box), float(np.clip(score, 0.0, 1.0)))
            for text, box, score in list(returned)[:_MOST_LINES]
        ]
    except (TypeError, ValueError) as error:
        raise ModelError(
            f"the reader {type(reader).__name__} returned {shortened(returned)}; "
            "return (text, (left, top, right, bottom), score) for each line"
        ) from error
    return lines


def _bounds(box: Any) -> tuple[float, float, float, float]:
    """Left, top, right, bottom of four numbers, or of the corners of any polygon."""
    points = np.asarray(box, np.float64).reshape(-1, 2)
    if len(points) < 2 or not np.isfinite(points).all():
        raise ValueError("a box is four finite numbers")
    (left, top), (right, bottom) = points.min(axis=0), points.max(axis=0)
    return float(left), float(top), float(right), float(bottom)
