"""The drawn world speaks: planted facts are found by words, and what is seen by pictures all the same."""

from __future__ import annotations

import importlib.util
import shutil

import numpy as np
import pytest

from keyframe_llm.cartoon.world.drawing import draw_frame
from keyframe_llm.cartoon.world.scenes import random_clip
from keyframe_llm.cartoon.world.talk import draw_sign, gossip_about, random_talk
from keyframe_llm.evaluation.dense import EmbeddedText, dense_index
from keyframe_llm.evaluation.heard import heard_cues
from keyframe_llm.evaluation.words import choose_with_words
from keyframe_llm.words.matching import match_cues


def clip(seed=0):
    return random_clip(np.random.default_rng(seed), scenes=6, seconds=60, event=True)


@pytest.mark.parametrize("seed", range(5))
def test_every_fact_is_said_once_and_its_question_finds_it(seed):
    drawn = clip(seed)
    talk = random_talk(np.random.default_rng(seed), drawn.duration_seconds, gossip=gossip_about(drawn))
    assert len(talk.facts) == 3
    for before, after in zip(talk.cues, talk.cues[1:], strict=False):
        assert before.start < before.end <= after.start
    for fact, cue in talk.facts:
        assert [one.text for one in talk.cues].count(fact.sentence) == 1
        match = match_cues(fact.question, talk.cues)
        assert talk.cues[int(match.argmax())] == cue
        assert match.max() >= 0.5


def test_talk_is_long_enough_for_its_facts_in_the_shortest_video():
    talk = random_talk(np.random.default_rng(0), 2.0, facts=3)
    assert len(talk.facts) == 3


def test_gossip_names_the_people_of_the_clip():
    people = {f"{scene.subject} in {scene.colour}" for scene in clip().scenes}
    assert all(any(who in sentence for who in people) for sentence in gossip_about(clip()))


def test_a_sign_changes_its_corner_alone():
    picture = draw_frame(clip().frame_at(1.0), width=640, height=360)
    signed = draw_sign(picture, "The zoo opens at 12.")
    changed = np.argwhere((signed != picture).any(axis=2))
    assert changed[:, 0].max() < 0.2 * 360
    assert len(changed) > 500


@pytest.mark.skipif(importlib.util.find_spec("rapidocr") is None, reason="needs the extra ocr")
def test_a_sign_of_twenty_pixels_can_be_read():
    from keyframe_llm.words.ocr import RapidReader

    signed = draw_sign(draw_frame(clip().frame_at(1.0), width=1280, height=720), "The zoo opens at 47.")
    read = " ".join(line.text for line in RapidReader().read(signed[:120]))
    assert "".join(read.split()) == "Thezooopensat47."


def test_pictures_and_words_both_get_their_frames():
    talk = random_talk(np.random.default_rng(1), 60.0)
    seconds = np.arange(0, 60, 0.5)
    rows = np.tile([1.0, 0.0, 0.1], (len(seconds), 1))
    shown = (seconds >= 40) & (seconds < 44)
    rows[shown] = [0.1, 1.0, 0.0]
    index = dense_index(rows, seconds, np.eye(len(seconds), 64) + 0.01)
    text = EmbeddedText.of([0.0, 1.0, 0.0])
    plain = choose_with_words(index, text, "a green hat", (), k=3)
    assert np.array_equal(choose_with_words(index, text, "a green hat", talk.cues, k=3), plain)
    for fact, cue in talk.facts:
        times = choose_with_words(index, text, fact.question, talk.cues, k=3)
        assert ((times >= cue.start) & (times <= cue.end)).any()
        assert ((times >= 40) & (times < 44)).any()


def test_a_cue_between_the_candidates_gets_a_frame_of_its_own():
    seconds = np.arange(0, 2000, 0.5)
    index = dense_index(np.tile([1.0, 0.0], (len(seconds), 1)), seconds, np.ones((len(seconds), 3)))
    text = EmbeddedText.of([0.0, 1.0])
    talk = random_talk(np.random.default_rng(2), 2000.0)
    for fact, cue in talk.facts:
        times = choose_with_words(index, text, fact.question, talk.cues, k=3)
        assert ((times >= cue.start) & (times <= cue.end)).any()


@pytest.mark.skipif(shutil.which("espeak-ng") is None, reason="needs espeak-ng")
def test_talk_is_spoken_at_the_times_of_its_cues():
    class Loudness:
        """Hears a word wherever it is loud."""

        def transcribe(self, samples, rate):
            for first in range(0, len(samples) - rate // 4, rate // 4):
                if np.abs(samples[first : first + rate // 4]).max() > 0.1:
                    yield first / rate, first / rate + 0.25, "word"

    talk = random_talk(np.random.default_rng(3), 16.0, facts=2)
    heard = heard_cues(talk, 16.0, Loudness())
    assert heard
    for cue in talk.cues:
        assert any(abs(one.start - cue.start) < 0.5 or one.start < cue.start < one.end for one in heard)
    quiet = talk.cues[0].start - 0.3
    assert not any(one.start < quiet for one in heard)
