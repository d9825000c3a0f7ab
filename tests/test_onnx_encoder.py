"""Encoders through ONNX Runtime: the same rows as the model they were converted from, and no torch."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from threading import Event, Thread
from typing import Any

import numpy as np
import pytest

from keyframe_llm.cartoon import encoder_path
from keyframe_llm.encoders import OnnxEncoder, load_encoder, stated_image_size
from keyframe_llm.encoders import onnx as onnx_module
from keyframe_llm.encoders.onnx_export import convert
from keyframe_llm.encoders.onnx_files import SETTINGS_FILE, alone, existing_folder
from keyframe_llm.encoders.onnx_halves import weights_file
from keyframe_llm.errors import ModelError
from keyframe_llm.index.store import model_identity

Checkpoint = Callable[[str], Path]

TEXTS = [
    "A man in a red hat is walking in the park with a dog.",
    "the same, but said in so many words that it is longer than the model reads at once, twice and again",
    "",
]


@pytest.fixture(scope="module", autouse=True)
def cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """One cache folder for all tests here: a conversion takes a second or two."""
    folder = tmp_path_factory.mktemp("cache")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("KEYFRAME_LLM_CACHE", str(folder))
        yield folder


@pytest.fixture(autouse=True)
def same_cache(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KEYFRAME_LLM_CACHE", str(cache))


@pytest.fixture(scope="module")
def pictures() -> list[Any]:
    draw = np.random.default_rng(0)
    coarse = [draw.integers(0, 256, (6, 8, 3), dtype=np.uint8) for _ in range(9)]
    return [np.kron(each, np.ones((12, 10, 1), np.uint8)) for each in coarse]


@pytest.mark.parametrize("family", ["clip", "siglip"])
def test_rows_are_those_of_the_model_it_was_converted_from(
    family: str, checkpoint: Checkpoint, pictures: list[Any]
) -> None:
    original = load_encoder(str(checkpoint(family)))
    found = load_encoder(f"onnx:{checkpoint(family)}")
    assert isinstance(found, OnnxEncoder)
    for given, wanted in (
        (found.embed_images(pictures), original.embed_images(pictures)),
        (found.embed_texts(TEXTS), original.embed_texts(TEXTS)),
    ):
        assert given.dtype == np.float32 and given.shape == wanted.shape
        np.testing.assert_allclose(np.linalg.norm(given, axis=1), 1, atol=1e-5)
        assert (given * wanted).sum(axis=1).min() > 0.98
    assert found.embed_images([]).shape == (0, 24 if family == "clip" else 32)


def test_weights_of_eight_bits_leave_similarities_of_a_trained_model_as_they_are(pictures: list[Any]) -> None:
    name = str(encoder_path())
    images = [pictures[0], *(np.roll(pictures[i], i, axis=0) for i in range(9))]
    texts = ["a person in red dances in the park", "a person in blue sits on the beach", "a kite"]
    wanted, given = (
        encoder.embed_images(images) @ encoder.embed_texts(texts).T
        for encoder in (load_encoder(name), load_encoder(f"onnx:{name}"))
    )
    spread = wanted - wanted.mean(axis=0)
    moved = (given - given.mean(axis=0)) - spread
    assert np.sqrt((moved**2).mean() / (spread**2).mean()) < 0.2
    folder = existing_folder(name)
    assert folder is not None
    kept = json.loads((folder / SETTINGS_FILE).read_text())["kept"]
    for file, half in kept.items():
        assert (half["weights"] == "int8") == (half["int8_change"] <= 0.1)
        assert (half["weights"] == "float32") == weights_file(folder / file).exists()


def test_a_converted_encoder_needs_neither_torch_nor_transformers() -> None:
    load_encoder(f"onnx:{encoder_path()}")
    code = (
        "import sys; import numpy as np; from keyframe_llm.encoders import load_encoder, stated_image_size\n"
        f"name = 'onnx:{encoder_path()}'\n"
        "size, encoder = stated_image_size(name), load_encoder(name)\n"
        "rows = encoder.embed_images([np.zeros((90, 160, 3), np.uint8)])\n"
        "rows = rows @ encoder.embed_texts(['a kite']).T\n"
        "print(size, encoder.image_size, rows.shape, "
        "[m for m in ('torch', 'transformers', 'sklearn', 'scipy', 'onnx') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "64 64 (1, 1) []"


def test_another_state_of_the_files_is_converted_anew_and_the_old_one_dropped(
    checkpoint: Checkpoint, tmp_path: Path, cache: Path
) -> None:
    folder = Path(shutil.copytree(checkpoint("siglip"), tmp_path / "mine"))
    name = f"onnx:{folder}"
    assert stated_image_size(name) is None
    load_encoder(name)
    assert stated_image_size(name) == 32
    before, identity = existing_folder(str(folder)), model_identity(name)
    os.utime(folder / "model.safetensors", (1, 1))
    assert stated_image_size(name) is None and model_identity(name) != identity
    load_encoder(name)
    after = existing_folder(str(folder))
    assert before is not None and after is not None and before != after and not before.exists()
    assert not list(cache.rglob("*.part"))


def test_a_conversion_tells_how_far_it_is_and_another_process_waits_for_it(
    checkpoint: Checkpoint, tmp_path: Path
) -> None:
    name, told = str(shutil.copytree(checkpoint("clip"), tmp_path / "mine")), list[tuple[str, float]]()
    first = convert(name, lambda stage, share: told.append((stage, share)))
    assert told == [("convert", share) for share in (0.0, 0.2, 0.5, 0.8)]
    aside, waits, found = first.rename(tmp_path / "aside"), Event(), list[Path]()
    second = Thread(target=lambda: found.append(convert(name, lambda *_: waits.set())))
    with alone():
        second.start()
        assert waits.wait(60) and not found
        aside.rename(first)
    second.join()
    assert found == [first]


def test_an_interrupted_conversion_leaves_nothing(
    checkpoint: Checkpoint, tmp_path: Path, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(*_: Any) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("keyframe_llm.encoders.onnx_export._quantized", interrupted)
    name = str(shutil.copytree(checkpoint("clip"), tmp_path / "mine"))
    with pytest.raises(KeyboardInterrupt):
        convert(name, lambda *_: None)
    assert existing_folder(name) is None and not list(cache.rglob("*.part"))


def folders(cache: Path) -> set[Path]:
    return {each for each in (cache / "encoders").glob("*") if each.is_dir()}


def test_a_model_that_cannot_be_converted_is_told_in_one_line_and_leaves_nothing(
    checkpoint: Checkpoint, cache: Path
) -> None:
    before = folders(cache)
    for name in (f"onnx:{checkpoint('siglip2_naflex')}", "onnx:./nowhere"):
        with pytest.raises(ModelError) as error:
            load_encoder(name)
        assert "\n" not in str(error.value) and name.removeprefix("onnx:") in str(error.value)
    assert folders(cache) == before


def test_a_folder_that_takes_no_file_is_told_in_one_line(
    checkpoint: Checkpoint, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("KEYFRAME_LLM_CACHE", str(tmp_path / "file"))
    with pytest.raises(ModelError, match="cannot be converted"):
        onnx_module.OnnxEncoder(f"onnx:{checkpoint('clip')}")
