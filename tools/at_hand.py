"""Whether a model is on this machine, and what its name says, without loading it and without the network."""

from __future__ import annotations

import re
from pathlib import Path

from keyframe_llm.cartoon import is_embedded
from keyframe_llm.encoders import FOLDER_PREFIX, HUB_PREFIX, ONNX_PREFIX, SENTENCE_PREFIX, encoder_source

__all__ = ["is_at_hand", "kept_picture_side"]

_USUAL_SIDE = 384


def is_at_hand(model: object) -> bool:
    """Whether a model, as for `load_vlm` or `load_encoder`, can be used without a download.

    Objects are, and so are servers: what they lack shows when they are asked.
    """
    if not isinstance(model, str) or is_embedded(model) or model.startswith(("http://", "https://")):
        return True
    from keyframe_llm.hub import cached_folder, has_weights

    name = encoder_source(model)
    for prefix in (FOLDER_PREFIX, HUB_PREFIX, ONNX_PREFIX, SENTENCE_PREFIX):
        name = name.removeprefix(prefix)
    local = Path(name).expanduser()
    cached = None if local.is_dir() else cached_folder(name, "config.json")
    cached = cached or (None if local.is_dir() else cached_folder(name, "open_clip_config.json"))
    return has_weights(cached or local)


def kept_picture_side(encoder: object) -> int | None:
    """The shorter side of the pictures to keep for an encoder that is not here yet; None for one that is.

    Many names end with it, as in `patch16-224`. Without one it is 384 pixels, as much as most encoders read.
    """
    if is_at_hand(encoder):
        return None
    named = re.findall(r"(?<=-)[2-9]\d\d(?=-|$)", encoder_source(str(encoder)))
    return int(named[-1]) if named else _USUAL_SIDE
