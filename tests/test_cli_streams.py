"""The command as a process of its own: streams that are closed, full, or cannot show every character."""

from __future__ import annotations

import io
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from keyframe_llm.cli import command, main
from keyframe_llm.demos.videos import demo_video

WALK = str(demo_video("one_walk.mp4"))
SELECT = f'"{sys.executable}" -m keyframe_llm.cli select "{WALK}" --no-cache'
FULL = Path("/dev/full")
needs_full_disk = pytest.mark.skipif(not FULL.exists(), reason="this system has no /dev/full")


def shell(command: str, encoding: str = "utf-8", **environment: str) -> subprocess.CompletedProcess[str]:
    """Run a line of shell; what it prints is read in `encoding`."""
    return subprocess.run(
        ["sh", "-c", command],
        capture_output=True,
        encoding=encoding,
        env={**os.environ, **environment},
        timeout=300,
        check=False,
    )


def test_the_installed_command_and_the_module_are_the_same(tmp_path: Path) -> None:
    from importlib.metadata import entry_points

    (entry,) = entry_points(group="console_scripts", name="keyframe-llm")
    assert entry.load() is command
    done = shell(f'"{sys.executable}" -m keyframe_llm.cli --version')
    assert done.returncode == 0 and done.stdout.startswith("keyframe-llm ")


def test_output_cut_short_by_its_reader_is_no_error() -> None:
    done = shell(f"{SELECT} --json --quiet | head -c 1")
    assert done.stdout == "{" and done.stderr == ""


def test_a_closed_stderr_is_no_error_and_keeps_stdout_clean() -> None:
    done = shell(f"{SELECT} --json 2>&-")
    assert done.returncode == 0
    assert json.loads(done.stdout)["keyframes"]


def test_a_mistake_with_a_closed_stderr_still_ends_with_status_2() -> None:
    done = shell(f'"{sys.executable}" -m keyframe_llm.cli select nowhere.mp4 2>&-')
    assert (done.returncode, done.stdout) == (2, "")
    done = shell(f'"{sys.executable}" -m keyframe_llm.cli juggle 2>&-')
    assert (done.returncode, done.stdout) == (2, "")


def test_a_closed_stdout_is_no_error() -> None:
    done = shell(f"{SELECT} --quiet <&- >&-")
    assert (done.returncode, done.stderr) == (0, "")


@needs_full_disk
@pytest.mark.parametrize("arguments", [f"{SELECT} --quiet", f"{SELECT} --quiet --json"])
def test_a_full_disk_behind_stdout_is_one_line_and_status_2(arguments: str) -> None:
    done = shell(f"{arguments} >/dev/full")
    assert done.returncode == 2
    (line,) = done.stderr.splitlines()
    assert line.startswith("keyframe-llm: error: ") and "No space left" in line


@needs_full_disk
def test_a_full_disk_behind_stderr_loses_the_progress_alone() -> None:
    done = shell(f"{SELECT} --json 2>/dev/full")
    assert done.returncode == 0
    assert json.loads(done.stdout)["keyframes"]


@pytest.mark.parametrize("encoding", ["ascii", "cp1252"])
def test_help_is_printed_whatever_the_encoding(encoding: str) -> None:
    done = shell(f"{SELECT} --help", encoding, PYTHONIOENCODING=encoding)
    assert done.returncode == 0 and "\\u03b3_time of STACFP" in done.stdout and done.stderr == ""


@pytest.mark.parametrize("encoding", ["ascii", "cp1252", "utf-8"])
@pytest.mark.parametrize("name", ["狗 😀", "café"])
def test_json_is_valid_in_every_encoding(
    name: str, encoding: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    video = shutil.copy(WALK, tmp_path / f"{name}.mp4")
    output = io.BytesIO()
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(output, encoding=encoding))
    assert main(["select", str(video), "--json", "--quiet"]) == 0
    assert json.loads(output.getvalue().decode(encoding))["video"]["path"] == str(video)


@pytest.fixture
def latin_name(tmp_path: Path) -> str:
    """A video whose name is Latin-1, which is no UTF-8."""
    path = os.fsencode(tmp_path) + b"/caf\xe9.mp4"
    try:
        shutil.copy(os.fsencode(WALK), path)
    except OSError:
        pytest.skip("this file system has names in Unicode only")
    return os.fsdecode(path)


def test_a_file_name_that_is_not_unicode_is_read_and_printed(
    latin_name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["select", latin_name, "--json", "--quiet"]) == 0
    assert json.loads(capsys.readouterr().out)["video"]["path"] == latin_name
    assert main(["select", latin_name + ".none", "--quiet"]) == 2
    assert "caf\\udce9.mp4.none" in capsys.readouterr().err


def test_a_folder_whose_name_is_not_unicode_is_written_to(
    latin_name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = latin_name.replace(".mp4", "_out")
    assert main(["select", latin_name, "--out", folder, "--quiet"]) == 0
    saved = json.loads((Path(folder) / "selection.json").read_text(encoding="utf-8"))
    assert saved["video"]["path"] == latin_name
    assert capsys.readouterr().err.startswith("written to ")


def test_a_library_that_breaks_costs_one_line_and_status_1(tmp_path: Path) -> None:
    (tmp_path / "av.py").write_text("1 / 0")
    done = shell(f"{SELECT} --quiet", PYTHONPATH=str(tmp_path))
    assert done.returncode == 1
    (line,) = done.stderr.splitlines()
    assert line.startswith("keyframe-llm: a fault of the program: ZeroDivisionError: ")
    assert "Traceback" in shell(f"{SELECT} --quiet --debug", PYTHONPATH=str(tmp_path)).stderr


def test_help_is_quick_to_import() -> None:
    code = (
        "import sys; sys.argv = ['keyframe-llm', '--help']\n"
        "try:\n    from keyframe_llm.cli import main; main()\n"
        "except SystemExit: pass\n"
        "heavy = ('torch', 'sklearn', 'av', 'matplotlib', 'transformers', 'pydantic', 'mcp', 'gradio')\n"
        "print([name for name in heavy if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "[]"
