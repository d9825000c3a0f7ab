"""Seeing enough: sizes of pictures, crops, contact sheets, and what they cost."""

from __future__ import annotations

import io
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from keyframe_llm.demos.videos import demo_video

pytest.importorskip("pydantic", reason="pydantic is not installed (the `agents` extra)")

from keyframe_llm.tools import Limits, Toolbox, ToolError
from keyframe_llm.video import open_video

CLIP = demo_video("three_scenes.mp4")


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the bundled clip, and one second of fine print: lines of one pixel in 1280 × 720."""
    import av

    folder = tmp_path_factory.mktemp("frames")
    (folder / "clip.mp4").write_bytes(CLIP.read_bytes())
    print_ = np.zeros((720, 1280, 3), np.uint8)
    print_[:, ::2] = 255
    with av.open(str(folder / "print.mkv"), "w") as container:
        stream = container.add_stream("ffv1", rate=5)
        stream.width, stream.height, stream.pix_fmt = 1280, 720, "bgr0"
        for _ in range(5):
            container.mux(stream.encode(av.VideoFrame.from_ndarray(print_, format="rgb24")))
        container.mux(stream.encode())
    return folder


@pytest.fixture(scope="module")
def tools(place: Path) -> Iterator[Toolbox]:
    with Toolbox(roots=[place]) as made:
        yield made


def picture(tools: Toolbox, name: str | None) -> np.ndarray[Any, Any]:
    assert name is not None
    return np.asarray(Image.open(io.BytesIO(tools.pictures.read(name))))


def test_frames_are_those_on_screen_at_the_seconds_asked_for(tools: Toolbox) -> None:
    result = tools.view_frames("clip.mp4", [10.0, "0:01"])  # type: ignore[list-item]  # as a model may write it
    assert [frame["time"] for frame in result["frames"]] == ["0:01", "0:10"]
    with open_video(CLIP) as decoder:
        truth = decoder.decode_at([1.0, 10.0])
    for frame, image in zip(result["frames"], truth.images, strict=True):
        assert np.abs(picture(tools, frame["image"]).astype(float) - image).mean() < 4


@pytest.mark.parametrize(
    ("detail", "size"), [("low", (256, 144)), ("auto", (768, 432)), ("high", (1280, 720))]
)
def test_a_picture_has_the_size_and_the_tokens_of_its_detail(
    tools: Toolbox, detail: Any, size: tuple[int, int]
) -> None:
    (frame,) = tools.view_frames("print.mkv", [0.5], detail=detail)["frames"]
    shape = picture(tools, frame["image"]).shape
    assert (frame["width"], frame["height"]) == (shape[1], shape[0]) == size
    assert frame["image_tokens"] == -(-size[0] * size[1] // 750)


def test_fine_print_can_be_read_in_high_detail_and_in_a_crop(tools: Toolbox) -> None:
    def contrast(frame: Any) -> float:
        return float(picture(tools, frame["image"]).std())

    seen = {
        name: tools.view_frames("print.mkv", [0.5], **options)["frames"][0]
        for name, options in {
            "auto": {"detail": "auto"},
            "high": {"detail": "high"},
            "crop": {"detail": "auto", "box": [0.25, 0.25, 0.75, 0.75]},
        }.items()
    }
    assert contrast(seen["auto"]) < 60 < 100 < min(contrast(seen["high"]), contrast(seen["crop"]))
    assert (seen["crop"]["width"], seen["crop"]["height"]) == (640, 360)


def test_a_crop_shows_that_part_of_the_frame(tools: Toolbox) -> None:
    (frame,) = tools.view_frames("clip.mp4", [1.0], detail="high", box=[0.5, 0.25, 1.0, 1.0])["frames"]
    with open_video(CLIP) as decoder:
        (truth,) = decoder.decode_at([1.0]).images
    part = truth[90:360, 240:480]
    shown = picture(tools, frame["image"])
    assert shown.shape == part.shape and np.abs(shown.astype(float) - part).mean() < 5


@pytest.mark.parametrize("box", [[0.5, 0, 0.5, 1], [0, 0, 1, 1.2], [0.8, 0, 0.2, 1], [0, 0, 1]])
def test_a_box_that_is_none_is_refused(tools: Toolbox, box: list[float]) -> None:
    with pytest.raises(ToolError, match="box"):
        tools.call_tool("view_frames", {"video": "clip.mp4", "seconds": [1.0], "box": box})


def test_what_a_picture_would_cost_is_told_before_it_is_asked_for(tools: Toolbox) -> None:
    for detail in ("low", "auto", "high"):
        arguments = {"video": "print.mkv", "max_frames": 1, "detail": detail}
        (before,) = tools.call_tool("select_keyframes", {**arguments, "include_images": False})["keyframes"]
        (after,) = tools.call_tool("select_keyframes", arguments)["keyframes"]
        shape = picture(tools, after["image"]).shape
        assert before["image"] is None
        assert before["image_tokens"] == after["image_tokens"] == -(-shape[0] * shape[1] // 750)


def test_a_contact_sheet_shows_frames_of_the_whole_window_in_one_picture(tools: Toolbox) -> None:
    sheet = tools.contact_sheet("clip.mp4", start_seconds=6.0, end_seconds=12.0, frames=9)
    assert len(sheet["seconds"]) == 9 and all(6 <= second <= 12 for second in sheet["seconds"])
    assert np.diff(sheet["seconds"]).max() < 1.0
    image = picture(tools, sheet["image"])
    assert max(image.shape) <= 1024 and sheet["image_tokens"] == -(-image.shape[0] * image.shape[1] // 750)
    with open_video(CLIP) as decoder:
        first, last = decoder.decode_at([sheet["seconds"][0], sheet["seconds"][-1]], short_side=90).images
    cell = image.shape[1] // 3
    for truth, corner in ((first, image[:, :cell]), (last, image[-image.shape[0] // 3 :, -cell:])):
        colour = corner[: image.shape[0] // 3].mean((0, 1))
        assert np.abs(colour - truth.mean((0, 1))).max() < 30


def test_the_cells_of_a_contact_sheet_carry_their_times(tools: Toolbox) -> None:
    """Two sheets of the same frame differ where the time is written, and nowhere else."""
    one = picture(tools, tools.contact_sheet("print.mkv", end_seconds=0.1, frames=1)["image"])
    two = picture(tools, tools.contact_sheet("print.mkv", start_seconds=0.7, frames=1)["image"])
    rows = np.flatnonzero(np.abs(one.astype(int) - two).max((1, 2)) > 40)
    assert len(rows) and rows.min() > 0.85 * len(one)


def test_the_operator_bounds_the_size_of_pictures(place: Path) -> None:
    limits = Limits(image_side=100, high_image_side=200)
    with Toolbox(roots=[place], limits=limits) as tools:
        sizes = [
            tools.view_frames("print.mkv", [0.5], detail=detail)["frames"][0]["width"]
            for detail in ("low", "auto", "high")
        ]
        assert sizes == [100, 100, 200]
        assert picture(tools, tools.contact_sheet("print.mkv", detail="high")["image"]).shape[1] <= 200


def test_more_frames_than_allowed_are_refused(tools: Toolbox) -> None:
    with pytest.raises(ToolError, match="at most 8"):
        tools.call_tool("view_frames", {"video": "clip.mp4", "seconds": list(range(9))})
