"""A `VideoIndex` as plain arrays and texts for the disk, and back."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

import numpy as np

from keyframe_llm.data import Proposals, VideoInfo
from keyframe_llm.index.embedder import Embedder
from keyframe_llm.index.reserve import Reserve
from keyframe_llm.index.video_index import VideoIndex
from keyframe_llm.options import SelectOptions

__all__ = ["from_arrays", "to_arrays"]


def to_arrays(index: VideoIndex) -> dict[str, Any]:
    """Arrays and one JSON text; without pictures, embeddings, encoder and options."""
    facts = {
        "video": asdict(index.video),
        "span_seconds": index.span_seconds,
        "plan": index.plan,
        "silhouettes": {int(k): float(value) for k, value in index.proposals.silhouettes.items()},
        "warnings": list(index.warnings),
    }
    arrays = {"seconds": index.seconds, "histograms": index.histograms}
    for name, found in (("proposals", index.proposals), ("candidates", index.candidates)):
        arrays |= {f"{name}_labels": found.labels, f"{name}_indices": found.indices}
    if index.reserve is not None:
        arrays["reserve_seconds"] = index.reserve.seconds
    if index.sharpness is not None:
        arrays["sharpness"] = index.sharpness
    return {**arrays, "facts": json.dumps(facts)}


def from_arrays(
    values: Mapping[str, Any], path: str, options: SelectOptions, embedder: Embedder | None = None
) -> VideoIndex:
    """The index that `to_arrays` packed; `path` is where the video lies now."""
    facts = json.loads(values["facts"])
    seconds = values["seconds"]
    silhouettes = {int(k): value for k, value in facts["silhouettes"].items()}
    proposals, candidates = (
        Proposals(seconds, values[f"{name}_labels"], values[f"{name}_indices"], silhouettes)
        for name in ("proposals", "candidates")
    )
    return VideoIndex(
        video=VideoInfo(**{**facts["video"], "path": path}),
        seconds=seconds,
        histograms=np.asarray(values["histograms"], np.float32),
        proposals=proposals,
        candidates=candidates,
        reserve=Reserve(values["reserve_seconds"]) if "reserve_seconds" in values else None,
        sharpness=values.get("sharpness"),
        span_seconds=facts["span_seconds"],
        options=options,
        embedder=embedder,
        plan=facts["plan"],
        warnings=tuple(text.replace(facts["video"]["path"], path) for text in facts["warnings"]),
    )
