"""Views of a picture: which parts they are, what is made of their rows, and under which names."""

from __future__ import annotations

import os
from argparse import Namespace
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from keyframe_llm.encoders import (
    NAMED_ENCODERS,
    encoder_source,
    load_encoder,
    preferred_image_size,
    stated_image_size,
)
from keyframe_llm.encoders.views import ViewsEncoder, picture_views
from keyframe_llm.evaluation import runner
from keyframe_llm.index.embedder import Embedder
from keyframe_llm.index.store import model_identity

Checkpoint = Callable[[str], Path]
DATA = os.environ.get("KEYFRAME_LLM_TEST_DATA")


@pytest.mark.parametrize(
    ("prefix", "shape", "corners"),
    [
        ("halves:", (20, 30), [(0, 0, 20, 20), (0, 10, 20, 30)]),
        ("halves:", (30, 20), [(0, 0, 20, 20), (10, 0, 30, 20)]),
        ("halves:", (20, 20), [(0, 0, 20, 20)]),
        ("corners:", (20, 30), [(0, 0, 12, 18), (0, 12, 12, 30), (8, 0, 20, 18), (8, 12, 20, 30)]),
        ("corners:", (1, 1), [(0, 0, 1, 1)] * 4),
    ],
)
def test_views_are_these_parts_of_a_picture(
    prefix: str, shape: tuple[int, int], corners: list[tuple[int, int, int, int]]
) -> None:
    picture = np.random.default_rng(0).integers(0, 256, (*shape, 3), dtype=np.uint8)
    views = picture_views(picture, prefix)
    assert len(views) == len(corners)
    for view, (top, left, bottom, right) in zip(views, corners, strict=True):
        np.testing.assert_array_equal(view, picture[top:bottom, left:right])


@pytest.mark.parametrize("prefix", ["halves:", "corners:"])
def test_a_row_is_the_mean_of_the_rows_of_its_views(prefix: str) -> None:
    whole, encoder = load_encoder("cartoon"), load_encoder(f"{prefix}cartoon")
    draw = np.random.default_rng(1)
    pictures = [draw.integers(0, 256, (*shape, 3), np.uint8) for shape in ((48, 64), (33, 33), (90, 40))]
    means = np.array([whole.embed_images(picture_views(one, prefix)).mean(axis=0) for one in pictures])
    means /= np.linalg.norm(means, axis=1, keepdims=True)
    np.testing.assert_allclose(encoder.embed_images(pictures), means, atol=1e-5)
    np.testing.assert_array_equal(encoder.embed_texts(["a dog"]), whole.embed_texts(["a dog"]))


class _RedShare:
    """Sees red where most of a picture is red."""

    name = "red"

    def embed_images(self, images: list[np.ndarray]) -> np.ndarray:
        red = [float((image[..., 0] > image[..., 1]).mean() > 0.5) for image in images]
        return np.array([[share, 1 - share] for share in red], np.float32)

    def embed_texts(self, texts: list[str]) -> np.ndarray:
        return np.array([[1.0, 0.0] if text == "red" else [0.0, 1.0] for text in texts], np.float32)


def test_a_thing_at_the_side_of_a_wide_picture_is_seen_by_its_views() -> None:
    picture = np.zeros((90, 160, 3), np.uint8)
    picture[:, 100:, 0] = 255
    red = _RedShare().embed_texts(["red"])[0]
    assert _RedShare().embed_images([picture])[0] @ red == 0
    for prefix in ("halves:", "corners:"):  # half of its views are red, half are black
        assert ViewsEncoder(_RedShare(), prefix).embed_images([picture])[0] @ red == pytest.approx(0.5**0.5)


def test_what_is_kept_of_views_is_never_taken_for_that_of_whole_pictures(checkpoint: Checkpoint) -> None:
    plain = str(checkpoint("clip"))
    names = [plain, f"halves:{plain}", f"corners:{plain}"]
    assert len({model_identity(name) for name in names}) == 3
    assert model_identity("corners:nobody/nothing") != model_identity("nobody/nothing")
    assert model_identity(ViewsEncoder(_RedShare(), "halves:")) is None


def test_views_of_a_named_encoder_are_those_of_its_model(checkpoint: Checkpoint) -> None:
    plain = str(checkpoint("clip"))
    assert encoder_source("halves:fast") == "halves:" + NAMED_ENCODERS["fast"]
    assert stated_image_size(f"corners:{plain}") == stated_image_size(plain)
    assert preferred_image_size(load_encoder("corners:cartoon")) == preferred_image_size(
        load_encoder("cartoon")
    )
    assert Embedder(f"corners:{plain}").name == f"corners:{plain}"


def test_views_of_the_embedded_encoder_warn_of_real_footage_too(tmp_path: Path) -> None:
    path = str(tmp_path / "of no drawn video.mp4")
    assert Embedder("corners:cartoon").warnings(path) == Embedder("cartoon").warnings(path) != ()


@pytest.mark.skipif(DATA is None, reason="KEYFRAME_LLM_TEST_DATA names no folder of data")
def test_views_with_no_name_are_those_of_the_encoder_beside_the_footage() -> None:
    pytest.importorskip("ai_edge_litert")
    encoder = runner._real_encoder(Namespace(encoder="halves:", device=None), Path(str(DATA)))
    assert getattr(encoder, "name", None) == "halves:RealEncoder"
    assert encoder.embed_images([np.zeros((9, 16, 3), np.uint8)]).shape == (1, 512)
