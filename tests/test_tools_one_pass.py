"""A video is read once, whatever the tools ask about it afterwards."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from keyframe_llm import index_video
from keyframe_llm.demos.videos import demo_video

pytest.importorskip("pydantic", reason="pydantic is not installed (the `agents` extra)")

from keyframe_llm.tools import Toolbox, ToolError
from keyframe_llm.tools.at_hand import kept_picture_side

CLIPS = demo_video().parent
VIDEO = {"video": "three_scenes.mp4"}
WHOLE: list[tuple[str, dict[str, Any]]] = [
    ("describe_video", VIDEO),
    ("select_keyframes", {**VIDEO, "query": "somebody walks"}),
    ("ask_video", {**VIDEO, "question": "What happens?"}),
    ("classify_video", {**VIDEO, "labels": ["walk", "sit"]}),
    ("video_info", {**VIDEO, "find_changes": True}),
]
PART = {"start_seconds": 6, "end_seconds": 16}


@pytest.fixture
def tools() -> Iterator[Toolbox]:
    with Toolbox("cartoon", roots=[CLIPS]) as made:
        yield made


def frames_read(tools: Toolbox, name: str, arguments: dict[str, Any]) -> int:
    """How many frames of the video a call samples."""
    shares: list[float] = []

    def hear(stage: str, share: float) -> None:
        if stage == "decode":
            shares.append(share)

    tools.wait(*tools.start(name, arguments, hear))
    return max(0, len(shares) - 1)  # the last step says that it is done


def test_the_first_tool_reads_the_video_and_no_other_does(tools: Toolbox) -> None:
    assert frames_read(tools, *WHOLE[0]) >= 36
    assert [frames_read(tools, *call) for call in WHOLE[1:]] == [0, 0, 0, 0]


def test_a_part_has_only_those_frames_read_that_are_missing_to_it(tools: Toolbox) -> None:
    frames_read(tools, *WHOLE[0])
    for name, arguments in WHOLE[:4]:
        assert frames_read(tools, name, {**arguments, **PART}) == 0
    closer = {**VIDEO, "start_seconds": 6, "end_seconds": 8}
    assert frames_read(tools, "select_keyframes", closer) in range(12, 17)
    assert frames_read(tools, "describe_video", closer) == 0


def test_an_encoder_that_comes_later_needs_no_second_reading(
    tmp_path: Path, checkpoint: Callable[[str], Path]
) -> None:
    folder = tmp_path / "encoder"
    with Toolbox("cartoon", str(folder), roots=[CLIPS]) as tools:
        assert tools.missing_encoder is not None
        assert frames_read(tools, *WHOLE[0]) >= 36
        with pytest.raises(ToolError, match="a model that this needs cannot be used here"):
            frames_read(tools, *WHOLE[1])
        shutil.copytree(checkpoint("siglip"), folder)
        assert frames_read(tools, *WHOLE[1]) == 0


def test_pictures_for_an_encoder_that_is_not_here_are_as_large_as_its_name_says(tmp_path: Path) -> None:
    sides = {
        "google/siglip2-base-patch16-224": 224,
        "balanced": 224,
        "hf-hub:timm/ViT-H-14-378-quickgelu": 378,
        "nobody/ViT-bigG-14-laion2B-39B-b160k": 384,
        str(tmp_path / "none"): 384,
    }
    assert {name: kept_picture_side(name) for name in sides} == sides
    assert kept_picture_side("cartoon") is kept_picture_side("http://127.0.0.1:1/v1#served") is None


def test_what_was_read_serves_the_next_server(tools: Toolbox) -> None:
    frames_read(tools, *WHOLE[0])
    with Toolbox("cartoon", roots=[CLIPS]) as later:
        assert frames_read(later, *WHOLE[1]) == 0
        assert frames_read(later, "select_keyframes", {**VIDEO, **PART, "query": "a dog"}) == 0


def test_a_part_of_an_index_is_the_frames_of_the_index_inside_it(tools: Toolbox) -> None:
    whole = tools.llm.index(str(CLIPS / "three_scenes.mp4"))
    part = tools.llm.index(str(CLIPS / "three_scenes.mp4"), **PART)
    inside = (whole.seconds >= 6) & (whole.seconds <= 16)
    np.testing.assert_array_equal(part.seconds, whole.seconds[inside])
    np.testing.assert_array_equal(part.histograms, whole.histograms[inside])
    alone = index_video(CLIPS / "three_scenes.mp4", encoder="cartoon", cache=False, **PART)
    assert np.abs(alone.seconds[:, None] - part.seconds).min(axis=1).max() <= 0.5
    assert "frames that were sampled before" in part.plan and part.span_seconds == 10
    same = {second: row for second, row in zip(whole.candidates.seconds, whole.embedded(), strict=True)}
    for second, row in zip(part.candidates.seconds, part.embedded(), strict=True):
        np.testing.assert_allclose(row, same[second], rtol=1e-3, atol=1e-4)
