"""Candidates added to an index: at their true times, embedded like the others, and nothing else moved."""

from __future__ import annotations

import numpy as np
import pytest

from keyframe_llm.errors import OptionsError
from keyframe_llm.index.added_frames import with_frames
from keyframe_llm.index.embedder import Embedder
from keyframe_llm.index.video_index import build_index
from keyframe_llm.jpeg import decode_jpeg
from keyframe_llm.options import SelectOptions
from keyframe_llm.video import open_video
from support.encoders import ColourEncoder
from support.videos import flag_at, flag_of, flags


@pytest.fixture(scope="module")
def video(tmp_path_factory):
    return flags(tmp_path_factory.mktemp("flags") / "v.mp4")


@pytest.fixture(scope="module")
def index(video):
    """Five candidates, so that most times have none."""
    with open_video(video) as decoder:
        return build_index(decoder, SelectOptions(candidates="even", max_images=5), Embedder(ColourEncoder()))


def added(index, video, *seconds):
    with open_video(video) as decoder:
        return with_frames(index, decoder, seconds)


def test_a_frame_joins_the_candidates_at_its_own_time_with_its_own_picture(index, video):
    more = added(index, video, 15.1, 3.33, 15.1)
    new = sorted(set(more.candidates.seconds) - set(index.candidates.seconds))
    assert new == pytest.approx([3.2, 15.0])
    assert set(index.candidates.seconds) < set(more.candidates.seconds)
    for second, picture in zip(more.candidates.seconds, more.pictures, strict=True):
        assert flag_of(decode_jpeg(picture)) == flag_at(second)
    assert set(index.proposals.seconds) == set(more.proposals.seconds)


def test_an_embedded_index_embeds_what_joins_it(index, video):
    rows = index.embed(index.embedder)
    more = added(rows, video, 3.33, 15.1)
    assert len(more.embeddings) == len(more.candidates)
    colours = ColourEncoder().embed_texts(["red", "blue", "green"])
    best = (more.unit_embeddings @ np.asarray(colours, np.float64).T).argmax(axis=1)
    assert [("red", "blue", "green")[i] for i in best] == [flag_at(s) for s in more.candidates.seconds]


def test_the_clusters_keep_their_samples(index, video):
    more = added(index, video, 15.1)
    for before, after in ((index.proposals, more.proposals), (index.candidates, more.candidates)):
        known = np.isin(after.sampled_seconds, before.sampled_seconds)
        assert known.sum() == len(before.sampled_seconds)
        if before is index.proposals:
            assert np.array_equal(after.labels[known], before.labels)


def test_a_candidate_that_is_there_and_no_time_at_all_change_nothing(index, video):
    assert added(index, video, float(index.candidates.seconds[2])) is index
    assert added(index, video) is index


def test_an_embedded_index_without_an_encoder_cannot_grow(index, video):
    import dataclasses

    lone = dataclasses.replace(index.embed(index.embedder), embedder=None)
    with pytest.raises(OptionsError, match="no encoder"):
        added(lone, video, 15.1)
