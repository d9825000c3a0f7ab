"""Coarse to fine: few candidates for every text, more beside those that a text fits, each embedded once."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from keyframe_llm import SelectOptions, VideoIndex, index_video
from keyframe_llm.evaluation.dense import EmbeddedText, dense_index
from keyframe_llm.evaluation.selectors import proposed, row_of
from keyframe_llm.index import Indexer
from keyframe_llm.index.store import Store
from keyframe_llm.options import ProposeOptions
from support.encoders import ColourEncoder, KnownColours

COARSE = {"candidates": "coarse", "max_images": 32}


def calm_video(event: slice, *, samples: int = 240) -> VideoIndex:
    """Two minutes of one place, colours alike throughout; what happens in `event` only an encoder sees."""
    rows = np.tile([1.0, 0.0, 0.05], (samples, 1))
    rows[event] = [0.3, 1.0, 0.0]
    return dense_index(rows, 0.5 * np.arange(samples), np.ones((samples, 4)) / 2)


def test_a_calm_video_is_covered_by_a_third_of_the_pictures_or_fewer() -> None:
    index = proposed(calm_video(slice(100, 112)), ProposeOptions(candidates="coarse", max_images=128))
    assert index.reserve is not None
    assert len(index.candidates) == 38 and len(index.reserve) == 90
    assert np.diff(index.candidates.seconds).max() <= 8


def test_a_video_of_many_cuts_is_covered_by_more() -> None:
    cuts = np.eye(40)[np.repeat(np.arange(40), 6)]
    index = dense_index(cuts, 0.5 * np.arange(240), cuts)
    found = proposed(index, ProposeOptions(candidates="coarse", max_images=128)).candidates
    assert len(found) > 64
    assert set(found.indices // 6) == set(range(40))


def test_a_text_finds_more_of_the_event_than_the_frames_that_cover_the_video() -> None:
    event = slice(100, 112)
    index = calm_video(event)
    row = row_of(SelectOptions(candidates="coarse", max_images=128), "question")
    found = row(index, EmbeddedText.of([0.0, 1.0, 0.0]), 3, 0)
    assert np.sum((found >= event.start) & (found < event.stop)) >= 2


def test_a_text_embeds_frames_beside_its_best_ones_once_for_all_texts(flags: Path) -> None:
    encoder = KnownColours()
    index = index_video(flags, encoder=encoder, cache=False, **COARSE)
    covering = encoder.images_seen
    first = index.select(caption="blue")
    more = encoder.images_seen - covering
    assert 8 <= covering < 32 and 0 < more <= 32 - covering
    again = index.select(caption="blue")
    assert encoder.images_seen == covering + more
    assert np.array_equal(again.seconds, first.seconds)
    index.select(caption="red")
    assert encoder.images_seen <= 32


def test_the_same_text_has_the_same_frames_whatever_was_asked_before(flags: Path) -> None:
    options = SelectOptions(**COARSE)
    fresh, used = Indexer(ColourEncoder()), Indexer(ColourEncoder())
    for text in ("red", "green", "yellow"):
        used.select(flags, options, caption=text)
    expected, found = (
        fresh.select(flags, options, caption="blue"),
        used.select(flags, options, caption="blue"),
    )
    assert np.array_equal(found.seconds, expected.seconds)
    np.testing.assert_allclose(found.scores.total, expected.scores.total, atol=1e-6)


def test_what_a_text_had_embedded_is_found_on_disk(flags: Path, tmp_path: Path) -> None:
    options, one, two = SelectOptions(**COARSE), KnownColours(), KnownColours()
    first = Indexer(one, store=Store(tmp_path)).select(flags, options, caption="blue")
    again = Indexer(two, store=Store(tmp_path)).select(flags, options, caption="blue")
    assert one.images_seen > 0 and two.images_seen == 0
    assert np.array_equal(first.seconds, again.seconds)
    Indexer(two, store=Store(tmp_path)).select(flags, options, caption="red")
    assert two.images_seen <= 32 - one.images_seen


@pytest.mark.parametrize("count", [1, 2, 7])
def test_a_short_video_has_all_its_frames_as_candidates(count: int) -> None:
    index = dense_index(np.eye(count), np.arange(count) * 1.0, np.eye(count))
    found = proposed(index, ProposeOptions(candidates="coarse"))
    assert found.reserve is None and len(found.candidates) == count
