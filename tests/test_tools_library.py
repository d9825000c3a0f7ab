"""Finding videos, and what is known of one without any model."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator, Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from keyframe_llm.demos.videos import demo_clips, demo_video

pytest.importorskip("pydantic", reason="pydantic is not installed (the `agents` extra)")

from keyframe_llm.errors import OptionsError
from keyframe_llm.library import Library
from keyframe_llm.tools import Limits, Toolbox, ToolError
from support import videos
from support.encoders import ColourEncoder

VIDEO = demo_video("one_walk.mp4")


@pytest.fixture
def place(tmp_path: Path) -> Path:
    """Two roots, `a` and `b`, with five videos, and what is no video."""
    for name in ("a/cats/Black Cat.mp4", "a/cats/deep/kitten.mkv", "a/dog.mp4", "b/dog.mp4", "b/bird.webm"):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(VIDEO.read_bytes())
    (tmp_path / "a" / "notes.txt").write_text("no video")
    (tmp_path / "a" / ".hidden").mkdir()
    (tmp_path / "a" / ".hidden" / "secret.mp4").write_bytes(VIDEO.read_bytes())
    (tmp_path / "outside").mkdir()
    (tmp_path / "outside" / "secret.mp4").write_bytes(VIDEO.read_bytes())
    return tmp_path


@pytest.fixture
def tools(place: Path) -> Iterator[Toolbox]:
    with Toolbox(roots=[place / "a", place / "b"]) as made:
        yield made


def names(result: Any) -> list[str]:
    return [video["name"] for video in result["videos"]]


# list_videos ---------------------------------------------------------------------------------------------


def test_all_videos_are_listed_with_length_and_size_under_names_that_open_them(tools: Toolbox) -> None:
    result = tools.list_videos()
    # The second dog.mp4 cannot be told from the first by its name.
    assert names(result) == ["bird.webm", "cats/Black Cat.mp4", "cats/deep/kitten.mkv", "dog.mp4"]
    for video in result["videos"]:
        assert (video["duration_seconds"], video["duration"]) == (6.0, "0:06")
        assert video["size_bytes"] == VIDEO.stat().st_size
        assert tools.video_info(video["name"])["video"]["name"] == video["name"]
    assert (result["total"], result["next_page"]) == (4, None)


@pytest.mark.parametrize(
    ("arguments", "found"),
    [
        ({"folder": "cats"}, ["cats/Black Cat.mp4", "cats/deep/kitten.mkv"]),
        ({"folder": "cats/deep/"}, ["cats/deep/kitten.mkv"]),
        ({"name_contains": "CAT"}, ["cats/Black Cat.mp4", "cats/deep/kitten.mkv"]),
        ({"name_contains": "black cat"}, ["cats/Black Cat.mp4"]),
        ({"folder": "cats", "name_contains": "kit"}, ["cats/deep/kitten.mkv"]),
        ({"name_contains": "nothing like it"}, []),
    ],
)
def test_videos_are_found_by_folder_and_by_part_of_a_name(
    tools: Toolbox, arguments: dict[str, Any], found: list[str]
) -> None:
    assert names(tools.call_tool("list_videos", arguments)) == found


def test_videos_are_sorted_by_age_and_size(tools: Toolbox, place: Path) -> None:
    with (place / "a" / "dog.mp4").open("ab") as file:
        file.write(b"\0" * 1000)
    os.utime(place / "b" / "bird.webm", (2e9, 2e9))
    assert names(tools.list_videos(sort_by="largest"))[0] == "dog.mp4"
    assert names(tools.list_videos(sort_by="newest"))[0] == "bird.webm"


def test_a_long_list_comes_in_pages(tmp_path: Path) -> None:
    for i in range(60):
        (tmp_path / f"{i:02d}.mp4").write_bytes(b"not yet a video")
    with Toolbox(roots=[tmp_path]) as tools:
        listed: list[str] = []
        page: int | None = 1
        while page is not None:
            result = tools.list_videos(page=page)
            assert result["total"] == 60 and all(video["duration"] is None for video in result["videos"])
            listed += names(result)
            page = result["next_page"]
    assert listed == [f"{i:02d}.mp4" for i in range(60)]


@pytest.mark.parametrize(
    "folder", ["..", "../outside", "/etc", "cats/../../outside", "nowhere", "dog.mp4", "a\0b"]
)
def test_a_folder_outside_of_the_roots_is_refused_like_a_missing_one(tools: Toolbox, folder: str) -> None:
    with pytest.raises(ToolError, match="there is no folder"):
        tools.list_videos(folder=folder)


@pytest.mark.skipif(sys.platform != "linux", reason="names of any bytes are a matter of Linux")
def test_listed_names_are_printable_and_open_their_video(tmp_path: Path) -> None:
    for name in (b"caf\xe9.mp4", b"new\nline.mp4"):
        (tmp_path / os.fsdecode(name)).write_bytes(VIDEO.read_bytes())
    with Toolbox(roots=[tmp_path]) as tools:
        listed = names(tools.list_videos())
        assert listed == [r"caf\udce9.mp4", r"new\nline.mp4"]
        for name in listed:
            assert tools.video_info(name)["video"]["name"] == name


def test_links_out_of_the_roots_are_not_listed(tools: Toolbox, place: Path) -> None:
    (place / "a" / "link.mp4").symlink_to(place / "outside" / "secret.mp4")
    (place / "a" / "folder").symlink_to(place / "outside")
    assert not [name for name in names(tools.list_videos()) if "secret" in name or "link" in name]


# Did you mean --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("wrong", "right"),
    [
        ("dgo.mp4", "dog.mp4"),
        ("dog.avi", "dog.mp4"),
        ("Dog.MP4", "dog.mp4"),
        ("kitten.mkv", "cats/deep/kitten.mkv"),
        ("cats/black_cat.mp4", "cats/Black Cat.mp4"),
        ("/somewhere/else/kitten.mkv", "cats/deep/kitten.mkv"),
    ],
)
def test_a_wrong_name_is_answered_with_the_right_one(tools: Toolbox, wrong: str, right: str) -> None:
    with pytest.raises(ToolError) as caught:
        tools.video_info(wrong)
    assert f'did you mean "{right}"?' in str(caught.value)
    assert "secret" not in str(caught.value)


# video_info ----------------------------------------------------------------------------------------------


def test_what_is_known_of_a_video_without_a_model(tools: Toolbox) -> None:
    result = tools.video_info("dog.mp4")
    assert result["video"]["duration"] == "0:06" and result["video"]["width"] == 480
    assert (result["codec"], result["average_fps"], result["size_bytes"]) == (
        "h264",
        12.0,
        VIDEO.stat().st_size,
    )
    assert result["sound"] == result["subtitles"] == result["chapters"] == []
    assert result["change_seconds"] is None


def test_chapters_and_sound_are_named(tmp_path: Path) -> None:
    import av

    with av.open(str(tmp_path / "rich.mkv"), "w") as container:
        if not hasattr(container, "set_chapters"):
            pytest.skip("this PyAV writes no chapters")
        container.metadata["title"] = "A\nday"
        times = {"start": 1000, "end": 2000, "time_base": Fraction(1, 1000)}
        container.set_chapters([{"id": 1, **times, "metadata": {"title": "Go"}}])
        picture = container.add_stream("libx264", rate=5)
        picture.width, picture.height, picture.pix_fmt = 64, 64, "yuv420p"
        sound = container.add_stream("pcm_s16le", rate=44100, layout="mono")
        sound.metadata["language"] = "ger"
        for i in range(15):
            frame = av.VideoFrame(64, 64, "yuv420p")
            frame.pts = i
            container.mux(picture.encode(frame))
        container.mux(picture.encode())
        noise = av.AudioFrame(format="s16", layout="mono", samples=1024)
        noise.sample_rate, noise.pts = 44100, 0
        container.mux(sound.encode(noise))
        container.mux(sound.encode())
    with Toolbox(roots=[tmp_path]) as tools:
        result = tools.video_info("rich.mkv")
    assert result["title"] == r"A\nday"
    assert result["sound"] == [{"codec": "pcm_s16le", "language": "ger", "title": None}]
    assert [(each["start_seconds"], each["title"]) for each in result["chapters"]] == [(1.0, "Go")]


def test_the_times_at_which_a_video_changes_are_those_of_its_cuts() -> None:
    with Toolbox(roots=[VIDEO.parent]) as tools:
        result = tools.video_info("three_scenes.mp4", find_changes=True)
    cuts = [scene.start for scene in demo_clips()["three_scenes.mp4"].scenes[1:]]
    for cut in cuts:
        assert min(abs(second - cut) for second in result["change_seconds"]) <= 0.5


def test_a_video_over_the_limits_is_refused(place: Path) -> None:
    with (
        Toolbox(roots=[place / "a"], limits=Limits(max_duration_seconds=5)) as tools,
        pytest.raises(ToolError, match="at most 5 s"),
    ):
        tools.video_info("dog.mp4")


# A library -----------------------------------------------------------------------------------------------


@pytest.fixture
def indexed(place: Path, tmp_path: Path) -> Path:
    """A library of all videos of the place, also those outside of the roots; each shows another colour."""
    for name, shown in (
        ("a/cats/Black Cat.mp4", "red"),
        ("a/dog.mp4", "green"),
        ("outside/secret.mp4", "red"),
    ):
        colour_video(place / name, shown, seconds=6 if name.startswith("a") else 7)
    (place / "a" / "dog.srt").write_text("1\n00:00:01,000 --> 00:00:03,000\nThe zeppelin\nlands.\n\n")
    colour_video(place / "a" / "sea.mkv", "blue", seconds=5).rename(place / "a" / "sea.3gp")
    library = Library(tmp_path / "library.sqlite", encoder=ColourEncoder())
    assert not [step for step in library.index([place]) if step.outcome.error]
    library.close()
    return library.path


def colour_video(path: Path, name: str, seconds: int) -> Path:
    images = [np.zeros((48, 64, 3), np.uint8) + 20 for _ in range(seconds)]
    for image in images[2:4]:
        image[..., ColourEncoder.NAMES.index(name)] = 220
    return videos.draw(path, range(seconds), images=images, size=(64, 48), rate=1)


def test_a_library_is_searched_within_the_roots_alone_without_opening_a_video(
    place: Path, indexed: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with Toolbox(encoder=ColourEncoder(), roots=[place / "a", place / "b"], library=indexed) as tools:
        assert list(tools.schemas)[:2] == ["list_videos", "search_videos"]
        opened: list[object] = []
        monkeypatch.setattr(tools.open_files, "opened", lambda *names: opened.append(names))
        found = tools.call_tool("search_videos", {"query": "red"})
        assert found["videos"][0]["name"] == "cats/Black Cat.mp4" and found["warnings"] == []
        (moment,) = found["videos"][0]["moments"]
        assert 2 <= moment["seconds"] < 4 and (moment["source"], moment["text"]) == ("picture", None)
        every = [video["name"] for video in found["videos"]]
        # A video of two files has the name of the one in the roots; the one outside alone is never named.
        assert len(every) == len(set(every)) and "secret" not in str(found)
        (said,) = (
            each for each in tools.search_videos("a zeppelin lands")["videos"] if each["name"] == "dog.mp4"
        )
        (words,) = (each for each in said["moments"] if each["text"])
        assert (words["text"], words["start_seconds"]) == ("The zeppelin lands.", 1.0)
        assert names(tools.search_videos("green", folder="cats")) == [
            "cats/Black Cat.mp4",
            "cats/deep/kitten.mkv",
        ]
        with pytest.raises(ToolError, match="there is no folder"):
            tools.search_videos("green", folder="../outside")
        (place / "a" / "cats" / "Black Cat.mp4").unlink()
        (place / "a" / "cats" / "Black Cat.mp4").symlink_to(place / "outside" / "secret.mp4")
        late = tools.search_videos("red")
        assert "Cat" not in str(late["videos"]) and late["warnings"][0].startswith(
            "1 of the videos found were"
        )
        with (place / "a" / "dog.mp4").open("ab") as file:
            file.write(b"0")
        assert "dog.mp4" not in names(tools.search_videos("green")) and not opened


def test_pages_of_a_search_and_the_list_of_what_is_searched(place: Path, indexed: Path) -> None:
    with Toolbox(encoder=ColourEncoder(), roots=[place / "a", place / "b"], library=indexed) as tools:
        (place / "a" / "new.mp4").write_bytes(VIDEO.read_bytes())
        listed = {video["name"]: video["searchable"] for video in tools.list_videos()["videos"]}
        assert listed.pop("new.mp4") is False and all(listed.values())
        assert "sea.3gp" in listed and "secret" not in str(listed)
        page = tools.search_videos("blue")
        assert names(page)[0] == "sea.3gp" and page["next_page"] is None
        for i in range(6):
            colour_video(place / "a" / f"{i}.mp4", "green", seconds=8 + i)
        library = Library(indexed, encoder=ColourEncoder())
        list(library.index([place / "a"]))
        pages = [tools.search_videos("green", page=number) for number in (1, 2)]
        assert [page["next_page"] for page in pages] == [2, None]
        every = [name for page in pages for name in names(page)]
        assert len(every) == len(set(every)) == 10


def test_a_library_of_another_encoder_is_an_error_that_names_no_place(place: Path, indexed: Path) -> None:
    class Other(ColourEncoder):
        def embed_texts(self, texts: Sequence[str], /) -> np.ndarray:
            return super().embed_texts(texts) @ np.diag([1.0, -1.0, 2.0])

    with (
        Toolbox(encoder=Other(), roots=[place / "a"], library=indexed) as tools,
        pytest.raises(ToolError, match="tell the user to check it and its encoder") as caught,
    ):
        tools.search_videos("red")
    assert str(place) not in str(caught.value)
    with pytest.raises(OptionsError, match="there is no library"):
        Toolbox("cartoon", roots=[place / "a"], library=place / "no.sqlite")


# Models that are missing ---------------------------------------------------------------------------------


def test_tools_say_so_where_their_model_is_not_on_this_machine(tmp_path: Path) -> None:
    with Toolbox("nobody/no-such-model", "nobody/no-such-encoder", roots=[tmp_path]) as tools:
        said = {name: "not on this machine" in schema.description for name, schema in tools.schemas.items()}
    assert said == {
        "list_videos": False,
        "video_info": False,
        "read_transcript": False,
        "contact_sheet": False,
        "view_frames": False,
        "index_video": False,
        "describe_video": True,
        "select_keyframes": True,
        "find_in_videos": True,
        "ask_video": True,
        "classify_video": True,
    }
    with Toolbox("cartoon", roots=[tmp_path]) as tools:
        assert not [
            schema for schema in tools.schemas.values() if "not on this machine" in schema.description
        ]
    with Toolbox("http://127.0.0.1:1/v1#served", "cartoon", roots=[tmp_path]) as tools:
        assert "not on this machine" not in tools.schemas["ask_video"].description
