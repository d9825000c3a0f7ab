"""Pictures as people see them, and files with edit lists, cuts and damage: PyAV, and decord where it can."""

from __future__ import annotations

import importlib.util
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from keyframe_llm.errors import VideoError
from keyframe_llm.video import open_video

HAVE_DECORD = importlib.util.find_spec("decord") is not None
BACKENDS = [
    "pyav",
    pytest.param("decord", marks=pytest.mark.skipif(not HAVE_DECORD, reason="decord is not installed")),
]
STEADY = [i * 0.04 for i in range(100)]


def test_mirrored_videos_come_upright(videos: Any, tmp_path: Path) -> None:
    path = videos.set_matrix(videos.draw(tmp_path / "mirrored.mp4", STEADY[:5]), -1, 0, 0, 1)
    with open_video(path) as video:
        assert videos.corners(video.decode_at([0.0]).images[0]) == ["green", "red", "yellow", "blue"]
    if HAVE_DECORD:
        with pytest.raises(VideoError, match='use backend="pyav"'):
            open_video(path, "decord")


@pytest.mark.parametrize(
    ("shape", "width"), [(Fraction(2, 1), 192), (Fraction(1, 2), 48), (Fraction(201, 200), 96)]
)
@pytest.mark.parametrize("backend", BACKENDS)
def test_pixels_come_out_square(
    backend: Any, shape: Fraction, width: int, videos: Any, tmp_path: Path
) -> None:
    path = videos.draw(tmp_path / "wide.mp4", STEADY[:10], pixel_shape=shape)
    with open_video(path, backend) as video:
        assert video.decode_at([0.0]).images.shape == (1, 64, width, 3)
        small = next(iter(video.sample(1.0, short_side=24)))[1]
        assert small.shape[1] / small.shape[0] == pytest.approx(width / 64, rel=0.05)


@pytest.mark.parametrize("colour_range", [1, 2], ids=["limited", "full"])
@pytest.mark.parametrize("matrix", [1, 5, 9], ids=["bt709", "bt601", "bt2020"])
@pytest.mark.parametrize("backend", BACKENDS)
def test_colours_follow_the_tagged_matrix_and_range(
    backend: Any, matrix: int, colour_range: int, videos: Any, tmp_path: Path
) -> None:
    planted = [(200, 40, 40), (40, 180, 60), (30, 60, 200), (235, 235, 235), (16, 16, 16)]
    images = [np.full((64, 96, 3), rgb, np.uint8) for rgb in planted]
    path = videos.draw(
        tmp_path / "colour.mp4",
        STEADY[:5],
        images=images,
        pixels="yuv444p",
        options={"qp": "0"},
        colour={"colorspace": matrix, "color_range": colour_range},
    )
    with open_video(path, backend) as video:
        shown = video.decode_at(STEADY[:5]).images[:, 32, 48].astype(int)
    assert np.abs(shown - np.array(planted)).max() <= 4


RED, GREEN, BLUE, BLACK, WHITE = (255, 0, 0), (0, 255, 0), (0, 0, 255), (0, 0, 0), (255, 255, 255)
TRANSPARENT = {
    "mov": ("qtrle", "argb", {}),
    "mkv": ("ffv1", "bgra", {}),
    "apng": ("apng", "rgba", {}),
    "webm": ("libvpx-vp9", "yuva420p", {"auto-alt-ref": "0", "cpu-used": "8"}),
}


def layered() -> np.ndarray:
    """(64, 96, 4): red, wholly transparent; blue; black, half transparent, from left to right."""
    image = np.zeros((64, 96, 4), np.uint8)
    image[:, :32] = (*RED, 0)
    image[:, 32:64] = (*BLUE, 255)
    image[:, 64:] = (*BLACK, 128)
    return image


@pytest.mark.parametrize("suffix", TRANSPARENT)
def test_transparent_parts_show_white_and_never_what_is_hidden(
    suffix: str, videos: Any, tmp_path: Path
) -> None:
    codec, pixels, options = TRANSPARENT[suffix]
    path = tmp_path / f"layers.{suffix}"
    videos.draw(path, STEADY[:40], images=[layered()] * 40, codec=codec, pixels=pixels, options=options)
    with open_video(path) as video:
        full = video.decode_at([0.0, 1.0]).images[1]
        small = list(video.sample(0.5, short_side=32))[-1][1]
        assert video.warnings == []
    for picture in (full, small):
        row, third = picture[len(picture) // 2].astype(int), picture.shape[1] // 3
        shown = [row[third // 2 + i * third] for i in range(3)]
        assert np.abs(np.array(shown) - np.array([WHITE, BLUE, (127, 127, 127)])).max() <= 6


@pytest.mark.parametrize("window", [{}, {"start_seconds": 6.0}])
def test_a_palette_that_only_the_first_packet_brings_is_not_lost_by_a_seek(
    window: dict[str, float], videos: Any, tmp_path: Path
) -> None:
    colours = [RED, GREEN, BLUE, (200, 100, 0)]
    palette = np.zeros((256, 4), np.uint8)
    palette[: len(colours)] = [(255, *colour) for colour in colours]
    scenes = [np.full((64, 96), i * 4 // 100, np.uint8) for i in range(100)]
    path = tmp_path / "palette.avi"
    videos.draw(
        path,
        [i / 10 for i in range(100)],
        images=[(scene, palette) for scene in scenes],
        codec="rawvideo",
        pixels="pal8",
        rate=10,
        time_base=Fraction(1, 10),
    )
    with open_video(path) as video:
        shown = [(second, image) for second, image in video.sample(1.0, short_side=32, **window)]
        frames = video.decode_at([6.0, 9.0])
    for second, image in [*shown, *zip(frames.seconds, frames.images, strict=True)]:
        assert np.abs(image.astype(int) - np.array(colours[int(second * 10) * 4 // 100])).max() <= 3


@pytest.mark.parametrize(
    ("size", "bars"), [((64, 96), "left and right"), ((160, 48), "above and below"), ((192, 128), "none")]
)
def test_a_size_that_changes_midway_is_fitted_and_not_squashed(
    size: tuple[int, int], bars: str, videos: Any, tmp_path: Path
) -> None:
    options = {"g": "25", "bf": "0"}
    first = videos.draw(tmp_path / "first.ts", STEADY[:50], options=options)
    second = videos.draw(tmp_path / "second.ts", [2 + s for s in STEADY[:50]], size=size, options=options)
    path = tmp_path / "sizes.ts"
    path.write_bytes(first.read_bytes() + second.read_bytes())
    with open_video(path) as video:
        frames = video.decode_at([1.0, 3.0])
        samples = dict(video.sample(0.5, short_side=32))
    assert frames.images.shape == (2, 64, 96, 3)
    scale = min(96 / size[0], 64 / size[1])
    width, height = round(size[0] * scale), round(size[1] * scale)
    top, left = (64 - height) // 2, (96 - width) // 2
    inner = frames.images[1][top : top + height, left : left + width]
    assert videos.number(frames.images[0]) == 25
    assert videos.number(inner) == 25  # of the second recording
    assert videos.corners(inner) == ["red", "green", "blue", "yellow"]
    if bars != "none":
        assert frames.images[1][:, :2].max() <= 8 if left else frames.images[1][:2].max() <= 8
    assert {image.shape for image in samples.values()} == {(32, 48, 3)}


def test_frames_an_edit_list_hides_are_not_shown(videos: Any, tmp_path: Path) -> None:
    path = videos.draw(tmp_path / "cut.mp4", STEADY, options={"bf": "2", "g": "30"})
    scale = _time_scale(path)
    videos.hide_start(path, round(1.6 * scale))
    with open_video(path) as video:
        frames = video.decode_at([0.0, 1.0, 2.0])
        assert [videos.number(image) for image in frames.images] == [40, 65, 90]
        assert frames.seconds == pytest.approx([0.0, 1.0, 2.0])
        assert next(iter(video.sample(1.0, short_side=32)))[0] < 0.5
    if HAVE_DECORD:
        with pytest.raises(VideoError, match=r'edit list.*use backend="pyav"'):
            open_video(path, "decord")


def _time_scale(path: Path) -> int:
    data = path.read_bytes()
    at = data.index(b"mdhd") + 4 + 12
    return int.from_bytes(data[at : at + 4], "big")


@pytest.mark.parametrize("reordered", ["0", "2"])
def test_the_length_of_a_stream_without_times_is_counted(reordered: str, videos: Any, tmp_path: Path) -> None:
    path = videos.draw(tmp_path / "raw.h264", STEADY[:50], options={"g": "20", "bf": reordered})
    with open_video(path) as video:
        assert video.info.duration_seconds == pytest.approx(2.0, abs=0.05)
        samples = list(video.sample(0.2, short_side=64))
        assert [videos.number(image) for _, image in samples] == list(range(0, 50, 5))
        assert video.info.duration_seconds == pytest.approx(2.0, abs=0.05)
        assert videos.number(video.decode_at([samples[4][0]]).images[0]) == 20


@pytest.mark.parametrize("suffix", [".mkv", ".mp4"])
@pytest.mark.parametrize("keep", [0.4, 0.7])
def test_a_truncated_video_gives_what_it_holds_and_a_warning(
    keep: float, suffix: str, videos: Any, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    noise = np.random.default_rng(0).integers(0, 255, (100, 64, 96, 3), np.uint8)
    for i, image in enumerate(noise):
        image[16:48] = videos.picture(i)[16:48]
    whole = videos.draw(tmp_path / f"whole{suffix}", STEADY, images=noise, options={"bf": "2", "g": "20"})
    if suffix == ".mp4":
        videos.index_first(whole)
    data = whole.read_bytes()
    path = tmp_path / f"cut{suffix}"
    path.write_bytes(data[: int(len(data) * keep)])
    with open_video(path) as video:
        samples = list(video.sample(0.2, short_side=64))
        assert len(samples) == pytest.approx(20 * keep, abs=3)
        assert [videos.number(image) for _, image in samples] == [round(s / 0.04) for s, _ in samples]
        assert sum("cut off: only" in line for line in video.warnings) == 1
        assert all("\n" not in line and str(path) in line for line in video.warnings)
        assert video.info.duration_seconds == pytest.approx(4 * keep, abs=0.5)
        last = samples[-1][0]
        assert video.decode_at([last, 3.9]).seconds[0] == last
    assert capfd.readouterr().err == ""


@pytest.mark.parametrize("backend", BACKENDS)
def test_bytes_lost_in_the_middle_cost_frames_but_not_the_video(
    backend: Any, videos: Any, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    whole = videos.draw(tmp_path / "whole.mp4", STEADY, options={"bf": "3", "g": "40"})
    data = bytearray(whole.read_bytes())
    start = data.index(b"mdat") + len(data) // 3
    data[start : start + 400] = bytes(400)
    path = tmp_path / "hurt.mp4"
    path.write_bytes(data)
    with open_video(path, backend) as video:
        seconds = [s for s, _ in video.sample(0.2, short_side=32)]
        assert seconds == sorted(seconds) and len(seconds) >= 1
    assert capfd.readouterr().err == ""


@pytest.mark.parametrize(
    ("options", "suffix", "stride", "mode"),
    [
        ({"bf": "3", "g": "40"}, ".mp4", 0.3, "reference"),
        ({"bf": "0", "g": "30"}, ".mp4", 0.1, "all"),
        ({"bf": "0", "g": "30"}, ".mp4", 1.2, "key or seek"),
        ({"g": "1"}, ".mp4", 1.0, "seek"),
        ({"g": "25"}, ".mkv", 1.0, "key or seek"),
        ({"g": "1000", "sc_threshold": "0"}, ".mp4", 0.1, "all"),
    ],
)
def test_the_plan_is_the_cheapest_that_serves_the_stride(
    options: dict[str, str], suffix: str, stride: float, mode: str, videos: Any, tmp_path: Path
) -> None:
    path = videos.draw(tmp_path / f"planned{suffix}", STEADY, options=options)
    with open_video(path) as video:
        plan = video.plan(stride)
    assert plan.mode in mode.split(" or ")
    assert plan.reason and "\n" not in plan.reason
