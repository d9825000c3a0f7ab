"""What is written for people about the tools runs, and what ships for agents is there."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from keyframe_llm.demos.videos import demo_video

pytest.importorskip("pydantic", reason="pydantic is not installed (the `agents` extra)")

from keyframe_llm.library import Library
from keyframe_llm.tools import Limits, Toolbox
from keyframe_llm.tools.frames import fitted_size, image_tokens, picture_side, sheet_side
from keyframe_llm.tools.pictures import MemoryPictures

ROOT = Path(__file__).parent.parent
TEXT = (ROOT / "docs" / "agents.md").read_text(encoding="utf-8")


def test_the_code_in_the_document_runs(tmp_path: Path) -> None:
    blocks = re.findall(r"```python\n(.*?)```", TEXT, flags=re.DOTALL)
    done = subprocess.run(
        [sys.executable, "-c", "\n".join(blocks)],
        capture_output=True,
        text=True,
        cwd=tmp_path,
        check=False,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    assert len(json.loads(done.stdout)) == 2


def test_the_commands_in_the_document_are_understood() -> None:
    from keyframe_llm.cli import parser

    commands = re.findall(r"^keyframe-llm (mcp[^#\n]*)", TEXT, flags=re.MULTILINE)
    for block in re.findall(r"```json\n(.*?)```", TEXT, flags=re.DOTALL):
        (servers,) = json.loads(block).values()
        video = servers["video"]
        if "url" in video:
            assert video["url"].endswith(":8000/mcp") and video["headers"]["Authorization"].startswith(
                "Bearer "
            )
            continue
        command = video["command"]
        words = command if isinstance(command, list) else [command, *video["args"]]
        assert words[0] == "keyframe-llm"
        commands.append(" ".join(words[1:]))
    commands += [
        " ".join(json.loads(args)) for args in re.findall(r"args[:=] *(\[.*\])", TEXT.replace(" = ", "="))
    ]
    assert len(commands) == 10
    for command in commands:
        assert parser().parse_args(command.split()).run


def test_what_is_no_json_is_what_the_clients_read() -> None:
    tomllib = pytest.importorskip("tomllib", reason="Python 3.10 reads no TOML")
    yaml = pytest.importorskip("yaml", reason="PyYAML is not installed")
    (toml,) = re.findall(r"```toml\n(.*?)```", TEXT, flags=re.DOTALL)
    (text,) = re.findall(r"```yaml\n(.*?)```", TEXT, flags=re.DOTALL)
    for server in (tomllib.loads(toml)["mcp_servers"]["video"], yaml.safe_load(text)["mcpServers"][0]):
        assert [server["command"], *server["args"][:2]] == ["keyframe-llm", "mcp", "--root"]


def test_the_skill_has_the_head_that_clients_read() -> None:
    path = ROOT / "tools" / "skills" / "watch-video" / "SKILL.md"
    _, head, body = path.read_text(encoding="utf-8").split("---\n", 2)
    fields = dict(line.split(": ", 1) for line in head.strip().splitlines())
    assert fields["name"] == path.parent.name
    assert 50 < len(fields["description"]) < 1024
    for tool in CALLS:
        assert f"`{tool}`" in body


CLIP = {"video": "three_scenes.mp4"}
CALLS: dict[str, dict[str, Any]] = {
    "list_videos": {},
    "search_videos": {"query": "somebody walks"},
    "video_info": {**CLIP, "find_changes": True},
    "read_transcript": CLIP,
    "contact_sheet": CLIP,
    "view_frames": {**CLIP, "seconds": [1, 5, 10]},
    "index_video": CLIP,
    "describe_video": CLIP,
    "select_keyframes": {**CLIP, "query": "somebody walks"},
    "find_in_videos": {"videos": ["three_scenes.mp4", "one_walk.mp4"], "query": "somebody walks"},
    "ask_video": {**CLIP, "question": "What happens?"},
    "classify_video": {**CLIP, "labels": ["walk", "sit", "read"]},
    "save_frames": {**CLIP, "seconds": [1, 5, 10]},
    "save_clip": {**CLIP, "start_seconds": 2, "end_seconds": 5},
}


@pytest.fixture(scope="module")
def costs(tmp_path_factory: pytest.TempPathFactory) -> dict[str, tuple[float, float]]:
    """The tokens of each tool's definition, and of a result of it, at four letters each."""
    folder = tmp_path_factory.mktemp("saved")
    pictures, clips = MemoryPictures(), demo_video().parent
    library = Library(folder / "library.sqlite", encoder="cartoon", fps=1)
    list(library.index([clips]))
    with Toolbox(
        "cartoon", roots=[clips], save_folder=folder, library=library.path, pictures=pictures
    ) as tools:
        functions = {tool["function"]["name"]: tool["function"] for tool in tools.openai_tools()}
        results = {name: tools.call_tool(name, CALLS[name]) for name in functions}
    return {
        name: (len(json.dumps(function)) / 4, len(json.dumps(results[name], ensure_ascii=False)) / 4)
        for name, function in functions.items()
    }


def test_the_table_of_costs_is_true(costs: dict[str, tuple[float, float]]) -> None:
    rows = [line.strip("| ").split(" | ") for line in TEXT.splitlines() if line.startswith("| `")]
    assert [row[0].strip("`") for row in rows] == list(costs)
    for row in rows:
        definition, result = costs[row[0].strip("`")]
        assert float(row[3]) == pytest.approx(definition, rel=0.05)
        each = re.fullmatch(r"(\d+)( a \w+)?", row[4].strip(" |"))
        assert each is not None
        assert float(each[1]) * (3 if each[2] else 1) == pytest.approx(result, rel=0.3)


def test_the_pictures_of_the_table_have_the_cost_it_states() -> None:
    limits = Limits()
    stated = {"low": 60, "auto": 450, "high": 1900}
    for detail, tokens in stated.items():
        size = fitted_size(3840, 2160, picture_side(detail, limits))
        assert image_tokens(size) == pytest.approx(tokens, rel=0.2)
        assert f"{tokens:,}" in TEXT
    sheet = fitted_size(3840, 2160, sheet_side("auto", limits))
    assert image_tokens(sheet) == pytest.approx(1050, rel=0.3)
