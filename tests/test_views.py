"""Views of a picture: which parts they are, what is made of their rows, and who sees them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

from keyframe_llm import index_video, select_keyframes
from keyframe_llm.encoders import load_encoder
from keyframe_llm.encoders.views import embed_views, picture_views
from keyframe_llm.options import Views


@pytest.mark.parametrize(
    ("views", "shape", "corners"),
    [
        ("whole", (20, 30), [(0, 0, 20, 30)]),
        ("halves", (20, 30), [(0, 0, 20, 20), (0, 10, 20, 30)]),
        ("halves", (30, 20), [(0, 0, 20, 20), (10, 0, 30, 20)]),
        ("halves", (20, 20), [(0, 0, 20, 20)]),
        ("corners", (20, 30), [(0, 0, 12, 18), (0, 12, 12, 30), (8, 0, 20, 18), (8, 12, 20, 30)]),
        ("corners", (1, 1), [(0, 0, 1, 1)] * 4),
    ],
)
def test_views_are_these_parts_of_a_picture(
    views: Views, shape: tuple[int, int], corners: list[tuple[int, int, int, int]]
) -> None:
    picture = np.random.default_rng(0).integers(0, 256, (*shape, 3), dtype=np.uint8)
    seen = picture_views(picture, views)
    assert len(seen) == len(corners)
    for view, (top, left, bottom, right) in zip(seen, corners, strict=True):
        np.testing.assert_array_equal(view, picture[top:bottom, left:right])


@pytest.mark.parametrize("views", ["whole", "halves", "corners"])
def test_a_row_is_the_mean_of_the_rows_of_its_views(views: Views) -> None:
    encoder, draw = load_encoder("cartoon"), np.random.default_rng(1)
    pictures = [draw.integers(0, 256, (*shape, 3), np.uint8) for shape in ((48, 64), (33, 33), (90, 40))]
    means = np.array([encoder.embed_images(picture_views(one, views)).mean(axis=0) for one in pictures])
    means /= np.linalg.norm(means, axis=1, keepdims=True)
    np.testing.assert_allclose(embed_views(encoder, pictures, views), means, atol=1e-5)


class _RedShare:
    """Sees red where most of a picture is red; counts the pictures that it was given."""

    def __init__(self) -> None:
        self.seen = 0

    def embed_images(self, images: Sequence[np.ndarray]) -> np.ndarray:
        self.seen += len(images)
        red = [float((image[..., 0] > image[..., 1]).mean() > 0.5) for image in images]
        return np.array([[share, 1 - share] for share in red], np.float32)

    def embed_texts(self, texts: Sequence[str]) -> np.ndarray:
        return np.array([[1.0, 0.0] if text == "red" else [0.0, 1.0] for text in texts], np.float32)


def test_a_thing_at_the_side_of_a_wide_picture_is_seen_by_its_views() -> None:
    picture = np.zeros((90, 160, 3), np.uint8)
    picture[:, 100:, 0] = 255
    encoder = _RedShare()
    red = encoder.embed_texts(["red"])[0]
    assert encoder.embed_images([picture])[0] @ red == 0
    for views in ("halves", "corners"):  # half of its views are red, half are black
        assert embed_views(encoder, [picture], views)[0] @ red == pytest.approx(0.5**0.5)


def test_no_text_has_more_pictures_embedded_than_max_images(tmp_path: Path, videos: ModuleType) -> None:
    draw = np.random.default_rng(3)
    images = [np.full((48, 80, 3), draw.integers(0, 256, 3), np.uint8) for _ in range(150)]
    path = videos.draw(tmp_path / "places.mp4", np.arange(150.0).tolist(), images=images, rate=1)
    for views in ("whole", "halves"):
        encoder = _RedShare()
        select_keyframes(path, caption="red", encoder=encoder, fps=1, views=views)
        assert 64 < encoder.seen <= 128


def test_a_later_text_has_the_frames_that_it_would_have_alone(flags: Path) -> None:
    index = index_video(flags, encoder=_RedShare(), views="halves")
    alone = select_keyframes(flags, caption="red", encoder=_RedShare(), views="halves")
    assert index.select(caption="red").frames.seconds.tolist() == alone.frames.seconds.tolist()
