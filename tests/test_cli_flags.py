"""The flags: one for every option of the library, made from the options' own fields."""

from __future__ import annotations

import argparse
from dataclasses import Field, dataclass, field, fields
from typing import Any, Literal, get_args, get_origin

import pytest

from keyframe_llm.cli import main, parser
from keyframe_llm.cli.flags import add_fields
from keyframe_llm.cli.llm import select_options
from keyframe_llm.demos.videos import demo_video
from keyframe_llm.options import SelectOptions, option_fields, option_type
from keyframe_llm.scoring.selectors import selector_names
from keyframe_llm.tools.limits import Limits

COMMANDS = {
    "select": ["select", "v.mp4"],
    "ask": ["ask", "v.mp4", "What is it?"],
    "caption": ["caption", "v.mp4"],
    "classify": ["classify", "v.mp4", "--labels", "walk,run"],
    "demo": ["demo"],
}
OPTIONS = option_fields()
RANGED = [name for name, (_, each) in OPTIONS.items() if each.metadata.get("low") is not None]


def flag(name: str) -> str:
    """The flag of an option."""
    return f"--{name.replace('_', '-')}"


def another_value(name: str) -> Any:
    """A value that the option allows and that is not its default."""
    stage, each = OPTIONS[name]
    hint = option_type(stage, name)[0]
    kinds = [hint, *get_args(hint)]
    if name in ("weights", "exclude_seconds"):
        return {"weights": (0.25, 0.5, 0.25), "exclude_seconds": (1.0, 2.5)}[name]
    if name == "method":
        return next(method for method in selector_names() if method != each.default)
    if bool in kinds:
        return not each.default
    for kind in kinds:
        if get_origin(kind) is Literal:
            return next(choice for choice in get_args(kind) if choice != each.default)
    if int in kinds or float in kinds:
        return _another_number(each, int if int in kinds else float)
    return "another"


def _another_number(each: Field[Any], kind: type[int] | type[float]) -> float:
    low, high = each.metadata["low"], each.metadata["high"]
    value = kind(min(low + 3, (low + high) / 2))
    return value if value != each.default else kind(value + 1)


def written(value: Any) -> list[str]:
    """The value of a flag as it is written on a command line."""
    if value is True:
        return []
    return [",".join(map(str, value)) if isinstance(value, tuple) else str(value)]


@pytest.mark.parametrize("command", COMMANDS)
@pytest.mark.parametrize("name", OPTIONS)
def test_every_option_is_a_flag_and_arrives(name: str, command: str) -> None:
    value = another_value(name)
    given = [f"--no-{flag(name)[2:]}"] if value is False else [flag(name), *written(value)]
    options = select_options(parser().parse_args([*COMMANDS[command], *given]))
    assert options == SelectOptions(**{name: value})
    assert getattr(options, name) == value != OPTIONS[name][1].default


@pytest.mark.parametrize("command", COMMANDS)
def test_without_flags_the_options_are_the_librarys_defaults(command: str) -> None:
    assert select_options(parser().parse_args(COMMANDS[command])) == SelectOptions()


def test_a_preset_gives_way_to_flags() -> None:
    args = parser().parse_args(["select", "v.mp4", "--preset", "paper", "--weights", "1,0,0"])
    assert select_options(args) == SelectOptions.paper(weights=(1.0, 0.0, 0.0))


@pytest.mark.parametrize("name", RANGED)
def test_a_value_out_of_range_is_one_line_and_status_2(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    value = OPTIONS[name][1].metadata["low"] - 1
    wrong = f"{value},0,1" if name == "weights" else str(value)
    assert main(["select", str(demo_video("one_walk.mp4")), f"{flag(name)}={wrong}", "--quiet"]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("keyframe-llm: error: ") and f"{name} is {value}" in line


@pytest.mark.parametrize("name", ["backend", "method"])
def test_an_option_that_may_be_a_function_takes_only_names_here(
    name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as end:
        main(["select", "v.mp4", flag(name), "my_module.function"])
    assert end.value.code == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert "my_module.function" in line and str(OPTIONS[name][1].default) in line


@pytest.mark.parametrize("command", COMMANDS)
def test_the_help_of_a_command_explains_every_option(
    command: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("COLUMNS", "1000")
    with pytest.raises(SystemExit):
        main([command, "--help"])
    text = " ".join(capsys.readouterr().out.split())
    for name, (_, each) in OPTIONS.items():
        assert flag(name) in text
        assert " ".join(each.metadata["help"].split()).rstrip(".") in text


@pytest.mark.parametrize("name", ["select", "caption", "ask", "classify", "batch", "chat", "mcp"])
def test_every_command_with_a_video_llm_says_how_it_is_asked(name: str) -> None:
    needed = {"batch": ["v.mp4", "--out", "rows"]}.get(name, COMMANDS.get(name, [name])[1:])
    args = parser().parse_args(
        [name, *needed, "--layout", "sheet", "--frames-as", "images", "--prompts", "own", "--device", "cpu"]
    )
    assert (args.layout, args.frames_as, args.prompts.name, args.device) == ("sheet", "images", "own", "cpu")


@dataclass(frozen=True)
class Own:
    """Options that stand for those of the library, with help that is known here."""

    size: int = field(default=7, metadata={"help": "How big.", "low": 1, "high": 9, "above": False})
    speed: float = field(default=2.0, metadata={"help": "How fast.", "low": 0, "high": 50.5, "above": True})
    weight: float | None = field(default=None, metadata={"help": "50 % is half.", "low": 0})
    kind: Literal["a", "b"] | None = field(default=None, metadata={"help": "Which."})
    hurry: bool = field(default=False, metadata={"help": "At once."})
    seen: tuple[float, ...] = field(default=(), metadata={"help": "Seen.", "low": 0, "metavar": "S,S,…"})
    first: int = field(default=0, metadata={"help": "Which first.", "low": 0})


def test_ranges_and_defaults_appear_in_the_help(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "1000")
    command = argparse.ArgumentParser()
    add_fields(command, Own)
    lines = [" ".join(line.split()) for line in command.format_help().splitlines()]
    for line in (
        "--size N How big (1 to 9; default 7)",
        "--speed X How fast (above 0, up to 50.5; default 2)",
        "--weight X 50 % is half (at least 0)",
        "--kind {a,b} Which",
        "--hurry At once",
        "--seen S,S,… Seen (at least 0)",
        "--first N Which first (at least 0; default 0)",
    ):
        assert line in lines


def test_flags_that_are_not_given_leave_nothing_behind() -> None:
    command = argparse.ArgumentParser()
    add_fields(command, Own)
    assert vars(command.parse_args([])) == {}
    assert vars(command.parse_args(["--seen", "1,2.5", "--hurry"])) == {"seen": (1.0, 2.5), "hurry": True}


def test_the_limits_of_the_agent_server_are_flags_with_the_fields_own_words(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    args = parser().parse_args(["mcp", "--max-frames", "4", "--timeout-seconds", "1.5"])
    names = {each.name for each in fields(Limits)}
    assert {n: v for n, v in vars(args).items() if n in names} == {"max_frames": 4, "timeout_seconds": 1.5}
    monkeypatch.setenv("COLUMNS", "1000")
    with pytest.raises(SystemExit):
        main(["mcp", "--help"])
    text = " ".join(capsys.readouterr().out.split())
    assert "The longest video that is opened" in text
    for each in fields(Limits):
        assert f"{flag(each.name)} " in text and f"(default {int(each.default)})" in text
