"""A video loader for vLLM: the served model is given the key frames of every video, with their true times.

vLLM calls `register` in each of its processes (entry point `vllm.general_plugins`). The loader is chosen by
`--media-io-kwargs '{"video": {"video_backend": "keyframe_llm"}}'`. Its options stand beside that name, and in
the field `media_io_kwargs` of a request, where the question travels too: vLLM shows a loader no prompt.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from threading import Lock
from typing import Any, get_type_hints

import numpy as np
from numpy.typing import NDArray

from keyframe_llm.data import Frames
from keyframe_llm.encoders import DEFAULT_ENCODER
from keyframe_llm.errors import KeyframeError, OptionsError, check_whole, shortened
from keyframe_llm.index import Indexer, Store
from keyframe_llm.messages import as_video, time_label
from keyframe_llm.options import SelectOptions, option_fields
from keyframe_llm.selection import Selection
from keyframe_llm.video.byte_source import Content

__all__ = ["NAME", "KeyframeVideoLoader", "register"]

NAME = "keyframe_llm"
"""What vLLM calls the loader."""

_INDEXERS = 4
_OF_VLLM = ("num_frames",)
"""What vLLM gives every loader for its own sampling; `max_frames` is the number of key frames."""

_log = logging.getLogger(__name__)
_lock = Lock()


def register() -> None:
    """Make the loader known to vLLM; a second call changes nothing."""
    try:
        from vllm.multimodal.video import VIDEO_LOADER_REGISTRY, VideoLoader
    except ImportError as error:  # raised here, it would end every vLLM of an environment with this package
        _log.warning("this vLLM has no place for a video loader (%s); keyframe_llm is not registered", error)
        return
    if NAME not in VIDEO_LOADER_REGISTRY.name2class:
        loader = type(KeyframeVideoLoader.__name__, (KeyframeVideoLoader, VideoLoader), {})
        VIDEO_LOADER_REGISTRY.register(NAME)(loader)


class KeyframeVideoLoader:
    """vLLM's protocol of a video loader: bytes in, pictures and their times out."""

    @classmethod
    def load_bytes(cls, data: bytes, **kwargs: Any) -> tuple[NDArray[np.uint8], dict[str, Any]]:
        """(F, H, W, 3) uint8 RGB and their times: the key frames of the video file in `data`.

        `kwargs` are the fields of `SelectOptions` and of `LoaderOptions`. A frame shows the video at
        `frames_indices[i] / fps` seconds. Raises `ValueError`, which vLLM answers with status 400, in one
        line: on an unknown option or a wrong value, a file that is no video, an encoder that cannot be had.
        """
        try:
            loader, options = _options(kwargs)
            selection = _selected(data, loader, options)
        except OptionsError:
            raise
        except KeyframeError as error:
            raise ValueError(str(error)) from error
        for warning in selection.warnings:
            _log.warning(warning)
        return _timed(selection, loader)

    @classmethod
    def compute_frames_index_to_sample(cls, source: Any, target: Any, **kwargs: Any) -> list[int]:
        """Raise `NotImplementedError`: key frames are chosen by their pictures, which `load_bytes` has."""
        raise NotImplementedError("key frames are chosen by their pictures; call load_bytes")


@dataclass(frozen=True, slots=True, kw_only=True)
class LoaderOptions:
    """What the loader takes beside the fields of `SelectOptions`."""

    question: str | None = None
    """What the frames have to answer; with neither text they represent the video."""
    caption: str | None = None
    """What the frames should show."""
    encoder: str = DEFAULT_ENCODER
    """The name of the image-text encoder, loaded once in a process when the first text comes."""
    device: str | None = None
    """Where the encoder runs, a torch device; None takes the best there is."""
    cache: bool = True
    """Whether what was learnt of a video is kept on disk for the next question about it."""
    copies: int = 2
    """How often each key frame is given: 2 where frames are fused two by two (Qwen, GLM), 1 elsewhere."""

    labels: bool = False
    """Whether each frame stands under its time, `[31.0s]`, on the picture itself: for models that take the
    frames of a video to be evenly spread (Qwen2.5-VL)."""

    def __post_init__(self) -> None:
        for name in ("question", "caption", "encoder", "device"):
            value = getattr(self, name)
            if not (isinstance(value, str) or (value is None and name != "encoder")):
                raise OptionsError(f"{name} is {shortened(value)}; give a text")
        for name in ("cache", "labels"):
            if not isinstance(value := getattr(self, name), bool):
                raise OptionsError(f"{name} is {shortened(value)}; give true or false")
        check_whole("copies", self.copies, 1, 2)


def _options(kwargs: Mapping[str, Any]) -> tuple[LoaderOptions, SelectOptions]:
    own, flat = get_type_hints(LoaderOptions), option_fields()
    given = {name: value for name, value in kwargs.items() if name not in _OF_VLLM}
    unknown = [name for name in given if name not in own and name not in flat]
    if unknown:
        known = ", ".join([*own, *flat])
        raise OptionsError(f"the loader {NAME} has no option {shortened(unknown[0])}; it takes {known}")
    loader = LoaderOptions(**{name: value for name, value in given.items() if name in own})
    return loader, SelectOptions(**{name: value for name, value in given.items() if name in flat})


def _selected(data: bytes, loader: LoaderOptions, options: SelectOptions) -> Selection:
    with _lock:
        indexer = _indexer(loader.encoder, loader.device, loader.cache)
    video = Content(data, name="the bytes of the video")
    return indexer.select(video, options, caption=loader.caption, question=loader.question)


@lru_cache(maxsize=_INDEXERS)
def _indexer(encoder: str, device: str | None, cache: bool) -> Indexer:
    """One for each encoder, for all requests of this process."""
    return Indexer(encoder, device=device, store=Store() if cache else None)


def _timed(selection: Selection, loader: LoaderOptions) -> tuple[NDArray[np.uint8], dict[str, Any]]:
    """The key frames as vLLM takes a video; every frame stands there `copies` times."""
    frames = _labelled(selection.frames) if loader.labels else selection.frames
    pictures, metadata = as_video(frames, selection.video.duration_seconds)
    kept = slice(None, None, 2 // loader.copies)
    indices = metadata["frames_indices"][kept]
    return pictures[kept], {
        "total_num_frames": metadata["total_num_frames"],
        "fps": metadata["fps"],
        "duration": metadata["duration"],
        "video_backend": NAME,
        "frames_indices": indices,
        "do_sample_frames": False,
    }


def _labelled(frames: Frames) -> Frames:
    """The frames, each under its time."""
    from keyframe_llm.report.grid import frame_sheet

    labels = [time_label(second) for second in frames.seconds.tolist()]
    shown = [frame_sheet(image[None], [label]) for image, label in zip(frames.images, labels, strict=True)]
    return Frames(np.stack([np.asarray(picture) for picture in shown]), frames.seconds)
