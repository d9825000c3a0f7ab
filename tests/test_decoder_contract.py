"""The contract of a decoder, checked on every backend and on a decoder of one's own, over drawn videos."""

from __future__ import annotations

import importlib.util
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import av
import numpy as np
import pytest

from keyframe_llm.data import VideoInfo
from keyframe_llm.errors import OptionsError, VideoError
from keyframe_llm.video import Decoder, SimpleDecoder, open_video


class OwnDecoder(SimpleDecoder):
    """A decoder as a user would write it."""

    def __init__(self, path: str) -> None:
        super().__init__()
        self.path = path
        times, images = zip(*self.read(0.0), strict=True)
        height, width, _ = images[0].shape
        length = times[-1] + (times[-1] / (len(times) - 1) if len(times) > 1 else 0.04)
        self.info = VideoInfo(path, length, len(times) / length, width, height, "h264")

    def read(self, from_seconds: float) -> Iterator[tuple[float, np.ndarray]]:
        with av.open(self.path) as container:
            start = None
            for frame in container.decode(video=0):
                start = frame.time if start is None else start
                yield frame.time - start, np.rot90(frame.to_ndarray(format="rgb24"), frame.rotation // 90)


HAVE_DECORD = importlib.util.find_spec("decord") is not None
BACKENDS = [
    "pyav",
    pytest.param("decord", marks=pytest.mark.skipif(not HAVE_DECORD, reason="decord is not installed")),
    pytest.param(OwnDecoder, id="own"),
]
STEADY = [i * 0.04 for i in range(100)]
UNSTEADY = sorted({round(i * 0.04 + (i % 7) * 0.011, 3) for i in range(60)} | {5.0, 5.04, 9.0, 9.5})

# name: (file name, times, how to draw it)
DRAWN: dict[str, tuple[str, list[float], dict[str, Any]]] = {
    "b-frames": ("a.mp4", STEADY, {"options": {"bf": "3", "g": "40"}}),
    "no b-frames": ("b.mp4", STEADY, {"options": {"bf": "0", "g": "30"}}),
    "all key frames": ("c.mp4", STEADY, {"options": {"g": "1"}}),
    "one long group": ("d.mp4", STEADY, {"options": {"g": "1000", "sc_threshold": "0"}}),
    "open groups": ("e.mp4", STEADY, {"options": {"x264-params": "open-gop=1:keyint=20:bframes=3"}}),
    "variable rate": ("f.mp4", UNSTEADY, {"options": {"bf": "2", "g": "20"}}),
    "late start": ("g.mp4", [7.3 + s for s in STEADY], {"options": {"g": "25"}}),
    "matroska": ("h.mkv", STEADY, {"options": {"g": "25"}}),
    "vp9": ("i.webm", STEADY[:50], {"codec": "libvpx-vp9", "options": {"g": "20", "cpu-used": "8"}}),
    "10 bit hevc": (
        "j.mp4",
        STEADY[:50],
        {
            "codec": "libx265",
            "pixels": "yuv420p10le",
            "options": {"x265-params": "log-level=none:keyint=20:open-gop=0"},
        },
    ),
    "mpeg-4 avi": ("k.avi", STEADY, {"codec": "mpeg4", "options": {"g": "12", "b": "2000000"}}),
    "odd size": ("l.mp4", STEADY[:30], {"size": (97, 65), "pixels": "yuv444p"}),
    "portrait": ("m.mp4", STEADY[:30], {"size": (64, 96)}),
    "one frame": ("n.mp4", [0.0], {}),
}
GIF = ("o.gif", [i * 0.1 for i in range(30)], {"codec": "gif", "pixels": "rgb8"})


@pytest.fixture(scope="session")
def drawn(videos: ModuleType, tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """`drawn("vp9")` is the path of that video, drawn at its first use."""
    root = tmp_path_factory.mktemp("videos")

    def make(name: str) -> Path:
        file, seconds, how = GIF if name == "gif" else DRAWN[name]
        path = root / file
        return path if path.exists() else videos.draw(path, seconds, **how)

    return make


def truth(name: str) -> np.ndarray:
    """(N,) times from the first frame shown, in seconds."""
    seconds = np.array(DRAWN[name][1])
    return seconds - seconds[0]


def nearest(times: np.ndarray, second: float) -> int:
    return int(np.abs(times - second).argmin())


@pytest.mark.parametrize("name", DRAWN)
@pytest.mark.parametrize("backend", BACKENDS)
def test_every_time_gives_the_frame_on_screen(backend: Any, name: str, drawn: Any, videos: Any) -> None:
    times = truth(name)
    ends = np.append(times[1:], times[-1] + 0.02)
    middles = (times + ends) / 2
    with open_video(drawn(name), backend) as video:
        for wanted in (times, np.round(times, 3), middles):
            frames = video.decode_at(wanted)
            assert [videos.number(image) for image in frames.images] == list(range(len(times)))
            assert np.abs(frames.seconds - times).max() < 1e-3
        assert frames.images.shape[1:3] == (video.info.height, video.info.width)


@pytest.mark.parametrize("name", DRAWN)
@pytest.mark.parametrize("backend", BACKENDS)
def test_single_frames_in_any_order_are_exact(backend: Any, name: str, drawn: Any, videos: Any) -> None:
    times = truth(name)
    with open_video(drawn(name), backend) as video:
        for i in np.random.default_rng(0).permutation(len(times))[:20]:
            assert videos.number(video.decode_at([float(times[i])]).images[0]) == i


@pytest.mark.parametrize("stride", [0.04, 0.1, 0.5, 1.0, 3.0])
@pytest.mark.parametrize("name", DRAWN)
@pytest.mark.parametrize("backend", BACKENDS)
def test_samples_lie_within_half_a_stride_of_the_wanted_times(
    backend: Any, name: str, stride: float, drawn: Any, videos: Any
) -> None:
    times = truth(name)
    with open_video(drawn(name), backend) as video:
        samples = list(video.sample(stride, short_side=48))
    seconds = np.array([s for s, _ in samples])
    assert np.all(np.diff(seconds) > 0)
    # Every sample is a frame of the video with its own true time.
    assert [videos.number(image) for _, image in samples] == [nearest(times, s) for s in seconds]
    assert max(np.abs(times - s).min() for s in seconds) < 1e-3
    for wanted in np.arange(0, times[-1], stride):
        if np.abs(times - wanted).min() <= stride / 2:
            assert np.abs(seconds - wanted).min() <= stride / 2 + 1e-3


@pytest.mark.parametrize("name", ["b-frames", "variable rate", "late start", "matroska", "vp9"])
@pytest.mark.parametrize("backend", BACKENDS)
def test_sampled_times_give_back_those_very_frames(backend: Any, name: str, drawn: Any, videos: Any) -> None:
    with open_video(drawn(name), backend) as video:
        samples = list(video.sample(0.3, short_side=64))
        frames = video.decode_at([s for s, _ in samples])
    assert list(frames.seconds) == [s for s, _ in samples]
    assert [videos.number(i) for i in frames.images] == [videos.number(i) for _, i in samples]


@pytest.mark.parametrize("backend", BACKENDS)
def test_nothing_outside_the_window_is_sampled(backend: Any, drawn: Any) -> None:
    with open_video(drawn("b-frames"), backend) as video:
        seconds = [s for s, _ in video.sample(0.25, short_side=32, start_seconds=1.01, end_seconds=2.0)]
    assert seconds[0] >= 1.01 and seconds[-1] <= 2.0
    assert seconds == pytest.approx([1.01, 1.26, 1.51, 1.76], abs=0.125)


@pytest.mark.parametrize("backend", BACKENDS)
def test_a_window_between_two_frames_shows_the_frame_on_screen(backend: Any, drawn: Any) -> None:
    with open_video(drawn("variable rate"), backend) as video:
        samples = list(video.sample(1.0, short_side=32, start_seconds=6.0, end_seconds=7.0))
    assert [s for s, _ in samples] == pytest.approx([5.04])


@pytest.mark.parametrize("backend", BACKENDS)
def test_a_picture_that_stays_on_screen_is_sampled_once(backend: Any, drawn: Any) -> None:
    with open_video(drawn("variable rate"), backend) as video:
        seconds = np.array([s for s, _ in video.sample(0.5, short_side=32)])
    still = seconds[(seconds > 4.9) & (seconds < 8.9)]
    assert list(still) == pytest.approx([5.0, 5.04])


@pytest.mark.parametrize("backend", BACKENDS)
def test_info_states_size_length_rate_and_codec(backend: Any, drawn: Any) -> None:
    with open_video(drawn("b-frames"), backend) as video:
        info = video.info
    assert (info.width, info.height, info.codec) == (96, 64, "h264")
    assert info.duration_seconds == pytest.approx(4.0, abs=0.05)
    assert info.average_fps == pytest.approx(25.0, abs=0.3)
    assert info.path == str(drawn("b-frames"))


@pytest.mark.parametrize("backend", BACKENDS)
def test_pictures_shrink_to_the_short_side_and_never_grow(backend: Any, drawn: Any) -> None:
    for name, side, shape in [
        ("b-frames", 32, (32, 48, 3)),
        ("portrait", 32, (48, 32, 3)),
        ("b-frames", 500, (64, 96, 3)),
    ]:
        with open_video(drawn(name), backend) as video:
            assert {image.shape for _, image in video.sample(1.0, short_side=side)} == {shape}


@pytest.mark.parametrize("backend", BACKENDS)
def test_exact_frames_come_small_where_that_is_wanted(backend: Any, drawn: Any, videos: Any) -> None:
    for name, side, shape in [
        ("b-frames", 40, (40, 60)),
        ("portrait", 40, (60, 40)),
        ("b-frames", 999, (64, 96)),
    ]:
        with open_video(drawn(name), backend) as video:
            frames = video.decode_at([0.04, 0.8], short_side=side)
            assert frames.images.shape == (2, *shape, 3)
            assert [videos.number(image) for image in frames.images] == [1, 20]
            assert video.decode_at([], short_side=side).images.shape == (0, *shape, 3)


@pytest.mark.parametrize("backend", BACKENDS)
def test_after_the_end_the_last_frame_stays_and_repeats_are_given_once(
    backend: Any, drawn: Any, videos: Any
) -> None:
    with open_video(drawn("b-frames"), backend) as video:
        frames = video.decode_at([0.0, 0.01, 0.04, 0.04, 3.96, 50.0])
        assert [videos.number(image) for image in frames.images] == [0, 1, 99]
        assert len(video.decode_at([])) == 0


@pytest.mark.parametrize("backend", BACKENDS)
def test_two_samplings_and_a_decode_do_not_disturb_each_other(backend: Any, drawn: Any, videos: Any) -> None:
    with open_video(drawn("b-frames"), backend) as video:
        alone = [s for s, _ in video.sample(0.2, short_side=32)]
        mixed: list[list[float]] = [[], []]
        for one, two in zip(video.sample(0.2, short_side=32), video.sample(0.2, short_side=32), strict=True):
            mixed[0].append(one[0])
            mixed[1].append(two[0])
            assert videos.number(video.decode_at([2.0]).images[0]) == 50
    assert mixed == [alone, alone]


@pytest.mark.parametrize(
    ("matrix", "seen"),
    [
        ((0, 1, -1, 0), ["blue", "red", "yellow", "green"]),
        ((-1, 0, 0, -1), ["yellow", "blue", "green", "red"]),
        ((0, -1, 1, 0), ["green", "yellow", "red", "blue"]),
    ],
)
@pytest.mark.parametrize("backend", BACKENDS)
def test_rotated_videos_come_upright(
    backend: Any, matrix: Any, seen: Any, videos: Any, tmp_path: Path
) -> None:
    path = videos.set_matrix(videos.draw(tmp_path / "rotated.mp4", STEADY[:10]), *matrix)
    with open_video(path, backend) as video:
        full = video.decode_at([0.2]).images[0]
        small = next(iter(video.sample(1.0, short_side=40)))[1]
        upright = (64, 96) if matrix[0] else (96, 64)
        assert (video.info.height, video.info.width) == upright == full.shape[:2]
    assert videos.corners(full) == seen == videos.corners(small)
    assert min(small.shape[:2]) == 40


@pytest.mark.parametrize("backend", BACKENDS)
def test_arguments_out_of_range_are_refused_in_one_line(backend: Any, drawn: Any) -> None:
    with open_video(drawn("b-frames"), backend) as video:
        for call, message in _bad_calls(video):
            with pytest.raises(OptionsError, match=message):
                call()
        with pytest.raises(VideoError, match=r"ends at 4\.\d+ s, before start_seconds 60"):
            list(video.sample(1.0, short_side=32, start_seconds=60.0))


def _bad_calls(video: Decoder) -> list[tuple[Callable[[], object], str]]:
    return [
        (lambda: video.sample(0.0, short_side=32), "stride_seconds is 0.0"),
        (lambda: video.sample(float("nan"), short_side=32), "stride_seconds is nan"),
        (lambda: video.sample(1.0, short_side=0), "short_side is 0"),
        (lambda: video.sample(1.0, short_side=32, start_seconds=-1.0), "start_seconds is -1.0"),
        (lambda: video.sample(1.0, short_side=32, start_seconds=2.0, end_seconds=1.0), "end_seconds is 1.0"),
        (lambda: video.decode_at([2.0, 1.0]), "ascending"),
        (lambda: video.decode_at([-1.0]), "seconds holds -1.0"),
        (lambda: video.decode_at([float("inf")]), "seconds holds inf"),
        (lambda: video.decode_at([1.0], short_side=0), "short_side is 0"),
    ]


@pytest.mark.parametrize("backend", ["pyav", pytest.param(OwnDecoder, id="own")])
def test_gifs_have_exact_times_and_pictures(backend: Any, drawn: Any, videos: Any) -> None:
    with open_video(drawn("gif"), backend) as video:
        frames = video.decode_at([0.0, 0.45, 1.0, 2.9])
        samples = list(video.sample(0.5, short_side=64))
    assert [videos.number(image) for image in frames.images] == [0, 4, 10, 29]
    assert frames.seconds == pytest.approx([0.0, 0.4, 1.0, 2.9], abs=1e-3)
    assert [videos.number(image) for _, image in samples] == [0, 5, 10, 15, 20, 25]


@pytest.mark.skipif(not HAVE_DECORD, reason="decord is not installed")
def test_decord_refuses_gifs_and_names_the_backend_that_reads_them(drawn: Any) -> None:
    with pytest.raises(VideoError, match='use backend="pyav"'):
        open_video(drawn("gif"), "decord")


def test_a_backend_that_returns_no_decoder_is_refused(drawn: Any) -> None:
    def nothing(path: str) -> Any:
        return None

    with pytest.raises(OptionsError, match="backend 'nothing' returned a NoneType without info") as caught:
        open_video(drawn("b-frames"), nothing)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("limit", [{"max_pixels": 10_000}, {"hardware": "cuda"}])
@pytest.mark.parametrize("backend", BACKENDS[1:])
def test_limits_that_a_backend_cannot_keep_are_refused(backend: Any, limit: Any, drawn: Any) -> None:
    with pytest.raises(OptionsError, match='use backend="pyav"'):
        open_video(drawn("b-frames"), backend, **limit)


@pytest.mark.skipif("KEYFRAME_LLM_TEST_DATA" not in os.environ, reason="KEYFRAME_LLM_TEST_DATA is not set")
@pytest.mark.parametrize("backend", BACKENDS[:2])
def test_real_files_of_every_format_keep_the_contract(
    backend: Any, capfd: pytest.CaptureFixture[str]
) -> None:
    root = Path(os.environ["KEYFRAME_LLM_TEST_DATA"])
    refused = []
    small = [path for path in (root / "real").iterdir() if path.stat().st_size < 600_000]
    for path in sorted([*(root / "formats").iterdir(), *(root / "broken").iterdir(), *small]):
        try:
            video = open_video(path, backend)
        except VideoError as error:
            assert "\n" not in str(error)
            refused.append(path.name)
            continue
        with video:
            seconds = np.array([s for s, _ in video.sample(1.0, short_side=32)])
            picks = np.unique(seconds[[0, len(seconds) // 2, -1]])
            frames = video.decode_at(picks)
            assert np.all(np.diff(seconds) > 0) and np.array_equal(frames.seconds, picks), path.name
            assert frames.images.shape[1:] == (video.info.height, video.info.width, 3), path.name
    assert "no_moov.mp4" in refused
    assert len(refused) == 1 if backend == "pyav" else len(refused) < 10
    assert capfd.readouterr().err == ""
