"""What key frames cost beside the default sampling, against qwen-vl-utils' own arithmetic and pictures."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

from keyframe_llm.cli import main
from keyframe_llm.cost import default_cost, frames_at, tokens_of_video
from keyframe_llm.data import VideoInfo
from support.packages import needs

pytestmark = needs("qwen_vl_utils", "the `dev` extra")

Checkpoint = Callable[[str], Path]


@pytest.fixture(scope="module")
def utils() -> ModuleType:
    from qwen_vl_utils import vision_process

    return vision_process


@pytest.mark.parametrize("seconds", [3.0, 4.5, 29.7, 30.0, 61.2, 383.9, 600.0, 3600.0])
def test_as_many_frames_as_qwen_vl_utils_takes(utils: ModuleType, seconds: float) -> None:
    assert frames_at(seconds) == utils.smart_nframes({}, round(seconds * 25), 25.0)


@pytest.mark.parametrize("patch", [14, 16])
@pytest.mark.parametrize("size", [(720, 1280), (1280, 720), (1080, 1920), (64, 96), (360, 640), (240, 240)])
@pytest.mark.parametrize("frames", [4, 60, 300, 768])
def test_as_many_tokens_as_qwen_vl_utils_makes(
    utils: ModuleType, patch: int, size: tuple[int, int], frames: int
) -> None:
    area = (2 * patch) ** 2
    least, whole = utils.VIDEO_MIN_TOKEN_NUM * area, utils.MODEL_SEQ_LEN * area * 0.9
    most = max(min(utils.VIDEO_MAX_TOKEN_NUM * area, whole / frames * 2), int(least * 1.05))
    height, width = utils.smart_resize(*size, factor=2 * patch, min_pixels=least, max_pixels=most)
    assert tokens_of_video(frames, *size, 2 * patch) == frames // 2 * height * width // area


def test_the_count_is_what_the_default_sampling_really_costs(
    utils: ModuleType, videos: ModuleType, checkpoint: Checkpoint, tmp_path: Path
) -> None:
    """The whole way of Qwen's README with the original: decoded, resized, tokenised."""
    pytest.importorskip("decord", reason="decord, which qwen-vl-utils reads videos with, is not installed")
    from transformers import AutoProcessor

    video = videos.flags(tmp_path / "flags.mp4")
    messages = [{"role": "user", "content": [{"type": "video", "video": str(video)}]}]
    _, ((pictures, metadata),) = utils.process_vision_info(messages, return_video_metadata=True)
    processor = AutoProcessor.from_pretrained(checkpoint("qwen2_5_vl"))
    text = processor.apply_chat_template(messages, tokenize=False)
    inputs = processor(
        text=text,
        videos=[pictures],
        video_metadata=[metadata],
        do_resize=False,
        do_sample_frames=False,
        return_tensors="pt",
    )
    paid = int((inputs["input_ids"] == processor.video_token_id).sum())
    assert len(pictures) == frames_at(30.0)
    assert tokens_of_video(len(pictures), 64, 96) == paid


def test_a_model_that_is_no_qwen_is_counted_by_its_key_frames() -> None:
    stated = {"average_fps": 25.0, "width": 640, "height": 360, "codec": "h264", "path": "v.mp4"}
    video = VideoInfo(duration_seconds=30.0, **stated)
    cost = default_cost(video, object(), keyframes=3, prompt_tokens=640, visual_tokens=600)
    assert cost is not None
    assert (cost.frames, cost.visual_tokens, cost.prompt_tokens) == (60, 12_000, 12_040)
    unknown = VideoInfo(duration_seconds=None, **stated)
    assert default_cost(unknown, object(), keyframes=3, prompt_tokens=1, visual_tokens=1) is None


@pytest.mark.parametrize(("seconds", "frames"), [(30, 60), (600, 768)])
def test_ask_prints_both_costs(
    seconds: int,
    frames: int,
    videos: ModuleType,
    checkpoint: Checkpoint,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    shades = np.random.default_rng(0).integers(0, 256, (seconds, 3), dtype=np.uint8)
    images = [np.broadcast_to(shade, (180, 320, 3)).copy() for shade in shades]
    video = videos.draw(tmp_path / "video.mp4", range(seconds), images=images, size=(320, 180), rate=1)
    command = ["ask", str(video), "What is it?", "--encoder", str(checkpoint("clip")), "--quiet", "--json"]
    assert main([*command, "--model", str(checkpoint("qwen2_5_vl")), "--fps", "0.5"]) == 0
    printed = json.loads(capsys.readouterr().out)
    usual = printed["default_sampling"]
    each = round(180 / 28) * round(320 / 28)
    assert printed["visual_tokens"] == len(printed["keyframes"]) * each
    assert usual["frames"] == frames
    assert usual["visual_tokens"] == tokens_of_video(frames, 180, 320)
    text = printed["prompt_tokens"] - printed["visual_tokens"]
    assert usual["prompt_tokens"] == usual["visual_tokens"] + text
    assert printed["visual_tokens"] < usual["visual_tokens"] / 10
