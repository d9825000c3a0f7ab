"""What one look at a video found, as plain arrays and texts for the store, and back."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

import numpy as np
from numpy.typing import NDArray

from keyframe_llm.data import Proposals, VideoInfo
from keyframe_llm.index.store import Store, content_digest, make_key, model_identity
from keyframe_llm.proposals.sample import Sampled

__all__ = ["Look", "Recall"]

Look = tuple[VideoInfo, Sampled, Proposals, tuple[str, ...]]
"""What was learnt of a video without any text."""


class Recall:
    """Looks, embeddings and captions that earlier runs left in a store; with none, it knows nothing."""

    def __init__(self, store: Store | None) -> None:
        self._store = store

    @property
    def problem(self) -> tuple[str, ...]:
        """A warning where nothing could be written."""
        return (self._store.problem,) if self._store and self._store.problem else ()

    def key(self, kind: str, path: str, *parts: object) -> str | None:
        """The key of something worked out of a video; None where nothing is kept."""
        from keyframe_llm import __version__

        if self._store is None:
            return None
        return make_key(kind, content_digest(path, self._store), __version__, *parts)

    def look(self, key: str | None, path: str) -> Look | None:
        """What an earlier look found; `path` is where the video lies now."""
        values = self._get(key)
        return None if values is None else _unpacked(values, path)

    def keep_look(self, key: str | None, look: Look) -> None:
        """Keep what a look found; its pictures are not kept."""
        self._put(key, _packed(*look))

    def embeddings(
        self, key: str | None, encoder: object, indices: NDArray[np.intp]
    ) -> NDArray[np.float32] | None:
        """(K, D) the embeddings of these K samples of a look; None too for an encoder without a name."""
        values = self._get(_embedded_key(key, encoder, indices))
        return None if values is None else np.asarray(values["rows"], np.float32)

    def keep_embeddings(
        self, key: str | None, encoder: object, indices: NDArray[np.intp], rows: NDArray[np.float32]
    ) -> None:
        """Keep embeddings, where the encoder has a name to know it by."""
        self._put(_embedded_key(key, encoder, indices), {"rows": rows})

    def plain(self, encoder: object, texts: Sequence[str]) -> NDArray[np.float64] | None:
        """(D,) what the plain texts have in common to this encoder; None too for one without a name."""
        values = self._get(self._plain_key(encoder, texts))
        return None if values is None else np.asarray(values["mean"], np.float64)

    def keep_plain(self, encoder: object, texts: Sequence[str], mean: NDArray[np.float64]) -> None:
        """Keep it, where the encoder has a name to know it by."""
        self._put(self._plain_key(encoder, texts), {"mean": mean})

    def _plain_key(self, encoder: object, texts: Sequence[str]) -> str | None:
        identity = None if self._store is None else model_identity(encoder)
        return None if identity is None else make_key("plain", identity, list(texts))

    def text(self, key: str | None) -> str | None:
        """A text kept under this key."""
        values = self._get(key)
        return None if values is None else str(values["text"])

    def keep_text(self, key: str | None, text: str) -> None:
        """Keep a text."""
        self._put(key, {"text": text})

    def _get(self, key: str | None) -> dict[str, Any] | None:
        return None if self._store is None or key is None else self._store.get(key)

    def _put(self, key: str | None, values: Mapping[str, Any]) -> None:
        if self._store is not None and key is not None:
            self._store.put(key, values)


def _embedded_key(key: str | None, encoder: object, indices: NDArray[np.intp]) -> str | None:
    identity = None if key is None else model_identity(encoder)
    return None if identity is None else make_key("embedded", key, identity, indices.tolist())


def _packed(
    info: VideoInfo, sampled: Sampled, proposals: Proposals, warnings: tuple[str, ...]
) -> dict[str, Any]:
    told = {
        "info": asdict(info),
        "span_seconds": sampled.span_seconds,
        "plan": sampled.plan,
        "silhouettes": {int(k): float(value) for k, value in proposals.silhouettes.items()},
        "warnings": list(warnings),
    }
    arrays = {"seconds": sampled.seconds, "histograms": sampled.histograms}
    return {**arrays, "labels": proposals.labels, "indices": proposals.indices, "told": json.dumps(told)}


def _unpacked(values: Mapping[str, Any], path: str) -> Look:
    told = json.loads(values["told"])
    sampled = Sampled(
        seconds=values["seconds"],
        histograms=values["histograms"],
        pictures=(),
        span_seconds=told["span_seconds"],
        decode_seconds=0.0,
        plan=told["plan"],
    )
    silhouettes = {int(k): value for k, value in told["silhouettes"].items()}
    proposals = Proposals(sampled.seconds, values["labels"], values["indices"], silhouettes)
    warnings = tuple(text.replace(told["info"]["path"], path) for text in told["warnings"])
    return VideoInfo(**{**told["info"], "path": path}), sampled, proposals, warnings
