"""Long videos are looked at thinly and by several readers at once: what is found, and what it costs.

The truth is planted: every picture carries its number, or the one event is where it was put.
"""

from __future__ import annotations

import math
import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from keyframe_llm.errors import OptionsError, VideoError
from keyframe_llm.index.selector import select_keyframes
from keyframe_llm.options import SelectOptions
from keyframe_llm.proposals.sample import _Thinner, sample_video
from keyframe_llm.video import eyes, open_video
from keyframe_llm.video.plan import Survey, _spaced, choose_plan

FPS, GROUP = 5, 40
LONG_SECONDS = 400.0
EVENT = (303.0, 304.6)
"""A second and a half in the midst of a group of eight seconds that begins at 296."""


@pytest.fixture(scope="session")
def long_video(videos: Any, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Nearly seven minutes of grey noise in groups of 8 s; green for a moment, with no key frame there."""
    rng = np.random.default_rng(0)
    noise = [rng.integers(100, 140, (64, 96, 3)).astype(np.uint8) for _ in range(7)]
    green = np.full((64, 96, 3), (20, 200, 20), np.uint8)
    times = np.arange(0, LONG_SECONDS, 1 / FPS)
    images = [green if EVENT[0] <= t < EVENT[1] else noise[i % 7] for i, t in enumerate(times)]
    options = {"g": str(GROUP), "keyint_min": str(GROUP), "sc_threshold": "0", "bf": "2"}
    path: Path = videos.draw(
        tmp_path_factory.mktemp("long") / "long.mp4", times, images=images, rate=FPS, options=options
    )
    return path


@pytest.fixture(scope="session")
def numbered(videos: Any, tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """Fifty seconds of numbered pictures in groups of 4 s, drawn once for each kind of file."""
    folder, drawn = tmp_path_factory.mktemp("numbered"), dict[str, Path]()

    def make(suffix: str) -> Path:
        if suffix not in drawn:
            times = [i / FPS for i in range(50 * FPS)]
            options = {"g": "20", "bf": "2"}
            drawn[suffix] = videos.draw(folder / f"numbered{suffix}", times, rate=FPS, options=options)
        return drawn[suffix]

    return make


def survey(seconds: float, *, group: float = 8.0, busy: tuple[int, ...] = ()) -> Survey:
    """Groups of equal length; those in `busy` have many bytes."""
    keys = np.arange(0, seconds, group)
    sizes = np.column_stack([np.full(len(keys), 1000.0), np.full(len(keys), 100.0)])
    sizes[list(busy), 1] = 5000.0
    return Survey(round(seconds * 25), seconds, keys, 0.16, sizes)


def seen(path: Path, **look: Any) -> list[tuple[float, np.ndarray]]:
    with open_video(path) as video:
        return list(video.sample(0.4, short_side=64, **look))


# The plan -----------------------------------------------------------------------------------------------


def test_a_short_video_is_looked_at_everywhere() -> None:
    plan = choose_plan(survey(120.0), 0.5, 0.0, 120.0, 0.5)
    assert plan.mode == "reference"
    assert np.concatenate([part.wanted for part in plan.stretches]) == pytest.approx(np.arange(0, 120, 0.5))


def test_exact_sampling_stays_exact_however_long_the_video() -> None:
    assert choose_plan(survey(36_000.0), 0.5, 0.0, math.inf).mode == "reference"


def test_pieces_begin_at_key_frames() -> None:
    plan = choose_plan(survey(120.0), 0.5, 0.0, 120.0)
    starts = [part.wanted[0] for part in plan.stretches]
    assert len(starts) > 3 and all(start % 8 == 0 for start in starts)


def test_the_groups_in_which_most_changes_are_looked_into() -> None:
    plan = choose_plan(survey(3600.0, busy=(17, 311)), 1.8, 0.0, 3600.0, 0.5)
    assert plan.mode == "busy"
    dense = [part.wanted for part in plan.stretches if part.mode == "reference"]
    for group in (17, 311):
        assert any(np.array_equal(part, np.arange(group * 8.0, group * 8.0 + 8, 0.5)) for part in dense)


def test_every_key_frame_is_looked_at_and_time_runs_on() -> None:
    plan = choose_plan(survey(3600.0, busy=(17,)), 1.8, 0.0, 3600.0, 0.5)
    wanted = np.concatenate([part.wanted for part in plan.stretches])
    assert np.all(np.diff(wanted) > 0)
    assert np.isin(np.arange(0, 3600, 8.0), wanted).all()


@pytest.mark.parametrize("seconds", [600.0, 3600.0, 36_000.0])
def test_looking_between_key_frames_costs_the_same_however_long_the_video(seconds: float) -> None:
    plan = choose_plan(survey(seconds), 0.5, 0.0, seconds, 0.5)
    dense = sum(len(part.wanted) for part in plan.stretches if part.mode != "seek") * 0.5
    assert 150 <= dense <= 185  # 100 s at the price of ordinary decoding


def test_where_nothing_tells_them_apart_groups_are_looked_into_all_over_the_video() -> None:
    told = survey(3600.0)
    plan = choose_plan(replace(told, group_bytes=None), 1.8, 0.0, 3600.0, 0.5)
    looked = np.array([part.wanted[0] for part in plan.stretches if part.mode == "reference"])
    assert len(looked) > 15
    assert np.diff(np.concatenate([[0.0], looked, [3600.0]])).max() < 400


def test_no_long_stretch_goes_unseen() -> None:
    keys = np.concatenate([np.arange(0, 1800, 8.0), np.arange(1860, 3600, 8.0)])
    sizes = np.full((len(keys), 2), 100.0)
    plan = choose_plan(Survey(90_000, 3600.0, keys, 0.16, sizes), 1.8, 0.0, 3600.0, 0.5)
    wanted = np.concatenate([part.wanted for part in plan.stretches])
    assert plan.mode == "busy"
    assert np.diff(wanted).max() <= 20.0


def test_key_frames_only_is_not_chosen_where_there_are_hardly_any() -> None:
    assert choose_plan(survey(3600.0, group=600.0), 1.8, 0.0, 3600.0, 0.5).mode != "busy"


def test_a_window_is_planned_within_itself() -> None:
    plan = choose_plan(survey(7200.0), 1.0, 1000.0, 2000.0, 0.5)
    wanted = np.concatenate([part.wanted for part in plan.stretches])
    assert wanted[0] >= 1000.0 and wanted[-1] <= 2000.0


# The look -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("cores", [1, 2, 5])
@pytest.mark.parametrize("suffix", [".mp4", ".mkv", ".ts", ".avi"])
def test_several_readers_see_what_one_sees(
    suffix: str, cores: int, numbered: Any, videos: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("keyframe_llm.video.pyav_backend.cores", lambda: cores)
    samples = seen(numbered(suffix))
    seconds = np.array([second for second, _ in samples])
    assert np.abs(seconds - np.arange(0, 50, 0.4)).max() <= 0.2 + 1e-3
    assert [videos.number(image) for _, image in samples] == [round(s * FPS) % 256 for s in seconds]


def test_a_look_that_is_given_up_leaves_no_reader_at_work(numbered: Any) -> None:
    with open_video(numbered(".mp4")) as video:
        samples = video.sample(0.4, short_side=64)
        next(samples)
        samples.close()
        assert len(video.decode_at([7.0])) == 1


def test_a_file_cut_short_is_seen_to_its_end_and_told_of(videos: Any, tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    images = [rng.integers(0, 255, (64, 96, 3)).astype(np.uint8) for _ in range(50 * FPS)]
    times = [i / FPS for i in range(50 * FPS)]
    whole = videos.draw(tmp_path / "whole.mp4", times, images=images, rate=FPS, options={"g": "20"})
    data = videos.index_first(whole).read_bytes()
    cut = tmp_path / "cut.mp4"
    cut.write_bytes(data[: len(data) // 2])
    with open_video(cut) as video:
        samples = [second for second, _ in video.sample(0.4, short_side=64)]
        assert samples[-1] == pytest.approx(25.0, abs=3.0)
        assert np.diff(samples).max() < 0.7
        assert sum("cut off: only" in line for line in video.warnings) == 1


def test_an_event_between_key_frames_is_found_in_a_long_video(long_video: Path) -> None:
    selection = select_keyframes(long_video)
    assert selection.plan.startswith("busy: ")
    assert any(EVENT[0] <= second < EVENT[1] for second in selection.proposals.seconds)
    assert selection.sampled_frames < 500  # exhaustive: 800
    assert selection.warnings == ()


def test_a_cut_right_behind_a_key_frame_is_looked_at() -> None:
    keys = np.array([0.0, 4.0, 4.4, 8.0, 8.2, 8.4, 12.0])
    kept = keys[_spaced(keys, 0.5)]
    assert kept.tolist() == [0.0, 4.0, 4.4, 8.0, 8.4, 12.0]
    assert keys[_spaced(keys, 4.0)].tolist() == [0.0, 4.0, 8.0, 12.0]


def test_a_look_seen_once_outlives_those_that_return_for_hours() -> None:
    rng = np.random.default_rng(0)
    looks = rng.random((6, 8)).astype(np.float32)
    looks /= np.linalg.norm(looks, axis=1, keepdims=True)
    thinner = _Thinner(100, evenly=False)
    for i in range(3000):
        if thinner.wants():
            thinner.keep(5.0 * i, looks[[5 if i == 1234 else i % 5]], None)
    assert len(thinner.seconds) <= 100 and 5.0 * 1234 in thinner.seconds
    assert np.diff(thinner.seconds).max() < 3000  # of 15,000; which of equals stays is up to rounding


def test_an_exhaustive_look_is_dense_everywhere(long_video: Path) -> None:
    with open_video(long_video) as video:
        options = SelectOptions(exhaustive=True)
        sampled = sample_video(video, options, picture_side=None, progress=lambda stage, share: None)
    assert np.diff(sampled.seconds).max() <= 0.8
    assert not sampled.plan.startswith("busy")


def test_what_repeats_is_dropped_first_where_there_are_too_many_samples(long_video: Path) -> None:
    with open_video(long_video) as video:
        options = SelectOptions(max_samples=60)
        sampled = sample_video(video, options, picture_side=None, progress=lambda stage, share: None)
    assert len(sampled.seconds) <= 60
    assert any(EVENT[0] <= second < EVENT[1] for second in sampled.seconds)
    assert sampled.seconds[0] < 30 and sampled.seconds[-1] > LONG_SECONDS - 60


def test_all_cores_that_may_be_used_are_counted() -> None:
    assert 1 <= eyes.cores() <= (os.cpu_count() or 1)


# Hardware -----------------------------------------------------------------------------------------------


def test_a_device_that_is_not_there_is_told_in_one_line(numbered: Any) -> None:
    with pytest.raises(VideoError, match=r"hardware is 'abacus', which this FFmpeg does not know") as caught:
        open_video(numbered(".mp4"), hardware="abacus")
    assert "\n" not in str(caught.value)


def test_decord_knows_no_devices(numbered: Any) -> None:
    with pytest.raises(OptionsError, match='use backend="pyav"'):
        open_video(numbered(".mp4"), "decord", hardware="cuda")
