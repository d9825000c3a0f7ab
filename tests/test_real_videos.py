"""Real footage, odd formats and broken files, where KEYFRAME_LLM_TEST_DATA names a folder of them."""

from __future__ import annotations

import importlib.util
import os
import sys
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from keyframe_llm import VideoError, select_keyframes

_NAMED = os.environ.get("KEYFRAME_LLM_TEST_DATA")
DATA = Path(_NAMED) if _NAMED else None
pytestmark = pytest.mark.skipif(DATA is None, reason="KEYFRAME_LLM_TEST_DATA names no folder of videos")


def files(kind: str) -> list[Any]:
    found = sorted((DATA / kind).iterdir()) if DATA else []
    return [pytest.param(path, id=path.name) for path in found]


@pytest.mark.parametrize("path", files("real"))
def test_real_videos_give_two_or_three_keyframes(path: Path) -> None:
    found = select_keyframes(path)
    assert 2 <= len(found.frames) <= 3
    assert found.frames.images.shape[1:3] == (found.video.height, found.video.width)
    assert found.frames.images.std() > 10
    assert np.all(np.diff(found.seconds) > 0)


@pytest.mark.parametrize("path", [*files("formats"), *files("broken")])
def test_any_file_gives_keyframes_or_one_clear_line(path: Path) -> None:
    try:
        found = select_keyframes(path)
    except VideoError as error:
        assert "\n" not in str(error) and path.name in str(error)
        assert path.parent.name == "broken" or path.suffix == ".mpg"
    else:
        assert 1 <= len(found.frames) <= 3
        assert found.frames.images.shape[1:3] == (found.video.height, found.video.width)


# Clips whose objects the encoder knows, and texts about them.
CLIPS = {
    "dog_eating.mp4": "a dog eats from a bowl",
    "car-detection.mp4": "cars drive on the road",
    "v_GGSY1Qvo990.mp4": "a woman lifts a barbell",
    "bottle-detection.mp4": "bottles on a table",
    "hitting_baseball.mp4": "a man hits a baseball with a baseball bat",
}


@pytest.fixture(scope="module")
def joined(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, tuple[float, float]]]:
    """Ten seconds of each clip end to end, and when each is shown."""
    import av

    assert DATA is not None
    path, spans, shown = tmp_path_factory.mktemp("joined") / "joined.mp4", {}, 0
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=5, options={"preset": "ultrafast", "g": "20"})
        stream.width, stream.height, stream.pix_fmt = 320, 180, "yuv420p"
        for name in CLIPS:
            start = shown / 5
            with av.open(str(DATA / "real" / name)) as source:
                for frame in source.decode(video=0):
                    if frame.time > 10.0:
                        break
                    if frame.time >= (shown / 5 - start):
                        small = frame.reformat(320, 180, "yuv420p")
                        small.pts, small.time_base, small.pict_type = shown, Fraction(1, 5), 0
                        container.mux(stream.encode(small))
                        shown += 1
            spans[name] = (start, shown / 5)
        container.mux(stream.encode())
    return path, spans


@pytest.fixture(scope="module")
def encoder() -> Any:
    """The weak but real encoder that lies beside the data."""
    assert DATA is not None
    source = DATA.parent / "real_encoder.py"
    if not source.is_file() or importlib.util.find_spec("ai_edge_litert") is None:
        pytest.skip("no real encoder: its file beside the data or ai-edge-litert is missing")
    spec = importlib.util.spec_from_file_location("real_encoder", source)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["real_encoder"] = module
    spec.loader.exec_module(module)
    return module.RealEncoder()


@pytest.mark.parametrize("name", CLIPS)
def test_a_caption_finds_its_clip_among_others(
    joined: tuple[Path, dict[str, tuple[float, float]]], encoder: Any, name: str
) -> None:
    path, spans = joined
    found = select_keyframes(path, caption=CLIPS[name], encoder=encoder)
    start, end = spans[name]
    assert any(start <= second < end for second in found.seconds)
    best = found.seconds[np.argmax(found.scores.total[found.chosen])]
    assert start <= best < end
