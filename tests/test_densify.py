"""More frames beside the proposals: farthest first, flashes among the first, nothing beyond the budget."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from keyframe_llm import OptionsError, SelectOptions
from keyframe_llm.data import Proposals
from keyframe_llm.proposals.densify import with_more_frames
from keyframe_llm.scoring.choose import select


def one_cluster(count: int, representative: int) -> Proposals:
    return Proposals(np.arange(count) * 0.5, np.zeros(count, np.intp), np.array([representative]))


def colours(numbers: list[int]) -> NDArray[np.float64]:
    return np.eye(max(numbers) + 1)[numbers]


def test_a_flash_is_proposed_before_a_second_frame_of_what_is_known() -> None:
    rows = colours([0] * 47 + [1] + [0] * 152)
    found = with_more_frames(one_cluster(200, 10), rows, 12)
    assert 47 in found.indices
    assert 47 not in with_more_frames(one_cluster(200, 10), np.ones((200, 1)), 12).indices


def test_a_still_video_is_spread_over_its_time() -> None:
    found = with_more_frames(one_cluster(101, 50), np.ones((101, 1)), 5)
    assert found.indices.tolist() == [0, 25, 50, 75, 100]


def test_frames_of_many_colours_do_not_take_the_images_of_a_long_still_scene() -> None:
    """100 frames, half a second apart: a still scene of 80, then 20 frames of a colour each."""
    rows = colours([0] * 80 + list(range(1, 21)))
    found = with_more_frames(one_cluster(100, 40), rows, 25)
    # One even step is 4 frames. Quite different colours, √2 apart, come before the middle of a gap of less
    # than 2√2 steps, and after the middle of a longer one.
    assert np.diff(found.indices[found.indices < 80]).max() <= 12
    assert np.count_nonzero(found.indices >= 80) >= 12


def test_every_next_frame_is_the_farthest_one_by_brute_force() -> None:
    rng = np.random.default_rng(0)
    rows = rng.random((60, 8))
    rows /= np.linalg.norm(rows, axis=1, keepdims=True)
    space = np.column_stack([rows, 12.0 * np.arange(60) / 59]).astype(np.float32)
    kept = [7]
    while len(kept) < 12:
        away = [min(float(((space[i] - space[j]) ** 2).sum()) for j in kept) for i in range(60)]
        kept.append(int(np.argmax(away)))
    assert with_more_frames(one_cluster(60, 7), rows, 12).indices.tolist() == sorted(kept)


def test_representatives_stay_and_every_frame_belongs_to_a_proposal() -> None:
    rng = np.random.default_rng(1)
    for _ in range(60):
        count = int(rng.integers(1, 80))
        clusters = int(rng.integers(1, min(count, 9) + 1))
        labels = rng.integers(clusters, size=count)
        labels[np.arange(clusters)] = np.arange(clusters)
        clustered = Proposals(np.arange(count) * 0.5, labels.astype(np.intp), np.arange(clusters))
        rows = rng.random((count, 4)) if rng.random() < 0.5 else np.ones((count, 4))
        budget = int(rng.integers(1, 100))
        found = with_more_frames(clustered, rows, budget)
        assert len(found) == max(clusters, min(count, budget))
        assert np.isin(clustered.indices, found.indices).all()
        if clusters < budget:
            assert np.array_equal(found.labels[found.indices], np.arange(len(found)))


def test_a_look_alike_waits_until_no_other_frame_is_left() -> None:
    rows = colours([0, 0, 1, 2, 0])
    scores, seconds = [1.0, 0.9, 0.5, 0.4, 0.8], np.arange(5.0)
    options = {"duration_seconds": 5.0, "threshold": 0.0, "min_gap_seconds": 0.0}
    assert select(scores, seconds, max_frames=3, **options).tolist() == [0, 1, 4]
    assert select(scores, seconds, max_frames=3, features=rows, **options).tolist() == [0, 2, 3]
    assert select(scores, seconds, max_frames=4, features=rows, **options).tolist() == [0, 1, 2, 3]


def test_the_papers_method_is_a_setting_with_single_frames_and_equal_weights() -> None:
    published = SelectOptions.paper(max_frames=2)
    assert (published.method, published.min_gap_seconds, published.max_frames) == ("paper", 0.0, 2)
    assert published.weights == pytest.approx((1 / 3, 1 / 3, 1 / 3))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"histograms": np.ones((3, 2))}, r"give \(5, d\)"),
        ({"max_images": 0}, "max_images is 0"),
    ],
)
def test_wrong_input_is_named(change: dict[str, object], message: str) -> None:
    arguments = {"histograms": np.ones((5, 2)), "max_images": 3} | change
    with pytest.raises(OptionsError, match=message):
        with_more_frames(one_cluster(5, 2), **arguments)
