"""What an encoder is, and what the two kinds share: batches, long texts, unit rows."""

from __future__ import annotations

import ctypes.util
import os
import platform
import re
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
from numpy.typing import NDArray

from keyframe_llm.arrays import unit_rows
from keyframe_llm.errors import OptionsError
from keyframe_llm.hub import one_line

if TYPE_CHECKING:
    import torch

__all__ = [
    "DEFAULT_IMAGE_SIZE",
    "WAYS_OUT",
    "BatchedEncoder",
    "Encoder",
    "Images",
    "TorchEncoder",
    "checked_device",
    "has_accelerator",
    "on_processor",
    "placement",
    "preferred_image_size",
    "split_text",
]

WAYS_OUT = "give the path of a local folder, another encoder, or `--encoder cartoon`"
DEFAULT_IMAGE_SIZE = 224

Images = Sequence[NDArray[np.uint8]] | NDArray[np.uint8]


class Encoder(Protocol):
    """Places pictures and texts in one space, where their cosine says how well they fit.

    An attribute `image_size`, the shorter side in pixels that pictures are wanted at, is used where there is
    one: see `preferred_image_size`.
    """

    def embed_images(self, images: Images, /) -> NDArray[np.float32]:
        """Embed N RGB pictures, each (H, W, 3) uint8 0–255; return (N, D), rows of unit length."""
        ...

    def embed_texts(self, texts: Sequence[str], /) -> NDArray[np.float32]:
        """Embed N texts; return (N, D), rows of unit length."""
        ...


def preferred_image_size(encoder: Encoder) -> int:
    """The shorter side, in pixels, that an encoder wants its pictures at; 224 where it does not say."""
    size = getattr(encoder, "image_size", None)
    return size if isinstance(size, int) and size > 0 else DEFAULT_IMAGE_SIZE


class BatchedEncoder:
    """What the kinds share: batches, long texts, unit rows. The kinds say how one batch is embedded."""

    image_size: int
    """The shorter side, in pixels, that pictures are wanted at."""
    context_length: int
    """The longest text the model reads at once, in tokens."""

    def __init__(self, batch_size: int) -> None:
        if isinstance(batch_size, bool) or not isinstance(batch_size, int) or batch_size < 1:
            raise OptionsError(f"batch_size is {batch_size!r}; give a whole number of at least 1")
        self._batch_size = batch_size

    def embed_images(self, images: Images, /) -> NDArray[np.float32]:
        """Embed N RGB pictures, each (H, W, 3) uint8 0–255; return (N, D), rows of unit length.

        Pictures may differ in size. They are worked on `batch_size` at a time, so memory is bounded.
        """
        return self._in_batches(images, self._images)

    def embed_texts(self, texts: Sequence[str], /) -> NDArray[np.float32]:
        """Embed N texts; return (N, D), rows of unit length.

        A text longer than the model reads is split at sentences, clauses or words; its vector is the mean of
        its parts' unit vectors, weighted by their tokens, made unit again. Nothing is cut off.
        """
        parts, owners = [], []
        for owner, text in enumerate(texts):
            pieces = split_text(text, self.fits)
            parts.extend(pieces)
            owners.extend([owner] * len(pieces))
        vectors = self._in_batches(parts, self._texts)
        if len(parts) == len(texts):
            return vectors
        weights = np.array([max(1, self._count(part)) for part in parts], np.float32)
        sums = np.zeros((len(texts), vectors.shape[1]), np.float32)
        np.add.at(sums, owners, vectors * weights[:, None])
        return unit_rows(sums)

    def fits(self, text: str) -> bool:
        """Whether the model reads this text at once."""
        return self._count(text) <= self.context_length

    def _in_batches(
        self, items: Sequence[Any] | NDArray[Any], embed: Callable[[Sequence[Any]], Any]
    ) -> NDArray[np.float32]:
        if len(items) == 0:  # the width is known once something has been embedded
            return self._in_batches([""], self._texts)[:0]
        batches = [self._rows(embed, batch) for batch in _chunks(items, self._batch_size)]
        return unit_rows(np.concatenate(batches))

    def _rows(self, embed: Callable[[Sequence[Any]], Any], batch: Sequence[Any]) -> NDArray[np.float32]:
        """(N, D) what `embed` makes of one batch."""
        return np.asarray(embed(batch), np.float32)

    def _images(self, images: Sequence[NDArray[np.uint8]]) -> Any:
        raise NotImplementedError

    def _texts(self, texts: Sequence[str]) -> Any:
        raise NotImplementedError

    def _count(self, text: str) -> int:
        raise NotImplementedError


class TorchEncoder(BatchedEncoder):
    """An encoder that embeds one batch as a torch tensor."""

    def _rows(
        self, embed: Callable[[Sequence[Any]], torch.Tensor], batch: Sequence[Any]
    ) -> NDArray[np.float32]:
        import torch

        with torch.inference_mode():
            return embed(batch).float().cpu().numpy()


def split_text(text: str, fits: Callable[[str], bool]) -> list[str]:
    """Cut `text` into the fewest pieces, in order, that each fit, at the kindest place there is.

    Sentence ends come first, then clauses, words, and the middle of a word. A text that fits is returned
    whole, and so is a single character that does not.
    """
    if fits(text) or len(text) < 2:
        return [text]
    for boundary in (r"(?<=[.!?。！？])\s+", r"(?<=[,;:、，；：])\s+", r"\s+"):
        pieces = [piece for piece in re.split(boundary, text) if piece]
        if len(pieces) > 1:
            return _packed([part for piece in pieces for part in split_text(piece, fits)], fits)
    middle = len(text) // 2
    return [*split_text(text[:middle], fits), *split_text(text[middle:], fits)]


def _packed(pieces: list[str], fits: Callable[[str], bool]) -> list[str]:
    packed = pieces[:1]
    for piece in pieces[1:]:
        joined = f"{packed[-1]} {piece}"
        if fits(joined):
            packed[-1] = joined
        else:
            packed.append(piece)
    return packed


def placement(device: str | None, dtype: torch.dtype | None) -> tuple[torch.device, torch.dtype]:
    """The given device or the best there is, and float16 on a GPU, where it halves time and memory."""
    import torch

    if device is None:
        device = (
            "cuda" if torch.cuda.is_available() else "mps" if torch.backends.mps.is_available() else "cpu"
        )
    place = checked_device(device)
    return place, dtype or (torch.float32 if place.type == "cpu" else torch.float16)


def has_accelerator() -> bool:
    """Whether this machine seems to have a GPU that torch could use; asks no torch, which takes seconds."""
    hidden = os.environ.get("CUDA_VISIBLE_DEVICES", "all").strip() in ("", "-1")
    if sys.platform == "darwin":
        return platform.machine() == "arm64"
    if sys.platform == "win32":
        return not hidden and ctypes.util.find_library("nvcuda") is not None
    return not hidden and any(Path(device).exists() for device in ("/dev/nvidiactl", "/dev/dxg", "/dev/kfd"))


def on_processor(device: str | None) -> bool:
    """Whether a model given this device runs on the processor, as far as that shows without torch."""
    return device == "cpu" or (device is None and not has_accelerator())


def checked_device(device: str) -> torch.device:
    """The torch device of that name; raises `OptionsError` where this machine has none."""
    import torch

    try:
        return torch.zeros(0, device=device).device
    except (
        RuntimeError,
        AssertionError,
        NotImplementedError,
    ) as error:  # torch's ways to say it is not there
        raise OptionsError(
            f"device is {device!r} ({one_line(error)}); give one torch has here, or none"
        ) from error


def _chunks(items: Any, size: int) -> Iterator[Any]:
    for start in range(0, len(items), size):
        yield items[start : start + size]
