"""The index of a part of a video of which more was read before: only what is missing is decoded."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from keyframe_llm.data import VideoInfo
from keyframe_llm.demos.videos import demo_video
from keyframe_llm.index import Indexer, Store, VideoIndex
from keyframe_llm.options import SelectOptions
from keyframe_llm.proposals.missing import Completed, sample_missing
from keyframe_llm.proposals.sample import Samples, sample_video
from keyframe_llm.video import Decoder, SimpleDecoder, open_video

PART = SelectOptions(start_seconds=60.3, end_seconds=130)
INSIDE = SelectOptions(start_seconds=80, end_seconds=100)
SIDE = 32


class Counting:
    """An encoder that counts the pictures it is given, and is always the same."""

    identity, image_size = "counting", SIDE

    def __init__(self) -> None:
        self.pictures = 0

    def embed_images(self, images: Any) -> np.ndarray:
        self.pictures += len(images)
        return np.stack([np.asarray(image, np.float32).mean(axis=(0, 1)) for image in images])

    def embed_texts(self, texts: Any) -> np.ndarray:
        return np.ones((len(texts), 3), np.float32)


class Reader:
    """An indexer on a store, and what its last call read."""

    def __init__(self, folder: Path) -> None:
        self.encoder = Counting()
        self.frames = 0
        self.indexer = Indexer(self.encoder, progress=self._hear, store=Store(folder), keep_samples=True)

    def _hear(self, stage: str, share: float) -> None:
        self.frames += stage == "decode"

    def index(self, video: Path, options: SelectOptions, *, embed: bool = True) -> VideoIndex:
        self.frames = self.encoder.pictures = 0
        index = self.indexer.index(str(video), options, embed=embed)
        self.frames = max(0, self.frames - 1)  # the last step says that it is done
        return index


@pytest.fixture(scope="module")
def video(videos: Any, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three minutes and a half of noise in groups of 8 s: sampled thinly, half of the groups in detail."""
    path: Path = videos.long_video(tmp_path_factory.mktemp("long") / "long.mp4", 210.0, (93.0, 94.6))
    return path


@pytest.fixture(scope="module")
def fresh(video: Path, tmp_path_factory: pytest.TempPathFactory) -> VideoIndex:
    """The part, read alone."""
    return Reader(tmp_path_factory.mktemp("fresh")).index(video, PART)


@pytest.fixture
def reader(video: Path, tmp_path: Path) -> Reader:
    """A reader that has read the whole video."""
    reader = Reader(tmp_path)
    reader.index(video, SelectOptions())
    return reader


def test_a_part_is_as_dense_as_if_it_were_read_alone(reader: Reader, video: Path, fresh: VideoIndex) -> None:
    whole, part = reader.index(video, SelectOptions()), reader.index(video, PART)
    assert 0 < reader.frames < len(fresh.seconds)
    assert part.seconds[0] <= fresh.seconds[0] and part.seconds[-1] >= fresh.seconds[-1]
    assert np.diff(part.seconds).max() <= np.diff(fresh.seconds).max() + 1e-6
    assert len(part.seconds) <= 1.1 * len(fresh.seconds)
    for known in (whole, fresh):
        same = np.isin(part.seconds, known.seconds), np.isin(known.seconds, part.seconds)
        assert same[0].sum() > 20
        np.testing.assert_allclose(part.histograms[same[0]], known.histograms[same[1]], atol=0.02)
    assert np.isin(part.seconds, [*whole.seconds, *fresh.seconds, *other_frames(video)]).all()


def other_frames(video: Path) -> list[float]:
    with open_video(video) as decoder:
        return decoder.frame_times().tolist()  # type: ignore[attr-defined]  # the package's own decoder has it


def test_every_picture_of_a_part_is_the_frame_at_its_time(reader: Reader, video: Path) -> None:
    part = reader.index(video, PART)
    with open_video(video) as decoder:
        frames = decoder.decode_at(part.candidates.seconds.tolist(), short_side=90)
    np.testing.assert_allclose(frames.seconds, part.candidates.seconds, atol=1e-6)
    shown = np.stack([image.astype(np.float32).mean(axis=(0, 1)) for image in frames.images])
    np.testing.assert_allclose(part.embedded(), shown, atol=3)  # kept as JPEG
    green = (part.candidates.seconds >= 93.0) & (part.candidates.seconds < 94.6)
    assert green.any() and (part.embedded()[green, 1] - part.embedded()[green, 0] > 100).all()


def test_a_very_short_part_has_as_many_frames_as_if_it_were_read_alone(tmp_path: Path) -> None:
    video, reader = demo_video("hidden_event.mp4"), Reader(tmp_path / "all")
    reader.index(video, SelectOptions(), embed=False)
    for start, end in ((32.76, 38.76), (15.92, 16.92)):
        options = SelectOptions(start_seconds=start, end_seconds=end)
        fresh = Reader(tmp_path / str(start)).index(video, options, embed=False)
        part = reader.index(video, options, embed=False)
        assert len(part.seconds) == len(fresh.seconds) and reader.frames > 0
        assert part.seconds[-1] <= end and part.seconds[0] >= start - 1 / 12
        counts = 12 * part.seconds  # 12 frames a second
        np.testing.assert_allclose(counts, np.round(counts), atol=1e-6)
        reader.index(video, options, embed=False)
        assert reader.frames == 0


def test_the_encoder_is_asked_for_new_frames_alone(reader: Reader, video: Path) -> None:
    whole, part = reader.index(video, SelectOptions()), reader.index(video, PART)
    new = ~np.isin(part.candidates.seconds, whole.candidates.seconds)
    assert 0 < reader.encoder.pictures == new.sum() < len(part.candidates)


def test_a_part_asked_for_again_or_inside_one_that_was_costs_nothing(
    reader: Reader, video: Path, tmp_path: Path
) -> None:
    reader.index(video, PART)
    later = Reader(tmp_path)
    again = later.index(video, PART)
    assert (later.frames, later.encoder.pictures) == (0, 0)
    inside = later.index(video, INSIDE)
    assert later.frames == 0 and len(inside.seconds) >= 40
    asked = later.encoder.pictures
    known = [*again.candidates.seconds, *later.index(video, SelectOptions()).candidates.seconds]
    assert asked == (~np.isin(inside.candidates.seconds, known)).sum()


def test_a_part_serves_another_before_the_whole_is_read(video: Path, tmp_path: Path) -> None:
    reader = Reader(tmp_path)
    reader.index(video, PART)
    reader.index(video, INSIDE)
    assert reader.frames == 0
    reader.index(video, SelectOptions(start_seconds=100, end_seconds=140))
    assert 15 <= reader.frames <= 25
    reader.index(video, SelectOptions(start_seconds=150, end_seconds=160))
    assert reader.frames >= 20


def sampled(decoder: Decoder, options: SelectOptions) -> Samples:
    return sample_video(decoder, options.decode, picture_side=SIDE, progress=lambda *_: None)


def completed(decoder: Decoder, options: SelectOptions, known: Samples) -> Completed:
    found = sample_missing(
        decoder,
        options.decode,
        known,
        picture_side=SIDE,
        with_sharpness=False,
        progress=lambda *_: None,
    )
    assert found is not None
    return found


def test_groups_with_nothing_missing_are_not_decoded(video: Path) -> None:
    with open_video(video) as decoder:
        whole = sampled(decoder, SelectOptions())
    with open_video(video) as alone, open_video(video) as decoder:
        sampled(alone, PART)
        found = completed(decoder, PART, whole)
        assert found.decoded > 20
        assert decoder.decoded_packets < 0.95 * alone.decoded_packets  # type: ignore[attr-defined]  # the own decoder's counter
        before = decoder.decoded_packets  # type: ignore[attr-defined]  # the same
        assert completed(decoder, PART, found.samples).decoded == 0
        assert decoder.decoded_packets == before  # type: ignore[attr-defined]  # the same


class Forwards(SimpleDecoder):
    """A hundred seconds of grey pictures that can only be read from their start."""

    def __init__(self) -> None:
        super().__init__()
        self.info, self.starts = VideoInfo("forwards", 100.0, 4.0, 16, 16, "none"), 0

    def read(self, from_seconds: float) -> Any:
        self.starts += 1
        for i in range(400):
            yield i / 4, np.full((16, 16, 3), i % 250, np.uint8)


def test_what_can_only_be_read_forwards_is_read_once_for_all_that_is_missing() -> None:
    decoder = Forwards()
    whole = sampled(decoder, SelectOptions())
    holes = whole.only(np.flatnonzero(whole.seconds.astype(int) % 10 > 2))
    decoder.starts = 0
    found = completed(decoder, SelectOptions(start_seconds=20, end_seconds=80), holes)
    assert decoder.starts == 1
    np.testing.assert_allclose(found.samples.seconds, np.arange(20, 80, 0.5), atol=0.25)
