"""Pictures as the numbers that a dual encoder reads: resized, cropped, normalised, with Pillow and NumPy."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["PixelSettings", "pixel_settings", "pixels"]

_UNSUPPORTED = ("do_pad", "do_image_splitting", "do_pan_and_scan")


@dataclass(frozen=True, slots=True)
class PixelSettings:
    """How an encoder wants its pictures."""

    height: int
    width: int
    """What is given to the model, in pixels."""
    shortest_edge: int | None
    """Resize to this shorter side and crop the middle; None squeezes to the height and the width."""
    resample: int
    """Pillow's number of the filter."""
    mean: tuple[float, ...]
    std: tuple[float, ...]
    """Of each channel, on the scale from 0 to 1."""

    def to_dict(self) -> dict[str, Any]:
        """Plain values, for JSON."""
        return asdict(self)

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> PixelSettings:
        """What `to_dict` returned."""
        return cls(**{**values, "mean": tuple(values["mean"]), "std": tuple(values["std"])})


def pixel_settings(processor: Mapping[str, Any]) -> PixelSettings:
    """The settings of one of transformers' image processors, from its `to_dict()`.

    Raises `ValueError` where it does something else than resizing, cropping and normalising.
    """
    size, crop = dict(processor.get("size") or {}), processor.get("crop_size")
    steps = all(processor.get(step, True) for step in ("do_resize", "do_rescale", "do_normalize"))
    if not steps or any(processor.get(step) for step in _UNSUPPORTED):
        raise ValueError(f"its pictures are prepared by {processor.get('image_processor_type')}")
    cropped = bool(processor.get("do_center_crop"))
    shown = dict(crop) if cropped and crop else size
    if not ({"height", "width"} <= shown.keys() and (cropped == ("shortest_edge" in size))):
        raise ValueError(f"its pictures have the size {size}, cropped to {crop}")
    scale = 255 * float(processor.get("rescale_factor", 1 / 255))  # 1 for nearly all
    return PixelSettings(
        height=int(shown["height"]),
        width=int(shown["width"]),
        shortest_edge=int(size["shortest_edge"]) if cropped else None,
        resample=int(processor["resample"]),
        mean=tuple(float(value) / scale for value in processor["image_mean"]),
        std=tuple(float(value) / scale for value in processor["image_std"]),
    )


def pixels(images: Sequence[NDArray[np.uint8]], settings: PixelSettings) -> NDArray[np.float32]:
    """(N, 3, H, W) the model's input, of N RGB pictures, each (H', W', 3) uint8 0–255."""
    shown = np.stack([_fitted(np.asarray(image), settings) for image in images])
    mean, std = (np.asarray(values, np.float32) * 255 for values in (settings.mean, settings.std))
    rows = (shown.astype(np.float32) - mean) / std
    return np.ascontiguousarray(rows.transpose(0, 3, 1, 2))


def _fitted(image: NDArray[np.uint8], settings: PixelSettings) -> NDArray[np.uint8]:
    from PIL import Image

    filter_ = Image.Resampling(settings.resample)
    height, width = settings.height, settings.width
    if settings.shortest_edge is None:
        fitted = Image.fromarray(image).resize((width, height), filter_)
        return np.asarray(fitted)
    scale = settings.shortest_edge / min(image.shape[:2])
    high, wide = (max(1, int(side * scale)) for side in image.shape[:2])
    fitted = Image.fromarray(image).resize((wide, high), filter_)
    left, top = (wide - width) // 2, (high - height) // 2
    return np.asarray(fitted.crop((left, top, left + width, top + height)))
