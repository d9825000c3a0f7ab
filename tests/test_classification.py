"""Zero-shot classification: labels as data sets write them, and the three ways to judge them."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest

from keyframe_llm import KeyframeLLM, ModelError, OptionsError
from keyframe_llm.classification import embed_labels, label_words, parse_labels, read_labels
from keyframe_llm.cli import main
from keyframe_llm.encoders import load_encoder
from keyframe_llm.messages.prompts import frame_messages, prompt
from keyframe_llm.prompts import default_prompts
from keyframe_llm.vlm import load_vlm
from support.vlms import Answers

Checkpoint = Callable[[str], Path]
DATA = os.environ.get("KEYFRAME_LLM_TEST_DATA")


@pytest.mark.parametrize(
    ("labels", "words"),
    [
        (  # UCF101
            ["ApplyEyeMakeup", "YoYo", "Archery", "CleanAndJerk", "HandstandPushups", "TaiChi"],
            ["apply eye makeup", "yo yo", "archery", "clean and jerk", "handstand pushups", "tai chi"],
        ),
        (["brush_hair", "kick_ball", "sit"], ["brush hair", "kick ball", "sit"]),  # HMDB51
        (  # Kinetics
            ["passing American football (in game)", "massaging person's head", "tai chi", "abseiling"],
            ["passing American football (in game)", "massaging person's head", "tai chi", "abseiling"],
        ),
        (["WatchTV", "TVNews", "Running"], ["watch TV", "TV news", "running"]),
        (["Paris", "London"], ["Paris", "London"]),  # names, not CamelCase
        (["sit_up", "sit up"], ["sit_up", "sit up"]),  # the same words: told apart by their spelling
    ],
)
def test_labels_of_data_sets_become_words(labels: list[str], words: list[str]) -> None:
    assert label_words(labels) == words


@pytest.mark.parametrize(
    ("text", "labels"),
    [
        ("1 ApplyEyeMakeup\n2 ApplyLipstick\n3 Archery\n", ["ApplyEyeMakeup", "ApplyLipstick", "Archery"]),
        ("id,name\n0,abseiling\n1,air drumming\n", ["abseiling", "air drumming"]),
        ("# mine\nbrush_hair\n\n  catch \nbrush_hair\n", ["brush_hair", "catch"]),
        ("\ufeff3 point shot\nrun\n", ["3 point shot", "run"]),  # a number that is part of a name
        ('"playing cards"\n"tai chi"\n', ["playing cards", "tai chi"]),
    ],
)
def test_label_files_are_read_as_data_sets_ship_them(text: str, labels: list[str], tmp_path: Path) -> None:
    (tmp_path / "labels.txt").write_text(text, encoding="utf-8")
    assert read_labels(tmp_path / "labels.txt") == parse_labels(f"@{tmp_path / 'labels.txt'}") == labels
    assert parse_labels("walk, wave,walk") == ["walk", "wave"]


@pytest.mark.skipif(DATA is None, reason="KEYFRAME_LLM_TEST_DATA names no folder of data")
@pytest.mark.parametrize(
    ("name", "count", "label", "words"),
    [
        ("hmdb51.txt", 51, "brush_hair", "brush hair"),
        ("ucf101.txt", 101, "ApplyEyeMakeup", "apply eye makeup"),
        ("k400.txt", 400, "air drumming", "air drumming"),
    ],
)
def test_the_names_of_whole_data_sets_are_taken_as_they_are(
    name: str, count: int, label: str, words: str
) -> None:
    path = Path(str(DATA)) / "annotations" / "labels" / name
    labels = read_labels(path)
    assert labels == path.read_text(encoding="utf-8").split("\n")[:count] and len(labels) == count
    found = label_words(labels)
    assert len(set(found)) == count and found[labels.index(label)] == words
    assert not [word for word in found if "_" in word or re.search("[a-z][A-Z]", word)]


def test_a_label_file_that_cannot_be_used_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "one.txt").write_text("walk\n")
    (tmp_path / "bytes.txt").write_bytes(b"\xff\xfe\x00walk")
    for name, says in (
        ("none.txt", "cannot be read"),
        ("one.txt", "at least two"),
        ("bytes.txt", "cannot be"),
    ):
        with pytest.raises(OptionsError, match=says):
            parse_labels(f"@{tmp_path / name}")


@pytest.mark.parametrize("colour", ["red", "green", "blue"])
def test_the_encoder_finds_the_label_that_the_frames_show(
    flags: Path, videos: ModuleType, colour: str
) -> None:
    """Only the frames count: the caption chooses them, and the label is what they show."""
    encoder = videos.ColourEncoder()
    labels = ["RedFlag", "GreenFlag", "BlueFlag"]
    llm = KeyframeLLM(model="no/such-model", encoder=encoder)
    result = llm.classify(flags, labels, by="encoder", caption=colour, max_frames=1)
    assert result.label == f"{colour.title()}Flag" and result.by == "encoder"
    assert list(result.probabilities.values()) == sorted(result.probabilities.values(), reverse=True)
    assert sum(result.probabilities.values()) == pytest.approx(1.0)
    assert [label for label, _ in result.top(2)] == list(result.probabilities)[:2]
    texts = len(encoder.texts)
    llm.classify(flags, labels, by="encoder", caption=colour, max_frames=1)
    assert len(encoder.texts) == texts + 1  # the caption alone; the labels' embeddings are kept


def test_the_encoders_shares_are_the_softmax_of_mean_template_cosines(
    flags: Path, checkpoint: Checkpoint
) -> None:
    encoder = load_encoder(str(checkpoint("clip")))
    labels = ["walk", "kick_ball", "sit", "play guitar"]
    result = KeyframeLLM(encoder=encoder).classify(flags, labels, by="encoder")
    pictures = encoder.embed_images(result.selection.frames.images).mean(axis=0)
    pictures /= np.linalg.norm(pictures)
    templates = default_prompts().lines("action_templates")
    logits = []
    for word in ("walk", "kick ball", "sit", "play guitar"):
        row = encoder.embed_texts([one.format(word) for one in templates]).mean(axis=0)
        logits.append(100 * row @ pictures / np.linalg.norm(row))
    wanted = np.exp(logits - max(logits)) / np.exp(logits - max(logits)).sum()
    assert [result.probabilities[label] for label in labels] == pytest.approx(wanted.tolist(), abs=1e-4)
    assert result.selection.caption_source == "none"  # no Video-LLM was loaded to write one


@pytest.mark.parametrize("normalise", ["mean", "sum"])
def test_400_labels_are_judged_by_likelihood_at_the_cost_of_few_forward_passes(
    flags: Path, checkpoint: Checkpoint, normalise: Any
) -> None:
    vlm: Any = load_vlm(str(checkpoint("qwen2_5_vl")), dtype="float32", max_image_tokens=16)
    labels = [f"{verb}_{thing}" for verb in ("walk", "kick", "climb", "read") for thing in range(100)]
    passes = 0

    def count(*_: Any) -> None:
        nonlocal passes
        passes += 1

    hook = vlm._model.register_forward_hook(count)
    llm = KeyframeLLM(model=vlm)
    try:
        result = llm.classify(flags, labels, generate_caption=False, normalise=normalise)
    finally:
        hook.remove()
    assert passes <= 1 + 400 / 16 + 1
    words = [label.replace("_", " ") for label in labels]
    messages = frame_messages(result.selection.frames, prompt("classify"))
    likely = vlm.label_log_likelihoods(messages, words, normalise=normalise)
    assert result.label == labels[int(np.argmax(likely))]
    read = np.log([result.probabilities[label] for label in labels])
    np.testing.assert_allclose(read - read[0], likely - likely[0], atol=1e-4)


@pytest.mark.parametrize(
    "answer", ["brush hair", "Brush hair.", "The person is doing: Brush-Hair!", "brush_hair"]
)
def test_an_answer_is_matched_against_the_labels(flags: Path, answer: str) -> None:
    model: Any = Answers(answer)
    labels = ["brush_hair", "brush", "kick_ball"]
    result = KeyframeLLM(model=model).classify(flags, labels, by="answer", generate_caption=False)
    assert (result.label, result.probabilities, result.by) == ("brush_hair", {}, "answer")
    assert "brush hair; brush; kick ball" in model.texts[-1]


@pytest.mark.parametrize(
    ("answer", "says"), [("dancing", "names none"), ("walk or run", "names several"), ("", "names none")]
)
def test_an_answer_that_is_no_label_is_an_error(flags: Path, answer: str, says: str) -> None:
    model: Any = Answers(answer)
    with pytest.raises(ModelError, match=says):
        KeyframeLLM(model=model).classify(flags, ["walk", "run"], by="answer", generate_caption=False)


def test_options_of_classification_are_checked(flags: Path, videos: ModuleType) -> None:
    llm = KeyframeLLM(encoder=videos.ColourEncoder())
    with pytest.raises(OptionsError, match="by is 'guess'"):
        llm.classify(flags, ["walk", "run"], by="guess")
    with pytest.raises(OptionsError, match=r"templates are"):
        llm.classify(flags, ["walk", "run"], by="encoder", templates=["a video"])
    with pytest.raises(OptionsError, match=r"templates are"):
        embed_labels(videos.ColourEncoder(), ["walk"], "a video of {}")


def test_the_command_reads_a_file_of_labels_and_prints_the_top_ones(
    flags: Path, checkpoint: Checkpoint, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "classInd.txt").write_text("1 ApplyEyeMakeup\n2 Archery\n3 YoYo\n")
    command = [
        "classify",
        str(flags),
        "--labels",
        f"@{tmp_path / 'classInd.txt'}",
        "--by",
        "encoder",
        "--quiet",
    ]
    command += ["--encoder", str(checkpoint("clip")), "--top", "2"]
    assert main([*command, "--json"]) == 0
    printed = json.loads(capsys.readouterr().out)
    assert set(printed["probabilities"]) < {"ApplyEyeMakeup", "Archery", "YoYo"}
    assert len(printed["probabilities"]) == 2 and printed["label"] == next(iter(printed["probabilities"]))
    assert printed["by"] == "encoder" and printed["model"] == str(checkpoint("clip"))
    assert main(command) == 0
    assert capsys.readouterr().out.splitlines()[-2].endswith(printed["label"])
    assert main([*command[:-1], "0"]) == 2
