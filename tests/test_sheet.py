"""Key frames on one picture: where each frame stands, how large it is, and what goes to a model with it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from keyframe_llm import OptionsError, select_keyframes
from keyframe_llm.data import Frames
from keyframe_llm.messages import laid_out
from keyframe_llm.report.grid import MAX_SIDE, frame_sheet
from support.encoders import ColourEncoder

COLOURS = [(220, 20, 20), (20, 20, 220), (20, 160, 20), (160, 20, 160), (20, 160, 160)]


def coloured(count: int, width: int = 96, height: int = 64) -> np.ndarray:
    images = np.zeros((count, height, width, 3), np.uint8)
    images[:] = np.array(COLOURS, np.uint8)[:count, None, None]
    return images


def centres(sheet: Image.Image, count: int) -> list[tuple[float, float]]:
    """The centre (x, y) of each colour on the sheet."""
    pixels = np.asarray(sheet).astype(int)
    found = []
    for colour in COLOURS[:count]:
        rows, columns = np.nonzero(np.abs(pixels - colour).sum(axis=2) < 30)
        assert len(rows), f"{colour} is not on the sheet"
        found.append((float(columns.mean()), float(rows.mean())))
    return found


@pytest.mark.parametrize("shape", [(96, 64), (64, 96), (400, 40), (40, 400)])
@pytest.mark.parametrize("count", [1, 2, 3, 5])
def test_frames_stand_row_by_row_in_the_order_of_their_times(count: int, shape: tuple[int, int]) -> None:
    places = centres(frame_sheet(coloured(count, *shape), ["[1.0s]"] * count), count)
    assert places == sorted(places, key=lambda place: (round(place[1]), place[0]))


@given(st.integers(1, 16), st.integers(16, 1200), st.integers(16, 1200))
def test_no_side_is_too_long_and_no_frame_is_enlarged(count: int, width: int, height: int) -> None:
    sheet = frame_sheet(np.zeros((count, height, width, 3), np.uint8), ["[1.0s]"] * count)
    assert max(sheet.size) <= MAX_SIDE
    dark = (np.asarray(sheet.convert("L")) < 10).sum()
    assert dark <= count * (width * height + 40 * 400)  # the frames, and the letters of their times


def test_every_frame_has_another_label_above_it() -> None:
    """The strip above each frame shows its own time: equal strips for equal times, others for others."""
    sheet = np.asarray(frame_sheet(np.full((3, 200, 300, 3), 128, np.uint8), ["[1.0s]", "[1.0s]", "[7.5s]"]))
    grey = (np.abs(sheet.astype(int) - 128).sum(axis=2) < 6).mean(axis=1)
    tops = np.nonzero(np.diff((grey > 0.2).astype(int)) == 1)[0] + 1
    assert len(tops) == 2  # two frames above, one below
    strips = [sheet[tops[0] - 20 : tops[0], :300], sheet[tops[0] - 20 : tops[0], 308:608]]
    strips.append(sheet[tops[1] - 20 : tops[1], :300])
    assert np.array_equal(strips[0], strips[1]) and not np.array_equal(strips[0], strips[2])
    assert all((strip < 100).any() for strip in strips)


def test_a_sheet_is_one_picture_and_its_times_are_said_in_words_too(flags: Path) -> None:
    selection = select_keyframes(flags, question="blue?", encoder=ColourEncoder())
    (message,) = selection.to_messages("Is it blue?", layout="sheet")
    assert [part["type"] for part in message["content"]] == ["text", "image", "text"]
    head, picture, question = message["content"]
    assert all(f"[{second:.1f}s]" in head["text"] for second in selection.seconds)
    assert question["text"] == "Is it blue?"
    pixels = np.asarray(picture["image"]).reshape(-1, 3).astype(int)
    for image in selection.frames.images:
        assert (np.abs(pixels - image.reshape(-1, 3).mean(axis=0)).sum(axis=1) < 40).sum() > 1000
    (sent,) = selection.to_messages("Is it blue?", format="openai", layout="sheet")
    assert [part["type"] for part in sent["content"]] == ["text", "image_url", "text"]


def test_an_unknown_layout_is_an_error_that_names_the_known_ones() -> None:
    frames = Frames(coloured(1), np.array([1.0]))
    with pytest.raises(OptionsError, match=r"layout is 'page'; choose one of images, sheet"):
        laid_out(frames, layout="page")  # type: ignore[arg-type]  # a wrong name, on purpose
