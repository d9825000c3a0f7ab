"""Work and memory stay bounded, whatever the file: packets decoded, pictures waiting, promised samples."""

from __future__ import annotations

import struct
import subprocess
import sys
import tracemalloc
import zlib
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from keyframe_llm.errors import VideoError
from keyframe_llm.options import DecodeOptions
from keyframe_llm.proposals.sample import sample_video
from keyframe_llm.video import open_video
from keyframe_llm.video.pyav_backend import PyAVDecoder

FPS = 8
MINUTE = [i / FPS for i in range(60 * FPS)]
LIVE = {"live": "1"}
"""A Matroska recording that was interrupted: no duration and no index."""


def sampled_and_decoded(path: Path, videos: Any, **window: Any) -> tuple[int, list[str]]:
    """How many packets a sampling and a decode of three frames take; all pictures must be right."""
    with PyAVDecoder(path) as video:
        samples = list(video.sample(0.5, short_side=64, sparse_stride_seconds=0.5, **window))
        assert [videos.number(image) for _, image in samples] == [round(s * FPS) % 256 for s, _ in samples]
        picks = [samples[len(samples) * i // 4][0] for i in (1, 2, 3)]
        frames = video.decode_at(picks)
        assert [videos.number(image) for image in frames.images] == [round(s * FPS) % 256 for s in picks]
        return video.decoded_packets, video.warnings


@pytest.mark.parametrize("suffix", ["mp4", "mkv", "ts", "flv", "avi"])
def test_without_key_frames_a_video_is_read_forwards_a_few_times_at_most(
    suffix: str, videos: Any, tmp_path: Path
) -> None:
    options = {"x264-params": "intra-refresh=1:keyint=16", "bf": "0"}
    path = videos.draw(tmp_path / f"refresh.{suffix}", MINUTE, options=options, rate=FPS)
    packets, _ = sampled_and_decoded(path, videos)
    assert packets <= 3 * len(MINUTE)


@pytest.mark.parametrize("suffix", ["mp4", "mkv", "ts", "mpg", "flv"])
def test_with_one_key_frame_a_video_is_read_forwards_a_few_times_at_most(
    suffix: str, videos: Any, tmp_path: Path
) -> None:
    options = {"g": "600"} if suffix == "mpg" else {"g": "600", "sc_threshold": "0"}
    codec, rate = ("mpeg2video", 25) if suffix == "mpg" else ("libx264", FPS)
    times = [i / rate for i in range(60 * FPS)]
    path = tmp_path / f"one.{suffix}"
    videos.draw(path, times, codec=codec, options=options, rate=rate, time_base=Fraction(1, rate))
    with PyAVDecoder(path) as video:
        seconds = [second for second, _ in video.sample(0.5, short_side=64, sparse_stride_seconds=0.5)]
        video.decode_at(seconds[::10])
        assert video.decoded_packets <= 3 * len(times)


def test_key_frames_that_a_file_only_claims_to_have_are_not_sought_again_and_again(
    videos: Any, tmp_path: Path
) -> None:
    path = videos.draw(tmp_path / "claims.mp4", MINUTE, options={"g": "10000", "sc_threshold": "0"}, rate=FPS)
    videos.claim_key_frames(path, every=8)
    packets, _ = sampled_and_decoded(path, videos)
    assert packets <= 3 * len(MINUTE)


def test_a_live_recording_without_index_and_length_is_measured_and_sampled_like_any_other(
    videos: Any, tmp_path: Path
) -> None:
    options = {"g": "20"}
    path = videos.draw(tmp_path / "live.mkv", MINUTE, options=options, rate=FPS, container_options=LIVE)
    with open_video(path) as video:
        assert video.info.duration_seconds == pytest.approx(60.0, abs=0.2)
        plan = video.plan(5.0)
        assert len(plan.segments) > 3
        assert max(len(segment.wanted) for segment in plan.segments) <= 3
    packets, warnings = sampled_and_decoded(path, videos)
    assert packets <= 2 * len(MINUTE) and warnings == []


@pytest.mark.parametrize("group", ["20", "5000"])
def test_pictures_wait_in_memory_only_in_small_numbers(group: str, videos: Any, tmp_path: Path) -> None:
    times = [i / 2 for i in range(2000)]
    options = {"g": group, "sc_threshold": "0", "preset": "ultrafast"}
    path = videos.draw(
        tmp_path / "live.mkv", times, options=options, rate=2, container_options=LIVE, size=(160, 96)
    )
    with open_video(path) as video:
        tracemalloc.start()
        count = sum(1 for _ in video.sample(0.5, short_side=96))
        _, peak = tracemalloc.get_traced_memory()
        tracemalloc.stop()
    assert count == 2000
    assert peak < 500 * 160 * 96 * 3  # of 2000 pictures


def test_a_limit_of_samples_holds_where_no_length_is_stated(videos: Any, tmp_path: Path) -> None:
    path = videos.draw(tmp_path / "live.mkv", MINUTE, options={"g": "20"}, rate=FPS, container_options=LIVE)
    with open_video(path) as video:
        options = DecodeOptions(max_samples=30)
        samples = sample_video(video, options, picture_side=None, progress=lambda stage, share: None)
    assert 20 <= len(samples.seconds) <= 30
    assert samples.seconds[-1] > 50


@pytest.mark.parametrize("suffix", ["mp4", "mkv"])
def test_a_picture_that_stays_for_days_is_not_sampled_again_and_again(
    suffix: str, videos: Any, tmp_path: Path
) -> None:
    days = 200_000.0
    times = [0.0, 0.5, days, days + 0.5]
    path = videos.draw(tmp_path / f"days.{suffix}", times, time_base=Fraction(1, 10))
    with open_video(path) as video:
        tracemalloc.start()
        samples = list(video.sample(0.05, short_side=64))
        _, peak = tracemalloc.get_traced_memory()
        tracemalloc.stop()
    assert [second for second, _ in samples] == pytest.approx(times, abs=0.1)
    assert peak < 10e6


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="memory cannot be measured here")
def test_samples_that_a_small_file_only_promises_cost_no_memory(videos: Any, tmp_path: Path) -> None:
    path = videos.draw(tmp_path / "promise.mp4", [0.0])
    videos.promise_samples(path, 80_000_000)
    script = (
        "import sys\n"
        "from pathlib import Path\n"
        "from keyframe_llm.errors import VideoError\n"
        "from keyframe_llm.video import open_video\n"
        "try:\n    open_video(sys.argv[1])\nexcept VideoError as error:\n    print(error)\n"
        "status = Path('/proc/self/status').read_text().splitlines()\n"
        "print(next(line.split()[1] for line in status if line.startswith('VmHWM')))\n"
    )
    done = subprocess.run([sys.executable, "-c", script, str(path)], capture_output=True, text=True)
    line, kilobytes = done.stdout.splitlines()
    assert "promises samples of" in line and str(path) in line
    assert int(kilobytes) < 200_000


def test_files_with_many_small_samples_are_no_broken_promises(videos: Any, tmp_path: Path) -> None:
    still = [np.zeros((64, 96, 3), np.uint8)] * 3000
    times = [i / 100 for i in range(3000)]
    path = videos.draw(tmp_path / "small.mp4", times, images=still, options={"bf": "3"}, sound_seconds=30.0)
    with open_video(path) as video:
        assert video.info.duration_seconds == pytest.approx(30.0, abs=0.1)


@pytest.mark.parametrize(
    "hiding", ["another first box", "a box before", "another parent", "a free box", "compressed"]
)
def test_a_promise_is_weighed_wherever_ffmpeg_finds_it(hiding: str, videos: Any, tmp_path: Path) -> None:
    path = videos.draw(tmp_path / "promise.mp4", [0.0])
    data = videos.promise_samples(path, 80_000_000).read_bytes()
    moov = data[data.index(b"moov") - 4 :]
    if hiding == "another first box":
        data = data.replace(b"ftyp", b"ftpp", 1)
    elif hiding == "a box before":
        data = struct.pack(">I4s", 12, b"junk") + bytes(4) + data
    elif hiding == "another parent":
        data = data.replace(b"stbl", b"udta")
    elif hiding == "a free box":
        data = data.replace(b"moov", b"hoov")
    else:
        packed = zlib.compress(moov)
        body = videos.box(b"dcom", b"zlib") + videos.box(b"cmvd", struct.pack(">I", len(moov)) + packed)
        data = data[: data.index(b"moov") - 4] + videos.box(b"moov", videos.box(b"cmov", body))
    path.write_bytes(data)
    with pytest.raises(VideoError, match="promises samples of"):
        open_video(path)


def test_tables_that_overlap_are_refused_without_reading_them_again_and_again(
    videos: Any, tmp_path: Path
) -> None:
    path = videos.draw(tmp_path / "overlap.mp4", [0.0])
    tables = b"stts" + struct.pack(">II", 0, 2**31)
    path.write_bytes(path.read_bytes() + videos.box(b"moov", tables * 500_000))
    with pytest.raises(VideoError, match="promises samples of"):
        open_video(path)


def test_a_broken_promise_is_one_line(videos: Any, tmp_path: Path) -> None:
    path = videos.draw(tmp_path / "promise.mp4", [0.0])
    videos.promise_samples(path, 80_000_000)
    with pytest.raises(VideoError, match=r"promises samples of .* bytes or more, but has [\d,]+") as caught:
        open_video(path)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("codec", ["libx264", "libx265", "libsvtav1"])
def test_frames_of_sampled_times_are_those_of_a_full_decode(codec: str, videos: Any, tmp_path: Path) -> None:
    path = tmp_path / "twenty.mp4"
    options = {"g": "60"} if codec == "libsvtav1" else {"g": "60", "bf": "3"}
    videos.draw(path, [i / 8 for i in range(20 * 8)], codec=codec, options=options, rate=8)
    with PyAVDecoder(path) as video, PyAVDecoder(path) as other:
        seconds = [second for second, _ in video.sample(0.5, short_side=64)]
        assert video.plan(0.5).mode == "reference"
        wanted = [seconds[3], seconds[3] + 0.13, seconds[22], seconds[31]]
        first, second = video.decode_at(wanted), other.decode_at(wanted)
    assert np.array_equal(first.seconds, second.seconds)
    assert np.array_equal(first.images, second.images)
    assert [videos.number(image) for image in first.images] == [round(s * 8) % 256 for s in first.seconds]
