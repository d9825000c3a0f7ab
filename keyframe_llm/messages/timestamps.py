"""True times, as each family of models was trained to read them: before pictures, in a video of key frames.

Key frames are interleaved pictures, `[12.3s]` before each, which Qwen3-VL and later are given as `<12.3
seconds>`. Where a prompt has to hold a video, they meet two assumptions of Qwen's models: frames are fused
two by two, and they are evenly spread. So every frame is given twice, which makes each fused pair one true
picture. The times travel as frame indices. Qwen3-VL and later write `<12.3 seconds>` from them; Qwen2.5-VL
needs the `position_ids` of `with_true_times`.
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
from keyframe_llm.messages.formats import Messages

if TYPE_CHECKING:
    import torch

__all__ = ["as_video", "frame_seconds", "reads_seconds", "video_times", "with_time_labels", "with_true_times"]

_CLOCK = 1000
"""Frame indices count milliseconds: a video's own rate would round times, and variable rates have none."""

_READ_SECONDS = re.compile(
    r"qwen[-_ ]?[3-9](?!\d*b)|cohere[-_]compass|cosmos3[-_]edge|lfm3[-_]vl", re.IGNORECASE
)
"""Whose processors write `<12.3 seconds>` into a video's prompt; those of Qwen's Omni models do not."""
_TIME_LABEL = re.compile(r"\[(\d+\.\d)s\]")
_PLACED = ("qwen2_5_vl", "qwen2_5_omni_thinker", "qwen3_omni_moe_thinker")
"""Models that know a frame's time by its position."""
_IMAGE, _VIDEO = 1, 2  # what `mm_token_type_ids` calls them; text is 0


def as_video(
    frames: Frames, duration_seconds: float | None = None
) -> tuple[NDArray[np.uint8], dict[str, Any]]:
    """(2k, H, W, 3) uint8: every frame twice; and the metadata that gives a transformers processor its times.

    Pass them as `processor(videos=[pictures], video_metadata=[metadata], do_sample_frames=False, …)`.
    `duration_seconds` is the whole video's; without it the last frame's time stands in.
    """
    height, width = frames.images.shape[1:3]
    times = video_times(frames.seconds.tolist(), duration_seconds)
    return np.repeat(frames.images, 2, axis=0), {**times, "width": int(width), "height": int(height)}


def video_times(seconds: Sequence[float], duration_seconds: float | None = None) -> dict[str, Any]:
    """`fps`, `frames_indices`, `total_num_frames` and `duration` of a video in which each frame stands twice.

    `seconds` are those of the k key frames, ascending; `duration_seconds` as for `as_video`.
    """
    ticks = [round(second * _CLOCK) for second in seconds for _ in range(2)]
    total = max(round((duration_seconds or 0.0) * _CLOCK), ticks[-1] + 1)
    rate = float(_CLOCK)
    return {"fps": rate, "frames_indices": ticks, "total_num_frames": total, "duration": total / rate}


def frame_seconds(metadata: Mapping[str, Any], temporal_patch_size: int = 2) -> NDArray[np.float64]:
    """(T,) the time of every fused group of frames: the mean of its frames' times."""
    indices = list(metadata["frames_indices"])
    indices += indices[-1:] * (-len(indices) % temporal_patch_size)
    times = np.array(indices, np.float64).reshape(-1, temporal_patch_size) / metadata["fps"]
    return np.asarray(times.mean(axis=1))


def with_true_times(inputs: Any, video_metadata: Sequence[Mapping[str, Any]], model: Any) -> Any:
    """The processor's inputs, with exact M-RoPE `position_ids` for Qwen2.5-VL and thinkers of Omni models.

    A frame at t seconds lies `round(rate * t)` after its video's beginning, at the model's own rate of
    positions a second (25 in Qwen2.5-Omni and Qwen3-Omni), and text resumes behind the last frame, as in
    training (transformers spreads the frames evenly). The processors of Qwen3-VL and later (Qwen3.5, …) write
    the times into the prompt: their inputs are returned as they are. Raises `OptionsError` for other models,
    a whole Omni model too (give its `thinker`), or where the metadata is not of these videos.
    """
    kind = str(model.config.model_type)
    sees = getattr(model.config, "vision_config", None) is not None
    if kind.startswith("qwen") and reads_seconds(kind) and sees:
        return inputs
    if kind not in _PLACED:
        raise OptionsError(
            f"model is a {kind}; times of a video are known to qwen2_5_vl, to the thinkers of Qwen's Omni "
            "models, and to Qwen3-VL and later: give pictures with `[12.3s]` instead (Selection.to_messages)"
        )
    inputs["position_ids"] = _positions(inputs, video_metadata, model.config)
    return inputs


def reads_seconds(kind: str) -> bool:
    """Whether models of this kind were trained on times written `<12.3 seconds>`: Qwen3-VL and later.

    `kind` is transformers' `model_type`, or the name by which a server knows the model.
    """
    return _READ_SECONDS.search(kind) is not None and "omni" not in kind.lower()


def with_time_labels(messages: Messages, kind: str) -> Messages:
    """The same conversation, the time before each picture as models of this kind were trained to read it.

    `[12.3s]` before a picture becomes `<12.3 seconds>` where the model `reads_seconds`; else nothing changes.
    """
    if not reads_seconds(kind):
        return messages
    return [{**message, "content": _relabelled(message["content"])} for message in messages]


def _relabelled(content: Any) -> Any:
    if isinstance(content, str):
        return content
    followers = [*content[1:], {}]
    return [_label(part, next_part) for part, next_part in zip(content, followers, strict=True)]


def _label(part: Any, next_part: Any) -> Any:
    kinds = [one.get("type") if isinstance(one, Mapping) else None for one in (part, next_part)]
    label = _TIME_LABEL.fullmatch(part["text"]) if kinds == ["text", "image"] else None
    return {**part, "text": f"<{label[1]} seconds>"} if label else part


def _positions(inputs: Any, video_metadata: Sequence[Mapping[str, Any]], config: Any) -> torch.Tensor:
    """(4, B, L): the text's own count, then temporal, height and width positions."""
    import torch

    vision, kinds = config.vision_config, _kinds(inputs, config)
    rate = getattr(config, "position_id_per_seconds", None) or vision.tokens_per_second
    mask = inputs.get("attention_mask")
    mask = torch.ones_like(kinds) if mask is None else mask
    grids = {_IMAGE: inputs.get("image_grid_thw"), _VIDEO: inputs.get("video_grid_thw")}
    left = {kind: iter([] if grid is None else grid.tolist()) for kind, grid in grids.items()}
    times = iter([frame_seconds(one, vision.temporal_patch_size) for one in video_metadata])
    rows = []
    for row, kept in zip(kinds.tolist(), mask.tolist(), strict=True):
        shown = [kind for kind, keep in zip(row, kept, strict=True) if keep]
        placed = np.zeros((4, len(row)), np.int64)
        placed[:, np.array(kept, bool)] = _sequence(shown, left, times, vision.spatial_merge_size, rate)
        rows.append(placed)
    if next(times, None) is not None:
        raise OptionsError(f"video_metadata is of {len(video_metadata)} videos, more than the inputs hold")
    return torch.from_numpy(np.stack(rows, axis=1)).to(kinds.device)


def _kinds(inputs: Any, config: Any) -> torch.Tensor:
    """(B, L) what each token stands for; the processors of Omni models do not say."""
    import torch

    known = inputs.get("mm_token_type_ids")
    if known is not None:
        return torch.as_tensor(known)
    ids = torch.as_tensor(inputs["input_ids"])
    kinds = torch.zeros_like(ids)
    for kind, name in ((_IMAGE, "image"), (_VIDEO, "video")):
        token = getattr(config, f"{name}_token_id", None) or getattr(config, f"{name}_token_index", None)
        kinds[ids == token] = kind
    return kinds


def _sequence(
    kinds: list[int], grids: dict[int, Any], times: Any, merge: int, rate: float
) -> NDArray[np.int64]:
    parts, at = [], 0
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
            spots = np.round(seconds * rate)
        box = np.meshgrid(spots, np.arange(height // merge), np.arange(width // merge), indexing="ij")
        part = at + np.stack(box).reshape(3, -1).astype(np.int64)
        parts.append(part)
        at = int(part.max()) + 1 if kind == _VIDEO else at + max(height, width) // merge
    places = np.concatenate(parts, axis=1)
    return np.concatenate([np.arange(len(kinds))[None], places])
