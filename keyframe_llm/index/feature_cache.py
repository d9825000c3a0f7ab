"""What earlier runs left on disk of videos, encoders and captions, under keys of all they were made of."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from keyframe_llm.index.store import Store, content_digest, make_key, model_identity
from keyframe_llm.version import __version__
from keyframe_llm.video import VideoSource

__all__ = ["FeatureCache"]


_MOST_PICTURE_BYTES = 48 << 20  # of one video


class FeatureCache:
    """Indexes, embeddings, neutral texts and captions in a store; without one it keeps and finds nothing."""

    def __init__(self, store: Store | None) -> None:
        self._store = store

    @property
    def warnings(self) -> tuple[str, ...]:
        """One line where nothing could be written."""
        return (self._store.problem,) if self._store and self._store.problem else ()

    def key(self, kind: str, video: VideoSource, *made_of: object) -> str | None:
        """The key of what is made of a video's content, this version, and objects compared by their `repr`.

        None where nothing is kept, or nothing tells the content from another.
        """
        content = None if self._store is None else content_digest(video, self._store)
        return None if content is None else make_key(kind, content, __version__, *made_of)

    def arrays(self, key: str | None) -> dict[str, Any] | None:
        """Arrays and texts that were kept under this key."""
        return None if self._store is None or key is None else self._store.get(key)

    def keep_arrays(self, key: str | None, values: Mapping[str, Any]) -> None:
        """Keep arrays and texts."""
        if self._store is not None and key is not None:
            self._store.put(key, values)

    def embeddings(
        self, index_key: str | None, encoder: object, indices: NDArray[np.intp]
    ) -> NDArray[np.float32] | None:
        """(K, D) of these K samples of an index; None too for an encoder without an identity."""
        values = self.arrays(_embeddings_key(index_key, encoder, indices))
        return None if values is None else np.asarray(values["rows"], np.float32)

    def keep_embeddings(
        self, index_key: str | None, encoder: object, indices: NDArray[np.intp], rows: NDArray[Any]
    ) -> None:
        """Keep embeddings, where the encoder has an identity."""
        self.keep_arrays(_embeddings_key(index_key, encoder, indices), {"rows": rows})

    def pictures(self, key: str | None) -> tuple[bytes, ...] | None:
        """The JPEG pictures of all samples that were kept under this key; those left out are empty."""
        values = self.arrays(key)
        if values is None:
            return None
        joined, ends = values["pictures"].tobytes(), values["ends"].tolist()
        return tuple(joined[begin:end] for begin, end in zip([0, *ends[:-1]], ends, strict=True))

    def keep_pictures(self, key: str | None, pictures: Sequence[bytes], candidates: NDArray[np.intp]) -> None:
        """Keep the JPEG pictures of all samples; where they are too many, those of the candidates alone."""
        if self._store is None or key is None:
            return
        if sum(map(len, pictures)) > _MOST_PICTURE_BYTES:
            few = set(candidates.tolist())
            pictures = [picture if i in few else b"" for i, picture in enumerate(pictures)]
        ends = np.cumsum([len(picture) for picture in pictures])
        joined = np.frombuffer(b"".join(pictures), np.uint8)
        self._store.put(key, {"pictures": joined, "ends": ends}, compress=False)

    def neutral(self, encoder: object, texts: Sequence[str]) -> NDArray[np.float32] | None:
        """(M, D) the embeddings of these neutral texts; None too for an encoder without an identity."""
        values = self.arrays(self._neutral_key(encoder, texts))
        return None if values is None else np.asarray(values["rows"], np.float32)

    def keep_neutral(self, encoder: object, texts: Sequence[str], rows: NDArray[np.float32]) -> None:
        """Keep the embeddings of neutral texts, where the encoder has an identity."""
        self.keep_arrays(self._neutral_key(encoder, texts), {"rows": rows})

    def text(self, key: str | None) -> str | None:
        """A text that was kept under this key."""
        values = self.arrays(key)
        return None if values is None else str(values["text"])

    def keep_text(self, key: str | None, text: str) -> None:
        """Keep a text."""
        self.keep_arrays(key, {"text": text})

    def _neutral_key(self, encoder: object, texts: Sequence[str]) -> str | None:
        identity = None if self._store is None else model_identity(encoder)
        return None if identity is None else make_key("neutral", identity, list(texts))


def _embeddings_key(index_key: str | None, encoder: object, indices: NDArray[np.intp]) -> str | None:
    identity = None if index_key is None else model_identity(encoder)
    return None if identity is None else make_key("embeddings", index_key, identity, indices.tolist())
