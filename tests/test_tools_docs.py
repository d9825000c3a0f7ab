"""What is written for people about the tools runs, and what ships for agents is there."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("pydantic", reason="pydantic is not installed (the `agents` extra)")

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
    assert len(commands) == 9
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
    for tool in ("describe_video", "select_keyframes", "ask_video", "classify_video"):
        assert tool in body
