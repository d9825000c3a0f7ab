"""Dual encoders: one contract over every family, long texts, and models that cannot be had."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from keyframe_llm.encoders import (
    DEFAULT_ENCODER,
    NAMED_ENCODERS,
    OpenClipEncoder,
    TransformersEncoder,
    load_encoder,
    preferred_image_size,
    split_text,
    stated_image_size,
)
from keyframe_llm.encoders.shared import SharedEncoder
from keyframe_llm.errors import ModelError, OptionsError
from keyframe_llm.index.embedder import Embedder
from keyframe_llm.index.store import model_identity

Checkpoint = Callable[[str], Path]

FAMILIES = ("clip", "siglip", "siglip2_naflex", "open_clip_vit")
SENTENCES = [
    f"A man in a {colour} hat is walking in the park with a dog." for colour in ("red", "blue", "green")
]


@pytest.fixture(scope="module")
def name(request: pytest.FixtureRequest, checkpoint: Checkpoint) -> str:
    """The name under which the public code loads the family's checkpoint."""
    family = request.param
    return f"{'local-dir:' if family.startswith('open_clip') else ''}{checkpoint(family)}"


@pytest.fixture(scope="module")
def pictures() -> list[Any]:
    """Five pictures of three shapes, one of them a single colour."""
    draw = np.random.default_rng(0)
    shapes = [(48, 64), (90, 40), (48, 64), (33, 33)]
    noise = [draw.integers(0, 256, (*shape, 3), dtype=np.uint8) for shape in shapes]
    return [*noise, np.full((40, 70, 3), 200, np.uint8)]


every_family = pytest.mark.parametrize("name", FAMILIES, indirect=True)


@every_family
def test_embeddings_are_unit_rows_in_order_and_do_not_depend_on_the_batch(
    name: str, pictures: list[Any]
) -> None:
    encoder = load_encoder(name)
    texts = ["a man walks", "", "a dog", *SENTENCES]
    for embed, items in ((encoder.embed_images, pictures), (encoder.embed_texts, texts)):
        together = embed(items)
        alone = np.concatenate([embed([item]) for item in items])
        assert together.dtype == np.float32 and together.ndim == 2
        np.testing.assert_allclose(np.linalg.norm(together, axis=1), 1, atol=1e-5)
        np.testing.assert_allclose(together, alone, atol=1e-5)
        assert len(np.unique(together.round(4), axis=0)) == len(items)
    assert encoder.embed_images(pictures).shape[1] == encoder.embed_texts(texts).shape[1]


@every_family
def test_pictures_in_one_array_and_small_batches_give_the_same_rows(name: str, pictures: list[Any]) -> None:
    same_shape = np.stack([pictures[0], pictures[2], pictures[0][::-1]])
    kind = OpenClipEncoder if name.startswith("local-dir:") else TransformersEncoder
    np.testing.assert_allclose(
        kind(name, batch_size=2).embed_images(same_shape),
        load_encoder(name).embed_images(list(same_shape)),
        atol=1e-5,
    )


@every_family
def test_nothing_in_gives_no_rows_of_the_right_width(name: str) -> None:
    encoder = load_encoder(name)
    width = encoder.embed_texts(["a"]).shape[1]
    assert encoder.embed_texts([]).shape == encoder.embed_images([]).shape == (0, width)


@every_family
def test_the_end_of_a_long_caption_counts(name: str) -> None:
    encoder = load_encoder(name)
    start = " ".join(SENTENCES * 3)
    ends = encoder.embed_texts([f"{start} He sits.", f"{start} She jumps in the kitchen."])
    np.testing.assert_allclose(np.linalg.norm(ends, axis=1), 1, atol=1e-5)
    assert np.abs(ends[0] - ends[1]).max() > 1e-4


@every_family
def test_half_precision_stays_close_to_full(name: str, pictures: list[Any]) -> None:
    import torch

    kind = OpenClipEncoder if name.startswith("local-dir:") else TransformersEncoder
    full, half = kind(name), kind(name, dtype=torch.float16)
    for a, b in (
        (full.embed_images(pictures), half.embed_images(pictures)),
        (full.embed_texts(SENTENCES), half.embed_texts(SENTENCES)),
    ):
        assert b.dtype == np.float32
        np.testing.assert_allclose(np.linalg.norm(b, axis=1), 1, atol=1e-5)
        assert (a * b).sum(1).min() > 0.999


@pytest.mark.parametrize("family", ["clip", "siglip", "siglip2_naflex"])
def test_embeddings_are_those_of_the_models_own_forward_pass(
    family: str, checkpoint: Checkpoint, pictures: list[Any]
) -> None:
    import torch
    from transformers import AutoImageProcessor, AutoModel, AutoTokenizer

    folder, texts = checkpoint(family), ["a man walks", "a dog"]
    tokens = AutoTokenizer.from_pretrained(folder)(
        texts, padding="max_length", max_length=16, padding_side="right", return_tensors="pt"
    )
    pixels = AutoImageProcessor.from_pretrained(folder)(images=pictures, return_tensors="pt")
    if family != "clip":
        tokens.pop("attention_mask")  # SigLIP is trained without one
    with torch.no_grad():
        wanted = AutoModel.from_pretrained(folder)(**tokens, **pixels)
    encoder = load_encoder(str(folder))
    np.testing.assert_allclose(encoder.embed_images(pictures), wanted.image_embeds.numpy(), atol=1e-5)
    np.testing.assert_allclose(encoder.embed_texts(texts), wanted.text_embeds.numpy(), atol=1e-5)


@pytest.mark.parametrize("family", ["open_clip_vit", "open_clip_pe"])
def test_open_clip_embeddings_are_those_of_open_clip(
    family: str, checkpoint: Checkpoint, pictures: list[Any]
) -> None:
    import torch
    from PIL import Image

    name, pictures = f"local-dir:{checkpoint(family)}", pictures[1:3]
    import open_clip

    model, transform = open_clip.create_model_from_pretrained(name)
    pixels = torch.stack([transform(Image.fromarray(picture)) for picture in pictures])
    with torch.no_grad():
        images = model.eval().encode_image(pixels, normalize=True)
        texts = model.encode_text(open_clip.get_tokenizer(name)(["a man walks"]), normalize=True)
    encoder = load_encoder(name)
    np.testing.assert_allclose(encoder.embed_images(pictures), images.numpy(), atol=1e-5)
    np.testing.assert_allclose(encoder.embed_texts(["a man walks"]), texts.numpy(), atol=1e-5)


def test_a_long_caption_is_the_mean_of_its_parts_weighted_by_their_tokens(checkpoint: Checkpoint) -> None:
    encoder = load_encoder(str(checkpoint("clip")))
    assert isinstance(encoder, TransformersEncoder)
    parts = ["A man is walking in the park.", "A dog."]
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(checkpoint("clip"))
    counts = [len(ids) for ids in tokenizer(parts)["input_ids"]]
    assert counts[0] <= encoder.context_length < sum(counts) - 2
    mean = np.average(encoder.embed_texts(parts), axis=0, weights=counts)
    np.testing.assert_allclose(
        encoder.embed_texts([" ".join(parts)])[0], mean / np.linalg.norm(mean), atol=1e-5
    )


def test_siglip_reads_its_texts_in_lower_case(checkpoint: Checkpoint) -> None:
    rows = load_encoder(str(checkpoint("siglip"))).embed_texts(["A Man Walks", "a man walks"])
    np.testing.assert_allclose(rows[0], rows[1], atol=1e-5)


@pytest.mark.parametrize(
    ("text", "limit", "parts"),
    [
        ("short", 10, ["short"]),
        ("", 10, [""]),
        ("One two. Three four. Five.", 16, ["One two.", "Three four.", "Five."]),
        ("One two. Three. Four.", 16, ["One two. Three.", "Four."]),
        ("a red hat, a blue one; green", 11, ["a red hat,", "a blue one;", "green"]),
        ("one two three four", 9, ["one two", "three", "four"]),
        ("abcdefgh", 4, ["abcd", "efgh"]),
        ("an abcdefgh", 4, ["an", "abcd", "efgh"]),
    ],
)
def test_a_text_is_split_at_the_kindest_place(text: str, limit: int, parts: list[str]) -> None:
    assert split_text(text, lambda part: len(part) <= limit) == parts


def test_splitting_loses_no_word_and_every_part_fits() -> None:
    text = " ".join(SENTENCES) + " and so on, and so forth; " * 20
    for limit in (12, 30, 77):
        parts = split_text(text, lambda part, limit=limit: len(part) <= limit)
        assert max(map(len, parts)) <= limit
        assert re.sub(r"\s", "", "".join(parts)) == re.sub(r"\s", "", text)


@pytest.mark.parametrize(
    ("family", "size"),
    [("clip", 32), ("siglip", 32), ("siglip2_naflex", 32), ("open_clip_vit", 32), ("open_clip_pe", 384)],
)
def test_an_encoder_says_which_size_of_picture_it_wants(
    family: str, size: int, checkpoint: Checkpoint
) -> None:
    prefix = "local-dir:" if family.startswith("open_clip") else ""
    name = f"{prefix}{checkpoint(family)}"
    assert stated_image_size(name) == preferred_image_size(load_encoder(name)) == size


@pytest.mark.parametrize(
    ("size", "side"),
    [
        (48, 48),
        ({"height": 40, "width": 56}, 40),
        ({"shortest_edge": 24}, 24),
        ({"longest_edge": 24}, None),
        ([48, 48], None),
        (None, None),
    ],
)
@pytest.mark.parametrize("nested", [False, True])
def test_the_size_of_picture_is_known_before_loading_where_a_small_file_states_it(
    size: Any, side: int | None, nested: bool, checkpoint: Checkpoint, tmp_path: Path
) -> None:
    folder = _copy(checkpoint("clip"), tmp_path)
    settings = json.loads((folder / "preprocessor_config.json").read_text()) | {"size": size}
    if nested:
        (folder / "processor_config.json").write_text(json.dumps({"image_processor": settings}))
    else:
        (folder / "preprocessor_config.json").write_text(json.dumps(settings))
    assert stated_image_size(str(folder)) == side
    if side is not None:
        assert preferred_image_size(load_encoder(str(folder))) == side


@pytest.mark.parametrize("missing", ["config.json", "preprocessor_config.json", "model.safetensors"])
def test_no_size_is_stated_by_a_folder_that_is_not_whole(
    missing: str, checkpoint: Checkpoint, tmp_path: Path
) -> None:
    folder = _copy(checkpoint("clip"), tmp_path)
    (folder / missing).unlink()
    assert stated_image_size(str(folder)) is None


def test_no_size_is_stated_for_what_is_no_encoder(checkpoint: Checkpoint) -> None:
    assert stated_image_size(str(checkpoint("qwen2_5_vl"))) is None


def _copy(folder: Path, into: Path) -> Path:
    return Path(shutil.copytree(folder, into / folder.name))


class Minimal:
    """The least an encoder can be."""

    def embed_images(self, images: Any, /) -> Any:
        return np.ones((len(images), 1), np.float32)

    def embed_texts(self, texts: Any, /) -> Any:
        return np.ones((len(texts), 1), np.float32)


def test_any_object_with_the_two_methods_is_an_encoder() -> None:
    encoder = Minimal()
    assert load_encoder(encoder) is encoder
    assert preferred_image_size(encoder) == 224
    with pytest.raises(OptionsError, match=r"int without embed_images and embed_texts"):
        load_encoder(3)


def test_a_name_for_those_who_do_not_choose_stands_for_its_model_in_all_that_is_kept(
    checkpoint: Checkpoint, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = str(checkpoint("clip"))
    assert NAMED_ENCODERS["balanced"] == DEFAULT_ENCODER and set(NAMED_ENCODERS) == {
        "fast",
        "balanced",
        "best",
    }
    monkeypatch.setitem(NAMED_ENCODERS, "fast", folder)
    assert stated_image_size("fast") == preferred_image_size(load_encoder("fast")) == 32
    assert Embedder("fast").name == SharedEncoder("fast").identity == folder
    assert model_identity("fast") == model_identity(folder)
    assert model_identity(f"sentence:{folder}") != model_identity(folder)
    assert str(Path(folder).resolve()) in str(model_identity(f"sentence:{folder}"))


def test_a_device_or_batch_size_that_cannot_be_is_an_options_error(checkpoint: Checkpoint) -> None:
    folder = str(checkpoint("clip"))
    with pytest.raises(OptionsError, match=r"device is 'abacus'"):
        load_encoder(folder, device="abacus")
    with pytest.raises(OptionsError, match=r"batch_size is 0"):
        TransformersEncoder(folder, batch_size=0)
    assert load_encoder(folder, device="cpu").embed_texts(["a"]).shape == (1, 24)


def _assert_one_line_with_ways_out(error: pytest.ExceptionInfo[ModelError]) -> None:
    message = str(error.value)
    assert "\n" not in message
    assert "local folder" in message and "another encoder" in message and "cartoon" in message


@pytest.mark.parametrize(
    ("name", "what"),
    [
        ("./nowhere", "neither a folder nor the id of a repository"),
        ("too/many/parts", "neither a folder nor the id of a repository"),
        ("", "neither a folder nor the id of a repository"),
        ("local-dir:/nowhere", "no open_clip_config.json"),
        ("hf-hub:", "not the id of a repository"),
    ],
)
def test_a_name_that_cannot_be_a_model_is_told_in_one_line(name: str, what: str) -> None:
    if name.startswith(("hf-hub:", "local-dir:")):
        pytest.importorskip("open_clip", reason="open_clip is not installed (the `pe` extra)")
    with pytest.raises(ModelError, match=what) as error:
        load_encoder(name)
    _assert_one_line_with_ways_out(error)


@pytest.mark.parametrize(
    ("damage", "what"),
    [
        (lambda folder: (folder / "config.json").unlink(), "holds no config.json"),
        (lambda folder: (folder / "config.json").write_text("{"), "valid JSON"),
        (lambda folder: (folder / "model.safetensors").unlink(), "model.safetensors"),
        (lambda folder: (folder / "model.safetensors").write_bytes(b"not one"), "cannot be loaded"),
        (
            lambda folder: [f.unlink() for f in folder.glob("tokenizer*")],
            "without the files of its tokenizer",
        ),
        (lambda folder: (folder / "preprocessor_config.json").unlink(), "image processor"),
        (lambda folder: _drop_weight(folder, "text_projection.weight"), "1 of its weights are missing"),
    ],
)
def test_a_damaged_folder_is_told_in_one_line(
    damage: Callable[[Path], object], what: str, checkpoint: Checkpoint, tmp_path: Path
) -> None:
    folder = _copy(checkpoint("clip"), tmp_path)
    damage(folder)
    with pytest.raises(ModelError, match=what) as error:
        load_encoder(str(folder))
    _assert_one_line_with_ways_out(error)


def _drop_weight(folder: Path, name: str) -> None:
    from safetensors.torch import load_file, save_file

    weights = load_file(folder / "model.safetensors")
    del weights[name]
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})


def test_a_video_llm_is_refused_as_an_encoder(checkpoint: Checkpoint) -> None:
    with pytest.raises(ModelError, match=r"qwen2_5_vl model is not a dual encoder") as error:
        load_encoder(str(checkpoint("qwen2_5_vl")))
    _assert_one_line_with_ways_out(error)


def test_open_clip_weights_that_are_not_there_are_not_made_up(checkpoint: Checkpoint, tmp_path: Path) -> None:
    config = checkpoint("open_clip_vit") / "open_clip_config.json"
    (tmp_path / config.name).write_text(config.read_text())
    with pytest.raises(ModelError, match=r"holds no weights") as error:
        load_encoder(f"local-dir:{tmp_path}")
    _assert_one_line_with_ways_out(error)
