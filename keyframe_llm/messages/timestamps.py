"""Key frames as a video, with their true times: for models whose prompt has to hold a video.

Elsewhere key frames are interleaved pictures, `[12.3s]` before each. As a video they meet two assumptions of
Qwen's models: frames are fused two by two, and they are evenly spread. So every frame is given twice, which
makes each fused pair one true picture. The times travel as frame indices. Qwen3-VL and later write `<12.3
seconds>` from them; Qwen2.5-VL needs the `position_ids` of `with_true_times`.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from itertools import groupby
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from keyframe_llm.data import Frames
from keyframe_llm.errors import OptionsError

if TYPE_CHECKING:
    import torch

__all__ = ["CLOCK", "as_video", "frame_seconds", "with_true_times"]

CLOCK = 1000
"""Frame indices count milliseconds: a video's own rate would round times, and variable rates have none."""

_WRITES_TIMES = 3
"""The first generation of Qwen whose processor writes the frames' times into the prompt."""
_IMAGE, _VIDEO = 1, 2  # what `mm_token_type_ids` calls them; text is 0


def as_video(
    frames: Frames, duration_seconds: float | None = None
) -> tuple[NDArray[np.uint8], dict[str, Any]]:
    """(2k, H, W, 3) uint8: every frame twice; and the metadata that gives a transformers processor its times.

    Pass them as `processor(videos=[pictures], video_metadata=[metadata], do_sample_frames=False, …)`.
    `duration_seconds` is the whole video's; without it the last frame's time stands in.
    """
    ticks = [round(float(second) * CLOCK) for second in np.repeat(frames.seconds, 2)]
    height, width = frames.images.shape[1:3]
    total = max(round((duration_seconds or 0.0) * CLOCK), ticks[-1] + 1)
    metadata = {"fps": float(CLOCK), "frames_indices": ticks, "total_num_frames": total}
    shape = {"width": int(width), "height": int(height), "duration": total / CLOCK}
    return np.repeat(frames.images, 2, axis=0), {**metadata, **shape}


def frame_seconds(metadata: Mapping[str, Any], temporal_patch_size: int = 2) -> NDArray[np.float64]:
    """(T,) the time of every fused group of frames: the mean of its frames' times."""
    indices = list(metadata["frames_indices"])
    indices += indices[-1:] * (-len(indices) % temporal_patch_size)
    times = np.array(indices, np.float64).reshape(-1, temporal_patch_size) / metadata["fps"]
    return np.asarray(times.mean(axis=1))


def with_true_times(inputs: Any, video_metadata: Sequence[Mapping[str, Any]], model: Any) -> Any:
    """The processor's inputs, with exact M-RoPE `position_ids` where the model is Qwen2.5-VL.

    A frame at t seconds lies `round(tokens_per_second * t)` after its video's beginning, and text resumes
    behind the last frame, as in training (transformers resumes it sooner, and spreads the frames evenly). The
    processors of Qwen3-VL and later (Qwen3.5, …) write the times into the prompt: their inputs are returned
    as they are. Raises `OptionsError` for other models (Qwen3-Omni too spreads the frames evenly), or where
    the metadata is not of these videos.
    """
    if _processor_writes_times(model.config):
        return inputs
    kind = str(model.config.model_type)
    if kind != "qwen2_5_vl":
        raise OptionsError(
            f"model is a {kind}; times of a video are known to qwen2_5_vl and to Qwen3-VL and later: give "
            "it pictures with `[12.3s]` instead (Selection.to_messages)"
        )
    inputs["position_ids"] = _positions(inputs, video_metadata, model.config.vision_config)
    return inputs


def _processor_writes_times(config: Any) -> bool:
    """Whether the processor of a model with this configuration writes the frames' times into the prompt."""
    kind = str(config.model_type)
    generation = re.match(r"qwen(\d+)", kind)
    newer = generation is not None and int(generation[1]) >= _WRITES_TIMES
    return newer and "omni" not in kind and getattr(config, "vision_config", None) is not None


def _positions(inputs: Any, video_metadata: Sequence[Mapping[str, Any]], vision: Any) -> torch.Tensor:
    """(4, B, L): the text's own count, then temporal, height and width positions."""
    import torch

    kinds = inputs["mm_token_type_ids"]
    mask = inputs.get("attention_mask")
    mask = torch.ones_like(kinds) if mask is None else mask
    grids = {_IMAGE: inputs.get("image_grid_thw"), _VIDEO: inputs.get("video_grid_thw")}
    left = {kind: iter([] if grid is None else grid.tolist()) for kind, grid in grids.items()}
    times = iter([frame_seconds(one, vision.temporal_patch_size) for one in video_metadata])
    rows = []
    for row, kept in zip(kinds.tolist(), mask.tolist(), strict=True):
        shown = [kind for kind, keep in zip(row, kept, strict=True) if keep]
        placed = np.zeros((4, len(row)), np.int64)
        placed[:, np.array(kept, bool)] = _sequence(shown, left, times, vision)
        rows.append(placed)
    if next(times, None) is not None:
        raise OptionsError(f"video_metadata is of {len(video_metadata)} videos, more than the inputs hold")
    return torch.from_numpy(np.stack(rows, axis=1)).to(kinds.device)


def _sequence(kinds: list[int], grids: dict[int, Any], times: Any, vision: Any) -> NDArray[np.int64]:
    merge, parts, at = vision.spatial_merge_size, [], 0
    for kind, group in groupby(kinds):
        length = len(list(group))
        if kind not in (_IMAGE, _VIDEO):
            parts.append(np.tile(np.arange(at, at + length), (3, 1)))
            at += length
            continue
        frames, height, width = next(grids[kind])
        spots = np.zeros(frames)
        if kind == _VIDEO:
            seconds = next(times, np.zeros(0))
            if len(seconds) != frames:
                raise OptionsError(
                    f"video_metadata holds {len(seconds)} times of a video of {frames} frames; give the one "
                    "that came with it"
                )
            spots = np.round(seconds * vision.tokens_per_second)
        box = np.meshgrid(spots, np.arange(height // merge), np.arange(width // merge), indexing="ij")
        part = at + np.stack(box).reshape(3, -1).astype(np.int64)
        parts.append(part)
        at = int(part.max()) + 1 if kind == _VIDEO else at + max(height, width) // merge
    places = np.concatenate(parts, axis=1)
    return np.concatenate([np.arange(len(kinds))[None], places])
