"""Names and texts that no machine expects: no home folder, an unknown user, bytes that are no Unicode."""

from __future__ import annotations

from pathlib import Path

import pytest

from keyframe_llm import KeyframeError, KeyframeLLM, ModelError, OptionsError, VideoError, select_keyframes
from keyframe_llm.cli import main
from keyframe_llm.errors import user_path
from keyframe_llm.index import Store
from support.encoders import ColourEncoder

NO_UNICODE = "caf\udce9"


@pytest.fixture
def no_home(monkeypatch: pytest.MonkeyPatch) -> None:
    """No home folder is known in this process."""
    for name in ("XDG_CACHE_HOME", "KEYFRAME_LLM_CACHE"):
        monkeypatch.delenv(name, raising=False)

    def unknown(path: str) -> str:
        return path

    monkeypatch.setattr("os.path.expanduser", unknown)


def test_a_path_of_the_user_is_expanded() -> None:
    assert user_path("labels", "~/x.txt") == Path.home() / "x.txt"
    assert user_path("labels", "a/~b") == Path("a/~b")


@pytest.mark.parametrize("path", ["~nobody-of-that-name/x", "~nobody-of-that-name"])
def test_the_home_of_an_unknown_user_is_one_line(path: str) -> None:
    with pytest.raises(OptionsError, match=f"^labels is '{path}', and that home folder is not known; give"):
        user_path("labels", path)


def test_without_a_home_the_cache_goes_without_and_says_so_once(flags: Path, no_home: None) -> None:
    found = select_keyframes(flags, caption="blue", encoder=ColourEncoder())
    (warning,) = found.warnings
    assert warning.startswith("nothing is kept on disk: ") and "KEYFRAME_LLM_CACHE" in warning
    assert "\n" not in warning and len(found.frames) >= 1
    llm = KeyframeLLM(encoder=ColourEncoder())
    for _ in range(2):
        assert llm.select(flags, caption="blue").warnings == found.warnings


def test_a_store_without_a_home_keeps_and_finds_nothing(no_home: None) -> None:
    store = Store()
    store.put("index-1", {"text": "x"})
    assert store.folder is None and store.get("index-1") is None
    assert store.entries() == [] and store.clear() == 0


@pytest.mark.parametrize(
    "texts",
    [{"caption": NO_UNICODE}, {"question": NO_UNICODE}],
    ids=["caption", "question"],
)
def test_a_text_that_is_not_unicode_is_one_line(flags: Path, texts: dict[str, str]) -> None:
    with pytest.raises(OptionsError, match=r"is not valid Unicode \('caf\\udce9'\); give a text") as error:
        select_keyframes(flags, encoder=ColourEncoder(), **texts)
    str(error.value).encode()
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("name", [NO_UNICODE, "~nobody-of-that-name/model", "", "a\nb", "x" * 5000, "nul\0"])
def test_a_name_of_a_model_or_encoder_that_cannot_be_is_one_line(flags: Path, name: str) -> None:
    for use in (
        lambda: select_keyframes(flags, caption="red", encoder=name),
        lambda: KeyframeLLM(name, ColourEncoder()).ask(flags, "Is it red?"),
    ):
        with pytest.raises((ModelError, OptionsError)) as error:
            use()
        assert "\n" not in str(error.value)
        str(error.value).encode()


@pytest.mark.parametrize("name", [NO_UNICODE, "~nobody-of-that-name/v.mp4", "", "x" * 5000, "nul\0"])
def test_a_name_of_a_video_that_cannot_be_is_one_line(name: str) -> None:
    with pytest.raises((VideoError, OptionsError)) as error:
        select_keyframes(name)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    "arguments",
    [
        ["--caption", NO_UNICODE, "--encoder", "cartoon"],
        ["--out", "nul\0"],
        ["--out", "~nobody-of-that-name/out"],
        ["--prompts", "~nobody-of-that-name/prompts"],
        ["--prompts", NO_UNICODE],
    ],
    ids=lambda arguments: repr(arguments[:2]),
)
def test_the_command_prints_one_line_for_each(
    arguments: list[str],
    flags: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    monkeypatch.chdir(tmp_path)
    try:
        status = main(["select", str(flags), "--quiet", *arguments])
    except SystemExit as end:
        status = int(end.code or 0)
    lines = [line for line in capsys.readouterr().err.splitlines() if "error: " in line]
    assert status == 2 and len(lines) == 1
    assert list(tmp_path.iterdir()) == []


def test_all_errors_are_of_one_family() -> None:
    assert all(issubclass(kind, KeyframeError) for kind in (ModelError, OptionsError, VideoError))
    assert issubclass(OptionsError, ValueError)
