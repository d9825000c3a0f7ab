"""What is kept on disk: nothing is computed twice, nothing stale is used, and the folder stays small."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest

import keyframe_llm.index.video_index
from keyframe_llm import KeyframeLLM, OptionsError, select_keyframes
from keyframe_llm.cli import main
from keyframe_llm.index.store import Store, content_digest, make_key, model_identity

Checkpoint = Callable[[str], Path]


@pytest.fixture(scope="module")
def video(videos: ModuleType, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return videos.flags(tmp_path_factory.mktemp("videos") / "flags.mp4")


@pytest.fixture
def decoded(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The videos whose frames were sampled, in order; the real work is done."""
    seen: list[str] = []
    real = keyframe_llm.index.video_index.sample_video

    def watched(decoder: Any, *arguments: Any, **named: Any) -> Any:
        seen.append(decoder.info.path)
        return real(decoder, *arguments, **named)

    monkeypatch.setattr(keyframe_llm.index.video_index, "sample_video", watched)
    return seen


def counted(llm: KeyframeLLM) -> dict[str, int]:
    """How often the encoder's two towers ran, from now on."""
    model: Any = llm.encoder
    counts = {"pictures": 0, "texts": 0}
    for name, tower in (("pictures", model.model.vision_model), ("texts", model.model.text_model)):

        def count(*_: Any, name: str = name) -> None:
            counts[name] += 1

        tower.register_forward_hook(count)
    return counts


def test_values_come_back_as_they_were(cache: Path) -> None:
    store = Store()
    values = {"rows": np.arange(6, dtype=np.float32).reshape(2, 3), "text": "ein Mädchen 走る", "none": ""}
    assert store.get("caption-1") is None
    store.put("caption-1", values)
    found = Store().get("caption-1")
    assert found is not None and found["text"] == values["text"] and found["none"] == ""
    np.testing.assert_array_equal(found["rows"], values["rows"])
    assert found["rows"].dtype == np.float32
    assert [entry.kind for entry in store.entries()] == ["caption"] and store.folder == cache


@pytest.mark.parametrize("damage", [b"", b"PK\x03\x04 nonsense", None])
def test_a_damaged_entry_counts_as_none_and_is_dropped(damage: bytes | None) -> None:
    store = Store()
    store.put("index-1", {"rows": np.arange(1000)})
    (entry,) = store.entries()
    entry.path.write_bytes(entry.path.read_bytes()[:700] if damage is None else damage)
    assert store.get("index-1") is None and store.entries() == []


def test_the_longest_unused_go_first_when_room_is_short(tmp_path: Path) -> None:
    noise = np.random.default_rng(0).integers(0, 256, 10_000, dtype=np.uint8)
    store = Store(tmp_path, max_bytes=45_000)
    for i in range(4):
        store.put(f"index-{i}", {"rows": noise})
        os.utime(tmp_path / f"index-{i}.npz", (i, i))
    assert store.get("index-0") is not None  # used again, so now the newest
    for i in (4, 5):
        store.put(f"index-{i}", {"rows": noise})
    kept = {entry.path.stem for entry in store.entries()}
    assert kept == {"index-0", "index-3", "index-4", "index-5"}
    assert sum(entry.bytes for entry in store.entries()) <= 45_000
    assert store.clear() == 4 and store.entries() == []
    with pytest.raises(OptionsError, match="max_bytes is 0"):
        Store(tmp_path, max_bytes=0)


def test_two_processes_may_write_read_and_evict_at_once(tmp_path: Path) -> None:
    """Every value read is whole, the bound holds afterwards, and nothing unfinished is left behind."""
    code = (
        "import sys, numpy as np\n"
        "from pathlib import Path\n"
        "from keyframe_llm.index.store import Store\n"
        "store = Store(Path(sys.argv[1]), max_bytes=60_000)\n"
        "rng = np.random.default_rng(int(sys.argv[2]))\n"
        "hits = 0\n"
        "for _ in range(150):\n"
        "    i = int(rng.integers(12))\n"
        "    found = store.get(f'index-{i}')\n"
        "    if found is not None:\n"
        "        hits += 1\n"
        "        assert found['name'] == str(i)\n"
        "        assert (found['rows'] == np.random.default_rng(i).random(1000)).all()\n"
        "    store.put(f'index-{i}', {'rows': np.random.default_rng(i).random(1000), 'name': str(i)})\n"
        "assert store.problem is None, store.problem\n"
        "print(hits)\n"
    )
    runs = [
        subprocess.Popen(
            [sys.executable, "-c", code, str(tmp_path), str(n)], stdout=subprocess.PIPE, text=True
        )
        for n in (1, 2)
    ]
    hits = [int(run.communicate()[0]) for run in runs]
    assert [run.returncode for run in runs] == [0, 0] and min(hits) > 10
    entries = Store(tmp_path).entries()
    assert 0 < sum(entry.bytes for entry in entries) <= 60_000
    assert {path.suffix for path in tmp_path.iterdir()} == {".npz"}


def test_two_commands_may_index_one_video_at_once(video: Path, decoded: list[str]) -> None:
    command = [sys.executable, "-m", "keyframe_llm.cli", "select", str(video), "--quiet", "--json"]
    runs = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True) for _ in range(2)]
    printed = [json.loads(run.communicate()[0])["keyframes"] for run in runs]
    assert [run.returncode for run in runs] == [0, 0]
    found = KeyframeLLM().select(video)
    assert decoded == []  # a third run uses what either left
    fresh = KeyframeLLM(cache=False).select(video)
    np.testing.assert_array_equal(found.seconds, fresh.seconds)
    assert printed[0] == printed[1]
    assert [frame["seconds"] for frame in printed[0]] == pytest.approx(fresh.seconds.tolist(), abs=1e-3)


def test_a_file_is_known_by_its_content(video: Path, tmp_path: Path) -> None:
    store = Store()
    copy = shutil.copy(video, tmp_path / "copy.mp4")
    digest = content_digest(video, store)
    assert content_digest(copy, store) == digest == content_digest(video, store)
    data = bytearray(copy.read_bytes())
    data[len(data) // 2] ^= 1
    copy.write_bytes(data)
    assert content_digest(copy, store) != digest
    assert make_key("index", digest, 2.0) != make_key("index", digest, 2.5)


def test_a_second_question_in_another_run_costs_only_its_text(
    video: Path, checkpoint: Checkpoint, decoded: list[str]
) -> None:
    encoder = str(checkpoint("clip"))
    first = KeyframeLLM(encoder=encoder)
    at_first = counted(first)
    first.select(video, question="Is the flag blue?")
    assert at_first["pictures"] >= 1 and at_first["texts"] > 1 and len(decoded) == 1  # the neutral texts too
    second = KeyframeLLM(encoder=encoder)
    then = counted(second)
    found = second.select(video, question="Is the flag red?")
    assert then == {"pictures": 0, "texts": 1} and len(decoded) == 1
    assert found.timings["propose"] == 0.0
    fresh = KeyframeLLM(encoder=encoder, cache=False).select(video, question="Is the flag red?")
    assert len(decoded) == 2
    np.testing.assert_array_equal(found.seconds, fresh.seconds)
    np.testing.assert_array_equal(found.frames.images, fresh.frames.images)
    np.testing.assert_allclose(found.scores.total, fresh.scores.total, atol=1e-6)
    np.testing.assert_array_equal(found.proposals.labels, fresh.proposals.labels)
    assert (found.video, found.plan, found.warnings) == (fresh.video, fresh.plan, fresh.warnings)
    assert found.proposals.silhouettes == fresh.proposals.silhouettes


def test_without_a_text_the_second_run_only_decodes_its_key_frames(video: Path, decoded: list[str]) -> None:
    one, two = (KeyframeLLM().select(video) for _ in range(2))
    assert len(decoded) == 1 and two.timings["propose"] == 0.0
    np.testing.assert_array_equal(one.frames.images, two.frames.images)
    select_keyframes(video)
    assert len(decoded) == 1  # the function uses the same entries
    select_keyframes(video, cache=False)
    assert len(decoded) == 2


def test_a_copy_is_known_and_keeps_its_own_name(video: Path, tmp_path: Path, decoded: list[str]) -> None:
    KeyframeLLM().select(video)
    copy = shutil.copy(video, tmp_path / "copy.mp4")
    assert KeyframeLLM().select(copy).video.path == str(copy) and len(decoded) == 1


@pytest.mark.parametrize("change", [{"fps": 1.0}, {"end_seconds": 20.0}, {"proposer": "ufp"}, {"seed": 3}])
def test_other_options_are_another_index(video: Path, decoded: list[str], change: dict[str, Any]) -> None:
    KeyframeLLM().select(video)
    KeyframeLLM().select(video, **change)
    KeyframeLLM().select(video, max_frames=1)  # which frames are chosen is not what is kept
    assert len(decoded) == 2


def test_another_encoder_or_a_changed_one_is_not_taken_for_the_same(
    video: Path, checkpoint: Checkpoint, tmp_path: Path, decoded: list[str]
) -> None:
    folder = tmp_path / "clip"
    shutil.copytree(checkpoint("clip"), folder)
    KeyframeLLM(encoder=str(folder)).select(video, caption="red")
    known = model_identity(str(folder))
    os.utime(folder / "model.safetensors", (1, 1))
    assert model_identity(str(folder)) != known
    llm = KeyframeLLM(encoder=str(folder))
    counts = counted(llm)
    llm.select(video, caption="red")
    assert counts["pictures"] >= 1 and len(decoded) == 2
    assert model_identity("google/siglip2-base-patch16-224") != model_identity("openai/clip-vit-base-patch32")


def test_an_encoder_object_without_an_identity_embeds_again(video: Path, videos: ModuleType) -> None:
    for _ in range(2):
        encoder = videos.ColourEncoder()
        KeyframeLLM(encoder=encoder).select(video, caption="red")
        assert encoder.images_seen > 0


def test_a_caption_is_written_once(video: Path, checkpoint: Checkpoint) -> None:
    model, encoder = str(checkpoint("qwen2_5_vl")), str(checkpoint("clip"))
    options: Any = {"dtype": "float32", "max_image_tokens": 16}
    first = KeyframeLLM(model, encoder, **options).select(video, generate_caption=True)
    again = KeyframeLLM(model, encoder, **options)
    second = again.select(video, generate_caption=True)
    assert second.caption == first.caption and second.caption_source == "generated"
    smaller = KeyframeLLM(model, encoder, **{**options, "max_image_tokens": 4})
    assert smaller.select(video, generate_caption=True).caption and smaller._loaded is not None
    assert again._loaded is None  # not even loaded
    assert again.select(video, generate_caption=True, fps=1.0).caption and again._loaded is not None


def test_a_folder_that_cannot_be_written_is_a_warning(video: Path, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    found = KeyframeLLM(cache=Store(tmp_path / "file" / "cache")).select(video)
    (warning,) = found.warnings
    assert warning.startswith("nothing is kept in ") and len(found.frames) >= 1


def test_the_command_keeps_shows_and_clears(
    video: Path, cache: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def printed(*arguments: str) -> str:
        assert main(list(arguments)) == 0
        return capsys.readouterr().out

    printed("select", str(video), "--quiet", "--no-cache")
    assert json.loads(printed("cache", "--json")) == {
        "folder": str(cache),
        "bytes": 0,
        "max_bytes": 1_000_000_000,
        "kinds": {},
        "encoders": {},
    }
    first = json.loads(printed("select", str(video), "--quiet", "--json"))
    second = json.loads(printed("select", str(video), "--quiet", "--json"))
    assert first["timings"]["propose"] > 0.0 == second["timings"]["propose"]
    assert second["keyframes"] == first["keyframes"]
    shown = json.loads(printed("cache", "--json"))
    assert shown["kinds"]["index"]["entries"] == 1 and shown["bytes"] > 1000
    assert "indexes of videos" in printed("cache")
    encoder = cache / "encoders" / "lab_siglip-0123"
    encoder.mkdir(parents=True)
    (encoder / "image_model.onnx").write_bytes(bytes(2_500_000))
    assert json.loads(printed("cache", "--json"))["encoders"] == {"lab_siglip-0123": 2_500_000}
    assert "2.5 MB  encoder, converted for this processor: lab_siglip-0123" in printed("cache")
    assert json.loads(printed("cache", "--clear", "--json"))["cleared"] == 3
    assert "0 entries" in printed("cache") and not encoder.exists()
