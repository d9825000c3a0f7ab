"""A drawn world and two models trained on it, for a first run with no download, no GPU and no network.

The models are a real, small CLIP and a real, small Qwen2.5-VL. They understand only the drawn world.
"""

from __future__ import annotations

from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING

from keyframe_llm.errors import user_path

if TYPE_CHECKING:
    from keyframe_llm.video import VideoSource
    from keyframe_llm.video.byte_source import Place

__all__ = ["DRAWN", "OUTSIDE_WORLD", "encoder_path", "is_drawn", "is_embedded", "vlm_path", "world_warnings"]

OUTSIDE_WORLD = (
    "the embedded models (cartoon) understand only the drawn world they were trained on; "
    "on other footage their words and scores mean nothing: name a real --model and --encoder"
)
DRAWN = "drawn by keyframe-llm"
"""The comment in the metadata of every file that `world.video.write_clip` writes."""
_WEIGHTS = Path(__file__).parent / "weights"


def encoder_path() -> Path:
    """Folder of the embedded CLIP checkpoint."""
    return _WEIGHTS / "clip"


def vlm_path() -> Path:
    """Folder of the embedded Qwen2.5-VL checkpoint."""
    return _WEIGHTS / "qwen2_5_vl"


def is_drawn(place: Place) -> bool:
    """Whether a video file was written by `world.video.write_clip`. Raises `VideoError`."""
    from keyframe_llm.video.source import open_container

    with open_container(place) as container:
        return bool(container.metadata.get("comment") == DRAWN)


def world_warnings(video: VideoSource, *models: object) -> tuple[str, ...]:
    """`OUTSIDE_WORLD` where an embedded model is used on a video that is not drawn, else nothing.

    `models` are names or model objects; an object counts by its attribute `name`, and None is no model.
    A text that is no path of a local file, such as a URL, is not drawn; nor is a list of frames, which says
    nothing of where they are from. Raises `VideoError` where the file or the bytes are no video.
    """
    if not any(is_embedded(model) for model in models):
        return ()
    from keyframe_llm.video.byte_source import ByteSource

    if isinstance(video, str):
        place: Place | None = video if _is_file(video) else None
    else:
        place = video if isinstance(video, ByteSource) else None
    return () if place is not None and is_drawn(place) else (OUTSIDE_WORLD,)


def is_embedded(model: object, *folders: Path) -> bool:
    """Whether a model, by its name or as an object with a `name`, is one of the two embedded ones.

    `folders` are the embedded models that are meant, where only one of them is.
    """
    name = model if isinstance(model, (str, PathLike)) else getattr(model, "name", None)
    if not isinstance(name, (str, PathLike)) or "://" in str(name):
        return False
    meant = [folder.resolve() for folder in folders or (encoder_path(), vlm_path())]
    return name == "cartoon" or user_path("model", name).resolve() in meant


def _is_file(path: str) -> bool:
    try:
        return Path(path).is_file()
    except (OSError, ValueError):  # too long for a path, or with a character that no path has
        return False
