"""Coarse to fine: few candidates for every text, more of the parts that a text fits, each embedded once."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from keyframe_llm import SelectOptions, VideoIndex, index_video, select_keyframes
from keyframe_llm.evaluation.dense import EmbeddedText, dense_index
from keyframe_llm.evaluation.selectors import proposed, row_of
from keyframe_llm.index import Indexer
from keyframe_llm.index.store import Store
from keyframe_llm.options import ProposeOptions
from keyframe_llm.proposals.coarse import FEW_IMAGES
from support.encoders import ColourEncoder, KnownColours


def calm_video(event: slice, *, samples: int = 240) -> VideoIndex:
    """Two minutes of one place, colours alike throughout; what happens in `event` only an encoder sees."""
    rows = np.tile([1.0, 0.0, 0.05], (samples, 1))
    rows[event] = [0.3, 1.0, 0.0]
    return dense_index(rows, 0.5 * np.arange(samples), np.ones((samples, 4)) / 2)


def test_a_calm_video_is_covered_by_an_eighth_of_the_pictures_evenly() -> None:
    index = proposed(calm_video(slice(100, 112)), ProposeOptions(candidates="coarse", max_images=128))
    assert index.reserve is not None
    assert len(index.candidates) == 16 and len(index.reserve) == 112
    assert np.diff(index.candidates.seconds).max() <= 15


def test_every_shot_of_other_colours_is_covered_and_one_that_comes_again_is_so_already() -> None:
    shots = np.eye(40)[np.repeat(np.arange(40), 6)]
    for places, rows in ((40, shots), (20, np.concatenate([shots[:120], shots[:120]]))):
        index = dense_index(rows, 0.5 * np.arange(240), rows)
        found = proposed(index, ProposeOptions(candidates="coarse", max_images=128)).candidates
        assert len(found) == places and len(np.unique(rows[found.indices].argmax(axis=1))) == places


def test_a_text_finds_more_of_the_event_than_the_frames_that_cover_the_video() -> None:
    event = slice(100, 112)
    index = calm_video(event)
    row = row_of(SelectOptions(candidates="coarse", max_images=128), "question")
    found = row(index, EmbeddedText.of([0.0, 1.0, 0.0]), 3, 0)
    assert np.sum((found >= event.start) & (found < event.stop)) >= 2


def test_a_text_embeds_frames_where_it_fits_once_for_all_texts(flags: Path) -> None:
    encoder, indexer = KnownColours(), Indexer(one := KnownColours())
    every = len(index_video(flags, encoder=encoder, cache=False).candidates)
    first = indexer.select(flags, SelectOptions(), caption="blue")
    seen = one.images_seen
    assert FEW_IMAGES < every == encoder.images_seen <= 128 and seen == len(first.proposals) < every
    again = indexer.select(flags, SelectOptions(), caption="blue")
    assert one.images_seen == seen and np.array_equal(again.seconds, first.seconds)
    for text in ("red", "green", "yellow", "cyan", "white"):
        indexer.select(flags, SelectOptions(), caption=text)
    assert seen < one.images_seen <= every


def test_frames_already_seen_leave_those_that_wait_for_a_text(flags: Path) -> None:
    options = SelectOptions(max_frames=2, min_gap_seconds=0.5)
    indexer, seen = Indexer(ColourEncoder()), list[float]()
    for _ in range(12):
        found = indexer.select(flags, options.replaced(exclude_seconds=tuple(seen)), caption="blue")
        assert len(found.proposals.sampled_seconds) == 60, "sampled again, though frames were left"
        assert not set(seen) & set(found.seconds.tolist())
        seen += found.seconds.tolist()


def test_an_index_made_ahead_has_all_candidates_and_its_texts_embed_nothing(flags: Path) -> None:
    encoder = KnownColours()
    index = index_video(flags, encoder=encoder)
    seen = encoder.images_seen
    index.select(caption="blue")
    select_keyframes(flags, caption="red", encoder=encoder)
    assert index.reserve is None and encoder.images_seen == seen == len(index.candidates)


def test_the_same_text_has_the_same_frames_whatever_was_asked_before(flags: Path) -> None:
    options = SelectOptions()
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
    options, one, two = SelectOptions(), KnownColours(), KnownColours()
    first = Indexer(one, store=Store(tmp_path)).select(flags, options, caption="blue")
    again = Indexer(two, store=Store(tmp_path)).select(flags, options, caption="blue")
    assert one.images_seen > 0 and two.images_seen == 0
    assert np.array_equal(first.seconds, again.seconds)
    Indexer(two, store=Store(tmp_path)).select(flags, options, caption="red")
    assert two.images_seen <= 60 - one.images_seen


@pytest.mark.parametrize("count", [1, 2, 7])
def test_a_short_video_has_all_its_frames_as_candidates(count: int) -> None:
    index = dense_index(np.eye(count), np.arange(count) * 1.0, np.eye(count))
    found = proposed(index, ProposeOptions(candidates="coarse"))
    assert found.reserve is None and len(found.candidates) == count
