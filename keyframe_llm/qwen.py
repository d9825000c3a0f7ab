"""A drop-in for qwen-vl-utils: change the import, and every video in a conversation is its key frames.

    from keyframe_llm.qwen import process_vision_info

A video stays a video, as the prompt's text already says, but of key frames: each is given twice, because
Qwen's models fuse frames two by two. Their times travel in the metadata. Qwen3-VL writes them into the prompt
by itself; for Qwen2.5-VL one more line makes them exact: `inputs = with_true_times(inputs, metadata, model)`.
"""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from keyframe_llm.conversation import guiding_questions, select_for_part, video_source
from keyframe_llm.encoders import DEFAULT_ENCODER, Encoder
from keyframe_llm.errors import ModelError
from keyframe_llm.messages import Messages, as_video, with_true_times

if TYPE_CHECKING:
    import torch

__all__ = ["process_vision_info", "with_true_times"]

_TIMELESS = (
    "a plain process_vision_info returns no times of the key frames; give it "
    "return_video_kwargs=True, or return_video_metadata=True"
)
_FUSED = 2  # frames in one temporal patch of Qwen's models


def process_vision_info(
    conversations: Messages | list[Messages],
    return_video_kwargs: bool = False,
    return_video_metadata: bool = False,
    image_patch_size: int = 14,
    *,
    encoder: str | Encoder = DEFAULT_ENCODER,
    **options: Any,
) -> tuple[Any, ...]:
    """Images and videos of one conversation or several, as qwen-vl-utils returns them.

    Returns `(images | None, videos | None)` and, with `return_video_kwargs`, a dict for the processor. Images
    are PIL images, made by qwen-vl-utils itself. A video is a float (2k, 3, H, W) tensor, 0–255, of its k key
    frames, each twice; with `return_video_metadata` it is `(tensor, metadata)`, and without it the dict holds
    the `video_metadata`, so that `processor(…, **video_kwargs)` knows the times either way.

    The conversation's question guides the choice (see `guiding_questions`). A video element may say
    `max_frames` (or `nframes`), `caption`, `question`, `video_start`, `video_end`, `min_pixels`,
    `max_pixels`, `total_pixels`, `resized_height` with `resized_width`, and any field of `SelectOptions`;
    `options` hold for all videos. A plain call, for neither kwargs nor metadata, returns no times, and warns.
    `fps` is how often the video is sampled. A list of frames is a video where it states its rate as
    `sample_fps`; without one nothing is known of its times, and it is passed through as it is. Raises
    `VideoError`, `ModelError`, `OptionsError`.
    """
    fetch_image, fetch_video = _utils()
    images: list[Any] = []
    timeless = not (return_video_kwargs or return_video_metadata)
    videos: list[tuple[Any, dict[str, Any]]] = []
    for part, question in _vision_parts(conversations):
        if "image" in part or "image_url" in part:
            images.append(fetch_image(part, image_patch_size=image_patch_size))
        elif isinstance(video_source(part), (list, tuple)) and part.get("sample_fps") is None:
            videos.append(fetch_video(part, image_patch_size=image_patch_size, return_video_metadata=True))
        else:
            selection = select_for_part(part, question, encoder, options)
            for text in (*selection.warnings, *([_TIMELESS] if timeless else [])):
                warnings.warn(text, stacklevel=2)
            pictures, metadata = as_video(selection.frames, selection.video.duration_seconds)
            videos.append((_resized(pictures, part, image_patch_size), metadata))
    shown = [video if return_video_metadata else video[0] for video in videos]
    if not return_video_kwargs:
        return images or None, shown or None
    kwargs: dict[str, Any] = {"do_sample_frames": False}
    if videos and not return_video_metadata:
        kwargs["video_metadata"] = [metadata for _, metadata in videos]
    return images or None, shown or None, kwargs


def _utils() -> tuple[Any, Any]:
    try:
        from qwen_vl_utils.vision_process import fetch_image, fetch_video
    except ImportError as error:
        raise ModelError(
            f"qwen-vl-utils cannot be imported ({error}); `pip install qwen-vl-utils torchvision`"
        ) from error
    return fetch_image, fetch_video


def _vision_parts(conversations: Any) -> list[tuple[dict[str, Any], str | None]]:
    """Every image and video element in order, with the question that guides it."""
    if conversations and isinstance(conversations[0], dict):
        conversations = [conversations]
    found = []
    for conversation in conversations:
        for message, question in zip(conversation, guiding_questions(conversation), strict=True):
            if isinstance(message["content"], list):
                for part in message["content"]:
                    picture = "image" in part or "image_url" in part
                    if picture or video_source(part) is not None:
                        found.append((part, question))
    return found


def _resized(pictures: NDArray[np.uint8], part: dict[str, Any], patch: int) -> torch.Tensor:
    """(N, 3, H, W) float, in the size that qwen-vl-utils gives a video with these limits."""
    import torch
    from qwen_vl_utils import vision_process as utils
    from torchvision.transforms import InterpolationMode
    from torchvision.transforms.functional import resize

    factor = patch * utils.SPATIAL_MERGE_SIZE
    area = factor * factor
    count, height, width, _ = pictures.shape
    least = part.get("min_pixels", utils.VIDEO_MIN_TOKEN_NUM * area)
    total = part.get("total_pixels", utils.MODEL_SEQ_LEN * area * 0.9)
    most = max(min(utils.VIDEO_MAX_TOKEN_NUM * area, total / count * _FUSED), int(least * 1.05))
    bounds = {"min_pixels": least, "max_pixels": min(part.get("max_pixels", most), most)}
    if "resized_height" in part and "resized_width" in part:
        height, width, bounds = part["resized_height"], part["resized_width"], {}
    size = utils.smart_resize(height, width, factor=factor, **bounds)
    frames = torch.from_numpy(pictures).permute(0, 3, 1, 2)
    sized = resize(frames, list(size), interpolation=InterpolationMode.BICUBIC, antialias=True)
    return torch.as_tensor(sized).float()
