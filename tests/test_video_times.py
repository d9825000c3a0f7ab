"""The picture at second t shows t: in every container and codec that the installed FFmpeg can write."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from fractions import Fraction
from pathlib import Path
from types import MappingProxyType
from typing import Any, NamedTuple

import numpy as np
import pytest
from av.codec import Codec
from av.codec.codec import UnknownCodecError

from keyframe_llm.video import Decoder, open_video

FPS = 25
STEADY = [i / FPS for i in range(100)]
GAPS = [*STEADY[:40], *(6.0 + s for s in STEADY[:30]), *(9.04 + s for s in STEADY[:30])]
HALF_A_FRAME = 0.5 / FPS + 1e-3
FIXED, MS = Fraction(1, FPS), Fraction(1, 1000)
B_FRAMES = {"g": "25", "bf": "3"}
X265 = {"x265-params": "log-level=none:keyint=25"}
MPEG = {"g": "12", "bf": "2", "b": "3000000"}
PLAIN = {"g": "25", "b": "3000000"}
VPX = {"g": "25", "cpu-used": "8", "lag-in-frames": "8"}


class Kind(NamedTuple):
    """A container with a codec in it."""

    suffix: str
    codec: str
    options: Mapping[str, str] = MappingProxyType({})
    container: str | None = None
    base: Fraction = MS
    pixels: str = "yuv420p"
    size: tuple[int, int] = (96, 64)
    keeps_gaps: bool = True


KINDS = {
    "h264 mp4": Kind("mp4", "libx264", B_FRAMES),
    "h264 mov": Kind("mov", "libx264", B_FRAMES),
    "h264 fragments": Kind("mp4", "libx264", B_FRAMES, "ismv"),
    "h264 mkv": Kind("mkv", "libx264", B_FRAMES),
    "h264 flv": Kind("flv", "libx264", B_FRAMES),
    "h264 ts": Kind("ts", "libx264", B_FRAMES),
    "h264 avi": Kind("avi", "libx264", B_FRAMES, base=FIXED),
    "h264 avi in ms": Kind("avi", "libx264", B_FRAMES),
    "h264 nut": Kind("nut", "libx264", B_FRAMES),
    "h264 asf": Kind("asf", "libx264", B_FRAMES),
    "h264 3gp": Kind("3gp", "libx264", B_FRAMES),
    "h264 mxf": Kind("mxf", "libx264", B_FRAMES, base=FIXED, keeps_gaps=False),
    "h264 alone": Kind("h264", "libx264", B_FRAMES, base=FIXED, keeps_gaps=False),
    "hevc mp4": Kind("mp4", "libx265", X265),
    "hevc mkv": Kind("mkv", "libx265", X265),
    "hevc ts": Kind("ts", "libx265", X265),
    "hevc alone": Kind("hevc", "libx265", X265, base=FIXED, keeps_gaps=False),
    "mpeg-1 ps": Kind("mpg", "mpeg1video", MPEG, base=FIXED, keeps_gaps=False),
    "mpeg-1 alone": Kind("m1v", "mpeg1video", MPEG, base=FIXED, keeps_gaps=False),
    "mpeg-2 ps": Kind("mpg", "mpeg2video", MPEG, base=FIXED, keeps_gaps=False),
    "mpeg-2 vob": Kind("vob", "mpeg2video", MPEG, base=FIXED, keeps_gaps=False),
    "mpeg-2 ts": Kind("ts", "mpeg2video", MPEG, base=FIXED),
    "mpeg-2 mkv": Kind("mkv", "mpeg2video", MPEG, base=FIXED),
    "mpeg-2 avi": Kind("avi", "mpeg2video", MPEG, base=FIXED),
    "mpeg-2 mxf": Kind("mxf", "mpeg2video", MPEG, base=FIXED, keeps_gaps=False),
    "mpeg-2 wtv": Kind("wtv", "mpeg2video", MPEG, base=FIXED),
    "mpeg-2 alone": Kind("m2v", "mpeg2video", MPEG, "mpeg2video", base=FIXED, keeps_gaps=False),
    "mpeg-4 avi": Kind("avi", "mpeg4", MPEG, base=FIXED),
    "mpeg-4 mp4": Kind("mp4", "mpeg4", MPEG, base=FIXED),
    "mpeg-4 mkv": Kind("mkv", "mpeg4", MPEG, base=FIXED),
    "mpeg-4 ts": Kind("ts", "mpeg4", MPEG, base=FIXED),
    "mpeg-4 nut": Kind("nut", "mpeg4", MPEG, base=FIXED),
    "mpeg-4 alone": Kind("m4v", "mpeg4", MPEG, "m4v", base=FIXED),
    "wmv2 asf": Kind("wmv", "wmv2", PLAIN),
    "msmpeg4 avi": Kind("avi", "msmpeg4", PLAIN, base=FIXED),
    "vp8 webm": Kind("webm", "libvpx", VPX),
    "vp8 ivf": Kind("ivf", "libvpx", VPX),
    "vp9 webm": Kind("webm", "libvpx-vp9", VPX),
    "mjpeg avi": Kind("avi", "mjpeg", base=FIXED, pixels="yuvj420p"),
    "mjpeg mov": Kind("mov", "mjpeg", pixels="yuvj420p"),
    "mjpeg alone": Kind("mjpeg", "mjpeg", base=FIXED, pixels="yuvj420p", keeps_gaps=False),
    "gif": Kind("gif", "gif", base=Fraction(1, 100), pixels="rgb8"),
    "apng": Kind("apng", "apng", pixels="rgb24"),
    "png mov": Kind("mov", "png", pixels="rgb24"),
    "raw y4m": Kind("y4m", "wrapped_avframe", container="yuv4mpegpipe", base=FIXED, keeps_gaps=False),
    "ffv1 mkv": Kind("mkv", "ffv1"),
    "huffyuv avi": Kind("avi", "huffyuv", base=FIXED, pixels="yuv422p"),
    "prores mov": Kind("mov", "prores", pixels="yuv422p10le"),
    "sorenson flv": Kind("flv", "flv", PLAIN),
    "sorenson swf": Kind("swf", "flv", PLAIN, base=FIXED, keeps_gaps=False),
    "h263 3gp": Kind("3gp", "h263", PLAIN, size=(128, 96)),
    "real": Kind("rm", "rv20", PLAIN, base=FIXED, keeps_gaps=False),
    "dv": Kind("dv", "dvvideo", base=FIXED, size=(720, 576), keeps_gaps=False),
}


@pytest.fixture(scope="module")
def drawn(videos: Any, tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Path]:
    """`drawn("gif", STEADY)` is a file of that kind with a numbered picture for each time."""
    root = tmp_path_factory.mktemp("times")

    def make(name: str, seconds: list[float], *, first_number: int = 0) -> Path:
        kind = KINDS[name]
        try:
            Codec(kind.codec, "w")
        except UnknownCodecError:
            pytest.skip(f"this FFmpeg does not encode {kind.codec}")
        path = root / f"{name}-{seconds[0]}-{seconds[-1]}-{first_number}.{kind.suffix}"
        if not path.exists():
            videos.draw(
                path,
                seconds,
                codec=kind.codec,
                options=dict(kind.options),
                container_format=kind.container,
                time_base=kind.base,
                pixels=kind.pixels,
                size=kind.size,
                first_number=first_number,
            )
        return path

    return make


def assert_right(video: Decoder, times: np.ndarray, videos: Any) -> None:
    """Every sample and every picture of a time shows the number that was drawn at that time."""
    for stride in (0.1, 0.5, 2.0):
        samples = list(video.sample(stride, short_side=64))
        shown = times[[videos.number(image) for _, image in samples]]
        seconds = np.array([second for second, _ in samples])
        assert np.abs(shown - seconds).max() <= HALF_A_FRAME
        for wanted in np.arange(0, times[-1], stride):
            if np.abs(times - wanted).min() <= stride / 2 - HALF_A_FRAME:
                assert np.abs(seconds - wanted).min() <= stride / 2 + HALF_A_FRAME
    order = np.random.default_rng(0).permutation(len(times))
    for i in order[:8]:
        frames = video.decode_at([float(times[i]) + HALF_A_FRAME])
        assert videos.number(frames.images[0]) == i
    some = np.sort(order[:6])
    frames = video.decode_at(times[some] + HALF_A_FRAME)
    assert [videos.number(image) for image in frames.images] == some.tolist()
    assert np.abs(frames.seconds - times[some]).max() <= HALF_A_FRAME


@pytest.mark.parametrize("name", KINDS)
def test_pictures_at_a_steady_rate_have_their_times(name: str, drawn: Any, videos: Any) -> None:
    with open_video(drawn(name, STEADY)) as video:
        assert video.info.duration_seconds == pytest.approx(4.0, abs=0.05)
        assert video.info.average_fps == pytest.approx(FPS, rel=0.05)
        assert_right(video, np.array(STEADY), videos)
        assert video.warnings == []


@pytest.mark.parametrize("name", [name for name, kind in KINDS.items() if kind.keeps_gaps])
def test_pictures_have_their_times_after_gaps(name: str, drawn: Any, videos: Any) -> None:
    with open_video(drawn(name, GAPS)) as video:
        assert_right(video, np.array(GAPS), videos)
        assert video.warnings == []


LATE = ["h264 mp4", "h264 fragments", "h264 mkv", "h264 flv", "h264 ts", "h264 nut", "wmv2 asf", "vp9 webm"]


@pytest.mark.parametrize("name", [*LATE, "mpeg-2 ps", "mpeg-2 wtv"])
def test_times_count_from_the_first_picture_and_nothing_seems_cut_off(
    name: str, drawn: Any, videos: Any
) -> None:
    with open_video(drawn(name, [100 + second for second in STEADY])) as video:
        assert video.info.duration_seconds == pytest.approx(4.0, abs=0.05)
        assert_right(video, np.array(STEADY), videos)
        assert video.warnings == []


def join(name: str, begins: float, drawn: Any, tmp_path: Path) -> Path:
    """Two recordings of 100 pictures in one file; the clock of the second begins at that second."""
    first = drawn(name, STEADY).read_bytes()
    second = drawn(name, [begins + s for s in STEADY], first_number=100).read_bytes()
    if KINDS[name].suffix == "flv":
        second = second[13:]  # the header is not repeated
    path = tmp_path / f"joined.{KINDS[name].suffix}"
    path.write_bytes(first + second)
    return path


RESTARTING = ["mpeg-2 ps", "mpeg-2 vob", "mpeg-2 ts", "h264 ts", "hevc ts", "h264 flv", "sorenson flv"]


@pytest.mark.parametrize("begins", [0.0, 2.0])
@pytest.mark.parametrize("name", [*RESTARTING, "h264 mkv", "vp8 webm", "vp9 webm", "mpeg-4 alone"])
def test_times_go_on_where_a_clock_starts_again(
    name: str, begins: float, drawn: Any, videos: Any, tmp_path: Path
) -> None:
    times = np.arange(200) / FPS
    with open_video(join(name, begins, drawn, tmp_path)) as video:
        assert video.info.duration_seconds == pytest.approx(8.0, abs=0.09)
        assert_right(video, times, videos)
        assert sum("timestamps that start again" in line for line in video.warnings) == 1
        assert all("\n" not in line for line in video.warnings)


@pytest.mark.parametrize("name", RESTARTING)
def test_times_go_on_where_the_clock_of_a_transmission_jumps(
    name: str, drawn: Any, videos: Any, tmp_path: Path
) -> None:
    with open_video(join(name, 36_000.0, drawn, tmp_path)) as video:
        assert video.info.duration_seconds == pytest.approx(8.0, abs=0.09)
        assert_right(video, np.arange(200) / FPS, videos)
        assert any("timestamps that start again or jump at" in line for line in video.warnings)


@pytest.mark.parametrize("name", ["h264 alone", "mpeg-2 alone", "mpeg-2 mxf", "mjpeg alone", "dv", "gif"])
def test_joined_recordings_without_a_clock_are_one(
    name: str, drawn: Any, videos: Any, tmp_path: Path
) -> None:
    with open_video(join(name, 0.0, drawn, tmp_path)) as video:
        assert video.info.duration_seconds == pytest.approx(8.0, abs=0.09)
        assert_right(video, np.arange(200) / FPS, videos)
        assert video.warnings == []


@pytest.mark.parametrize("suffix", ["ts", "flv", "mkv", "mp4"])
def test_sound_that_is_longer_than_the_pictures_does_not_lengthen_the_video(
    suffix: str, videos: Any, tmp_path: Path
) -> None:
    path = videos.draw(tmp_path / f"sound.{suffix}", STEADY, options=B_FRAMES, sound_seconds=20.0)
    with open_video(path) as video:
        samples = list(video.sample(0.5, short_side=64))
        assert video.info.duration_seconds == pytest.approx(4.0, abs=0.05)
        assert [videos.number(image) for _, image in samples] == [round(s * FPS) for s, _ in samples]
        assert len(samples) == 8
        assert video.warnings == []


def test_a_recording_that_is_not_shown_is_warned_of(videos: Any, tmp_path: Path) -> None:
    options = {"g": "25", "bf": "0"}
    first = videos.draw(tmp_path / "first.ts", STEADY, options=options)
    other_number = {"mpegts_start_pid": "336"}
    second = videos.draw(
        tmp_path / "second.ts", [4 + s for s in STEADY], options=options, container_options=other_number
    )
    path = tmp_path / "numbers.ts"
    path.write_bytes(first.read_bytes() + second.read_bytes())
    with open_video(path) as video:
        assert_right(video, np.array(STEADY), videos)
        assert any("has another track of pictures, from 4.0 s on" in line for line in video.warnings)


@pytest.mark.parametrize("name", ["wmv2 asf", "real", "sorenson swf", "raw y4m"])
def test_bytes_that_nothing_reads_are_warned_of(name: str, drawn: Any, videos: Any, tmp_path: Path) -> None:
    path = tmp_path / f"two.{KINDS[name].suffix}"
    path.write_bytes(drawn(name, STEADY).read_bytes() * 2)
    with open_video(path) as video:
        assert_right(video, np.array(STEADY), videos)
        lines = [line for line in video.warnings if "if recordings were joined" in line]
        assert len(lines) == 1 and f"of {path.stat().st_size:,};" in lines[0]


def test_a_sound_track_that_begins_midway_costs_no_picture(videos: Any, tmp_path: Path) -> None:
    options, times = {"g": "25", "bf": "0"}, [i / 5 for i in range(200)]
    silent = videos.draw(tmp_path / "silent.ts", times, options=options, rate=5)
    loud = videos.draw(
        tmp_path / "loud.ts",
        [40 + t for t in times[:50]],
        options=options,
        rate=5,
        sound_seconds=50.0,
        first_number=200,
    )
    path = tmp_path / "midway.ts"
    path.write_bytes(silent.read_bytes() + loud.read_bytes())
    with open_video(path) as video:
        samples = list(video.sample(0.2, short_side=64))
    assert [videos.number(image) for _, image in samples] == list(range(250))


def test_a_gap_through_which_sound_goes_on_is_no_jump_of_the_clock(videos: Any, tmp_path: Path) -> None:
    times = [*STEADY[:50], *(400.0 + s for s in STEADY[:50])]
    path = videos.draw(tmp_path / "slides.ts", times, options=B_FRAMES, sound_seconds=402.0)
    with open_video(path) as video:
        assert video.info.duration_seconds == pytest.approx(402.0, abs=0.1)
        assert videos.number(video.decode_at([399.0]).images[0]) == 49
        assert videos.number(video.decode_at([400.01]).images[0]) == 50
        assert video.warnings == []


@pytest.mark.parametrize("suffix", ["mkv", "mp4", "avi"])
def test_a_time_lapse_is_not_called_cut_off(suffix: str, videos: Any, tmp_path: Path) -> None:
    times = [10.0 * i for i in range(30)]
    path = videos.draw(tmp_path / f"lapse.{suffix}", times, options={"bf": "3", "g": "30"})
    with open_video(path) as video:
        samples = list(video.sample(10.0, short_side=64))
        assert [videos.number(image) for _, image in samples] == list(range(30))
        assert [second for second, _ in samples] == pytest.approx(times)
        assert video.warnings == []


@pytest.mark.parametrize("codec", ["libx264", "mpeg4", "mjpeg"])
def test_pictures_of_an_avi_have_the_places_of_its_chunks_where_frames_were_dropped(
    codec: str, videos: Any, tmp_path: Path
) -> None:
    kept = [i for i in range(145) if i % 7 != 6 and not 60 <= i < 110]
    options = {"bf": "2" if codec == "mpeg4" else "3", "g": "12"} if codec != "mjpeg" else {}
    images = [videos.picture(i) for i in kept]
    path = videos.draw(
        tmp_path / "dropped.avi",
        [i / FPS for i in kept],
        codec=codec,
        options=options,
        images=images,
        time_base=FIXED,
        pixels="yuvj420p" if codec == "mjpeg" else "yuv420p",
    )
    with open_video(path) as video:
        for stride in (0.04, 0.3, 1.0):
            samples = list(video.sample(stride, short_side=64))
            shown = [videos.number(image) / FPS for _, image in samples]
            assert [second for second, _ in samples] == pytest.approx(shown, abs=1e-3)
        for i in kept[::9]:
            assert videos.number(video.decode_at([i / FPS]).images[0]) == i
