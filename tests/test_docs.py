"""The guide to parts of one's own: its code runs, and prints what it says."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import numpy as np

from keyframe_llm.encoders import NAMED_ENCODERS
from keyframe_llm.scoring.selectors import selector_names

GUIDE = Path(__file__).parent.parent / "docs" / "extend.md"


def blocks() -> list[str]:
    """The Python blocks of the guide, in order."""
    return re.findall(r"```python\n(.*?)```", GUIDE.read_text(encoding="utf-8"), flags=re.DOTALL)


def test_the_code_in_the_guide_runs_and_each_part_is_about_ten_lines(tmp_path: Path) -> None:
    parts = [
        re.search(r"^(?:class|def) .*?(?=\n\n\n)", block, flags=re.DOTALL | re.MULTILINE)
        for block in blocks()
    ]
    assert all(len(part[0].splitlines()) <= 11 for part in parts if part is not None)
    done = subprocess.run(
        [sys.executable, "-W", "error::UserWarning:keyframe_llm", "-c", "\n".join(blocks())],
        capture_output=True,
        text=True,
        cwd=tmp_path,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    printed = done.stdout.splitlines()
    name, _, seconds = printed[0].partition(" ")
    assert name == "most_alike"
    assert np.all(
        (np.fromstring(seconds.strip("[]"), sep=" ") >= 30)
        & (np.fromstring(seconds.strip("[]"), sep=" ") <= 33)
    )
    assert printed[1] == ", ".join(selector_names())
    assert printed[3] == "3 pictures" and printed[4] == "opening one_walk.mp4"
    assert printed[-1].startswith("Who does what, and where? One sentence. ") and printed[-1].endswith(
        "pictures"
    )


def test_the_code_about_inputs_runs() -> None:
    text = (GUIDE.parent / "inputs.md").read_text(encoding="utf-8")
    (block,) = re.findall(r"```python\n(.*?)```", text, flags=re.DOTALL)
    done = subprocess.run([sys.executable, "-c", block], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    first, second = (np.fromstring(line.strip("[]"), sep=" ") for line in done.stdout.splitlines())
    assert np.all(first % 0.5 == 0) and np.all(first < 40) and np.allclose(first + 100, second)


def test_the_code_about_models_runs_and_names_the_encoders_that_have_names() -> None:
    text = (GUIDE.parent / "models.md").read_text(encoding="utf-8")
    (block,) = re.findall(r"```python\n(.*?)```", text, flags=re.DOTALL)
    done = subprocess.run([sys.executable, "-c", block], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    assert f"# {done.stdout.strip()}\n" in block
    for name, model in NAMED_ENCODERS.items():
        assert f"| `{name}` | `{model}` | Apache-2.0 |" in text
