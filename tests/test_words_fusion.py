"""Pictures and words choose together: either can win, and neither drowns the other."""

from __future__ import annotations

import numpy as np
import pytest

from keyframe_llm.errors import OptionsError
from keyframe_llm.scoring.fusion import fuse, missing_seconds, word_evidence
from keyframe_llm.words import Cue

SECONDS = np.arange(0, 60, 0.5)
PICTURES = [10, 50, 90]
"""Frames that the pictures chose, at 5, 25 and 45 s."""
TOTAL = np.full(len(SECONDS), 0.2)
TOTAL[PICTURES] = 1.0, 0.7, 0.9
CUES = [Cue(12.0, 14.0, "one"), Cue(33.0, 36.0, "two"), Cue(50.0, 53.0, "three")]


def fused(match, *, chosen=PICTURES, cues=CUES, total=TOTAL, seconds=SECONDS, max_frames=3, **options):
    return fuse(chosen, total, seconds, cues, match, max_frames=max_frames, **options)


def test_without_a_match_the_choice_of_the_pictures_stands():
    for match in ([0, 0, 0], [0.2, 0.3, 0.34]):
        assert fused(match).chosen.tolist() == PICTURES
        assert fused(match, asks_for_words=True).chosen.tolist() == PICTURES
    assert fused([], cues=[]).chosen.tolist() == PICTURES


def test_a_match_takes_the_place_of_the_worst_picture():
    found = fused([0, 0.9, 0])
    assert found.chosen.tolist() == [10, 69, 90]
    assert 33 <= SECONDS[69] <= 36
    assert [(one.cue, one.score, one.candidate) for one in found.matches] == [(1, 0.9, 69)]


def test_words_get_one_of_three_frames_and_two_where_they_are_asked_for():
    assert len(set(fused([0.9, 0.9, 0.9]).chosen) & set(PICTURES)) == 2
    found = fused([0.9, 0.9, 0.9], asks_for_words=True)
    assert len(set(found.chosen) & set(PICTURES)) == 1
    assert 10 in found.chosen


def test_the_only_frame_is_the_words_where_they_are_asked_for_or_certain():
    one = {"chosen": [10], "max_frames": 1}
    assert fused([0, 0.6, 0], **one).chosen.tolist() == [10]
    assert fused([0, 0.6, 0], asks_for_words=True, **one).chosen.tolist() == [69]
    assert fused([0, 0.9, 0], **one).chosen.tolist() == [69]


def test_a_cue_that_the_pictures_show_already_costs_no_frame():
    found = fused([0, 0.9, 0], chosen=[10, 68, 90])
    assert found.chosen.tolist() == [10, 68, 90]
    assert found.matches[0].candidate == 68


def test_of_the_frames_of_a_cue_the_pictures_choose_the_best():
    total = TOTAL.copy()
    total[71] = 0.6
    assert 71 in fused([0, 0.9, 0], total=total).chosen


def test_a_short_cue_takes_the_frame_next_to_it_and_no_farther():
    short = [Cue(20.1, 20.2, "hm")]
    assert 40 in fused([1.0], cues=short).chosen
    sparse = np.arange(0, 60, 10.0)
    near = fused([1.0], cues=[Cue(24.0, 25.0, "hm")], chosen=[0, 1, 5], total=np.ones(6), seconds=sparse)
    assert near.chosen.tolist() == [0, 1, 5]
    assert near.matches == ()


def test_frames_that_may_not_be_chosen_are_not():
    allowed = SECONDS[69] != SECONDS
    assert 69 not in fused([0, 0.9, 0], allowed=allowed).chosen
    assert set(fused([0, 0.9, 0], allowed=np.zeros(len(SECONDS), bool)).chosen) == set(PICTURES)


def test_cues_that_repeat_one_another_take_one_frame():
    cues = [Cue(30.0, 31.0, "the plan"), Cue(31.0, 32.0, "the plan"), Cue(31.2, 31.4, "the plan")]
    found = fused([0.9, 0.9, 0.9], cues=cues, asks_for_words=True)
    assert len(set(found.chosen) - set(PICTURES)) == 1


def test_a_cue_far_weaker_than_the_best_moves_nothing():
    assert {one.cue for one in fused([1.0, 0.6, 0], asks_for_words=True).matches} == {0}


def test_a_time_is_named_for_a_matched_cue_between_the_candidates():
    sparse = np.arange(0, 60, 10.0)
    assert missing_seconds(sparse, CUES, [0, 0.9, 0], max_frames=3) == [34.5]
    assert missing_seconds(sparse, CUES, [0, 0, 0.9], max_frames=3) == []
    assert missing_seconds(sparse, CUES, [0.3, 0.3, 0], max_frames=3) == []
    assert missing_seconds(sparse, CUES, [0.9, 0.9, 0.9], max_frames=3, asks_for_words=True) == [13.0, 34.5]


def test_the_curve_of_words_is_the_match_within_a_cue_and_fades_in_a_second():
    curve = word_evidence(SECONDS, CUES, [0, 0.8, 0])
    assert curve[SECONDS == 34.0] == curve[SECONDS == 36.0] == 0.8
    assert curve[SECONDS == 36.5] == pytest.approx(0.4)
    assert curve[(SECONDS <= 32) | (SECONDS >= 37)].max() == 0


def test_the_budget_holds_for_many_cues():
    rng = np.random.default_rng(0)
    cues = [Cue(float(s), float(s) + 0.4, "word") for s in np.linspace(0, 59, 20_000)]
    for budget in (1, 2, 3, 8):
        for asks in (False, True):
            found = fused(rng.random(20_000), cues=cues, max_frames=budget, asks_for_words=asks)
            assert 1 <= len(found.chosen) <= budget
            assert (np.diff(found.chosen) > 0).all()


def test_shapes_that_do_not_match_are_named():
    with pytest.raises(OptionsError, match="for 3 cues"):
        fused([0.5])
    with pytest.raises(OptionsError, match="give \\(K,\\) of both"):
        fused([0, 0, 0], total=[1.0])
