"""The text baseline: the mean of the neutral texts that the encoder knows."""

from __future__ import annotations

import numpy as np

from keyframe_llm.prompts import default_prompts
from keyframe_llm.scoring.baseline import text_baseline


def test_the_neutral_texts_are_many_and_all_different() -> None:
    texts = default_prompts().lines("neutral")
    assert len(set(texts)) == len(texts) >= 50


def test_unknown_texts_are_left_out_of_the_mean() -> None:
    rows = np.zeros((10, 20), np.float32)
    rows[np.arange(4), np.arange(4)] = 7.0
    mean = text_baseline(rows)
    np.testing.assert_allclose(mean[:4], 0.25)
    assert not mean[4:].any()


def test_every_text_counts_alike_whatever_the_length_of_its_row() -> None:
    np.testing.assert_allclose(text_baseline([[9.0, 0.0], [0.0, 0.1]]), [0.5, 0.5])


def test_an_encoder_that_knows_none_compares_with_nothing() -> None:
    mean = text_baseline(np.zeros((3, 20)))
    assert mean.shape == (20,) and not mean.any()
