"""What any text has in common with a frame, so that it can be taken off: some frames fit every text.

Image-text encoders have hubs: pictures close to all texts, whatever these say. Among the frames of one
video they win again and again, and the moment that was asked for comes second. So a text is compared with
plain ones (`prompts/plain.txt`): what counts is how much better than those it fits.
"""

from __future__ import annotations

from functools import cache
from importlib import resources

import numpy as np
from numpy.typing import NDArray

from keyframe_llm.encoders import Encoder

__all__ = ["plain_embedding", "plain_texts"]


@cache
def plain_texts() -> tuple[str, ...]:
    """Short texts about everything and nothing, in a fixed order."""
    lines = (resources.files("keyframe_llm.prompts") / "plain.txt").read_text(encoding="utf-8").splitlines()
    return tuple(line.strip() for line in lines if line.strip())


def plain_embedding(encoder: Encoder) -> NDArray[np.float64]:
    """(D,) the mean of the plain texts' embeddings, each of length 1; those it knows no word of are left out.

    All zeros where it knows none: then a text is compared with nothing.
    """
    rows = np.asarray(encoder.embed_texts(list(plain_texts())), np.float64)
    length = np.linalg.norm(rows, axis=1)
    known = length > 0
    if not known.any():
        return np.zeros(rows.shape[1])
    return np.asarray((rows[known] / length[known, None]).mean(axis=0))
