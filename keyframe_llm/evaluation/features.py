"""Real CLIP features, frame by frame, without their pictures: is a moment of a short video found?"""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from keyframe_llm.arrays import unit_rows
from keyframe_llm.errors import OptionsError
from keyframe_llm.evaluation.dense import EmbeddedText, dense_index
from keyframe_llm.evaluation.metrics import hit_at_k
from keyframe_llm.evaluation.results import Table
from keyframe_llm.evaluation.selectors import ROWS, choose
from keyframe_llm.index import VideoIndex

__all__ = ["features_index", "measure_features"]

_WINDOW_SECONDS = 1.0
_STEP_SECONDS = 0.5


def features_index(path: Path) -> tuple[VideoIndex, NDArray[np.float64]]:
    """The index of an .npz with one (N, D) and one (N,) array, split: frames to choose from, and the rest.

    The second value is (N, 1 + D): seconds and features of the frames held back, which queries are made of.
    """
    with np.load(path) as data:
        rows = next((data[key] for key in data if data[key].ndim == 2), None)
        seconds = next((data[key] for key in data if data[key].ndim == 1), None)
    if rows is None or seconds is None or len(rows) != len(seconds):
        raise OptionsError(f"{path} must hold features (N, D) and seconds (N,)")
    unit = unit_rows(rows.astype(np.float64))
    if seconds.max() > 1000:  # some extractors write milliseconds
        seconds = seconds / 1000
    shown, held = slice(0, None, 2), slice(1, None, 2)
    # The pictures are not there: the features stand in for colours, their spread kept.
    index = dense_index(unit[shown], seconds[shown], unit[shown], np.ones(len(unit[shown])))
    return index, np.column_stack([seconds[held], unit[held]])


def measure_features(folder: Path) -> list[Table]:
    """hit@3 for moments of one second, described by the mean feature of frames that cannot be chosen."""
    files = sorted(folder.glob("*.npz"))
    if not files:
        raise OptionsError(f"{folder} holds no .npz of features; put embeddings there or leave this part out")
    table = Table(
        "Real CLIP features",
        "hit@3",
        "One short video; a moment of 1 s is described by the mean feature of every second frame in it, "
        "which the selectors do not see. A picture is a clearer query than a text: guided rows come near 1.",
    )
    for path in files:
        index, held = features_index(path)
        for start in np.arange(index.seconds[0], index.seconds[-1] - _WINDOW_SECONDS, _STEP_SECONDS):
            moment = (float(start), float(start + _WINDOW_SECONDS))
            inside = (held[:, 0] >= moment[0]) & (held[:, 0] <= moment[1])
            text = EmbeddedText.of(held[inside, 1:].mean(axis=0))
            for name in ROWS:
                found = index.seconds[choose(name, index, text, k=3, seed=int(start * 10))]
                hit = hit_at_k([found], [[moment]], 3)[0]
                # Moments overlap: groups of 2 s keep the interval honest.
                row = table.row(name, 3)
                row.add(f"{path.stem} {start:.1f}s", f"{path.stem} {int(start // 2)}", hit, found)
    return [table]
