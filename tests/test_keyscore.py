"""KeyScore against a plain loop over equations 1–4, and its defined ends."""

import math

import numpy as np
import pytest

from keyframe_llm.errors import OptionsError
from keyframe_llm.scoring.keyscore import TEMPERATURE, keyscore


def cosine(a, b):
    lengths = math.sqrt(sum(x * x for x in a)) * math.sqrt(sum(x * x for x in b))
    return sum(x * y for x, y in zip(a, b, strict=True)) / lengths if lengths else 0.0


def by_the_book(frames, text, pooling):
    """Equations 2–4, one frame at a time, in plain Python."""
    frames = [[x / math.sqrt(sum(v * v for v in f)) for x in f] for f in frames]

    def pooled(rows):
        if not rows:
            return [0.0] * len(text)
        share = [1.0 if pooling == "mean" else math.exp(cosine(f, text) / TEMPERATURE) for f in rows]
        return [
            sum(w * f[d] for w, f in zip(share, rows, strict=True)) / sum(share) for d in range(len(text))
        ]

    video = pooled(frames)
    semantic = [cosine(f, text) for f in frames]
    temporal = [cosine(f, video) for f in frames]
    drop = [
        cosine(video, text) - cosine(pooled(frames[:i] + frames[i + 1 :]), text) for i in range(len(frames))
    ]
    return semantic, temporal, drop


def min_max(values):
    return [(v - min(values)) / (max(values) - min(values)) for v in values]


@pytest.mark.parametrize("pooling", ["mean", "text"])
@pytest.mark.parametrize("count", [3, 4, 7, 40])
def test_every_part_equals_the_papers_equations(pooling, count):
    rng = np.random.default_rng(count)
    frames, text = rng.normal(size=(count, 16)) * rng.uniform(0.1, 9, (count, 1)), rng.normal(size=16)
    scores = keyscore(frames, text, weights=(0.5, 0.2, 0.3), pooling=pooling)
    semantic, temporal, drop = by_the_book(frames.tolist(), text.tolist(), pooling)
    np.testing.assert_allclose(scores.raw.semantic, semantic, atol=1e-12)
    np.testing.assert_allclose(scores.raw.temporal, temporal, atol=1e-12)
    np.testing.assert_allclose(scores.raw.drop, drop, atol=1e-12)
    parts = [min_max(part) for part in (semantic, temporal, drop)]
    expected = [0.5 * s + 0.2 * t + 0.3 * d for s, t, d in zip(*parts, strict=True)]
    np.testing.assert_allclose(scores.total, expected, atol=1e-9)
    weighted = scores.weighted
    np.testing.assert_allclose(
        weighted.semantic + weighted.temporal + weighted.drop, scores.total, atol=1e-12
    )


@pytest.mark.parametrize("pooling", ["mean", "text"])
def test_the_text_baseline_is_taken_off_every_cosine(pooling):
    rng = np.random.default_rng(2)
    frames, text, baseline = rng.normal(size=(6, 16)), rng.normal(size=16), 0.1 * rng.normal(size=16)
    frames /= np.linalg.norm(frames, axis=1, keepdims=True)
    scores = keyscore(frames, text, pooling=pooling, baseline=baseline)
    less = text / np.linalg.norm(text) - baseline
    fit = frames @ less
    share = np.exp(fit / TEMPERATURE) if pooling == "text" else np.ones(6)

    def pooled(kept):
        whole = (share[kept, None] * frames[kept]).sum(axis=0)
        return whole / np.linalg.norm(whole)

    everyone = np.arange(6)
    drop = [pooled(everyone) @ less - pooled(everyone[everyone != i]) @ less for i in range(6)]
    np.testing.assert_allclose(scores.raw.semantic, fit, atol=1e-12)
    np.testing.assert_allclose(scores.raw.drop, drop, atol=1e-12)


def test_a_frame_that_fits_every_text_does_not_win_against_the_baseline():
    hub, wanted, other = [0.8, 0.6, 0.0], [0.6, 0.0, 0.8], [0.0, 0.0, 1.0]
    frames, text = np.array([hub, wanted, other]), np.array([0.9, 0.2, 0.3])
    baseline = np.array([0.5, 0.5, 0.0])
    weights = (1.0, 0.0, 0.0)
    assert keyscore(frames, text, weights=weights).total.argmax() == 0
    assert keyscore(frames, text, weights=weights, baseline=baseline).total.argmax() == 1


def test_an_unknown_text_stays_unknown_with_a_baseline():
    weights = (0.5, 0.0, 0.5)
    scores = keyscore(np.eye(3), np.zeros(3), weights=weights, baseline=np.array([0.2, 0.1, 0.0]))
    assert not scores.raw.semantic.any()
    np.testing.assert_allclose(scores.total, 0.5)


def test_a_frame_that_holds_all_attention_keeps_its_drop_exact():
    frames = np.array([[1.0, 0.0, 0.0], [-0.6, 0.8, 0.0], [-0.6, 0.0, 0.8]])
    text = np.array([1.0, 0.1, 0.0])
    _, _, drop = by_the_book(frames.tolist(), text.tolist(), "text")
    np.testing.assert_allclose(keyscore(frames, text, pooling="text").raw.drop, drop, atol=1e-12)


def test_the_one_frame_that_shows_the_text_wins_and_would_be_missed_most():
    frames = np.tile([0.0, 1.0, 0.0], (6, 1)) + np.random.default_rng(0).normal(0, 0.01, (6, 3))
    frames[4] = [1.0, 0.2, 0.0]
    scores = keyscore(frames, np.array([1.0, 0.0, 0.0]))
    assert scores.semantic.argmax() == scores.drop.argmax() == scores.total.argmax() == 4
    assert scores.temporal.argmin() == 4


def test_lengths_of_embeddings_do_not_matter():
    rng = np.random.default_rng(1)
    frames, text = rng.normal(size=(5, 8)), rng.normal(size=8)
    longer = keyscore(frames * np.array([[1], [20], [3], [0.1], [5]]), 7 * text)
    np.testing.assert_allclose(longer.total, keyscore(frames, text).total, atol=1e-12)


def test_a_single_frame_drops_all_of_the_similarity():
    scores = keyscore([[3.0, 4.0]], [1.0, 0.0])
    np.testing.assert_allclose(scores.raw.drop, [0.6])
    np.testing.assert_allclose(scores.raw.temporal, [1.0])
    np.testing.assert_allclose(scores.total, [0.5])


def test_equal_frames_are_all_undecided():
    scores = keyscore(np.ones((4, 3), np.float32), [1.0, 2.0, 3.0])
    np.testing.assert_allclose(scores.total, 0.5)


def test_a_text_of_unknown_words_leaves_the_choice_to_representativeness():
    frames = np.eye(3)[[0, 0, 1]]
    scores = keyscore(frames, np.zeros(3))
    np.testing.assert_array_equal(scores.raw.semantic, 0)
    np.testing.assert_array_equal(scores.raw.drop, 0)
    assert np.all(np.isfinite(scores.total)) and scores.total[0] > scores.total[2]


def test_a_zero_frame_scores_zero_and_breaks_nothing():
    scores = keyscore([[0.0, 0.0], [1.0, 0.0], [0.0, 1.0]], [1.0, 0.0])
    assert scores.raw.semantic[0] == 0 and np.all(np.isfinite(scores.total))


@pytest.mark.parametrize(
    ("frames", "text", "options", "message"),
    [
        (np.ones((0, 3)), np.ones(3), {}, "at least one row"),
        (np.ones(3), np.ones(3), {}, r"\(K, D\)"),
        (np.ones((2, 3)), np.ones(4), {}, r"\(4,\); give \(3,\)"),
        (np.full((2, 3), np.nan), np.ones(3), {}, "NaN"),
        (np.ones((2, 3)), np.full(3, np.inf), {}, "infinity"),
        (np.ones((2, 3)), np.ones(3), {"weights": (0.5, 0.5, 0.5)}, "sum to 1"),
        (np.ones((2, 3)), np.ones(3), {"weights": (1.5, -0.5, 0.0)}, "0 to 1"),
        (np.ones((2, 3)), np.ones(3), {"pooling": "max"}, "choose one of mean, text"),
        (np.ones((2, 3)), np.ones(3), {"temperature": 0.0}, "above 0"),
    ],
)
def test_wrong_input_is_named(frames, text, options, message):
    with pytest.raises(OptionsError, match=message):
        keyscore(frames, text, **options)


def test_of_several_texts_a_frame_has_the_score_of_the_one_it_fits_best():
    rng = np.random.default_rng(8)
    frames, texts = rng.normal(size=(9, 16)), rng.normal(size=(3, 16))
    alone = [keyscore(frames, text, weights=(0.5, 0.2, 0.3)) for text in texts]
    together = keyscore(frames, texts, weights=(0.5, 0.2, 0.3))
    for i in range(9):
        best = max(alone, key=lambda scores: scores.total[i])
        for name in ("semantic", "temporal", "drop", "total"):
            assert getattr(together, name)[i] == pytest.approx(getattr(best, name)[i], abs=1e-12)
        assert together.raw.semantic[i] == pytest.approx(best.raw.semantic[i], abs=1e-12)
    weighted = together.weighted
    np.testing.assert_allclose(
        weighted.semantic + weighted.temporal + weighted.drop, together.total, atol=1e-12
    )
    np.testing.assert_allclose(
        keyscore(frames, texts[:1]).total, keyscore(frames, texts[0]).total, atol=1e-12
    )


def test_no_text_at_all_is_named():
    with pytest.raises(OptionsError, match=r"text embedding is \(0, 4\)"):
        keyscore(np.ones((2, 4)), np.ones((0, 4)))
