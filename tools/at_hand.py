"""Whether a model is on this machine, without loading it and without the network."""

from __future__ import annotations

from pathlib import Path

from keyframe_llm.cartoon import is_embedded
from keyframe_llm.encoders.openclip import FOLDER_PREFIX, HUB_PREFIX

__all__ = ["is_at_hand"]


def is_at_hand(model: object) -> bool:
    """Whether a model, as for `load_vlm` or `load_encoder`, can be used without a download.

    Objects are, and so are servers: what they lack shows when they are asked.
    """
    if not isinstance(model, str) or is_embedded(model) or model.startswith(("http://", "https://")):
        return True
    from keyframe_llm.hub import cached_folder, has_weights

    name = model.removeprefix(FOLDER_PREFIX).removeprefix(HUB_PREFIX)
    local = Path(name).expanduser()
    cached = None if local.is_dir() else cached_folder(name, "config.json")
    cached = cached or (None if local.is_dir() else cached_folder(name, "open_clip_config.json"))
    return has_weights(cached or local)
