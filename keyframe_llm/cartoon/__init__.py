"""A drawn world and two models trained on it: a first run with no download, no GPU and no network.

The models are a real, tiny CLIP and a real, tiny Qwen2.5-VL. They understand the drawn world alone.
"""

from __future__ import annotations

from pathlib import Path

__all__ = ["DRAWN", "OUTSIDE_WORLD", "encoder_path", "is_drawn", "vlm_path"]

OUTSIDE_WORLD = (
    "the embedded `cartoon` models understand only the drawn world they were trained on; "
    "on other footage their words and scores mean nothing: name a real --model and --encoder"
)
DRAWN = "drawn by keyframe-llm"
"""The comment that `film.write_clip` leaves in a file, so that the models know their own world."""
_WEIGHTS = Path(__file__).parent / "weights"


def encoder_path() -> Path:
    """Folder of the embedded CLIP checkpoint."""
    return _WEIGHTS / "clip"


def vlm_path() -> Path:
    """Folder of the embedded Qwen2.5-VL checkpoint."""
    return _WEIGHTS / "qwen2_5_vl"


def is_drawn(path: str) -> bool:
    """Whether a video file was written by `film.write_clip`. Raises `VideoError`."""
    from keyframe_llm.video.source import open_container

    with open_container(path) as container:
        return bool(container.metadata.get("comment") == DRAWN)
