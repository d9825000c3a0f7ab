"""Frames and clips are saved into the folder that the operator allows, and nowhere else."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from keyframe_llm.demos.videos import demo_video

pytest.importorskip("pydantic", reason="pydantic is not installed (the `agents` extra)")

from keyframe_llm import OptionsError
from keyframe_llm.tools import Limits, Toolbox, ToolError
from keyframe_llm.video import open_video

CLIPS = demo_video().parent
CLIP = "three_scenes.mp4"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    made = tmp_path / "saved"
    made.mkdir()
    return made


@pytest.fixture
def tools(folder: Path) -> Iterator[Toolbox]:
    with Toolbox(roots=[CLIPS], save_folder=folder) as made:
        yield made


def test_without_a_folder_there_are_no_tools_that_save() -> None:
    with Toolbox(roots=[CLIPS]) as tools:
        assert not [name for name in tools.schemas if name.startswith("save")]
        with pytest.raises(ToolError, match="nothing can be saved here"):
            tools.save_frames(CLIP, [1.0])


def test_frames_are_saved_in_full_size_under_names_that_say_what_they_are(
    tools: Toolbox, folder: Path
) -> None:
    result = tools.call_tool("save_frames", {"video": CLIP, "seconds": ["0:01", 10.5]})
    paths = [Path(file["path"]) for file in result["files"]]
    assert [path.name for path in paths] == ["three_scenes_0m01s.jpg", "three_scenes_0m10.5s.jpg"]
    assert sorted(folder.iterdir()) == sorted(paths)
    with open_video(CLIPS / CLIP) as decoder:
        truth = decoder.decode_at([1.0, 10.5]).images
    for path, file, image in zip(paths, result["files"], truth, strict=True):
        shown = np.asarray(Image.open(path), float)
        assert shown.shape == image.shape and np.abs(shown - image).mean() < 3
        assert file["size_bytes"] == path.stat().st_size


def test_nothing_is_overwritten(tools: Toolbox, folder: Path) -> None:
    (folder / "three_scenes_0m01s.jpg").write_bytes(b"mine")
    names = [Path(tools.save_frames(CLIP, [1.0])["files"][0]["path"]).name for _ in range(2)]
    assert names == ["three_scenes_0m01s_2.jpg", "three_scenes_0m01s_3.jpg"]
    assert (folder / "three_scenes_0m01s.jpg").read_bytes() == b"mine"


@pytest.mark.parametrize(("start", "end"), [(0.0, 4.0), (7.0, 11.0), (12.5, 18.0)])
def test_a_clip_holds_the_window_from_the_key_frame_before_it(
    tools: Toolbox, start: float, end: float
) -> None:
    result = tools.call_tool("save_clip", {"video": CLIP, "start_seconds": start, "end_seconds": end})
    (file,) = result["files"]
    begins = file["start_seconds"]
    assert start - 2.1 <= begins <= start and file["end_seconds"] == end
    with open_video(file["path"]) as clip, open_video(CLIPS / CLIP) as whole:
        assert clip.info.duration_seconds == pytest.approx(end - begins, abs=0.2)
        for second in (0.0, start - begins, end - begins - 0.2):
            (shown,) = clip.decode_at([second]).images
            (truth,) = whole.decode_at([begins + second]).images
            assert np.abs(shown.astype(float) - truth).mean() < 2


def test_a_clip_keeps_its_sound(tmp_path: Path, folder: Path) -> None:
    import av

    with av.open(str(tmp_path / "loud.mkv"), "w") as container:
        picture = container.add_stream("libx264", rate=5, options={"g": "5"})
        picture.width, picture.height, picture.pix_fmt = 64, 64, "yuv420p"
        sound = container.add_stream("pcm_s16le", rate=8000, layout="mono")
        for i in range(50):
            frame = av.VideoFrame.from_ndarray(np.zeros((96, 64), np.uint8), format="yuv420p")
            frame.pts, frame.time_base = i, Fraction(1, 5)
            container.mux(picture.encode(frame))
            noise = av.AudioFrame(format="s16", layout="mono", samples=1600)
            noise.sample_rate, noise.pts = 8000, i * 1600
            container.mux(sound.encode(noise))
        container.mux(picture.encode())
        container.mux(sound.encode())
    with Toolbox(roots=[tmp_path], save_folder=folder) as tools:
        (file,) = tools.save_clip("loud.mkv", start_seconds=4.0, end_seconds=6.0)["files"]
    with av.open(file["path"]) as saved:
        (track,) = saved.streams.audio
        seconds = sum(frame.samples for frame in saved.decode(track)) / 8000
    assert seconds == pytest.approx(6.0 - file["start_seconds"], abs=0.25)


def test_a_name_of_a_video_cannot_choose_the_place(tmp_path: Path, folder: Path) -> None:
    roots = tmp_path / "roots"
    (roots / "deep").mkdir(parents=True)
    strange = ["..hidden.mp4", "deep/plain.mp4", "a b'c\"d$(x).mp4"]
    if sys.platform == "linux":
        strange += ["new\nline.mp4", os.fsdecode(b"caf\xe9.mp4")]
    for name in strange:
        (roots / name).write_bytes((CLIPS / "one_walk.mp4").read_bytes())
    with Toolbox(roots=[roots], save_folder=folder) as tools:
        for listed in tools.list_videos()["videos"]:
            (file,) = tools.save_frames(listed["name"], [1.0])["files"]
            path = Path(file["path"])
            assert path.parent == folder.resolve() and path.is_file()
            assert path.name.isascii() and not path.name.startswith(".") and " " not in path.name


def test_what_may_be_saved_is_bounded(folder: Path) -> None:
    with Toolbox(roots=[CLIPS], save_folder=folder, limits=Limits(max_saved_bytes=60_000)) as tools:
        with pytest.raises(ToolError, match=r"only [\d,]+ more may be saved"):
            for _ in range(20):
                tools.save_frames(CLIP, [1.0])
        with pytest.raises(ToolError, match=r"only [\d,]+ more may be saved"):
            tools.save_clip(CLIP, start_seconds=0.0, end_seconds=18.0)
    assert sum(path.stat().st_size for path in folder.iterdir()) <= 60_000


def test_a_folder_that_is_none_is_refused(tmp_path: Path) -> None:
    with pytest.raises(OptionsError, match="save folder"):
        Toolbox(roots=[CLIPS], save_folder=tmp_path / "missing")


@pytest.mark.parametrize(
    "window", [{"start_seconds": 5, "end_seconds": 5}, {"start_seconds": 30, "end_seconds": 40}]
)
def test_an_empty_window_is_refused(tools: Toolbox, folder: Path, window: dict[str, Any]) -> None:
    with pytest.raises(ToolError, match="there is nothing from"):
        tools.call_tool("save_clip", {"video": CLIP, **window})
    assert not list(folder.iterdir())
