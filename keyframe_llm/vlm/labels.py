"""Labels whose likelihoods a model is asked for: checked, as tokens, and their sums as they are wanted."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import get_args

import numpy as np
from numpy.typing import NDArray

from keyframe_llm.errors import OptionsError
from keyframe_llm.vlm.protocol import Normalise

__all__ = ["label_tokens", "normalised"]


def label_tokens(
    labels: Sequence[str], normalise: Normalise, tokenize: Callable[[str], list[int]]
) -> list[list[int]]:
    """The tokens of each label; raises `OptionsError` on no labels, an empty one, or a wrong `normalise`."""
    if normalise not in get_args(Normalise):
        raise OptionsError(f"normalise is {normalise!r}; choose one of sum, mean")
    tokens = [tokenize(label) for label in labels]
    if not tokens or not all(tokens):
        raise OptionsError(f"labels are {list(labels)!r}; give at least one, and none empty")
    return tokens


def normalised(
    sums: NDArray[np.float64], tokens: Sequence[Sequence[int]], normalise: Normalise
) -> NDArray[np.float64]:
    """(L,) the sums over each label's tokens, or their means."""
    return sums / [len(ids) for ids in tokens] if normalise == "mean" else sums
