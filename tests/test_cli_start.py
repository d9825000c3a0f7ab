"""What a command loads, and when: the Video-LLM comes while the video is read, and not before it is one."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import pytest

from keyframe_llm.cli import main
from keyframe_llm.errors import ModelError
from support.encoders import ColourEncoder

PATIENCE = 60.0


class Writer:
    """A Video-LLM that says one thing."""

    def generate(self, messages: Any, *, max_new_tokens: int = 128) -> str:
        return "a flag"


@pytest.fixture
def loads(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The names under which Video-LLMs were loaded, and by which threads; the encoder is a small one."""
    seen: list[str] = []
    monkeypatch.setattr("keyframe_llm.index.embedder.load_encoder", lambda *_: ColourEncoder())
    return seen


def test_the_video_llm_is_loaded_while_the_video_is_read(
    videos: Any, tmp_path: Path, loads: list[str], monkeypatch: pytest.MonkeyPatch, capsys: Any
) -> None:
    begun, late = threading.Event(), list[float]()

    def load(name: str, **_: Any) -> Any:
        begun.set()
        loads.append(name)
        from keyframe_llm.vlm import CompletedVLM

        return CompletedVLM(Writer())

    class Shown:
        def __init__(self, quiet: bool) -> None:
            pass

        def __call__(self, stage: str, share: float) -> None:
            if stage == "decode" and share < 1 and not begun.wait(PATIENCE):
                late.append(share)

    monkeypatch.setattr("keyframe_llm.pipeline.load_vlm", load)
    monkeypatch.setattr("keyframe_llm.cli.llm.ProgressBar", Shown)
    video = str(videos.flags(tmp_path / "flags.mp4"))
    assert main(["ask", video, "Which colour?", "--model", "some/model", "--no-cache"]) == 0
    assert capsys.readouterr().out.endswith("a flag\n")
    assert loads == ["some/model"] and not late


def test_a_model_that_cannot_be_had_is_told_once_in_one_line(
    videos: Any, tmp_path: Path, loads: list[str], monkeypatch: pytest.MonkeyPatch, capsys: Any
) -> None:
    def load(name: str, **_: Any) -> Any:
        raise ModelError(f"{name!r} is nowhere")

    monkeypatch.setattr("keyframe_llm.pipeline.load_vlm", load)
    video = str(videos.flags(tmp_path / "flags.mp4"))
    assert main(["ask", video, "Which?", "--model", "some/model", "--no-cache", "--quiet"]) == 2
    said = capsys.readouterr().err.splitlines()
    assert said == ["keyframe-llm: error: 'some/model' is nowhere"]


def test_no_video_llm_is_loaded_for_what_is_no_video(
    tmp_path: Path, loads: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("keyframe_llm.pipeline.load_vlm", lambda name, **_: loads.append(name))
    (tmp_path / "words.mp4").write_text("no video")
    for name in ("nowhere.mp4", "words.mp4"):
        video = str(tmp_path / name)
        assert main(["ask", video, "Which?", "--model", "some/model", "--no-cache", "--quiet"]) == 2
    assert loads == []


def test_a_command_that_has_ended_searches_for_no_garbage() -> None:
    code = (
        "import atexit, gc\n"
        "atexit.register(lambda: print(gc.get_freeze_count() > 1000))\n"  # the first one given runs last
        "from keyframe_llm.cli import main\n"
        "main(['cache', '--help'])\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "True"


@pytest.mark.parametrize("given", [None, "ACTIVE"])
def test_idle_threads_of_torch_sleep_unless_the_user_says_otherwise(
    given: str | None, monkeypatch: pytest.MonkeyPatch, capsys: Any
) -> None:
    monkeypatch.setenv("OMP_WAIT_POLICY", given or "")
    if given is None:
        monkeypatch.delenv("OMP_WAIT_POLICY")
    with pytest.raises(SystemExit):
        main(["cache", "--help"])
    assert os.environ["OMP_WAIT_POLICY"] == (given or "PASSIVE")


def test_a_command_that_used_torch_ends_with_its_status_its_words_and_its_files_removed(
    tmp_path: Path,
) -> None:
    code = (
        "import atexit, io, sys, tempfile\n"
        "from keyframe_llm import cli\n"
        "folder, kept = sys.argv.pop(), []\n"
        "class Errors(io.TextIOWrapper):\n"
        "    def write(self, text):\n"  # while the command runs
        "        import torch\n"
        "        kept.append(tempfile.TemporaryDirectory(dir=folder))\n"
        "        atexit.register(print, 'late words', end='')\n"
        "        return super().write(text)\n"
        "sys.stderr = Errors(sys.stderr.buffer)\n"
        "cli.command()\n"
    )
    asked = [sys.executable, "-c", code, "select", "nowhere.mp4", str(tmp_path)]
    done = subprocess.run(asked, capture_output=True, text=True)
    assert done.returncode == 2
    assert "nowhere.mp4" in done.stderr and "Traceback" not in done.stderr
    assert done.stdout.startswith("late words") and list(tmp_path.iterdir()) == []
