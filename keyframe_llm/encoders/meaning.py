"""Encoders of sentences, which compare a text with the words of a video by meaning."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from keyframe_llm.encoders.base import placement
from keyframe_llm.errors import ModelError
from keyframe_llm.hub import load_local_first

__all__ = ["MeaningEncoder", "load_meaning_encoder"]

_WAYS_OUT = "give a local folder or the hub id of a text model of sentence-transformers"
_CONFIG = "modules.json"


class MeaningEncoder:
    """A model of sentence-transformers that places texts in a space where nearness is likeness of meaning."""

    def __init__(self, name: str) -> None:
        """Load a local folder or hub id, the local cache first; no code of a repository is run.

        Raises `ModelError` where sentence-transformers is not installed or the model cannot be had.
        """
        try:
            import sentence_transformers  # noqa: F401  # before anything is looked for on the hub
        except ImportError as error:
            raise ModelError(
                f"{name!r} needs sentence-transformers: `pip install keyframe-llm[sentence]`"
            ) from error
        self.name = name
        place = str(placement(None, None)[0])
        self._model = load_local_first(
            name, lambda found, local: _load(found, place, local), ways_out=_WAYS_OUT, config_file=_CONFIG
        )

    def embed_texts(self, texts: Sequence[str], /) -> NDArray[np.float32]:
        """Embed N texts; return (N, D) unit rows."""
        rows = self._model.encode(list(texts), normalize_embeddings=True, show_progress_bar=False)
        return np.asarray(rows, np.float32)


def load_meaning_encoder(name: str | object | None) -> Any:
    """The encoder of that name, loaded once a process; an object, or None, is passed through.

    Raises `ModelError` where the model cannot be had.
    """
    return _loaded(name) if isinstance(name, str) else name


@lru_cache(maxsize=2)
def _loaded(name: str) -> MeaningEncoder:
    return MeaningEncoder(name)


def _load(source: str, device: str, local: bool) -> Any:
    from sentence_transformers import SentenceTransformer

    return SentenceTransformer(source, device=device, local_files_only=local).eval()
