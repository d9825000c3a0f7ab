"""Animated pictures are videos: each frame at the time that the file states."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image, features

from keyframe_llm import VideoError, select_keyframes
from keyframe_llm.video import open_video

SHOWN = [0.4 if i % 3 == 0 else 0.1 for i in range(20)]
TIMES = np.cumsum([0.0, *SHOWN[:-1]]).round(3)


def animation(path: Path, videos: Any, shown: list[float] = SHOWN, **options: Any) -> Path:
    pictures = [Image.fromarray(videos.picture(i)) for i in range(len(shown))]
    durations = [round(1000 * seconds) for seconds in shown]
    pictures[0].save(path, save_all=True, append_images=pictures[1:], duration=durations, **options)
    return path


@pytest.mark.parametrize(
    ("suffix", "options"),
    [(".gif", {}), (".apng", {"format": "PNG"}), (".webp", {"lossless": True}), (".avif", {"quality": 95})],
)
@pytest.mark.parametrize("given", ["path", "bytes"])
def test_frames_of_an_animation_have_their_true_times(
    suffix: str, options: dict[str, Any], given: str, videos: Any, tmp_path: Path
) -> None:
    if suffix == ".avif" and not features.check("avif"):
        pytest.skip("this Pillow writes no AVIF")
    path = animation(tmp_path / f"a{suffix}", videos, **options)
    with open_video(path if given == "path" else path.read_bytes()) as video:
        frames = video.decode_at(TIMES.tolist())
        np.testing.assert_allclose(frames.seconds, TIMES, atol=1e-6)
        assert [videos.number(image) for image in frames.images] == list(range(20))
        assert video.info.duration_seconds == pytest.approx(sum(SHOWN))
        samples = list(video.sample(0.5, short_side=64, start_seconds=1.0))
        for second, image in samples:
            at = int(np.searchsorted(TIMES, second + 1e-6, side="right")) - 1
            assert videos.number(image) == at and second == pytest.approx(TIMES[at])
    chosen = select_keyframes(path)
    assert [videos.number(image) for image in chosen.frames.images] == [
        int(np.argmin(np.abs(TIMES - second))) for second in chosen.seconds
    ]


def test_a_frame_that_is_shown_for_no_time_is_not_seen(videos: Any, tmp_path: Path) -> None:
    path = animation(tmp_path / "a.webp", videos, [0.2, 0.0, 0.2, 0.0, 0.2], lossless=True)
    with open_video(path) as video:
        frames = video.decode_at([0.0, 0.2, 0.4])
    assert frames.seconds.tolist() == [0.0, 0.2, 0.4]
    assert [videos.number(image) for image in frames.images] == [0, 2, 4]


def test_a_damaged_or_too_large_webp_is_one_line_or_gives_what_it_holds(videos: Any, tmp_path: Path) -> None:
    path = animation(tmp_path / "a.webp", videos, lossless=True)
    with pytest.raises(VideoError, match="has 6,144 pixels, and 1,000 are allowed"):
        open_video(path, max_pixels=1000)
    content = path.read_bytes()
    for cut in (25, 60, len(content) // 2, len(content) - 10):
        path.write_bytes(content[:cut])
        try:
            with open_video(path) as video:
                for second, image in video.sample(0.1, short_side=64):
                    at = int(np.searchsorted(TIMES, second + 1e-6, side="right")) - 1
                    assert videos.number(image) == at
        except VideoError as error:
            assert "\n" not in str(error) and str(path) in str(error)
    still = tmp_path / "still.webp"
    Image.new("RGB", (20, 20)).save(still)
    with pytest.raises(VideoError, match=r"cannot be read as a video|not a video"):
        open_video(still)
    assert select_keyframes(animation(tmp_path / "b.webp", videos, [0.0, 0.001])).seconds.tolist() == [0.0]
    with pytest.raises(VideoError, match="does not say how long its frames are shown"):
        open_video(animation(tmp_path / "c.webp", videos, [0.0, 0.0]))
