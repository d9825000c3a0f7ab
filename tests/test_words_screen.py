"""Text in the picture: found where it appears for two seconds, followed while it stays, at bounded cost."""

from __future__ import annotations

import importlib.util

import numpy as np
import pytest
from PIL import Image, ImageDraw, ImageFont

from keyframe_llm.errors import ModelError, OptionsError
from keyframe_llm.library import Library
from keyframe_llm.video import open_video
from keyframe_llm.words.ocr import RapidReader, checked_lines
from keyframe_llm.words.screen import read_screen
from support.encoders import ColourEncoder
from support.videos import draw

SIZE = (640, 360)
FPS = 5
FONT = ImageFont.load_default(20)
INK = {"heading": (200, 0, 0), "line": (0, 0, 200)}
needs_ocr = pytest.mark.skipif(
    not (importlib.util.find_spec("rapidocr") and importlib.util.find_spec("onnxruntime")),
    reason="needs the extra ocr",
)


class InkReader:
    """Reads a text by the colour of its letters, and counts the rows it was shown."""

    def __init__(self) -> None:
        self.rows: list[int] = []

    def read(self, picture, /):
        self.rows.append(len(picture))
        for text, ink in INK.items():
            at = np.argwhere(np.abs(picture.astype(int) - ink).max(axis=2) < 60)
            if len(at):
                (top, left), (bottom, right) = at.min(axis=0), at.max(axis=0)
                yield text, (left, top - 6, right + 1, bottom + 7), 0.9  # too high, as readers draw them


def screen(shown):
    """A page on which these texts stand: {text: row}."""
    image = Image.new("RGB", SIZE, (250, 250, 250))
    for text, row in shown.items():
        ImageDraw.Draw(image).text((40, row), f"the {text} of code 4711", font=FONT, fill=INK[text])
    return np.asarray(image)


def recording(path, seconds, *spans):
    """A recording in which each (text, row, start, end) stands."""
    times = np.arange(0, seconds, 1 / FPS)
    images = [screen({text: row for text, row, start, end in spans if start <= t < end}) for t in times]
    return draw(path, times.tolist(), images=images, size=SIZE, rate=FPS)


def read(path, reader=None, **options):
    with open_video(path) as decoder:
        return read_screen(decoder, reader or InkReader(), **options)


def test_a_line_that_stands_there_for_two_seconds_is_one_cue_with_its_time_and_place(tmp_path):
    path = recording(tmp_path / "a.mp4", 40, ("heading", 20, 0, 40), ("line", 200, 21.3, 23.3))
    heading, line = read(path).cues
    assert (heading.text, heading.source) == ("heading", "screen")
    assert heading.start == 0
    assert heading.end == pytest.approx(40, abs=0.8)
    assert line.text == "line"
    assert (line.start, line.end) == pytest.approx((21.3, 23.3), abs=0.8)
    assert line.box is not None
    assert line.box == pytest.approx((40 / 640, 205 / 360, 260 / 640, 222 / 360), abs=0.06)


@pytest.mark.parametrize("start", [7.2, 7.6])
def test_two_seconds_are_enough_wherever_they_begin(tmp_path, start):
    path = recording(tmp_path / "a.mp4", 20, ("line", 100, start, start + 2))
    assert [cue.text for cue in read(path).cues] == ["line"]


def test_only_the_rows_that_changed_are_read_again(tmp_path):
    reader = InkReader()
    path = recording(tmp_path / "a.mp4", 20, ("heading", 20, 0, 20), ("line", 300, 10, 20))
    assert len(read(path, reader).cues) == 2
    assert len(reader.rows) == 2
    assert reader.rows[1] < 0.3 * SIZE[1]


def test_a_picture_without_edges_is_never_read(tmp_path):
    reader = InkReader()
    assert read(recording(tmp_path / "a.mp4", 8), reader).cues == ()
    assert reader.rows == []


def test_a_text_that_moves_and_one_that_comes_back_are_told_apart(tmp_path):
    path = recording(tmp_path / "a.mp4", 30, ("line", 50, 0, 8), ("line", 150, 8, 16), ("line", 50, 24, 30))
    first, second = read(path).cues
    assert (first.start, second.start) == pytest.approx((0, 24), abs=0.8)
    assert first.end == pytest.approx(16, abs=0.8)


def test_a_line_that_goes_takes_no_neighbour_with_it(tmp_path):
    path = recording(tmp_path / "a.mp4", 20, ("heading", 50, 0, 20), ("line", 71, 6, 9))
    heading, line = read(path).cues
    assert (heading.start, heading.end) == pytest.approx((0, 20), abs=0.8)
    assert (line.start, line.end) == pytest.approx((6, 9), abs=0.8)


def test_lines_that_come_and_go_together_are_one_cue(tmp_path):
    path = recording(tmp_path / "a.mp4", 10, ("heading", 50, 0, 10), ("line", 76, 0, 10))
    assert [cue.text for cue in read(path).cues] == ["heading\nline"]


def test_the_cost_is_bounded_where_everything_moves_and_candidates_come_first(tmp_path):
    rng = np.random.default_rng(0)
    times = np.arange(0, 20, 0.5)
    blocks = [rng.integers(0, 255, (9, 16, 3), np.uint8).repeat(16, 0).repeat(16, 1) for _ in times]
    path = draw(tmp_path / "a.mp4", times.tolist(), images=blocks, size=(256, 144), rate=2)
    reader = InkReader()
    read(path, reader, max_pictures=5)
    assert 1 <= len(reader.rows) <= 5
    guided = Seconds()
    read(path, guided, max_pictures=2.5, candidates=[5.1, 15.1])
    assert guided.count == 2


class Seconds:
    """Counts pictures."""

    count = 0

    def read(self, picture, /):
        self.count += 1
        return []


def test_a_window_is_read_alone(tmp_path):
    path = recording(tmp_path / "a.mp4", 30, ("heading", 50, 2, 4), ("line", 100, 20, 22))
    assert [cue.text for cue in read(path, start_seconds=15, end_seconds=28).cues] == ["line"]


def test_a_picture_that_the_reader_fails_on_is_left_out_with_a_warning(tmp_path):
    class Chokes(InkReader):
        def read(self, picture, /):
            if len(self.rows) == 0:
                self.rows.append(0)
                raise ValueError("bad\npicture")
            return list(super().read(picture))

    path = recording(tmp_path / "a.mp4", 20, ("heading", 20, 0, 20), ("line", 300, 10, 20))
    words = read(path, Chokes())
    assert words.warnings == ("the text at 4.8 s could not be read (bad)",)
    assert "line" in "".join(cue.text for cue in words.cues)


def test_a_reader_that_fails_on_everything_or_returns_no_lines_is_an_error(tmp_path):
    class Fails:
        def read(self, picture, /):
            raise RuntimeError("no weights")

    path = recording(tmp_path / "a.mp4", 4, ("line", 100, 0, 4))
    with pytest.raises(ModelError, match=r"no weights.*check the reader Fails"):
        read(path, Fails())
    with pytest.raises(OptionsError, match="max_pictures"):
        read(path, max_pictures=0)


def test_a_library_keeps_a_video_of_which_no_picture_can_be_read_without_its_screen_text(tmp_path):
    class Fails(InkReader):
        def read(self, picture, /):
            raise RuntimeError("no weights")

    (tmp_path / "videos").mkdir()
    path = recording(tmp_path / "videos" / "a.mp4", 4, ("line", 100, 0, 4))
    path.with_suffix(".srt").write_text("1\n00:00:01,000 --> 00:00:02,000\nSpoken.\n")

    def run(reader):
        library = Library(tmp_path / "library.sqlite", encoder=ColourEncoder(), read_screen=reader)
        (step,) = library.index([path.parent])
        found = [moment for text in ("spoken", "line") for moment in library.search(text)[0].moments]
        return step.outcome.status, step.outcome.warnings, {one.source for one in found if one.text}

    for wanted in ("indexed", "known"):  # what could not be read is tried again
        status, (warning,), sources = run(Fails())
        assert status == wanted and sources == {"subtitle"}
        assert "no weights" in warning and warning.endswith("kept without the text in its pictures")
    assert run(InkReader()) == ("known", (), {"subtitle", "screen"})
    assert run(InkReader())[0] == "unchanged"


@pytest.mark.parametrize(
    "returned", [["text"], [("a", (1, 2), 0.5)], [("a", None, 1)], 3, [("a", [np.nan] * 4, 1)]]
)
def test_what_a_reader_returns_is_checked(returned):
    class Odd:
        def read(self, picture, /):
            return returned

    with pytest.raises(ModelError, match="the reader Odd returned"):
        checked_lines(Odd(), np.zeros((8, 8, 3), np.uint8))


def test_control_and_direction_marks_are_taken_out_and_long_lines_are_cut(tmp_path):
    class Hostile:
        def read(self, picture, /):
            return [("a\u202eb\x00\n" + "z" * 5000, (10, 10, 200, 30), 1.0), ("♪", (0, 50, 9, 60), 1.0)]

    (cue,) = read(recording(tmp_path / "a.mp4", 4, ("line", 100, 0, 4)), Hostile()).cues
    assert cue.text.startswith("a b zzz")
    assert len(cue.text) <= 500


@needs_ocr
def test_rapidocr_reads_a_line_of_twenty_pixels_and_nothing_in_pictures_it_chokes_on():
    image = Image.new("RGB", (1280, 720), (250, 250, 250))
    ImageDraw.Draw(image).text((60, 300), "total = price * 4711", font=FONT, fill=(20, 20, 20))
    (line,) = checked_lines(RapidReader(), np.asarray(image)[280:340])
    assert line.text.replace(" ", "") == "total=price*4711"
    for size in ((1, 1), (5, 3000), (3000, 5), (9, 9)):
        assert checked_lines(RapidReader(), np.zeros((*size, 3), np.uint8)) == []
