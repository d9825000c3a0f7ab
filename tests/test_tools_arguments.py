"""Arguments as models and people write them: times, lists in texts, JSON in fences, names in quotes."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from keyframe_llm.demos.videos import demo_video

pytest.importorskip("pydantic", reason="pydantic is not installed (the `agents` extra)")

from keyframe_llm.tools import Toolbox, ToolError
from keyframe_llm.tools.times import format_time, parse_time

VIDEO = demo_video("one_walk.mp4")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("arguments")
    (made / "my walk.mp4").write_bytes(VIDEO.read_bytes())
    return made


@pytest.fixture(scope="module")
def tools(folder: Path) -> Iterator[Toolbox]:
    with Toolbox(roots=[folder]) as made:
        yield made


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("0:05", 5.0),
        ("1:02:03.5", 3723.5),
        ("90:00", 5400.0),
        ("00:00:07,25", 7.25),
        (" 12 ", 12.0),
        ("12.5s", 12.5),
        ("12 seconds", 12.0),
        ("1m30s", 90.0),
        ("2h 5m", 7500.0),
        ("3 min", 180.0),
        (4, 4),
        (4.5, 4.5),
    ],
)
def test_a_time_is_read_as_people_write_it(text: Any, seconds: float) -> None:
    assert parse_time(text) == seconds


@pytest.mark.parametrize("text", ["", "soon", "1:2:3:4", "1:75", "1:60:00", "-5", "0:-5", "5 apples", "nan"])
def test_what_is_no_time_is_refused_with_an_example(text: str) -> None:
    with pytest.raises(ValueError, match=r"1:02:03\.5"):
        parse_time(text)


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0, "0:00"),
        (5, "0:05"),
        (62.5, "1:02.5"),
        (3723.458, "1:02:03.458"),
        (59.9996, "1:00"),
        (3600, "1:00:00"),
    ],
)
def test_a_time_is_written_as_people_read_it(seconds: float, text: str) -> None:
    assert format_time(seconds) == text
    assert parse_time(text) == pytest.approx(seconds, abs=0.001)


def test_results_show_times_beside_seconds(tools: Toolbox) -> None:
    result = tools.select_keyframes("my walk.mp4", include_images=False)
    assert result["video"]["duration"] == "0:06"
    for frame in result["keyframes"]:
        assert frame["time"] == format_time(frame["seconds"])


WINDOW = json.dumps({"video": "my walk.mp4", "start_seconds": 2, "end_seconds": "0:04.5"})


@pytest.mark.parametrize(
    "arguments",
    [
        {"video": "my walk.mp4", "start_seconds": "0:02", "end_seconds": "0:04.5"},
        {"video": "my walk.mp4", "start_seconds": "2s", "end_seconds": "4.5 s"},
        WINDOW,
        f"```json\n{WINDOW}\n```",
        f"  ```\n{WINDOW}```  ",
        json.dumps(WINDOW),
    ],
)
def test_a_window_is_understood_however_it_is_written(tools: Toolbox, arguments: Any) -> None:
    frames = tools.call_tool("select_keyframes", arguments)["keyframes"]
    assert frames and all(2 <= frame["seconds"] <= 4.5 for frame in frames)


@pytest.mark.parametrize("excluded", [[1.0, "0:05"], "[1.0, 5]", "1, 0:05", "1.0", 1.0])
def test_a_list_may_be_written_in_a_text(tools: Toolbox, excluded: Any) -> None:
    arguments = {"video": "my walk.mp4", "exclude_seconds": excluded}
    for frame in tools.call_tool("select_keyframes", arguments)["keyframes"]:
        assert abs(frame["seconds"] - 1.0) > 0.05


def test_labels_may_be_written_in_a_text(tools: Toolbox) -> None:
    check = tools.schemas["classify_video"].check
    for labels in (["walk", "sit down"], '["walk", "sit down"]', "walk, sit down", "walk\nsit down\n"):
        assert check({"video": "v", "labels": labels})["labels"] == ["walk", "sit down"]


@pytest.mark.parametrize(
    "name",
    ['"my walk.mp4"', " 'my walk.mp4' ", "`my walk.mp4`", "<my walk.mp4>", "“my walk.mp4”", "my walk.mp4\n"],
)
def test_quotes_and_blanks_around_a_name_are_taken_off(tools: Toolbox, name: str) -> None:
    assert tools.call_tool("select_keyframes", {"video": name})["video"]["name"] == "my walk.mp4"


@pytest.mark.skipif(sys.platform == "win32", reason="quotes in names")
def test_a_name_that_has_quotes_of_its_own_is_found_first(tmp_path: Path) -> None:
    for name in ("my walk.mp4", "'my walk.mp4'"):
        (tmp_path / name).write_bytes(VIDEO.read_bytes())
    with Toolbox(roots=[tmp_path]) as tools:
        assert tools.select_keyframes("'my walk.mp4'")["video"]["name"] == "'my walk.mp4'"


def test_a_file_url_inside_of_a_root_is_taken_and_no_other(tools: Toolbox, folder: Path) -> None:
    url = (folder / "my walk.mp4").as_uri()
    assert "%20" in url
    for taken in (url, url.replace("file:///", "file://localhost/"), url.replace("file:", "FILE:")):
        assert tools.select_keyframes(taken)["video"]["name"] == "my walk.mp4"
    for refused in (
        VIDEO.as_uri(),
        url.replace("file:///", "file://elsewhere/"),
        f"{folder.as_uri()}/../x",
    ):
        with pytest.raises(ToolError, match="in the allowed folders"):
            tools.select_keyframes(refused)


def test_a_wrong_time_is_named_with_an_example(tools: Toolbox) -> None:
    with pytest.raises(ToolError, match=r"start_seconds is 'soon': give seconds, .* such as 1:02:03\.5"):
        tools.call_tool("select_keyframes", {"video": "my walk.mp4", "start_seconds": "soon"})
