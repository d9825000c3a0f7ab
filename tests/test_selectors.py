"""Selectors: hand-made footage where the right frames are known, and what must hold for all of them."""

from __future__ import annotations

import math
import os
from collections.abc import Sequence
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from keyframe_llm import OptionsError, SelectOptions, VideoIndex
from keyframe_llm.evaluation.dense import EmbeddedText, dense_index
from keyframe_llm.evaluation.selectors import KEYSCORE_WEIGHTS, ROWS, STOCHASTIC, TEXT_FREE, choose, proposed
from keyframe_llm.index.embedder import Embedder
from keyframe_llm.proposals.sample import sharpness
from keyframe_llm.proposals.stacfp import stacfp
from keyframe_llm.scoring.selectors import propose_options, query_agnostic, selector_names, uses_text

# What ships may leave out frames that do not stand out.
SHIPPED = {name for name in ROWS if name.startswith("keyframe-llm")}
EMBEDDINGS = Path(os.environ.get("KEYFRAME_LLM_TEST_DATA", "")) / "embeddings"


def frames_like(
    similarity: Sequence[float] | NDArray[np.float64],
    scenes: Sequence[int] | None = None,
    stride_seconds: float = 1.0,
) -> tuple[VideoIndex, NDArray[np.float64]]:
    """Frames whose cosine with the text is `similarity`, otherwise unlike; `scenes` are colours."""
    s = np.asarray(similarity, np.float64)
    rows = np.column_stack([s, np.diag(np.sqrt(1 - s**2))])
    colours = np.eye(16)[np.zeros(len(s), int) if scenes is None else np.asarray(scenes)]
    text = np.zeros(len(s) + 1)
    text[0] = 2.5  # of no particular length
    index = dense_index(rows, np.arange(len(s)) * stride_seconds, colours, sharpness=np.arange(len(s)) % 7.0)
    return index, text


def picked(
    name: str, index: VideoIndex, text: NDArray[np.float64] | None, k: int, seed: int = 0
) -> list[int]:
    return [
        int(i) for i in choose(name, index, None if text is None else EmbeddedText.of(text), k=k, seed=seed)
    ]


def varied(count: int, seed: int = 0) -> tuple[VideoIndex, NDArray[np.float64]]:
    rng = np.random.default_rng(seed)
    index, text = frames_like(rng.uniform(0.1, 0.4, count), np.arange(count) * 5 // max(count, 1))
    noisy = np.abs(index.histograms + rng.normal(scale=0.05, size=index.histograms.shape))
    return dense_index(index.embedded(), index.seconds, noisy, index.sharpness), text


FRAMES = {
    "varied": varied(80),
    "constant": frames_like(np.full(30, 0.3)),
    "a text of unknown words": (varied(40)[0], np.zeros(41)),
    "one frame": frames_like([0.3]),
    "two frames": frames_like([0.3, 0.2], [0, 1]),
    "irregular times": (
        dense_index(varied(20)[0].embedded(), np.arange(20) ** 1.5, varied(20)[0].histograms, np.ones(20)),
        varied(20)[1],
    ),
}


@pytest.mark.parametrize("index", FRAMES)
@pytest.mark.parametrize("name", ROWS)
def test_every_selector_keeps_the_budget_and_the_order_and_repeats_itself(name: str, index: str) -> None:
    frames, text = FRAMES[index]
    for k in (1, 2, 3, 8):
        chosen = choose(name, frames, EmbeddedText.of(text), k=k, seed=3)
        assert 1 <= len(chosen) <= min(k, len(frames.seconds))
        assert np.all(np.diff(chosen) > 0)
        assert chosen[0] >= 0 and chosen[-1] < len(frames.seconds)
        assert np.array_equal(chosen, choose(name, frames, EmbeddedText.of(text), k=k, seed=3))


@pytest.mark.parametrize("name", ROWS)
def test_only_the_text_free_rows_work_without_a_text_and_no_text_moves_them(name: str) -> None:
    frames, text = FRAMES["varied"]
    if name in TEXT_FREE:
        assert (
            picked(name, frames, None, 3) == picked(name, frames, text, 3) == picked(name, frames, -text, 3)
        )
    else:
        with pytest.raises(OptionsError, match="guided by a text"):
            choose(name, frames, k=3)


@pytest.mark.parametrize("name", sorted(STOCHASTIC))
def test_the_stochastic_rows_follow_their_seed(name: str) -> None:
    frames, text = FRAMES["varied"]
    assert len({tuple(picked(name, frames, text, 3, seed)) for seed in range(10)}) > 1


SPARING = SHIPPED | {"katna", "top-k-gap", "bolt", "vsumm"}


@pytest.mark.parametrize("name", sorted(set(ROWS) - STOCHASTIC - SPARING))
def test_the_whole_budget_is_used_where_the_rule_allows_it(name: str) -> None:
    frames, text = FRAMES["varied"]
    assert len(picked(name, frames, text, 3)) == 3


def test_uniform_takes_both_ends_and_its_centres_take_the_middles() -> None:
    index, _ = frames_like(np.zeros(61))
    assert picked("uniform", index, None, 3) == [0, 30, 60]
    assert picked("uniform", index, None, 1) == [30]
    assert picked("uniform-centres", index, None, 3) == [10, 30, 50]


def test_uniform_spreads_over_time_and_not_over_indices() -> None:
    seconds = np.concatenate([np.arange(50) * 0.1, [10.0, 20.0]])
    index = dense_index(np.ones((52, 2)), seconds, np.ones((52, 1)))
    assert picked("uniform", index, None, 3) == [0, 50, 51]


def test_colour_rows_find_one_frame_in_each_of_three_scenes() -> None:
    index, _ = frames_like(np.zeros(60), np.repeat([0, 1, 2], 20))
    for name in ("scfp", "stacfp", "katna", "vsumm"):
        assert [i // 20 for i in picked(name, index, None, 3, seed=1)] == [0, 1, 2], name


def test_histogram_difference_takes_the_frames_right_after_the_greatest_changes() -> None:
    index, _ = frames_like(np.zeros(30), [*[0] * 7, *[1] * 13, *[2] * 10])
    assert picked("histogram-difference", index, None, 2) == [7, 20]
    softer = dense_index(
        index.embedded(), index.seconds, index.histograms * np.where(np.arange(30) < 20, 1, 0.4)[:, None]
    )
    assert picked("histogram-difference", softer, None, 1) == [7]


def test_vsumm_drops_the_second_view_of_a_scene_that_comes_back() -> None:
    index, _ = frames_like(np.zeros(30), np.repeat([0, 1, 0], 10))
    assert len(picked("vsumm", index, None, 3)) == 2


def test_katna_takes_the_sharpest_frame_of_each_cluster_and_asks_for_sharpness() -> None:
    index, _ = frames_like(np.zeros(40), np.repeat([0, 1], 20))
    sharp = np.zeros(40)
    sharp[[13, 31]] = 1.0
    assert picked(
        "katna", dense_index(index.embedded(), index.seconds, index.histograms, sharp), None, 2
    ) == [
        13,
        31,
    ]
    with pytest.raises(OptionsError, match="sharpness"):
        choose("katna", dense_index(index.embedded(), index.seconds, index.histograms), k=2)


def test_sharpness_tells_edges_from_the_same_edges_blurred() -> None:
    edges = np.zeros((20, 20, 3), np.uint8)
    edges[:, 10:] = 200
    blurred = edges.copy()
    blurred[:, 8:12] = np.array([40, 80, 120, 160], np.uint8)[None, :, None]
    assert sharpness(edges) > sharpness(blurred) > 0
    # by hand: the Laplacian is ±200 in two of 18 columns and 0 elsewhere
    assert sharpness(edges) == pytest.approx(200**2 * 2 / 18)


def test_top_k_takes_the_best_and_the_earlier_of_equals() -> None:
    index, text = frames_like([0.1, 0.4, 0.3, 0.4, 0.2, 0.3])
    assert picked("top-k", index, text, 2) == [1, 3]
    assert picked("top-k", index, text, 3) == [1, 2, 3]


def test_a_gap_keeps_neighbours_from_filling_the_budget() -> None:
    profile = np.full(40, 0.1)
    profile[[10, 11, 12, 14, 30]] = [0.9, 0.89, 0.88, 0.6, 0.5]
    index, text = frames_like(profile)
    assert picked("top-k", index, text, 3) == [10, 11, 12]
    assert picked("top-k-gap", index, text, 3) == [10, 14, 30]


def test_mmr_leaves_out_the_double_of_the_best_frame() -> None:
    same, other = [0.9, math.sqrt(0.19), 0.0], [0.6, 0.0, 0.8]
    index = dense_index([same, same, other, [0.0, 0.0, 1.0]], np.arange(4), np.ones((4, 1)))
    # 2nd choice: the double 0.45 - 0.5, the other 0.3 - 0.27, the last 0
    assert picked("mmr", index, np.array([1.0, 0.0, 0.0]), 2) == [0, 2]


def test_aks_keeps_a_standing_out_segment_whole_and_halves_an_even_one() -> None:
    peak = np.zeros(64)
    peak[[40, 41]] = 0.9
    index, text = frames_like(peak)
    assert picked("aks", index, text, 2) == [40, 41]  # 1 - 2/64 > 0.8: not halved
    humps = np.full(64, 0.2)
    humps[[10, 11, 12, 50]] = [0.6, 0.62, 0.61, 0.5]
    index, text = frames_like(humps)
    # the mean of the two best exceeds the mean by more than 0.8 of the span; those of any three do not
    assert picked("aks", index, text, 2) == [11, 12]
    even = np.linspace(0.2, 0.6, 64)
    index, text = frames_like(even)
    assert picked("aks", index, text, 2) == [31, 63]  # the best of each half
    assert picked("aks", index, text, 3) == [31, 62, 63]  # the odd frame goes to the better half
    assert picked("aks", index, text, 4) == [15, 31, 47, 63]


@pytest.mark.parametrize("k", range(1, 9))
def test_aks_gives_exactly_k_frames_where_the_published_rule_gives_none(k: int) -> None:
    index, text = frames_like(np.linspace(0.2, 0.6, 64))
    assert len(picked("aks", index, text, k)) == k


def test_bolt_reads_the_quantiles_off_the_cubed_profile() -> None:
    # cubes of 0, 1/2, 1, 1, 0 are 0, 1/8, 1, 1, 0: sums 0, 1/17, 9/17, 17/17; ¼ falls on frame 2, ¾ on 3
    index, text = frames_like([0.2, 0.4, 0.6, 0.6, 0.2])
    assert picked("bolt", index, text, 2) == [2, 3]
    assert picked("bolt", index, text, 1) == [2]  # ½ < 9/17
    assert picked("bolt", *frames_like([0.2, 0.2, 0.9, 0.2]), 3) == [2]  # all the mass on one frame


def test_bolt_spreads_evenly_where_nothing_tells_the_frames_apart() -> None:
    assert picked("bolt", *frames_like(np.full(30, 0.3)), 3) == [4, 14, 24]


def test_mdp3_makes_the_greedy_choice_of_its_objective_by_brute_force() -> None:
    rng = np.random.default_rng(5)
    rows = rng.normal(size=(25, 6)) + np.array([1.0, 0, 0, 0, 0, 0])
    rows[7] = rows[3]  # a double
    index, text = dense_index(rows, np.arange(25), np.ones((25, 1))), np.eye(6)[0]

    def kernel(a: NDArray[np.float64], b: NDArray[np.float64]) -> float:
        return float(sum(math.exp(-float(((a - b) ** 2).sum()) / (2 * 2.0**e)) for e in range(-3, 2)))

    def objective(chosen: Sequence[int]) -> float:
        frames = index.unit_embeddings[list(chosen)]
        gram = np.array([[kernel(a, b) for b in frames] for a in frames]) + 1e-6 * np.eye(len(frames))
        return 2 / 0.2 * sum(math.log(kernel(text, f)) for f in frames) + float(np.linalg.slogdet(gram)[1])

    kept: list[int] = []
    for _ in range(4):
        kept.append(max((i for i in range(25) if i not in kept), key=lambda i: objective([*kept, i])))
    assert picked("mdp3", index, text, 4) == sorted(kept)
    # and the greedy pair is not far from the best pair of all
    best = max(combinations(range(25), 2), key=objective)
    assert objective(picked("mdp3", index, text, 2)) >= objective(best) - 1.0


def test_mdp3_takes_no_double_while_others_are_left() -> None:
    rows = np.array([[1.0, 0.0], [1.0, 0.0], [0.9, 0.436]])
    assert picked("mdp3", dense_index(rows, np.arange(3), np.ones((3, 1))), np.array([1.0, 0.0]), 2) == [0, 2]


def test_q_frame_draws_by_the_softmax_of_the_similarities() -> None:
    similarity = np.array([0.9, 0.5, 0.0, -0.5])
    index, text = frames_like(similarity)
    drawn = (
        np.bincount([picked("q-frame", index, text, 1, seed)[0] for seed in range(3000)], minlength=4) / 3000
    )
    softmax = np.exp(similarity / 0.8) / np.exp(similarity / 0.8).sum()
    assert drawn == pytest.approx(softmax, abs=0.03)


def test_focus_always_finds_the_best_frame_of_the_one_good_arm() -> None:
    profile = np.random.default_rng(2).uniform(0.1, 0.15, 320)
    profile[96:112] = np.random.default_rng(3).uniform(0.5, 0.6, 16)
    index, text = frames_like(profile)
    for seed in range(10):
        chosen = picked("focus", index, text, 3, seed)
        assert int(profile.argmax()) in chosen
        assert len(chosen) == 3


def test_keyscore_chooses_among_the_proposals_what_equations_1_to_4_rank_best() -> None:
    index, text = varied(80, seed=4)
    found = proposed(index, propose_options(SelectOptions.paper())).proposals
    direct = stacfp(index.histograms, index.seconds)
    assert np.array_equal(found.indices, direct.indices)
    rows, query = index.embedded()[found.indices], text / np.linalg.norm(text)

    def cosine(a: NDArray[np.float64], b: NDArray[np.float64]) -> float:
        return float(a @ b / np.linalg.norm(a) / np.linalg.norm(b))

    def spread(values: list[float]) -> NDArray[np.float64]:
        return (np.array(values) - min(values)) / (max(values) - min(values))

    video = rows.mean(axis=0)
    part = {
        "S": spread([cosine(row, query) for row in rows]),
        "T": spread([cosine(row, video) for row in rows]),
        "D": spread(
            [
                cosine(video, query) - cosine(np.delete(rows, i, axis=0).mean(axis=0), query)
                for i in range(len(rows))
            ]
        ),
    }
    for name in KEYSCORE_WEIGHTS:
        total = np.mean([part[letter] for letter in name.split("+")], axis=0)
        expected = sorted(int(i) for i in found.indices[np.argsort(-total)[:3]])
        assert picked(f"keyscore {name}", index, text, 3) == expected, name


def test_table_2s_rows_are_all_there_and_their_weights_sum_to_one() -> None:
    assert list(KEYSCORE_WEIGHTS) == ["S", "T", "D", "S+T", "D+T", "S+D", "S+T+D"]
    assert all(sum(weights) == pytest.approx(1) for weights in KEYSCORE_WEIGHTS.values())


@pytest.mark.skipif(not EMBEDDINGS.is_dir(), reason="KEYFRAME_LLM_TEST_DATA holds no embeddings")
def test_selectors_work_on_real_clip_features() -> None:
    data = np.load(EMBEDDINGS / "v_GGSY1Qvo990_clip_vit_b32.npz")
    rows = next(data[key] for key in data if data[key].ndim == 2)
    seconds = next(data[key] for key in data if data[key].ndim == 1)
    colours = np.abs(rows) / np.linalg.norm(rows, axis=1, keepdims=True)  # any unit rows serve
    index = dense_index(rows, seconds, colours, np.ones(len(rows)))
    # the text stands for frame 100
    for name in set(ROWS) - TEXT_FREE - STOCHASTIC - SHIPPED - {"bolt"}:
        chosen = picked(name, index, rows[100], 3)
        assert len(chosen) == 3
        if name in ("top-k", "top-k-gap", "mmr", "aks"):
            assert 100 in chosen, name


@pytest.mark.parametrize(
    ("name", "k", "message"), [("best", 3, "choose one of keyframe-llm"), ("top-k", 0, "k is 0")]
)
def test_what_cannot_be_chosen_is_refused(name: str, k: int, message: str) -> None:
    index, text = FRAMES["varied"]
    with pytest.raises(OptionsError, match=message):
        choose(name, index, EmbeddedText.of(text), k=k)


def test_footage_that_does_not_match_is_refused() -> None:
    with pytest.raises(OptionsError, match="ascending"):
        dense_index(np.ones((3, 2)), np.array([0.0, 2.0, 1.0]), np.ones((3, 4)))
    with pytest.raises(OptionsError, match="histograms"):
        dense_index(np.ones((3, 2)), np.arange(3.0), np.ones((2, 4)))
    with pytest.raises(OptionsError, match="text embedding"):
        choose(
            "top-k",
            dense_index(np.ones((3, 2)), np.arange(3.0), np.ones((3, 4))),
            EmbeddedText.of(np.ones(5)),
            k=1,
        )


def test_k_means_ends_on_equal_rows() -> None:
    assert set(query_agnostic._clusters(np.ones((6, 3)), 2, starts=np.array([0, 3]))) == {0}


class CountingEncoder:
    """Counts the texts it embeds."""

    def __init__(self) -> None:
        self.texts = 0

    def embed_images(self, images: Any) -> Any:
        return np.ones((len(images), 4))

    def embed_texts(self, texts: Any) -> Any:
        self.texts += len(texts)
        return np.ones((len(texts), 4))


@pytest.mark.parametrize("method", [name for name in selector_names() if uses_text(name)])
def test_neutral_texts_are_embedded_only_for_the_method_that_compares_with_them(method: str) -> None:
    encoder = CountingEncoder()
    query = Embedder(encoder).query(["a dog", "a cat"], SelectOptions(method=method), question=False)
    assert (encoder.texts > 2, query.baseline is not None) == (method == "moments",) * 2
