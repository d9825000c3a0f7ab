"""The text baseline: what any text has in common with a frame, so that it can be taken off.

Image-text encoders have hubs: pictures close to all texts, whatever these say. Among the frames of one video
they win again and again, and the moment that the text means comes second. So every text is compared with
neutral ones (`prompts/neutral.txt`): what counts is how much better than those it fits.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from keyframe_llm.arrays import unit_rows

__all__ = ["text_baseline"]


def text_baseline(neutral_rows: ArrayLike) -> NDArray[np.float64]:
    """(D,) the mean of the neutral texts' embeddings (M, D), each scaled to length 1.

    Texts that the encoder knows no word of (all-zero rows) are left out. All zeros where it knows none: then
    a text is compared with nothing.
    """
    rows = np.asarray(neutral_rows, np.float64)
    known = np.linalg.norm(rows, axis=1) > 0
    if not known.any():
        return np.zeros(rows.shape[1])
    return np.asarray(unit_rows(rows[known]).mean(axis=0))
