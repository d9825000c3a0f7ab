"""STACFP on drawn scenes with known cuts, against scikit-learn, and on real clips joined end to end."""

import os
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from keyframe_llm.errors import OptionsError
from keyframe_llm.proposals.color_histogram import color_histogram
from keyframe_llm.proposals.kmeans import best_clustering, silhouette
from keyframe_llm.proposals.stacfp import scfp, stacfp, ufp
from keyframe_llm.video import open_video

DATA = os.environ.get("KEYFRAME_LLM_TEST_DATA")
needs_data = pytest.mark.skipif(not DATA, reason="KEYFRAME_LLM_TEST_DATA does not name the test data folder")
NINE = [
    "dog_eating.mp4",
    "flipping_a_pancake.mkv",
    "hitting_baseball.mp4",
    "nasa_13013.mp4",
    "v_GGSY1Qvo990.mp4",
    "v_ZNVhz7ctTq0.mp4",
    "bigbuckbunny.mp4",
    "charades.mp4",
    "asl_walk.mkv",
]
PIECE_SECONDS = 10.0
TALL, WIDE = 45, 80


def scene(rng, frames, moves=True):
    """A flat backdrop with a block of another colour that crosses it."""
    back, block = rng.integers(0, 256, (2, 3))
    pictures = np.empty((frames, TALL, WIDE, 3), np.uint8)
    pictures[:] = back
    for i in range(frames):
        x = int(i / frames * 60) if moves else 20
        size = 8 + (i if moves else 0)
        pictures[i, 10 : 10 + size, x : x + 20] = block
    return pictures


def drawn(lengths, seed=0, moves=True):
    """Histograms, seconds at 2 fps and the scene of each frame, for scenes of these lengths in frames."""
    rng = np.random.default_rng(seed)
    pictures = np.concatenate([scene(rng, n, moves) for n in lengths])
    of_scene = np.repeat(np.arange(len(lengths)), lengths)
    return color_histogram(pictures), np.arange(len(pictures)) / 2, of_scene


def hsv_by_hand(picture):
    """The same 256 bins counted pixel by pixel from Pillow's HSV."""
    counts = np.zeros(256)
    for h, s, v in np.asarray(Image.fromarray(picture).convert("HSV")).reshape(-1, 3).tolist():
        counts[h // 16 * 16 + s // 64 * 4 + v // 64] += 1
    return counts / np.linalg.norm(counts)


def test_a_histogram_counts_hue_saturation_and_value():
    colours = [(255, 0, 0), (0, 255, 0), (0, 0, 255), (255, 255, 255), (10, 10, 10), (120, 200, 40)]
    picture = np.repeat(np.array(colours, np.uint8), [1, 2, 3, 4, 5, 6], axis=0).reshape(3, 7, 3)
    histogram = color_histogram(picture)
    assert histogram.shape == (1, 256) and histogram.dtype == np.float32
    np.testing.assert_allclose(histogram[0], hsv_by_hand(picture), atol=1e-6)


def test_histograms_are_close_to_exact_ones_and_of_length_one():
    rng = np.random.default_rng(0)
    pictures = rng.integers(0, 256, (4, 30, 40, 3), dtype=np.uint8)
    histograms = color_histogram(pictures)
    np.testing.assert_allclose(np.linalg.norm(histograms, axis=1), 1, atol=1e-6)
    for histogram, picture in zip(histograms, pictures, strict=True):
        assert histogram @ hsv_by_hand(picture) > 0.97


@pytest.mark.parametrize(
    "wrong", [np.zeros((2, 3), np.uint8), np.zeros((4, 4, 3)), np.zeros((0, 4, 3), np.uint8)]
)
def test_what_is_no_picture_is_refused(wrong):
    with pytest.raises(OptionsError, match="give \\(N, H, W, 3\\) uint8 RGB"):
        color_histogram(wrong)


@pytest.mark.parametrize("points", [7, 60, 300])
def test_silhouettes_equal_scikit_learns(points):
    from sklearn.metrics import silhouette_score

    rng = np.random.default_rng(points)
    x = rng.normal(size=(points, 5)) + rng.integers(0, 3, (points, 1)) * 4
    distances = np.linalg.norm(x[:, None] - x, axis=2)
    for k in range(2, 7):
        labels = np.append(rng.integers(0, k, points - k), np.arange(k))
        assert silhouette(distances, labels) == pytest.approx(silhouette_score(x, labels), abs=1e-6)


def test_a_silhouette_needs_two_clusters_and_fewer_than_points():
    distances = np.ones((3, 3)) - np.eye(3)
    for labels in ([0, 0, 0], [0, 1, 2]):
        with pytest.raises(OptionsError, match="no silhouette"):
            silhouette(distances, labels)
    with pytest.raises(OptionsError, match=r"give \(2, 2\)"):
        silhouette(distances, [0, 1])


@pytest.mark.parametrize("dimensions", [3, 200])
def test_clustering_finds_the_planted_groups_and_reports_scikit_learns_silhouette(dimensions):
    from sklearn.metrics import silhouette_score

    rng = np.random.default_rng(1)
    truth = np.repeat(np.arange(7), 12)
    x = rng.normal(size=(7, dimensions))[truth] * 3 + rng.normal(size=(84, dimensions)) * 0.05
    labels, tried = best_clustering(x, 2, 30, seed=0)
    assert max(tried, key=tried.get) == 7
    assert len(set(zip(labels, truth, strict=True))) == 7
    assert tried[7] == pytest.approx(silhouette_score(x, labels), abs=1e-5)


def test_every_static_scene_is_proposed_exactly_once():
    for seed in range(4):
        histograms, seconds, of_scene = drawn([20, 14, 30, 8, 25], seed, moves=False)
        proposals = stacfp(histograms, seconds)
        np.testing.assert_array_equal(of_scene[proposals.indices], np.arange(5))
        np.testing.assert_array_equal(proposals.labels, of_scene)


@pytest.mark.parametrize("gamma_time", [0, 5, 7.5, 10, 15, 20])
def test_every_moving_scene_is_proposed_at_every_weight_of_time(gamma_time):
    lengths = [40, 6, 25, 60, 10, 4, 30, 50, 18]
    histograms, seconds, of_scene = drawn(lengths, seed=3)
    proposals = stacfp(histograms, seconds, gamma_time=gamma_time)
    assert set(of_scene[proposals.indices]) == set(range(9))
    assert len(proposals) < len(seconds) / 6


def test_a_short_event_in_a_long_video_is_not_lost():
    rng = np.random.default_rng(0)
    pictures = np.concatenate([scene(rng, 700, moves=False), scene(rng, 3), scene(rng, 500, moves=False)])
    proposals = stacfp(color_histogram(pictures), np.arange(len(pictures)) / 2)
    assert np.any((proposals.indices >= 700) & (proposals.indices < 703))
    assert len(proposals) < 12


def test_a_long_unbroken_shot_is_shown_over_all_its_length():
    histograms = color_histogram(scene(np.random.default_rng(2), 37))
    histograms = np.repeat(histograms, 6, axis=0)
    seconds = np.arange(len(histograms)) / 2
    proposals = stacfp(histograms, seconds)
    assert np.diff(proposals.seconds).max() <= 20
    assert 9 <= len(proposals) <= 30


def test_a_dialogue_of_two_looks_does_not_ask_for_every_change():
    a, b = color_histogram(np.stack([scene(np.random.default_rng(s), 1)[0] for s in (1, 2)]))
    histograms = np.array([a if i // 5 % 2 else b for i in range(120)])
    noise = np.random.default_rng(0).normal(0, 0.02, histograms.shape)
    proposals = stacfp(histograms + noise, np.arange(120) / 2)
    assert 2 <= len(proposals) <= 16


@pytest.mark.parametrize("count", [1, 2, 3, 50])
def test_a_static_video_is_one_proposal_from_its_middle(count):
    histograms = color_histogram(np.full((count, TALL, WIDE, 3), (90, 140, 30), np.uint8))
    for proposals in (stacfp(histograms, np.arange(count) / 2), scfp(histograms, np.arange(count) / 2)):
        assert len(proposals) == 1 and proposals.silhouettes == {}
    assert stacfp(histograms, np.arange(count) / 2).indices[0] in (count // 2, (count - 1) // 2)


def test_camera_noise_does_not_make_a_still_picture_move():
    rng = np.random.default_rng(0)
    still = np.asarray(Image.fromarray(scene(rng, 30)[-1]).resize((160, 90), Image.Resampling.BILINEAR))
    for strength in (1, 4):
        noisy = np.clip(still + rng.normal(0, strength, (40, *still.shape)), 0, 255).astype(np.uint8)
        assert len(stacfp(color_histogram(noisy), np.arange(40) / 2)) == 1


def test_two_or_three_unlike_frames_are_all_proposed():
    for count in (2, 3):
        histograms = np.eye(256, dtype=np.float32)[:count]
        np.testing.assert_array_equal(stacfp(histograms, np.arange(count)).indices, np.arange(count))


def test_representatives_are_the_frames_nearest_to_their_centroids():
    histograms, seconds, _ = drawn([20, 30, 15], seed=5)
    proposals = stacfp(histograms, seconds)
    x = np.column_stack([histograms, 5.0 * seconds / seconds[-1]])
    for cluster, index in enumerate(proposals.indices):
        members = np.flatnonzero(proposals.labels == cluster)
        away = np.linalg.norm(x[members] - x[members].mean(axis=0), axis=1)
        assert np.linalg.norm(x[index] - x[members].mean(axis=0)) == pytest.approx(away.min(), abs=1e-5)


def test_the_same_seed_gives_the_same_proposals():
    histograms, seconds, _ = drawn([40, 30, 55, 20], seed=7)
    first, second = (stacfp(histograms, seconds, seed=4) for _ in range(2))
    np.testing.assert_array_equal(first.indices, second.indices)
    np.testing.assert_array_equal(first.labels, second.labels)


@pytest.mark.parametrize("k_max", [1, 2, 3, 6])
def test_k_max_is_never_passed(k_max):
    histograms, seconds, _ = drawn([10] * 12, seed=1)
    assert len(stacfp(histograms, seconds, k_max=k_max)) <= k_max
    assert len(scfp(histograms, seconds, k_max=k_max)) <= k_max


def test_repeated_frames_can_be_clustered_by_colour_alone():
    histograms, seconds, of_scene = drawn([12, 12, 12], seed=2, moves=False)
    proposals = scfp(histograms, seconds)
    np.testing.assert_array_equal(proposals.labels, of_scene)


def test_colour_alone_puts_a_look_that_comes_back_into_one_cluster():
    histograms = np.repeat(np.eye(256, dtype=np.float32)[[0, 1, 0]], 10, axis=0)
    histograms += np.random.default_rng(0).normal(0, 0.002, histograms.shape)
    assert len(scfp(histograms, np.arange(30.0))) == 2
    assert len(stacfp(histograms, np.arange(30.0))) == 3


def test_uniform_proposals_lie_at_equal_distances():
    proposals = ufp(np.arange(0, 70.5, 0.5))
    np.testing.assert_allclose(proposals.seconds, np.arange(0, 71, 10))
    assert proposals.labels[0] == 0 and proposals.labels[-1] == 7
    np.testing.assert_array_equal(ufp([0.0, 1.0, 2.0]).seconds, [0, 1, 2])
    np.testing.assert_array_equal(ufp([0.0, 1.0, 2.0], count=1).seconds, [1])


@pytest.mark.parametrize(
    ("histograms", "seconds", "options", "message"),
    [
        (np.ones((0, 4)), [], {}, "at least one row"),
        (np.ones((2, 4)), [0.0], {}, "one per histogram"),
        (np.ones((2, 4)), [1.0, 0.0], {}, "ascending"),
        (np.full((2, 4), np.nan), [0.0, 1.0], {}, "finite"),
        (np.ones((2, 4)), [0.0, 1.0], {"gamma_time": -1}, "gamma_time is -1"),
        (np.ones((2, 4)), [0.0, 1.0], {"k_max": 0}, "k_max is 0"),
    ],
)
def test_wrong_input_is_named(histograms, seconds, options, message):
    with pytest.raises(OptionsError, match=message):
        stacfp(histograms, seconds, **options)


def sampled(path, stride):
    with open_video(path) as video:
        pairs = list(video.sample(stride, short_side=90))
    seconds = np.array([second for second, _ in pairs])
    return seconds, np.concatenate([color_histogram(image) for _, image in pairs])


def joined(parts, gap=0.5):
    """Sampled clips end to end: histograms, seconds, and the clip of each frame."""
    seconds, histograms, of_clip, start = [], [], [], 0.0
    for i, (times, rows) in enumerate(parts):
        seconds.append(times - times[0] + start)
        histograms.append(rows)
        of_clip += [i] * len(times)
        start = seconds[-1][-1] + gap
    return np.concatenate(histograms), np.concatenate(seconds), np.array(of_clip)


@pytest.fixture(scope="module")
def real_clips():
    return {name: sampled(Path(DATA) / "real" / name, 0.5) for name in NINE}


@needs_data
@pytest.mark.parametrize("gamma_time", [5, 7.5, 10, 15, 20])
def test_nine_real_clips_joined_are_all_proposed_at_every_weight_of_time(real_clips, gamma_time):
    for seed in range(3):
        names = np.random.default_rng(seed).permutation(NINE)
        histograms, seconds, of_clip = joined([real_clips[name] for name in names])
        proposals = stacfp(histograms, seconds, gamma_time=gamma_time)
        assert set(of_clip[proposals.indices]) == set(range(9))
        assert len(proposals) <= 30


@needs_data
def test_of_forty_real_clips_joined_at_least_95_percent_are_proposed():
    folder, parts = Path(DATA), []
    more = ["awesome_movie.mov", "awesome_widescreen.mov", "nasa_13013_hdr.mp4", "var_fps_video.mp4"]
    names = [*(f"real/{n}" for n in [*NINE, "bottle-detection.mp4", "car-detection.mp4"])]
    for name in [*names, "real/one-by-one-person-detection.mp4", *(f"formats/{n}" for n in more)]:
        seconds, rows = sampled(folder / name, 1.0)
        for start in np.arange(0, seconds[-1], PIECE_SECONDS):
            inside = (seconds >= start) & (seconds < start + PIECE_SECONDS)
            if inside.sum() >= 3:
                parts.append((seconds[inside], rows[inside]))
    for seed in range(3):
        order = np.random.default_rng(seed).permutation(len(parts))
        histograms, seconds, of_clip = joined([parts[i] for i in order], gap=1.0)
        proposals = stacfp(histograms, seconds)
        assert len(set(of_clip[proposals.indices])) >= 0.95 * len(parts)
        assert len(proposals) <= 2 * len(parts)
    assert len(parts) >= 40


@needs_data
def test_a_single_short_real_clip_gets_a_handful_of_proposals(real_clips):
    counts = {name: len(stacfp(rows, seconds)) for name, (seconds, rows) in real_clips.items()}
    assert all(2 <= count <= 12 for count in counts.values()), counts


@pytest.mark.parametrize(("n", "k"), [(30, 2), (200, 7), (200, 60), (900, 25)])
def test_the_labels_are_scikit_learns(n: int, k: int) -> None:
    """In double precision: in single, rounding decides of some points which of two centres is the nearer."""
    from sklearn.cluster import KMeans

    from keyframe_llm.proposals.kmeans import kmeans

    rng = np.random.default_rng(n + k)
    looks = rng.random((1 + k // 2, 40))
    x = looks[rng.integers(len(looks), size=n)] + 0.2 * rng.random((n, 40))
    starts = x[rng.choice(n, k, replace=False)]
    assert np.array_equal(kmeans(x, starts), KMeans(k, init=starts, n_init=1).fit(x).labels_)


def test_a_cluster_that_is_left_without_members_takes_the_farthest_as_in_scikit_learn() -> None:
    from sklearn.cluster import KMeans

    from keyframe_llm.proposals.kmeans import kmeans

    x = np.repeat(np.arange(5.0), 4)[:, None] + np.linspace(0, 0.01, 20)[:, None]
    starts = np.array([[0.0], [0.001], [100.0], [200.0]])
    assert np.array_equal(kmeans(x, starts), KMeans(4, init=starts, n_init=1).fit(x).labels_)
