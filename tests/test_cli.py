"""The command as people run it: a process of its own, its output, its exit status."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from keyframe_llm.demos.videos import DEMO_QUESTION, demo_clips, demo_video

from keyframe_llm.cartoon.world.film import write_clip
from keyframe_llm.cli import main


def run(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    """Run the command with no hub in reach."""
    return subprocess.run(
        [sys.executable, "-m", "keyframe_llm.cli", *map(str, arguments)],
        capture_output=True,
        text=True,
        timeout=300,
        env={**os.environ, "HF_HUB_OFFLINE": "1", "HF_HOME": os.devnull + "-none"},
        check=False,
    )


def test_select_prints_times_on_stdout_and_progress_on_stderr() -> None:
    done = run("select", demo_video("one_walk.mp4"))
    assert done.returncode == 0
    lines = done.stdout.splitlines()
    assert 1 <= len(lines) <= 3 and all("s  score " in line for line in lines)
    assert done.stderr.splitlines() == ["reading the video …", "proposing frames …"]


def test_select_json_is_one_object_with_the_documented_keys() -> None:
    done = run("select", demo_video(), "--json", "--quiet", "--max-frames", "2")
    told = json.loads(done.stdout)
    assert set(told["video"]) == {"path", "duration_seconds", "average_fps", "width", "height", "codec"}
    assert told["video"]["duration_seconds"] == pytest.approx(60.0)
    assert (told["caption"], told["caption_source"]) == (None, "none")
    assert 1 <= len(told["keyframes"]) <= 2
    for entry in told["keyframes"]:
        assert set(entry) == {"seconds", "score", "semantic", "temporal", "drop", "image"}
    assert set(told["frame_reduction"]) == {"versus_uniform8", "versus_all"}
    assert set(told["timings"]) == {"decode", "propose", "caption", "embed", "score", "total"}
    assert told["sampled_frames"] > 100 and len(told["proposals"]) >= 5
    assert done.stderr == ""


def test_demo_finds_the_hidden_event_and_writes_the_pictures(tmp_path: Path) -> None:
    done = run("demo", "--json", "--out", tmp_path / "out")
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout)
    clip = demo_clips()["hidden_event.mp4"]
    assert clip.event is not None
    event = clip.scenes[clip.event]
    assert told["question"] == DEMO_QUESTION
    assert told["answer"] == "flies a kite"
    assert any(event.start <= entry["seconds"] < event.end for entry in told["keyframes"])
    assert "a man in red reads a book in the park" in told["caption"]
    assert told["model"] == "cartoon" and told["prompt_tokens"] > 0
    for entry in told["keyframes"]:
        assert Path(entry["image"]).is_file()
    assert {path.name for path in (tmp_path / "out").iterdir()} >= {
        "selection.json",
        "contact_sheet.png",
        "scores.png",
    }
    assert "warning" not in done.stderr


def test_classify_lists_the_likeliest_labels_first() -> None:
    done = run(
        "classify", demo_video("one_walk.mp4"), "--labels", "wave,walk,read", "--model", "cartoon", "--quiet"
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-3].endswith("walk")


def test_the_embedded_model_warns_outside_its_world(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "unsigned.mp4"
    write_clip(demo_clips()["one_walk.mp4"], path, fps=4)
    path.write_bytes(path.read_bytes().replace(b"drawn by keyframe-llm", b"filmed somewhere else"))
    assert main(["select", str(path), "--caption", "a man walks", "--encoder", "cartoon", "--json"]) == 0
    printed = capsys.readouterr()
    assert "understand only the drawn world" in printed.err
    assert "understand only the drawn world" in json.loads(printed.out)["warnings"][0]


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["select", "nowhere.mp4"], "nowhere.mp4"),
        (["select", "VIDEO", "--max-frames", "-2"], "max_frames is -2"),
        (["select", "VIDEO", "--gamma-time", "70"], "gamma_time is 70"),
        (["select", "VIDEO", "--weights", "1,1,1"], "sum to 1"),
        (["select", "VIDEO", "--weights", "many"], "three numbers"),
        (["select", "VIDEO", "--fps", "fast"], "invalid float value"),
        (["select", "VIDEO", "--caption", "a dog"], "google/siglip2-base-patch16-224"),
        (["select", "VIDEO", "--caption", "a dog", "--encoder", "./none"], "./none"),
        (["select", "VIDEO", "--caption", "a dog", "--encoder", "local-dir:none"], "none"),
        (["ask", "VIDEO", "What?", "--encoder", "cartoon"], "Qwen/Qwen2.5-VL-7B-Instruct"),
        (["ask", "VIDEO", "", "--model", "cartoon"], "question is empty"),
        (["caption", "VIDEO", "--model", "no/such-model"], "no/such-model"),
        (["classify", "VIDEO", "--labels", "walk", "--model", "cartoon"], "at least two"),
        (["select", "VIDEO", "--out", "FILE/inside"], "inside"),
        (["juggle"], "juggle"),
        ([], "COMMAND"),
    ],
)
def test_a_mistake_costs_one_line_and_status_2(tmp_path: Path, arguments: list[str], says: str) -> None:
    (tmp_path / "FILE").write_text("not a folder")
    there = {"VIDEO": str(demo_video("one_walk.mp4")), "FILE/inside": str(tmp_path / "FILE" / "inside")}
    done = run(
        *(there.get(argument, argument) for argument in arguments),
        *(["--quiet"] if len(arguments) > 1 else []),
    )
    assert done.returncode == 2
    assert len(done.stderr.splitlines()) == 1, done.stderr
    assert done.stderr.startswith("keyframe-llm: error: ") and says in done.stderr
    assert done.stdout == ""


def test_a_model_that_cannot_be_had_names_the_three_ways_out() -> None:
    done = run("ask", demo_video("one_walk.mp4"), "What?", "--encoder", "cartoon", "--quiet")
    assert all(way in done.stderr for way in ("local folder", "http://host:port/v1", "--model cartoon"))


def test_output_cut_short_by_its_reader_is_no_error() -> None:
    command = (
        f"{sys.executable} -m keyframe_llm.cli select {demo_video('one_walk.mp4')} --json --quiet | head -c 1"
    )
    done = subprocess.run(["sh", "-c", command], capture_output=True, text=True, check=True)
    assert done.stdout == "{" and done.stderr == ""


def test_help_is_quick_to_import() -> None:
    code = (
        "import sys; sys.argv = ['keyframe-llm', '--help']\n"
        "try:\n    from keyframe_llm.cli import main; main()\n"
        "except SystemExit: pass\n"
        "print([m for m in ('torch', 'sklearn', 'av', 'matplotlib', 'transformers') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "[]"
