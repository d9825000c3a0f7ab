"""The commands: what they print, what they save, and what a mistake costs."""

from __future__ import annotations

import io
import json
import sys
from argparse import Namespace
from collections.abc import Iterator
from pathlib import Path

import pytest

from keyframe_llm.cartoon.world.video import write_clip
from keyframe_llm.cli import main, parser
from keyframe_llm.cli.main import exit_status
from keyframe_llm.cli.output import print_keyframes
from keyframe_llm.data import STAGES
from keyframe_llm.demos.videos import DEMO_QUESTION, demo_clips, demo_video
from keyframe_llm.errors import VideoError

WALK = str(demo_video("one_walk.mp4"))
Capture = pytest.CaptureFixture[str]


@pytest.fixture(autouse=True)
def no_hub(monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """No hub in reach, no model in the local cache, and no progress of a library already imported."""
    from huggingface_hub import constants
    from transformers.utils import logging

    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path_factory.mktemp("hub")))
    logging.disable_progress_bar()
    yield
    if not constants.HF_HUB_DISABLE_PROGRESS_BARS:  # as `main` asks of a library that is imported after it
        logging.enable_progress_bar()


def status(*arguments: str | Path) -> int:
    """The exit status of a command, also where argparse ends it."""
    try:
        return main([str(argument) for argument in arguments])
    except SystemExit as end:
        assert isinstance(end.code, int)
        return end.code


# Results -----------------------------------------------------------------------------------------------


def test_select_prints_times_on_stdout_and_progress_on_stderr(capsys: Capture) -> None:
    assert status("select", WALK) == 0
    printed = capsys.readouterr()
    lines = printed.out.splitlines()
    assert 1 <= len(lines) <= 3 and all("s  stands for " in line for line in lines)
    assert printed.err.splitlines()[:2] == [f"{STAGES['decode']} …", f"{STAGES['propose']} …"]


def test_a_key_frame_is_printed_with_what_chose_it(capsys: Capture) -> None:
    parts = {"semantic": None, "temporal": None, "drop": None}
    print_keyframes(
        [
            {"seconds": 1.5, "score": 0.4512, **parts},
            {"seconds": 2.0, "score": 0.75, "semantic": 1.0, "temporal": 0.25, "drop": 0.5},
            {"seconds": 61.25, "score": 0.5, **parts, "semantic": 0.5},
            {"seconds": 62.0, "score": None, **parts},
        ]
    )
    assert capsys.readouterr().out.splitlines() == [
        "     1.50s  stands for 45 %",
        "     2.00s  score 0.750  semantic 1.000  temporal 0.250  drop 0.500",
        "    61.25s  score 0.500  semantic 0.500",
        "    62.00s",
    ]


def test_select_json_is_one_object_with_the_documented_keys(capsys: Capture) -> None:
    assert status("select", demo_video(), "--json", "--quiet", "--max-frames", "2") == 0
    printed = capsys.readouterr()
    result = json.loads(printed.out)
    assert set(result["video"]) == {"path", "duration_seconds", "average_fps", "width", "height", "codec"}
    assert result["video"]["duration_seconds"] == pytest.approx(60.0)
    assert (result["caption"], result["caption_source"]) == (None, "none")
    assert 1 <= len(result["keyframes"]) <= 2
    for entry in result["keyframes"]:
        assert set(entry) == {"seconds", "score", "semantic", "temporal", "drop", "image"}
        assert entry["semantic"] is None and 0.0 < entry["score"] <= 1.0
    assert set(result["frame_reduction"]) == {"versus_uniform8", "versus_all"}
    assert set(result["timings"]) == {"decode", "propose", "caption", "embed", "score", "total"}
    assert result["sampled_frames"] > 100 and len(result["proposals"]) >= 5
    assert printed.err == ""


def test_demo_finds_the_hidden_event_and_writes_the_pictures(tmp_path: Path, capsys: Capture) -> None:
    assert status("demo", "--json", "--out", tmp_path / "out") == 0
    printed = capsys.readouterr()
    result = json.loads(printed.out)
    clip = demo_clips()["hidden_event.mp4"]
    assert clip.event is not None
    event = clip.scenes[clip.event]
    assert result["question"] == DEMO_QUESTION
    assert result["answer"] == "flies a kite"
    assert any(event.start <= entry["seconds"] < event.end for entry in result["keyframes"])
    assert "a man in red reads a book in the park" in result["caption"]
    assert result["model"] == "cartoon" and result["prompt_tokens"] > 0
    for entry in result["keyframes"]:
        assert Path(entry["image"]).is_file()
    names = {path.name for path in (tmp_path / "out").iterdir()}
    assert names >= {"selection.json", "contact_sheet.png", "scores.png"}
    assert "warning" not in printed.err


def test_demo_prints_the_caption_the_question_and_the_answer(capsys: Capture) -> None:
    assert status("demo", "--quiet") == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[1].startswith("caption   ") and f"question  {DEMO_QUESTION}" in lines
    assert lines[-1] == "flies a kite"


def test_caption_prints_the_key_frames_and_then_one_sentence(capsys: Capture) -> None:
    assert status("caption", WALK, "--model", "cartoon", "--quiet") == 0
    *frames, sentence = capsys.readouterr().out.splitlines()
    assert frames and all("s  stands for " in line for line in frames)
    assert "walks" in sentence


def test_ask_prints_the_same_answer_for_people_and_as_json(capsys: Capture) -> None:
    command = ("ask", WALK, "What is the person doing?", "--model", "cartoon", "--quiet")
    assert status(*command) == 0
    lines = capsys.readouterr().out.splitlines()
    assert status(*command, "--json") == 0
    result = json.loads(capsys.readouterr().out)
    assert lines[-1] == result["answer"] != ""
    assert len(lines) == len(result["keyframes"]) + 2 and lines[-2].startswith("found: ")


def test_prompts_of_ones_own_replace_those_of_the_package(tmp_path: Path, capsys: Capture) -> None:
    (tmp_path / "question.txt").write_text("Look closely at every picture. {question}")
    command = ("ask", WALK, "What is the person doing?", "--model", "cartoon", "--quiet", "--json")
    assert status(*command) == 0
    built_in = json.loads(capsys.readouterr().out)
    assert status(*command, "--prompts", tmp_path) == 0
    own = json.loads(capsys.readouterr().out)
    assert own["prompt_tokens"] > built_in["prompt_tokens"]
    assert own["visual_tokens"] == built_in["visual_tokens"]


def test_select_with_a_model_chooses_by_the_caption_that_it_writes(capsys: Capture) -> None:
    assert status("select", WALK, "--model", "cartoon", "--quiet", "--json") == 0
    result = json.loads(capsys.readouterr().out)
    assert result["caption_source"] == "generated" and "walks" in result["caption"]
    assert result["keyframes"][0]["semantic"] is not None


def test_classify_lists_the_likeliest_labels_first(capsys: Capture) -> None:
    assert status("classify", WALK, "--labels", "wave,walk,read", "--model", "cartoon", "--quiet") == 0
    assert capsys.readouterr().out.splitlines()[-3].endswith("walk")


def test_the_embedded_model_warns_outside_its_world(tmp_path: Path, capsys: Capture) -> None:
    path = tmp_path / "unsigned.mp4"
    write_clip(demo_clips()["one_walk.mp4"], path, fps=4)
    path.write_bytes(path.read_bytes().replace(b"drawn by keyframe-llm", b"filmed somewhere else"))
    assert status("select", path, "--caption", "a man walks", "--encoder", "cartoon", "--json") == 0
    printed = capsys.readouterr()
    assert printed.err.count("understand only the drawn world") == 1
    assert "understand only the drawn world" in json.loads(printed.out)["warnings"][0]


def test_a_line_of_progress_is_off_the_terminal_before_results_are_printed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    screen = Terminal()
    monkeypatch.setattr(sys, "stdout", screen)
    monkeypatch.setattr(sys, "stderr", screen)
    assert status("select", WALK) == 0
    shown = [line.rsplit("\033[K", 1)[-1] for line in screen.getvalue().strip("\n").split("\n")]
    assert STAGES["decode"] in screen.getvalue() and len(shown) >= 1
    assert all(line[:9].strip().replace(".", "").isdigit() for line in shown)


# Mistakes ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["select", "nowhere.mp4"], "nowhere.mp4"),
        (["select", "VIDEO", "--max-frames", "-2"], "max_frames is -2"),
        (["select", "VIDEO", "--gamma-time", "70"], "gamma_time is 70"),
        (["select", "VIDEO", "--seed", "-1"], "seed is -1"),
        (["select", "VIDEO", "--weights", "1,1,1"], "sum to 1"),
        (["select", "VIDEO", "--weights", "0.5,0.5"], "three numbers"),
        (["select", "VIDEO", "--weights", "many"], "'many'"),
        (["select", "VIDEO", "--fps", "fast"], "invalid float value"),
        (["select", "VIDEO", "--method", "magic"], "magic"),
        (["select", "VIDEO", "--caption", "caf\udce9"], "not valid Unicode"),
        (["select", "VIDEO", "--caption", "a dog"], "google/siglip2-base-patch16-224"),
        (["select", "VIDEO", "--caption", "a dog", "--encoder", "./none"], "./none"),
        (["select", "VIDEO", "--caption", "a dog", "--encoder", "local-dir:none"], "none"),
        (["ask", "VIDEO", "What?", "--encoder", "cartoon"], "Qwen/Qwen2.5-VL-7B-Instruct"),
        (["ask", "VIDEO", "", "--model", "cartoon"], "question is empty"),
        (["caption", "VIDEO", "--model", "no/such-model"], "no/such-model"),
        (["caption", "VIDEO", "--model", "cartoon", "--prompts", "FILE/inside"], "inside"),
        (["classify", "VIDEO", "--labels", "walk", "--model", "cartoon"], "at least two"),
        (["classify", "VIDEO", "--labels", "walk,run", "--top", "0"], "top is 0"),
        (["select", "VIDEO", "--out", "FILE/inside"], "inside"),
        (["select", "VIDEO", "--out", ""], "empty"),
        (["juggle"], "juggle"),
        ([], "COMMAND"),
    ],
)
def test_a_mistake_costs_one_line_and_status_2(
    tmp_path: Path, arguments: list[str], says: str, capsys: Capture
) -> None:
    (tmp_path / "FILE").write_text("not a folder")
    places = {"VIDEO": WALK, "FILE/inside": str(tmp_path / "FILE" / "inside")}
    given = [places.get(argument, argument) for argument in arguments]
    assert status(*given, *(["--quiet"] if len(arguments) > 1 else [])) == 2
    printed = capsys.readouterr()
    assert len(printed.err.splitlines()) == 1, printed.err
    assert printed.err.startswith("keyframe-llm: error: ") and says in printed.err
    assert printed.out == ""


def test_a_model_that_cannot_be_had_names_the_three_ways_out(capsys: Capture) -> None:
    assert status("ask", WALK, "What?", "--encoder", "cartoon", "--quiet") == 2
    printed = capsys.readouterr().err
    assert all(way in printed for way in ("local folder", "http://host:port/v1", "--model cartoon"))


def test_a_cache_folder_that_cannot_be_used_costs_one_line(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: Capture
) -> None:
    monkeypatch.setenv("KEYFRAME_LLM_CACHE", str(tmp_path / ("n" * 300)))
    assert status("cache") == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert "KEYFRAME_LLM_CACHE" in line


# The last catch ----------------------------------------------------------------------------------------


def fail(error: BaseException) -> None:
    """Work that ends with an error."""
    raise error


def test_a_fault_of_the_program_is_one_line_that_says_where_to_report_it(capsys: Capture) -> None:
    error = ZeroDivisionError("division\nby zero")
    assert exit_status(lambda: fail(error), Namespace(debug=False)) == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("keyframe-llm: a fault of the program: ZeroDivisionError: division by zero; ")
    assert "report" in line and '"Contributing"' in line and "--debug" in line


@pytest.mark.parametrize(("error", "code"), [(ZeroDivisionError("no"), 1), (VideoError("no picture"), 2)])
def test_debug_shows_the_traceback_before_the_line(error: Exception, code: int, capsys: Capture) -> None:
    assert exit_status(lambda: fail(error), Namespace(debug=True)) == code
    lines = capsys.readouterr().err.splitlines()
    assert lines[0] == "Traceback (most recent call last):" and "raise error" in "".join(lines)
    assert lines[-1].startswith("keyframe-llm: ")


def test_debug_may_stand_before_the_command_and_after_it() -> None:
    assert parser().parse_args(["--debug", "cache"]).debug is True
    assert parser().parse_args(["cache", "--debug"]).debug is True
    assert parser().parse_args(["cache"]).debug is False


def test_a_message_as_long_as_a_video_is_shortened(capsys: Capture) -> None:
    assert exit_status(lambda: fail(VideoError("x" * 100_000)), Namespace(debug=False)) == 2
    assert len(capsys.readouterr().err) < 1200


def test_an_interrupted_command_says_so_and_ends_with_status_130(capsys: Capture) -> None:
    assert exit_status(lambda: fail(KeyboardInterrupt()), Namespace(debug=True)) == 130
    assert capsys.readouterr().err == "keyframe-llm: interrupted\n"
