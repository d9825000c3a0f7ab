"""The loader that vLLM calls: the frames and times that the library chooses, or one line of error."""

from __future__ import annotations

import re
import subprocess
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from keyframe_llm import select_keyframes
from keyframe_llm.demos.videos import DEMO_QUESTION, demo_video
from keyframe_llm.index import embedder
from keyframe_llm.integrations.vllm import NAME, KeyframeVideoLoader, register

VIDEO = demo_video().read_bytes()


def load(data: bytes = VIDEO, **kwargs: Any) -> tuple[np.ndarray, dict[str, Any], np.ndarray]:
    """What vLLM is given for a video, and the seconds that it says of the frames."""
    frames, metadata = KeyframeVideoLoader.load_bytes(data, num_frames=32, **kwargs)
    return frames, metadata, np.array(metadata["frames_indices"]) / metadata["fps"]


def test_a_question_gives_the_frames_that_the_library_chooses_for_it_each_twice() -> None:
    chosen = select_keyframes(demo_video(), question=DEMO_QUESTION, encoder="cartoon")
    frames, metadata, seconds = load(question=DEMO_QUESTION, encoder="cartoon")
    np.testing.assert_allclose(seconds, np.repeat(chosen.seconds, 2), atol=0.0005)
    np.testing.assert_array_equal(frames, np.repeat(chosen.frames.images, 2, axis=0))
    assert metadata["do_sample_frames"] is False and metadata["video_backend"] == NAME
    assert metadata["duration"] == pytest.approx(chosen.video.duration_seconds, abs=0.001)
    assert metadata["total_num_frames"] == pytest.approx(metadata["duration"] * metadata["fps"], abs=1)
    assert all(isinstance(index, int) for index in metadata["frames_indices"])


def test_without_a_question_the_frames_represent_the_video_and_no_encoder_is_needed() -> None:
    chosen = select_keyframes(demo_video(), max_frames=2)
    frames, _, seconds = load(max_frames=2, encoder="no/such-encoder", copies=1)
    np.testing.assert_allclose(seconds, chosen.seconds, atol=0.0005)
    np.testing.assert_array_equal(frames, chosen.frames.images)


def test_frames_may_stand_under_their_times_for_a_model_that_reads_none_of_a_video() -> None:
    plain, _, seconds = load(copies=1)
    labelled, _, same = load(copies=1, labels=True)
    strip = labelled.shape[1] - plain.shape[1]
    assert list(same) == list(seconds) and strip >= 20
    np.testing.assert_array_equal(labelled[:, strip:], plain)
    inks = {picture[:strip].tobytes() for picture in labelled}
    assert len(inks) == len(seconds) and all(picture[:strip].min() < 128 for picture in labelled)


def test_every_option_of_a_selection_is_an_option_of_the_loader() -> None:
    options = {"method": "top-k", "max_frames": 5, "start_seconds": 20.0, "end_seconds": 40.0, "fps": 4}
    chosen = select_keyframes(demo_video(), caption="a robot flies a kite", encoder="cartoon", **options)
    _, _, seconds = load(caption="a robot flies a kite", encoder="cartoon", copies=1, **options)
    np.testing.assert_allclose(seconds, chosen.seconds, atol=0.0005)
    assert len(seconds) == 5 and seconds.min() >= 20.0 and seconds.max() <= 40.0


@pytest.mark.parametrize(
    ("kwargs", "says"),
    [
        ({"max_frame": 3}, "has no option 'max_frame'; it takes question, caption, encoder"),
        ({"max_frames": 0}, "max_frames is 0; give a whole number from 1"),
        ({"max_frames": "3"}, "max_frames is '3'"),
        ({"question": 3}, "question is 3; give a text"),
        ({"encoder": {"name": "x"}}, "encoder is {'name': 'x'}; give a text"),
        ({"encoder": None}, "encoder is None; give a text"),
        ({"cache": "no"}, "cache is 'no'; give true or false"),
        ({"labels": 1}, "labels is 1; give true or false"),
        ({"copies": 3}, "copies is 3; give a whole number from 1 to 2"),
        ({"method": "best"}, "method is 'best'"),
        ({"question": "What?", "encoder": "/no/such/folder"}, "/no/such/folder"),
        ({"data": b""}, "the bytes of the video are empty"),
        ({"data": b"no video at all" * 99}, "the bytes of the video: not a video that can be read"),
    ],
)
def test_what_is_wrong_with_a_request_is_one_line_of_a_value_error(
    kwargs: dict[str, Any], says: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    with pytest.raises(ValueError, match=re.escape(says)) as raised:
        load(**kwargs)
    assert "\n" not in str(raised.value)
    assert str(tmp_path) not in str(raised.value) and not list(tmp_path.iterdir())


def test_many_threads_load_the_encoder_once(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    loaded, real = [], embedder.load_encoder

    def counted(*args: Any) -> Any:
        loaded.append(args)
        return real(*args)

    monkeypatch.setattr(embedder, "load_encoder", counted)
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    options = {"encoder": "cartoon", "device": "cpu", "max_frames": 1}
    questions = [DEMO_QUESTION, "Who is on the beach?"] * 2
    with ThreadPoolExecutor(4) as pool:
        seconds = list(pool.map(lambda question: list(load(question=question, **options)[2]), questions))
    assert seconds[:2] == seconds[2:] and seconds[0] != seconds[1]
    assert len(loaded) == 1 and not list(tmp_path.iterdir())


def test_importing_the_plug_in_loads_neither_vllm_nor_torch() -> None:
    code = (
        "import sys; before = set(sys.modules); import keyframe_llm.integrations.vllm\n"
        "print({'vllm', 'torch', 'transformers'} & (set(sys.modules) - before) or 'none')"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "none"


def test_vllm_finds_the_plug_in_by_its_entry_point() -> None:
    (found,) = [one for one in entry_points(group="vllm.general_plugins") if one.name == NAME]
    assert found.load() is register


def test_an_environment_without_vllm_is_told_so_and_goes_on(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setitem(sys.modules, "vllm", None)
    register()
    assert "keyframe_llm is not registered" in caplog.text


def test_a_real_vllm_loads_key_frames_through_its_own_media_classes() -> None:
    pytest.importorskip("vllm", reason="vLLM is not installed (make vllm-check installs it)")
    from vllm.multimodal.media.image import ImageMediaIO
    from vllm.multimodal.media.video import VideoMediaIO
    from vllm.multimodal.video import VIDEO_LOADER_REGISTRY

    register()
    first = VIDEO_LOADER_REGISTRY.name2class[NAME]
    register()
    assert VIDEO_LOADER_REGISTRY.name2class[NAME] is first
    options = VideoMediaIO.merge_kwargs(
        {"video_backend": NAME, "encoder": "cartoon"}, {"question": DEMO_QUESTION, "max_frames": 2}
    )
    frames, metadata = VideoMediaIO(ImageMediaIO(), **options).load_bytes(VIDEO)
    chosen = select_keyframes(demo_video(), question=DEMO_QUESTION, encoder="cartoon", max_frames=2)
    seconds = np.array(metadata["frames_indices"]) / metadata["fps"]
    np.testing.assert_allclose(seconds, np.repeat(chosen.seconds, 2), atol=0.0005)
    assert len(frames) == 2 * len(chosen.seconds)
