"""Frames that are given as they are: true times, upright pictures of one size, one line for what is none."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from keyframe_llm import FrameList, OptionsError, VideoError, index_video, select_keyframes
from keyframe_llm.conversation import rewrite_messages
from keyframe_llm.index.indexer import video_key
from keyframe_llm.options import SelectOptions
from keyframe_llm.video import open_video
from support.file_server import serving


@pytest.fixture(scope="module")
def drawn(videos: Any) -> list[np.ndarray]:
    return [videos.picture(i) for i in range(60)]


def numbers(videos: Any, frames: Any) -> list[int]:
    return [videos.number(image) for image in frames.images]


def test_frames_are_found_by_their_times(videos: Any, drawn: list[np.ndarray]) -> None:
    with open_video(FrameList(drawn, fps=4)) as video:
        assert (video.info.width, video.info.height, video.info.average_fps) == (96, 64, 4.0)
        assert video.info.duration_seconds == 15.0
        frames = video.decode_at([0.0, 0.24, 0.25, 7.0, 99.0])
        assert frames.seconds.tolist() == [0.0, 0.25, 7.0, 14.75]
        assert numbers(videos, frames) == [0, 1, 28, 59]
        samples = list(video.sample(1.0, short_side=32, start_seconds=2.0, end_seconds=5.0))
        assert [second for second, _ in samples] == [2.0, 3.0, 4.0, 5.0]
        assert {image.shape for _, image in samples} == {(32, 48, 3)}


def test_times_that_are_given_are_kept(videos: Any, drawn: list[np.ndarray]) -> None:
    seconds = 100 + np.arange(60) ** 1.5
    frames = FrameList(drawn, seconds=seconds)
    chosen = select_keyframes(frames, max_frames=3)
    for image, second in zip(chosen.frames.images, chosen.seconds, strict=True):
        assert second == seconds[videos.number(image)]
    with open_video(frames) as video:
        found = video.decode_at([0.0, 101.1, 1e6])
        assert found.seconds.tolist() == [100.0, 101.0, seconds[-1]] and numbers(videos, found) == [0, 1, 59]


@pytest.mark.parametrize("kind", ["arrays", "one array", "tensors", "one tensor", "PIL", "paths", "strings"])
def test_every_kind_of_frame_gives_the_same_pictures(
    kind: str, videos: Any, drawn: list[np.ndarray], tmp_path: Path
) -> None:
    for i, image in enumerate(drawn):
        Image.fromarray(image).save(tmp_path / f"{i}.png")
    paths = [tmp_path / f"{i}.png" for i in range(60)]
    import torch

    stacked = torch.from_numpy(np.stack(drawn)).permute(0, 3, 1, 2)
    given: Any = {
        "arrays": drawn,
        "one array": np.stack(drawn),
        "tensors": list(stacked),
        "one tensor": stacked,
        "PIL": [Image.fromarray(image) for image in drawn],
        "paths": paths,
        "strings": [paths[0].as_uri(), *map(str, paths[1:])],
    }[kind]
    with open_video(FrameList(given, fps=2)) as video:
        np.testing.assert_array_equal(
            video.decode_at([0.0, 3.0, 20.0]).images, [drawn[i] for i in (0, 6, 40)]
        )


def test_pictures_of_a_folder_are_placed_by_their_numbers(
    videos: Any, drawn: list[np.ndarray], tmp_path: Path
) -> None:
    for i in (8, 9, 10, 11, 100):  # not in the order of their names
        Image.fromarray(drawn[i % 60]).save(tmp_path / f"take2_{i}.png")
    (tmp_path / "notes 7.txt").write_text("no picture")
    with open_video(FrameList(tmp_path, fps=2)) as video:
        frames = video.decode_at([0.0, 0.5, 1.0, 1.5, 46.0])
        assert frames.seconds.tolist() == [0.0, 0.5, 1.0, 1.5, 46.0]
        assert numbers(videos, frames) == [8, 9, 10, 11, 40]
        assert video.info.path == str(tmp_path)


def test_a_folder_that_is_no_series_is_refused(drawn: list[np.ndarray], tmp_path: Path) -> None:
    for message, name in (
        ("holds no pictures", None),
        ("has no number in its name", "cover.png"),
        ("have the same number", "a1.png"),
    ):
        if name == "a1.png":
            (tmp_path / "cover.png").rename(tmp_path / "b01.png")
        if name is not None:
            Image.fromarray(drawn[0]).save(tmp_path / name)
        with pytest.raises(VideoError, match=message):
            FrameList(tmp_path, fps=1)
    with pytest.raises(VideoError, match="is no folder that can be read"):
        FrameList(tmp_path / "none", fps=1)


def test_other_shapes_and_modes_become_upright_rgb() -> None:
    grey = np.full((8, 12), 90, np.uint8)
    clear = np.zeros((8, 12, 4), np.uint8)  # transparent, so that white shows
    turned = Image.new("RGB", (8, 12), (10, 20, 30))
    turned.getexif()[274] = 6  # to be turned by 90 degrees
    half = Image.new("LA", (12, 8), (0, 128))
    frames = FrameList([grey, clear, turned, half, grey[None], Image.new("1", (12, 8))], fps=1)
    with open_video(frames) as video:
        images = video.decode_at([0, 1, 2, 3, 4, 5]).images
    assert images.shape == (6, 8, 12, 3)
    assert [image[4, 6].tolist() for image in images] == [
        [90] * 3, [255] * 3, [10, 20, 30], [127] * 3, [90] * 3, [0] * 3
    ]  # fmt: skip


def test_a_tensor_of_float32_is_no_frame() -> None:
    import torch

    test_what_is_no_frame_is_one_line(torch.zeros(3, 8, 8), OptionsError, "is an array of float32")


def test_a_frame_of_another_size_is_fitted_and_not_squashed() -> None:
    wide, tall = np.full((60, 120, 3), 200, np.uint8), np.full((120, 60, 3), 200, np.uint8)
    with open_video(FrameList([wide, tall], fps=1)) as video:
        image = video.decode_at([1.0]).images[0]
    assert image.shape == (60, 120, 3) and image[:, 45:75].min() == 200
    assert image[:, :44].max() == image[:, 76:].max() == 0


@pytest.mark.parametrize(
    ("frame", "error", "message"),
    [
        (np.zeros((8, 8, 3), np.float32), OptionsError, "is an array of float32; give uint8 from 0 to 255"),
        (np.zeros((8, 8, 7), np.uint8), OptionsError, r"has the shape \(8, 8, 7\)"),
        (np.zeros((0, 8, 3), np.uint8), OptionsError, "has the shape"),
        (np.zeros((2, 8, 8, 3), np.uint8), OptionsError, "has the shape"),
        ("nowhere.png", VideoError, "no picture that can be read"),
        ("http://127.0.0.1:9/a.png", VideoError, "cannot be reached"),
        (None, OptionsError, "is None; give an array"),
        (object(), OptionsError, "give an array"),
    ],
)
def test_what_is_no_frame_is_one_line(frame: Any, error: type[Exception], message: str) -> None:
    good = np.zeros((8, 8, 3), np.uint8)
    with pytest.raises(error, match=message) as caught:
        select_keyframes(FrameList([good, frame, good], fps=1))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("times", "message"),
    [
        ({}, "needs either fps or seconds"),
        ({"fps": 1, "seconds": [0, 1]}, "needs either fps or seconds"),
        ({"fps": 0}, "fps is 0"),
        ({"fps": "2"}, "fps is '2'"),
        ({"seconds": [0]}, "there are 2 frames"),
        ({"seconds": [1, 1]}, "seconds must be ascending"),
        ({"seconds": [-1, 1]}, "seconds must be ascending"),
        ({"seconds": [0, np.nan]}, "seconds must be ascending"),
        ({"seconds": ["a", "b"]}, "something else than numbers"),
    ],
)
def test_times_that_do_not_fit_are_refused(times: dict[str, Any], message: str) -> None:
    with pytest.raises(OptionsError, match=message):
        FrameList([np.zeros((4, 4, 3), np.uint8)] * 2, **times)


def test_an_empty_list_is_refused() -> None:
    with pytest.raises(VideoError, match="is empty; give at least one frame"):
        FrameList([], fps=1)
    with pytest.raises(OptionsError, match="frames are int"):
        FrameList(3, fps=1)


def test_a_large_picture_is_refused_before_it_is_decoded(tmp_path: Path) -> None:
    Image.new("RGB", (200, 100)).save(tmp_path / "1.png")
    for frames in ([tmp_path / "1.png"], [np.zeros((100, 200, 3), np.uint8)]):
        with pytest.raises(VideoError, match="has 20,000 pixels, and 10,000 are allowed"):
            select_keyframes(FrameList(frames, fps=1), max_picture_pixels=10_000)


def test_the_same_frames_are_indexed_once_and_others_anew(
    drawn: list[np.ndarray], tmp_path: Path, videos: Any
) -> None:
    options = SelectOptions()
    one = video_key(FrameList(drawn, fps=2), options)
    assert one == video_key(FrameList([image.copy() for image in drawn], fps=2), options)
    assert one != video_key(FrameList(drawn, fps=3), options)
    changed = [*drawn[:-1], drawn[0]]
    assert one != video_key(FrameList(changed, fps=2), options)
    for i in range(2):
        Image.fromarray(drawn[i]).save(tmp_path / f"{i}.png")
    folder = video_key(FrameList(tmp_path, fps=2), options)
    assert folder == video_key(FrameList(tmp_path, fps=2), options)
    Image.new("RGB", (96, 64)).save(tmp_path / "1.png")
    assert folder != video_key(FrameList(tmp_path, fps=2), options)


def test_a_text_guides_the_choice_among_frames(flags: Path, videos: Any) -> None:
    with open_video(flags) as video:
        samples = list(video.sample(0.5, short_side=64))
    frames = FrameList([image for _, image in samples], seconds=[second for second, _ in samples])
    encoder = videos.ColourEncoder()
    wanted = select_keyframes(flags, caption="blue", encoder=encoder, max_frames=1)
    index = index_video(frames, encoder=encoder)
    assert index.select(caption="blue", max_frames=1).seconds.tolist() == wanted.seconds.tolist()
    part = {"type": "video", "video": frames, "max_frames": 1}
    rewritten = rewrite_messages(
        [{"role": "user", "content": [part, {"type": "text", "text": "blue"}]}], encoder=encoder
    )
    assert rewritten[0]["content"][0]["text"] == f"[{wanted.seconds[0]:.1f}s]"


def test_frames_behind_addresses_are_fetched(drawn: list[np.ndarray], tmp_path: Path) -> None:
    for i in range(2):
        Image.fromarray(drawn[i]).save(tmp_path / f"{i}.png")
    files = {f"{i}.png": (tmp_path / f"{i}.png").read_bytes() for i in range(2)}
    with serving(files, content_type="image/png") as server:
        frames = FrameList([server.url(name) for name in files], fps=1)
        with open_video(frames) as video:
            np.testing.assert_array_equal(video.decode_at([0.0, 1.0]).images, drawn[:2])
        assert frames.digest() is None
