"""A library of many videos: what it finds, what it does not do twice, and what it costs."""

from __future__ import annotations

import json
import os
import re
import shutil
import sqlite3
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest

from keyframe_llm import OptionsError, SelectOptions
from keyframe_llm.arrays import unit_rows
from keyframe_llm.cartoon.world.language import caption
from keyframe_llm.cartoon.world.scenes import UNSEEN_SEED, SceneFrame, random_clip
from keyframe_llm.cli import main
from keyframe_llm.demos.videos import demo_video
from keyframe_llm.encoders import load_encoder
from keyframe_llm.evaluation.dense import EmbeddedText, baseline_of
from keyframe_llm.evaluation.drawn import index_clip
from keyframe_llm.evaluation.metrics import ranks
from keyframe_llm.evaluation.retrieval import pooled
from keyframe_llm.evaluation.selectors import choose, proposed
from keyframe_llm.library import FoundVideo, Library
from keyframe_llm.library.catalogue import Catalogue, FileState
from keyframe_llm.library.outline import OutlineSearch, outline_of
from keyframe_llm.scoring.selectors import propose_options
from support import videos
from support.encoders import ColourEncoder
from support.words import bursts, film

Capture = pytest.CaptureFixture[str]
COLOURS = {"red": (220, 20, 20), "green": (20, 220, 20), "blue": (20, 20, 220)}
GREY = (128, 128, 128)


def video(path: Path, *shown: str, each: int = 3) -> Path:
    """A video of one picture a second: each colour for so many seconds."""
    path.parent.mkdir(parents=True, exist_ok=True)
    colours = [COLOURS.get(name, GREY) for name in shown for _ in range(each)]
    images = [np.broadcast_to(np.array(one, np.uint8), (48, 64, 3)).copy() for one in colours]
    return videos.draw(path, range(len(images)), images=images, size=(64, 48), rate=1)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Three videos, each with three seconds of its colour in the middle."""
    for name in COLOURS:
        video(tmp_path / "videos" / f"{name}.mp4", "grey", name, "grey")
    return tmp_path / "videos"


@pytest.fixture
def library(tmp_path: Path) -> Library:
    return Library(tmp_path / "library.sqlite", encoder=ColourEncoder())


def statuses(library: Library, *sources: Path) -> dict[str, str]:
    """What became of each video, by its name."""
    return {Path(step.outcome.path).name: step.outcome.status for step in library.index(sources)}


def names(found: Sequence[FoundVideo]) -> list[str]:
    return [Path(each.path).name for each in found]


def looked_at(library: Library) -> int:
    """How many pictures the library's encoder was given."""
    return library._encoder.images_seen  # type: ignore[union-attr]  # this file's own encoder


# Search ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("colour", COLOURS)
def test_the_video_and_the_moment_that_fit_come_first(library: Library, folder: Path, colour: str) -> None:
    assert set(statuses(library, folder).values()) == {"indexed"}
    found = library.search(colour)
    assert names(found)[0] == f"{colour}.mp4" and len(found) == 3
    (moment,) = found[0].moments
    assert 3.0 <= moment.seconds < 6.0 and moment.source == "picture"
    assert 2.0 <= moment.start < moment.seconds < moment.end <= 6.5
    assert [each.score for each in found] == sorted((each.score for each in found), reverse=True)
    assert len(library.search(colour, k=1)) == 1


def test_what_comes_after_a_moment_is_found_beside_it_and_does_not_rank_the_video(
    library: Library, folder: Path
) -> None:
    video(folder / "two.mp4", "grey", "red", "blue", "grey")
    statuses(library, folder)
    found = library.search("What happens after the red picture?")
    plain = library.search("What happens with the red picture?")
    assert [(Path(each.path).name, round(each.score, 6)) for each in found] == [
        (Path(each.path).name, round(each.score, 6)) for each in plain
    ]
    moments = next(each for each in found if each.path.endswith("two.mp4")).moments
    assert [int(moment.seconds // 3) for moment in moments] == [1, 2, 3]


def test_a_search_is_bounded_by_folder_by_time_and_by_the_age_of_files(
    library: Library, folder: Path, tmp_path: Path
) -> None:
    other = video(tmp_path / "videos2" / "again.mp4", "blue", "grey", "red")
    os.utime(other, (1_000_000_000, 1_000_000_000))
    statuses(library, folder, other.parent)
    assert names(library.search("blue"))[:2] in (["again.mp4", "blue.mp4"], ["blue.mp4", "again.mp4"])
    assert names(library.search("blue", within=other.parent)) == ["again.mp4"]
    assert names(library.search("blue", within=folder))[0] == "blue.mp4"  # not a folder of a longer name
    assert names(library.search("blue", within=tmp_path / "nowhere")) == []
    assert names(library.search("blue", before=1_000_000_001)) == ["again.mp4"]
    assert "again.mp4" not in names(library.search("blue", after=1_000_000_001))
    late = library.search("blue", start_seconds=6, end_seconds=20, within=other.parent)
    assert all(6 <= moment.seconds <= 20 for moment in late[0].moments) and late[0].score < 0.9
    assert library.search("blue", start_seconds=1000) == []
    with pytest.raises(OptionsError, match="k is 0"):
        library.search("blue", k=0)
    with pytest.raises(OptionsError, match="the text is empty"):
        library.search(" ")


def test_words_are_searched_too_and_lead_to_their_moment(library: Library, folder: Path) -> None:
    lines = "1\n00:00:01,000 --> 00:00:02,500\nThe quarterly report is late.\n\n2\n"
    (folder / "green.srt").write_text(
        lines + "00:00:07,000 --> 00:00:08,000\n明日は雨が降ります\n\n", "utf-8"
    )
    statuses(library, folder)
    for text, words, start in (
        ("the quarterly report", "The quarterly report is late.", 1.0),
        ("雨が降ります", "明日は雨が降ります", 7.0),
    ):
        found = library.search(text)
        assert names(found)[0] == "green.mp4"
        (moment,) = (one for one in found[0].moments if one.source == "subtitle")
        assert (moment.text, moment.start) == (words, start)
        assert not any(one.source == "subtitle" for each in found[1:] for one in each.moments)
    assert all(one.source == "picture" for each in library.search("yearly report") for one in each.moments)
    for hostile in ('"', "NEAR(", "a* OR b", "text : x", "-", "'; DROP TABLE cues; --"):
        library.search(hostile)


def test_new_subtitles_of_a_known_video_are_read_without_looking_at_it(
    library: Library, folder: Path
) -> None:
    statuses(library, folder)
    seen = looked_at(library)
    (folder / "red.srt").write_text("1\n00:00:01,000 --> 00:00:02,000\nA marvellous sunrise\n")
    assert statuses(library, folder) == {
        "red.mp4": "known",
        "green.mp4": "unchanged",
        "blue.mp4": "unchanged",
    }
    assert looked_at(library) == seen
    found = library.search("marvellous sunrise")
    assert names(found)[0] == "red.mp4" and "subtitle" in {one.source for one in found[0].moments}
    shutil.copy(folder / "red.mp4", folder / "a_copy.mp4")  # without its subtitles
    assert statuses(library, folder)["a_copy.mp4"] == "known"
    assert "subtitle" in {one.source for one in library.search("marvellous sunrise")[0].moments}
    (folder / "red.srt").unlink()
    assert statuses(library, folder)["red.mp4"] == "known"
    assert "subtitle" not in {one.source for one in library.search("marvellous sunrise")[0].moments}


class Ears:
    """Hears one sentence in every sound."""

    def __init__(self, identity: str, text: str) -> None:
        self.identity, self.text, self.heard = identity, text, 0

    def transcribe(self, samples: np.ndarray, rate: int) -> list[tuple[float, float, str]]:
        self.heard += 1
        return [(0.2, len(samples) / rate, self.text)]


def test_a_recogniser_that_is_named_later_hears_what_is_known_already(library: Library, folder: Path) -> None:
    film(folder / "talk.mkv", 8, sound=bursts([3.0], 8))
    (folder / "talk.srt").write_text("1\n00:00:01,000 --> 00:00:02,000\nA marvellous sunrise\n")
    statuses(library, folder)
    seen = looked_at(library)
    for ears in (Ears("one", "Kilimanjaro station"), Ears("two", "Popocatepetl station")):
        later = Library(library.path, encoder=library._encoder, listen=ears)
        assert statuses(later, folder)["talk.mkv"] == "known" and ears.heard == 1
        (moment,) = (one for one in later.search(ears.text)[0].moments if one.source == "speech")
        assert 2.5 <= moment.start < moment.end <= 5 and moment.text == ears.text
        assert statuses(later, folder)["talk.mkv"] == "unchanged" and ears.heard == 1
    assert statuses(library, folder)["talk.mkv"] == "unchanged" and looked_at(library) == seen
    cues = {(one.source, one.text) for one in library.search("station")[0].moments if one.text}
    assert cues == {("speech", "Popocatepetl station")}  # of another recogniser in place of the first's
    assert "subtitle" in {one.source for one in library.search("marvellous sunrise")[0].moments}


def test_captions_of_a_list_are_searched(library: Library, folder: Path, tmp_path: Path) -> None:
    entries = [{"video": "videos/red.mp4", "caption": "a zeppelin lands"}, {"video": "videos/blue.mp4"}]
    listed = tmp_path / "list.jsonl"
    listed.write_text("\n".join(map(json.dumps, entries)))
    assert statuses(library, listed) == {"red.mp4": "indexed", "blue.mp4": "indexed"}
    found = library.search("zeppelin")
    assert names(found)[0] == "red.mp4"
    (moment,) = (one for one in found[0].moments if one.source == "caption")
    assert (moment.text, moment.start, moment.end) == ("a zeppelin lands", 0.0, 9.0)
    library.add(folder / "blue.mp4", caption="an armadillo sleeps")
    assert names(library.search("armadillo"))[0] == "blue.mp4"
    plain = tmp_path / "list.txt"
    plain.write_text("videos/green.mp4\n\nvideos/red.mp4\n")
    assert statuses(library, plain) == {"green.mp4": "indexed", "red.mp4": "unchanged"}
    assert names(library.search("zeppelin"))[0] == "red.mp4"  # it stays where none is given
    assert set(statuses(library, listed).values()) == {"unchanged"}
    listed.write_text(json.dumps({"video": "videos/red.mp4", "caption": "a balloon lands"}))
    assert statuses(library, listed) == {"red.mp4": "known"}
    assert names(library.search("balloon lands"))[0] == "red.mp4"
    assert all(one.source == "picture" for each in library.search("zeppelin") for one in each.moments)


@pytest.mark.parametrize("line", ["{", "[]", '{"path": "x"}', '{"video": 3}', '{"video": "x", "caption": 1}'])
def test_a_line_that_names_no_video_is_an_error(library: Library, tmp_path: Path, line: str) -> None:
    (tmp_path / "list.jsonl").write_text('{"video": "a.mp4"}\n' + line)
    with pytest.raises(OptionsError, match=r"^line 2 of '.*list\.jsonl' is .*; give"):
        list(library.index([tmp_path / "list.jsonl"]))


# Nothing is done twice ---------------------------------------------------------------------------------


def test_what_is_known_by_its_content_is_not_looked_at_again(
    library: Library, folder: Path, tmp_path: Path
) -> None:
    statuses(library, folder)
    seen = looked_at(library)
    assert set(statuses(library, folder).values()) == {"unchanged"}
    shutil.copy(folder / "red.mp4", folder / "copy.mp4")
    os.utime(folder / "green.mp4")
    assert statuses(library, folder) == {
        "blue.mp4": "unchanged",
        "copy.mp4": "known",
        "green.mp4": "known",
        "red.mp4": "unchanged",
    }
    assert looked_at(library) == seen
    assert names(library.search("red")).count("copy.mp4") + names(library.search("red")).count("red.mp4") == 1
    assert names(library.search("red", within=folder))[0] in ("copy.mp4", "red.mp4")


def test_a_moved_video_is_found_again(library: Library, folder: Path, tmp_path: Path) -> None:
    statuses(library, folder)
    seen = looked_at(library)
    (tmp_path / "elsewhere").mkdir()
    (folder / "blue.mp4").rename(tmp_path / "elsewhere" / "sea.mp4")
    assert statuses(library, folder) == {
        "red.mp4": "unchanged",
        "green.mp4": "unchanged",
        "blue.mp4": "gone",
    }
    assert "blue.mp4" not in names(library.search("blue"))
    assert statuses(library, tmp_path / "elsewhere") == {"sea.mp4": "known"}
    assert looked_at(library) == seen and names(library.search("blue"))[0] == "sea.mp4"


def test_a_changed_video_is_looked_at_and_a_deleted_one_forgotten(library: Library, folder: Path) -> None:
    statuses(library, folder)
    video(folder / "red.mp4", "blue", "grey")
    (folder / "blue.mp4").unlink()
    assert statuses(library, folder) == {
        "red.mp4": "indexed",
        "green.mp4": "unchanged",
        "blue.mp4": "gone",
    }
    assert names(library.search("blue"))[0] == "red.mp4"
    assert library.search("red")[0].score < 0.8 and len(library.search("red")) == 2
    (folder / "red.mp4").write_bytes(b"no longer a video")
    assert statuses(library, folder)["red.mp4"] == "failed"
    assert names(library.search("blue")) == ["green.mp4"]


def test_what_fails_is_listed_with_one_line_and_does_not_stop_the_rest(
    library: Library, folder: Path
) -> None:
    (folder / "a_text.mp4").write_text("no video")
    (folder / "empty.mkv").touch()
    whole = (folder / "red.mp4").read_bytes()
    (folder / "torn.mp4").write_bytes(whole[: len(whole) // 3])
    (folder / "notes.doc").write_text("not looked at")
    (folder / "gone.mp4").symlink_to(folder / "nowhere.mp4")
    steps = list(library.index([folder]))
    assert [step.number for step in steps] == list(range(1, 8)) and {step.total for step in steps} == {7}
    failed = {Path(step.outcome.path).name: step.outcome.error for step in steps if step.outcome.error}
    assert set(failed) == {"a_text.mp4", "empty.mkv", "torn.mp4", "gone.mp4"}
    assert all(line and "\n" not in line for line in failed.values())
    assert names(library.search("red"))[0] == "red.mp4"


@pytest.mark.skipif(os.name == "nt", reason="names on Windows are Unicode")
def test_a_name_that_is_not_unicode_is_indexed_and_found(library: Library, folder: Path) -> None:
    odd = (folder / "red.mp4").rename(folder / "caf\udce9.mp4")
    assert statuses(library, folder)["caf\udce9.mp4"] == "indexed"
    assert library.search("red")[0].path == str(odd)
    bad = folder.parent / "list.jsonl"
    bad.write_text('{"video": "videos/blue.mp4", "caption": "\\ud800"}')
    with pytest.raises(OptionsError, match=r"^line 1 of .* the caption is not valid Unicode"):
        list(library.index([bad]))


# One writer, many readers ------------------------------------------------------------------------------


def test_a_library_is_searched_while_it_is_filled_and_a_second_writer_gets_one_line(
    library: Library, folder: Path
) -> None:
    reader = Library(library.path, encoder=ColourEncoder())
    steps = library.index([folder])
    for count in range(1, 4):
        next(steps)
        assert len(reader.search("red")) == count
        with pytest.raises(OptionsError, match="is being written to") as error:
            reader.add(folder / "red.mp4")
        assert "\n" not in str(error.value)
    assert list(steps) == []
    assert reader.add(folder / "red.mp4").status == "unchanged"
    reader.close()
    assert len(reader.search("red")) == 3


def test_a_library_is_not_searched_with_another_encoder(library: Library, folder: Path) -> None:
    class Other(ColourEncoder):
        name = "other"

        def embed_texts(self, texts: Sequence[str], /) -> np.ndarray:
            return super().embed_texts(texts) @ np.diag([1.0, -1.0, 2.0])

    statuses(library, folder)
    with pytest.raises(OptionsError, match="was made with the encoder 'ColourEncoder', not with 'other'"):
        Library(library.path, encoder=Other()).search("red")


@pytest.mark.parametrize("content", [b"SQLite format 3\0 but damaged" * 100, b"text"])
def test_a_file_that_is_no_library_is_one_line(tmp_path: Path, folder: Path, content: bytes) -> None:
    path = tmp_path / "other.sqlite"
    path.write_bytes(content)
    for use in (lambda: Library(path).search("x"), lambda: Library(path).add(folder / "red.mp4")):
        with pytest.raises(OptionsError, match=r"other\.sqlite' (cannot be used|is no library)") as error:
            use()
        assert "\n" not in str(error.value)
    assert path.read_bytes() == content
    with pytest.raises(OptionsError, match=r"there is no library .*keyframe-llm index"):
        Library(tmp_path / "missing.sqlite").search("x")


# Ranking and size --------------------------------------------------------------------------------------


def test_a_library_of_the_format_before_is_read_and_filled(library: Library, folder: Path) -> None:
    statuses(library, folder)
    library.close()
    with closing(sqlite3.connect(library.path)) as before:
        before.executescript("DROP TABLE word_sources; PRAGMA user_version = 1")
    assert names(library.search("red"))[0] == "red.mp4"
    video(folder / "new.mp4", "red", "blue")
    assert statuses(library, folder)["new.mp4"] == "indexed" and len(library.paths()) == 4


def test_retrieval_by_the_library_equals_the_evaluation_on_the_drawn_world(tmp_path: Path) -> None:
    """Every text meets every clip; the ranks of the right ones, and so R@1 and R@5, are the same."""
    encoder = load_encoder("cartoon")
    clips = [random_clip(np.random.default_rng([UNSEEN_SEED, 7, i]), scenes=3, seconds=18) for i in range(6)]
    indexes, baseline = [index_clip(clip, encoder) for clip in clips], baseline_of(encoder)
    said = [
        (i, caption([SceneFrame(scene, (scene.start + scene.end) / 2)]))
        for i, clip in enumerate(clips)
        for scene in clip.scenes
    ]
    rows = np.asarray(encoder.embed_texts([text for _, text in said]), np.float64)
    likeness = np.empty((len(said), len(clips)))
    for q, row in enumerate(rows):
        text = EmbeddedText.of(row, baseline)
        for v, index in enumerate(indexes):
            picks = choose("keyframe-llm", index, text, k=3, seed=v)
            likeness[q, v] = unit_rows(row) @ pooled(index, picks)
    owner = np.array([i for i, _ in said])
    expected = ranks(likeness, owner[:, None] == np.arange(len(clips)))

    catalogue = Catalogue(tmp_path / "library.sqlite", create=True)
    stage = propose_options(SelectOptions())
    for i, index in enumerate(indexes):
        found = proposed(index, stage)
        half = np.asarray(found.unit_embeddings, np.float16)
        number = catalogue.add_video(
            str(i), 18.0, index.span_seconds, found.candidates.seconds, half, outline_of(half)
        )
        catalogue.set_file(f"/clips/{i}.mp4", number, FileState(0, 0))
    catalogue.close()
    library = Library(tmp_path / "library.sqlite", encoder=encoder)
    orders = [[each.path for each in library.search(text, k=8)] for _, text in said]
    places = [order.index(f"/clips/{i}.mp4") + 1 for order, (i, _) in zip(orders, said, strict=True)]
    assert places == expected.tolist()
    assert np.mean(expected == 1) > 0.5 and np.mean(expected <= 5) > 0.9


def scenes_of(count: int, size: int, seed: int = 0) -> list[np.ndarray]:
    """Simulated videos: 64 unit rows each, of 3–12 scenes whose frames are alike."""
    rng = np.random.default_rng(seed)
    topics = rng.normal(size=(60, size))
    made = []
    for _ in range(count):
        centres = topics[rng.integers(60, size=int(rng.integers(3, 13)))]
        centres = centres + 0.7 * rng.normal(size=centres.shape)
        rows = np.repeat(centres, -(-64 // len(centres)), axis=0)[:64]
        made.append(unit_rows(rows + 0.25 * rng.normal(size=rows.shape)).astype(np.float16))
    return made


def test_outlines_find_the_videos_that_all_candidates_would() -> None:
    """Of the ten videos with the best candidates, among a thousand, at least 95 % are on the short list."""
    made = scenes_of(1000, 64)
    search = OutlineSearch([(i, outline_of(rows).tobytes()) for i, rows in enumerate(made)], 64)
    rng, hits = np.random.default_rng(1), []
    for _ in range(40):
        rows = made[int(rng.integers(len(made)))]
        text = unit_rows(rows[int(rng.integers(len(rows)))] + 0.1 * rng.normal(size=64))
        exact = np.argsort([-(each.astype(np.float64) @ text).max() for each in made])[:10]
        listed = search.best(text, 64, np.ones(len(made), bool))
        hits.append(np.isin(exact, listed).mean())
        assert listed[0] in search.best(text, 1, np.ones(len(made), bool))
    assert np.mean(hits) >= 0.95
    allowed = np.zeros(len(made), bool)
    allowed[[3, 5]] = True
    assert set(search.best(text, 64, allowed)) == {3, 5}


def test_a_video_of_768_dimensions_takes_less_than_400_kilobytes(tmp_path: Path) -> None:
    path = tmp_path / "library.sqlite"
    catalogue = Catalogue(path, create=True)
    rows = unit_rows(np.random.default_rng(0).normal(size=(128, 768))).astype(np.float16)
    for i in range(10):
        number = catalogue.add_video(str(i), 64.0, 64.0, np.arange(128.0), rows, outline_of(rows))
        catalogue.set_file(f"/v/{i}.mp4", number, FileState(1, 1))
    catalogue.close()  # the write-ahead log goes into the file
    assert path.stat().st_size / 10 <= 400_000


# Commands ----------------------------------------------------------------------------------------------


def test_the_commands_index_and_search_a_folder(
    tmp_path: Path, capsys: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("KEYFRAME_LLM_LIBRARY", str(tmp_path / "my library.sqlite"))
    folder = tmp_path / "v"
    folder.mkdir()
    shutil.copy(demo_video("one_walk.mp4"), folder / "walk\x1b[31m.mp4")
    (folder / "bad.mp4").write_text("no video")
    assert main(["index", str(folder), "--encoder", "cartoon", "--fps", "1"]) == 0
    printed = capsys.readouterr()
    first, second = printed.out.splitlines()
    assert first.endswith("my library.sqlite: 1 indexed, 1 failed")
    assert second.startswith("failed  ") and "bad.mp4: not a video" in second
    assert "2 of 2 videos, " in printed.err and "an hour, 0 s left" in printed.err
    assert main(["index", str(folder), "--json"]) == 0
    result = json.loads(capsys.readouterr().out)
    assert (result["unchanged"], result["failed"], len(result["failures"])) == (1, 1, 1)
    assert main(["search", "a man walks", "--out", str(tmp_path / "out")]) == 0
    printed = capsys.readouterr()
    assert printed.out.splitlines()[0].endswith("walk\\x1b[31m.mp4")  # a name steers no terminal
    assert "picture" in printed.out.splitlines()[1]
    assert (tmp_path / "out" / "search.png").stat().st_size > 2000
    assert main(["search", "a man walks", "--json", "--in", str(folder), "--k", "2"]) == 0
    (found,) = json.loads(capsys.readouterr().out)["videos"]
    assert found["moments"] and found["duration_seconds"] == pytest.approx(4.0, abs=2)
    for arguments, says in (
        (["search", "x", "--after", "yesterday"], "'yesterday'"),
        (["index", str(tmp_path / "nowhere")], "neither a folder nor a file"),
        (["search", "x", "--library", str(tmp_path / "no.sqlite")], "there is no library"),
    ):
        try:
            status = main(arguments)
        except SystemExit as end:
            status = end.code  # type: ignore[assignment]  # a number here
        (line,) = capsys.readouterr().err.splitlines()
        assert status == 2 and says in line


def test_the_code_in_the_document_runs(capsys: Capture) -> None:
    document = Path(__file__).parent.parent / "docs" / "library.md"
    blocks = re.findall(r"^```python\n(.*?)^```", document.read_text("utf-8"), re.DOTALL | re.MULTILINE)
    exec(compile("\n".join(blocks), str(document), "exec"), {})
    *indexed, first, _, last, answer, shown, _, _ = capsys.readouterr().out.splitlines()
    assert answer == "flies a kite" and shown == "hidden_event.mp4 [31. 32.]"
    assert [line.split()[3] for line in indexed] == ["indexed"] * 3
    assert first.startswith("hidden_event.mp4 [(31.0, 'picture')") and last == "one_walk.mp4"
