"""What is installed, and what is promised to those who import it."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

import keyframe_llm

ROOT = Path(__file__).parent.parent


def test_the_public_names_are_pinned() -> None:
    assert sorted(keyframe_llm.__all__) == [
        "Answer",
        "Caption",
        "Classification",
        "FrameList",
        "Frames",
        "KeyframeError",
        "KeyframeLLM",
        "ModelError",
        "OptionsError",
        "Proposals",
        "Scores",
        "SelectOptions",
        "Selection",
        "VideoError",
        "VideoIndex",
        "VideoInfo",
        "__version__",
        "index_video",
        "select_keyframes",
    ]


def test_the_walk_through_the_code_names_the_whole_top_level() -> None:
    walk = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8").split("## A walk")[1].split("\n## ")[0]
    rows = [line.split("|")[1] for line in walk.splitlines() if line.startswith("| `")]
    named = [name.rstrip("/") for row in rows for name in re.findall(r"`([^`]+)`", row)]
    there = {path.name for path in (ROOT / "keyframe_llm").iterdir()} - {"py.typed", "__pycache__"}
    assert len(named) == len(set(named)) and set(named) == there


def test_every_module_says_what_it_offers() -> None:
    for path in (ROOT / "keyframe_llm").rglob("*.py"):
        text = path.read_text(encoding="utf-8")
        assert text.startswith('"""'), f"{path} has no docstring"
        assert "__all__" in text or path.name == "__main__.py", f"{path} has no __all__"


def test_the_wheel_holds_the_package_and_nothing_beside_it(tmp_path: Path) -> None:
    pytest.importorskip("build", reason="the package `build` is not installed")
    done = subprocess.run(
        [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", tmp_path, ROOT],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "PIP_NO_INPUT": "1"},
    )
    assert done.returncode == 0, done.stderr[-2000:]
    (wheel,) = tmp_path.glob("*.whl")
    names = zipfile.ZipFile(wheel).namelist()
    tops = {name.split("/")[0] for name in names}
    assert {top for top in tops if not top.endswith(".dist-info")} == {"keyframe_llm"}
    for wanted in (
        "keyframe_llm/py.typed",
        "keyframe_llm/prompts/caption.txt",
        "keyframe_llm/tools/__init__.py",
        "keyframe_llm/demos/clips/hidden_event.mp4",
        "keyframe_llm/cartoon/weights/clip/model.safetensors",
        "keyframe_llm/cartoon/weights/qwen2_5_vl/model.safetensors",
    ):
        assert wanted in names
    assert not [name for name in names if name.startswith(("tests/", "keyframe_llm/tests"))]


def test_the_code_in_the_readme_runs(tmp_path: Path) -> None:
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    blocks = re.findall(r"```python\n(.*?)```", text, flags=re.DOTALL)
    blocks = [block for block in blocks if "http://127.0.0.1:8000/v1" not in block]  # test_served.py has one
    assert len(blocks) >= 2
    done = subprocess.run(
        [sys.executable, "-W", "error::UserWarning:keyframe_llm", "-c", "\n".join(blocks)],
        capture_output=True,
        text=True,
        cwd=tmp_path,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    assert done.stdout.splitlines()[0] == "flies a kite"
    assert done.stdout.splitlines()[3] == "walk"
    assert done.stdout.splitlines()[-1] == "flies a kite"


def test_the_commands_in_the_readme_exist() -> None:
    from keyframe_llm.cli import main

    text = (ROOT / "README.md").read_text(encoding="utf-8")
    for command in sorted(set(re.findall(r"^keyframe-llm (\w+)", text, flags=re.MULTILINE))):
        with pytest.raises(SystemExit) as caught:
            main([command, "--help"])
        assert caught.value.code == 0


def test_the_files_that_documents_link_to_exist() -> None:
    for document in (*ROOT.glob("*.md"), *(ROOT / "docs").glob("*.md")):
        for target in re.findall(r"\]\((?!https?:)([^)#]+)\)", document.read_text(encoding="utf-8")):
            assert (document.parent / target).exists(), f"{document.name} links to {target}"
