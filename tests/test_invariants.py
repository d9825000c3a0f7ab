"""What holds for any input: the choice by scores, the parts of texts, and the plans of the decoder."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from keyframe_llm.proposals.spacing import SAME_SECONDS, default_gap
from keyframe_llm.scoring.choose import select
from keyframe_llm.scoring.queries import caption_parts, query_texts, question_parts
from keyframe_llm.video.costs import Survey
from keyframe_llm.video.plan import choose_plan

SEEDS = st.integers(0, 2**32 - 1)

# Choice -------------------------------------------------------------------------------------------------


@given(
    SEEDS,
    st.integers(1, 40),
    st.integers(1, 8),
    st.sampled_from(["retrieval", "classification", "summary", "question"]),
    st.sampled_from([None, 0.0, 0.3, 1.0]),
    st.sampled_from([None, 0.0, 2.5]),
    st.booleans(),
)
def test_the_choice_keeps_its_budget_its_gap_and_its_threshold(
    seed: int, count: int, budget: int, task: Any, threshold: float | None, gap: float | None, features: bool
) -> None:
    rng = np.random.default_rng(seed)
    seconds, total = np.cumsum(rng.uniform(0.06, 4, count)), rng.random(count).round(2)
    options: dict[str, Any] = {
        "max_frames": budget,
        "duration_seconds": float(seconds[-1]),
        "task": task,
        "threshold": threshold,
        "min_gap_seconds": gap,
        "features": rng.random((count, 3)) if features else None,
    }
    chosen = select(total, seconds, **options)
    assert 1 <= len(chosen) <= budget and np.all(np.diff(chosen) > 0)
    assert total[chosen].max() == total.max()
    apart = default_gap(float(seconds[-1])) if gap is None else gap
    # More frames of a moment may lie nearer than the default gap, never nearer than a given one.
    apart = SAME_SECONDS if features and gap is None else apart
    assert np.all(np.diff(seconds[chosen]) >= apart)
    if threshold is not None:
        assert np.count_nonzero(total[chosen] < threshold) <= (1 if total.max() < threshold else 0)
    np.testing.assert_array_equal(select(total, seconds, **options), chosen)


@given(SEEDS, st.integers(2, 30), st.integers(1, 5))
def test_nothing_near_what_was_seen_is_chosen(seed: int, count: int, budget: int) -> None:
    rng = np.random.default_rng(seed)
    seconds = np.cumsum(rng.uniform(0.5, 4, count))
    seen = rng.choice(seconds[1:], size=min(3, count - 1), replace=False) - rng.uniform(0, 0.2)
    gap = 0.3
    chosen = select(
        rng.random(count),
        seconds,
        max_frames=budget,
        duration_seconds=None,
        min_gap_seconds=gap,
        exclude_seconds=seen.tolist(),
        features=rng.random((count, 3)),
    )
    assert np.abs(seconds[chosen][:, None] - seen).min() >= gap


# Parts of texts -----------------------------------------------------------------------------------------

WORDS = st.sampled_from(
    [
        "a",
        "man",
        "Dog",
        "runs",
        "then",
        "and",
        "or",
        "the",
        "3.5",
        "Dr.",
        "stops.",
        "why?",
        "no!",
        "red,",
        "x;",
    ]
)
TEXTS = st.one_of(
    st.lists(WORDS, min_size=1, max_size=60).map(" ".join),
    st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=80),
)
JOINTS = {"then", "and", "or", ";", ",", ""}


def words(text: str) -> list[str]:
    """The words of a text without what joins its parts."""
    return [one for one in (word.strip(",;").lower() for word in text.split()) if one not in JOINTS]


@given(TEXTS, st.sampled_from([caption_parts, question_parts]))
def test_no_word_of_a_text_is_lost_or_moved(text: str, parts_of: Any) -> None:
    parts = parts_of(text)
    joined = " ".join(parts)
    assert "".join(words(joined)) == "".join(words(text))


@given(TEXTS)
def test_parts_are_few_not_blank_and_always_the_same(text: str) -> None:
    for parts_of, most in ((caption_parts, 16), (question_parts, 3)):
        parts = parts_of(text)
        assert 1 <= len(parts) <= most and parts == parts_of(text)
        assert all(part == part.strip() for part in parts)
        assert all(parts) or not text.strip()


@given(
    TEXTS.filter(str.strip), TEXTS.filter(str.strip), st.sampled_from(["auto", "caption", "question", "both"])
)
def test_the_guide_says_whose_parts_score(caption: str, question: str, guide: Any) -> None:
    texts = query_texts(caption, question, guide)
    wanted = {
        "caption": caption_parts(caption),
        "question": question_parts(question),
        "auto": question_parts(question),
        "both": caption_parts(caption) + question_parts(question),
    }
    assert texts == wanted[guide]
    assert len(query_texts(caption, question, guide, split=False)) == (2 if guide == "both" else 1)


# Plans --------------------------------------------------------------------------------------------------


@st.composite
def surveys(draw: st.DrawFn) -> Survey:
    """Any video: its frames, its length known or not, its key frames known or not."""
    seconds, fps = draw(st.floats(0.1, 2_000)), draw(st.floats(0.5, 120))
    keys = None
    if draw(st.booleans()):
        rng = np.random.default_rng(draw(SEEDS))
        keys = np.unique(np.append(0.0, rng.uniform(0, seconds, draw(st.integers(0, 400)))))
    group_bytes = None if keys is None else np.random.default_rng(0).uniform(1, 1e6, (len(keys), 2))
    return Survey(
        max(1, round(seconds * fps)),
        seconds if keys is not None or draw(st.booleans()) else float("inf"),
        keys,
        draw(st.none() | st.floats(0.01, 2)),
        draw(st.sampled_from([None, group_bytes])),
        draw(st.booleans()),
    )


@given(surveys(), st.floats(0.1, 60), st.floats(0, 1), st.floats(0, 1), st.booleans())
def test_every_plan_covers_the_times_that_are_wanted(
    survey: Survey, stride: float, low: float, high: float, may_be_sparse: bool
) -> None:
    whole = survey.duration_seconds if np.isfinite(survey.duration_seconds) else 100.0
    start, end = sorted((low * whole, high * whole))
    plan = choose_plan(survey, stride, start, end, stride / 4 if may_be_sparse else None)
    assert plan.reason and "\n" not in plan.reason
    assert plan.mode != "sparse" or may_be_sparse
    if survey.key_seconds is None:
        assert plan.mode in ("all", "reference") and not plan.segments
    if plan.mode == "seek" and not may_be_sparse:
        assert survey.exact_seeks
    if plan.segments:
        wanted = np.concatenate([segment.wanted for segment in plan.segments])
        assert np.all(np.diff(wanted) > 0)
        if plan.mode != "sparse":
            times = np.arange(start, max(end, start + stride / 2), stride)
            np.testing.assert_array_equal(wanted, times)


@given(surveys(), st.floats(0.1, 60))
def test_the_same_video_is_always_planned_alike(survey: Survey, stride: float) -> None:
    one, two = (choose_plan(survey, stride, 0.0, float("inf"), stride) for _ in range(2))
    assert (one.mode, one.reason, len(one.segments)) == (two.mode, two.reason, len(two.segments))


def test_a_window_past_the_end_is_planned_too() -> None:
    plan = choose_plan(Survey(250, 10.0, np.array([0.0, 5.0]), None), 1.0, 20.0, 30.0)
    assert plan.mode in ("all", "key", "seek", "reference")


def test_the_guide_that_is_missing_is_named() -> None:
    with pytest.raises(ValueError, match="guide is 'caption' but there is no caption"):
        query_texts(None, "who?", "caption")
