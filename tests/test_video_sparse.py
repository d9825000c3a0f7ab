"""Sparse plans of long videos and parallel readers: which frames they give, and at which cost.

The truth is planted: every picture carries its number, or the one event has a known time.
"""

from __future__ import annotations

import math
import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest

from keyframe_llm import select_keyframes
from keyframe_llm.errors import OptionsError, VideoError
from keyframe_llm.video import open_video
from keyframe_llm.video.cores import available_cores
from keyframe_llm.video.costs import Survey
from keyframe_llm.video.plan import choose_plan
from keyframe_llm.video.pyav_backend import PyAVDecoder
from keyframe_llm.video.sparse import space_out

FPS = 5
LONG_SECONDS = 400.0
EVENT = (303.0, 304.6)
"""A second and a half in the middle of a group of 8 s that begins at 296 s."""


@pytest.fixture(scope="session")
def long_video(videos: Any, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Nearly seven minutes of grey noise in groups of 8 s; green during `EVENT`, with no key frame there."""
    path: Path = videos.long_video(tmp_path_factory.mktemp("long") / "long.mp4", LONG_SECONDS, EVENT)
    return path


@pytest.fixture(scope="session")
def numbered(videos: Any, tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """Fifty seconds of numbered pictures in groups of 4 s, drawn once for each container."""
    folder, drawn = tmp_path_factory.mktemp("numbered"), dict[str, Path]()

    def make(suffix: str) -> Path:
        if suffix not in drawn:
            times = [i / FPS for i in range(50 * FPS)]
            options = {"g": "20", "bf": "2"}
            drawn[suffix] = videos.draw(folder / f"numbered{suffix}", times, rate=FPS, options=options)
        return drawn[suffix]

    return make


def survey(seconds: float, *, group: float = 8.0, changing: tuple[int, ...] = ()) -> Survey:
    """Groups of equal length; those in `changing` have many bytes."""
    keys = np.arange(0, seconds, group)
    sizes = np.column_stack([np.full(len(keys), 1000.0), np.full(len(keys), 100.0)])
    sizes[list(changing), 1] = 5000.0
    return Survey(round(seconds * 25), seconds, keys, 0.16, sizes)


def sampled(path: Path) -> list[tuple[float, np.ndarray]]:
    with open_video(path) as video:
        return list(video.sample(0.4, short_side=64))


# Plans --------------------------------------------------------------------------------------------------


def test_a_short_video_is_sampled_everywhere() -> None:
    plan = choose_plan(survey(120.0), 0.5, 0.0, 120.0, 0.5)
    assert plan.mode == "reference"
    assert np.concatenate([part.wanted for part in plan.segments]) == pytest.approx(np.arange(0, 120, 0.5))


def test_exact_sampling_stays_exact_however_long_the_video() -> None:
    assert choose_plan(survey(36_000.0), 0.5, 0.0, math.inf).mode == "reference"


def test_segments_begin_at_key_frames() -> None:
    plan = choose_plan(survey(120.0), 0.5, 0.0, 120.0)
    starts = [part.wanted[0] for part in plan.segments]
    assert len(starts) > 3 and all(start % 8 == 0 for start in starts)


def test_the_last_time_before_a_key_frame_is_that_key_frames_where_it_is_close() -> None:
    video = survey(120.0, group=7.9)
    assert video.key_seconds is not None
    wanted = np.concatenate([part.wanted for part in choose_plan(video, 0.5, 0.0, 120.0).segments])
    away = np.abs(wanted - np.arange(0, 120, 0.5)[:, None])
    assert away.min(axis=1).max() < 0.25 and np.diff(wanted).max() <= 0.75 - 0.16 / 2
    assert np.isin(video.key_seconds, wanted).sum() >= 5
    brief = replace(survey(120.0), key_seconds=np.array([0.0, 30.1, 30.6, 31.1, 60.0]), group_bytes=None)
    wanted = np.concatenate([part.wanted for part in choose_plan(brief, 0.5, 0.0, 120.0).segments])
    assert [any((wanted >= key) & (wanted < key + 0.5)) for key in (30.1, 30.6)] == [True, True]


def test_what_follows_the_last_frame_wanted_of_a_group_is_not_decoded(
    numbered: Callable[[str], Path],
) -> None:
    path = numbered(".mp4")
    with av.open(str(path)) as file:
        keys = [float(p.pts * p.time_base) for p in file.demux(video=0) if p.is_keyframe and p.pts][:3]
    with PyAVDecoder(path) as video:
        video.plan(0.4)  # which reads where the key frames are
        before = video.decoded_packets
        assert np.allclose(video.decode_at(keys).seconds, keys)
        assert video.decoded_packets - before <= 4 * len(keys)  # itself, two later ones, and the end


def test_the_groups_in_which_most_changes_are_decoded_in_detail() -> None:
    plan = choose_plan(survey(3600.0, changing=(17, 311)), 1.8, 0.0, 3600.0, 0.5)
    assert plan.mode == "sparse"
    dense = [part.wanted for part in plan.segments if part.mode == "reference"]
    for group in (17, 311):
        assert any(np.array_equal(part, np.arange(group * 8.0, group * 8.0 + 8, 0.5)) for part in dense)


def test_every_key_frame_is_sampled_in_time_order() -> None:
    plan = choose_plan(survey(3600.0, changing=(17,)), 1.8, 0.0, 3600.0, 0.5)
    wanted = np.concatenate([part.wanted for part in plan.segments])
    assert np.all(np.diff(wanted) > 0)
    assert np.isin(np.arange(0, 3600, 8.0), wanted).all()


@pytest.mark.parametrize("seconds", [600.0, 3600.0, 36_000.0])
def test_decoding_between_key_frames_costs_the_same_however_long_the_video(seconds: float) -> None:
    plan = choose_plan(survey(seconds), 0.5, 0.0, seconds, 0.5)
    dense = sum(len(part.wanted) for part in plan.segments if part.mode != "seek") * 0.5
    assert 150 <= dense <= 185  # 100 s at the price of ordinary decoding


@pytest.mark.parametrize("pixels", [1280 * 720, 1920 * 1080, 3840 * 2160])
def test_decoding_between_key_frames_is_bounded_for_large_pictures_too(pixels: int) -> None:
    plan = choose_plan(replace(survey(600.0), pixels=pixels), 0.5, 0.0, 600.0, 0.5)
    dense = sum(len(part.wanted) for part in plan.segments if part.mode != "seek") * 0.5
    assert 182 - 16 <= dense <= 182
    assert np.isin(np.arange(0, 600, 8.0), np.concatenate([part.wanted for part in plan.segments])).all()


def test_of_large_pictures_the_end_of_most_groups_is_not_decoded() -> None:
    clip = replace(survey(120.0, group=4.0, changing=(7, 20)), pixels=3840 * 2160)
    wanted = np.concatenate([part.wanted for part in choose_plan(clip, 0.5, 0.0, 120.0, 0.5).segments])
    gaps = np.diff(wanted)
    assert gaps.max() <= 1.5 and (gaps > 1).sum() >= 15  # the last one before the next key frame
    for whole in (28.0, 80.0):
        assert np.diff(wanted[(wanted >= whole) & (wanted <= whole + 4)]).max() <= 0.5


def test_without_sizes_groups_all_over_the_video_are_decoded_in_detail() -> None:
    known = survey(3600.0)
    plan = choose_plan(replace(known, group_bytes=None), 1.8, 0.0, 3600.0, 0.5)
    starts = np.array([part.wanted[0] for part in plan.segments if part.mode == "reference"])
    assert len(starts) > 15
    assert np.diff(np.concatenate([[0.0], starts, [3600.0]])).max() < 400


def test_no_long_group_is_left_out() -> None:
    keys = np.concatenate([np.arange(0, 1800, 8.0), np.arange(1860, 3600, 8.0)])
    sizes = np.full((len(keys), 2), 100.0)
    plan = choose_plan(Survey(90_000, 3600.0, keys, 0.16, sizes), 1.8, 0.0, 3600.0, 0.5)
    wanted = np.concatenate([part.wanted for part in plan.segments])
    assert plan.mode == "sparse"
    assert np.diff(wanted).max() <= 20.0


def test_key_frames_only_is_not_chosen_where_there_are_hardly_any() -> None:
    assert choose_plan(survey(3600.0, group=600.0), 1.8, 0.0, 3600.0, 0.5).mode != "sparse"


def test_a_window_is_planned_within_itself() -> None:
    plan = choose_plan(survey(7200.0), 1.0, 1000.0, 2000.0, 0.5)
    wanted = np.concatenate([part.wanted for part in plan.segments])
    assert wanted[0] >= 1000.0 and wanted[-1] <= 2000.0


# Sampling -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("cores", [1, 2, 5])
@pytest.mark.parametrize("suffix", [".mp4", ".mkv", ".ts", ".avi"])
def test_parallel_readers_give_the_frames_that_one_reader_gives(
    suffix: str, cores: int, numbered: Any, videos: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda pid: set(range(cores)), raising=False)
    samples = sampled(numbered(suffix))
    seconds = np.array([second for second, _ in samples])
    assert np.abs(seconds - np.arange(0, 50, 0.4)).max() <= 0.2 + 1e-3
    assert [videos.number(image) for _, image in samples] == [round(s * FPS) % 256 for s in seconds]


def test_a_sampling_that_is_closed_early_leaves_no_worker_running(numbered: Any) -> None:
    with open_video(numbered(".mp4")) as video:
        samples = video.sample(0.4, short_side=64)
        next(samples)
        samples.close()
        assert len(video.decode_at([7.0])) == 1


def test_a_file_cut_short_is_sampled_to_its_end_with_a_warning(videos: Any, tmp_path: Path) -> None:
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
    assert selection.plan.startswith("sparse: ")
    assert any(EVENT[0] <= second < EVENT[1] for second in selection.proposals.seconds)
    assert selection.sampled_frames < 500  # exhaustive: 800
    assert selection.warnings == ()


def test_a_key_frame_right_after_another_is_kept_where_a_long_group_follows() -> None:
    keys = np.array([0.0, 4.0, 4.4, 8.0, 8.2, 8.4, 12.0])
    kept = keys[space_out(keys, 0.5)]
    assert kept.tolist() == [0.0, 4.0, 4.4, 8.0, 8.4, 12.0]
    assert keys[space_out(keys, 4.0)].tolist() == [0.0, 4.0, 8.0, 12.0]


def test_the_cores_of_this_process_are_counted() -> None:
    assert 1 <= available_cores() <= (os.cpu_count() or 1)


# Hardware -----------------------------------------------------------------------------------------------


def test_a_missing_device_is_one_line(numbered: Any) -> None:
    with pytest.raises(VideoError, match=r"hardware is 'abacus', which this FFmpeg does not know") as caught:
        open_video(numbered(".mp4"), hardware="abacus")
    assert "\n" not in str(caught.value)


def test_decord_refuses_a_device(numbered: Any) -> None:
    with pytest.raises(OptionsError, match='use backend="pyav"'):
        open_video(numbered(".mp4"), "decord", hardware="cuda")
