"""The four seams and the prompts: a user's own selector, Video-LLM, encoder, decoder and texts."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from keyframe_llm import KeyframeLLM, ModelError, OptionsError, SelectOptions, VideoIndex, select_keyframes
from keyframe_llm.index import Indexer, Store
from keyframe_llm.prompts import Prompts, default_prompts
from keyframe_llm.video import SimpleDecoder, open_video
from keyframe_llm.video.pyav_backend import PyAVDecoder
from support.encoders import ColourEncoder, KnownColours
from support.videos import flag_at
from support.vlms import Answers, Counts

# Selector -----------------------------------------------------------------------------------------------


def last(index: VideoIndex, texts: Any, k: int) -> Any:
    """The last k candidates, whatever the text."""
    return np.arange(len(index.candidates) - k, len(index.candidates))


def test_a_function_chooses_and_is_called_by_its_name(flags: Path) -> None:
    for texts in ({}, {"caption": "red"}):
        found = select_keyframes(flags, method=last, encoder=ColourEncoder(), max_frames=2, **texts)
        np.testing.assert_array_equal(found.chosen, len(found.proposals) - 2 + np.arange(2))
        assert found.method == "last"


def test_a_function_is_given_the_texts_in_parts_and_the_budget(flags: Path) -> None:
    calls: list[tuple[Any, int]] = []

    def watching(index: VideoIndex, texts: Any, k: int) -> list[int]:
        calls.append((texts, k))
        return [0]

    select_keyframes(flags, method=watching, max_frames=2)
    select_keyframes(flags, method=watching, caption="red. blue sky", encoder=ColourEncoder())
    (none, two), (rows, three) = calls
    assert none is None and (two, three) == (2, 3) and rows.shape[1] == 3


@pytest.mark.parametrize("kind", [list, tuple, set, np.array, iter])
def test_a_function_may_return_its_indices_in_any_collection(flags: Path, kind: Callable[..., Any]) -> None:
    found = select_keyframes(flags, method=lambda index, texts, k: kind([3, 1]))
    assert found.chosen.tolist() == [1, 3]


@pytest.mark.parametrize(
    "wrong",
    [
        [],
        None,
        5,
        "12",
        [-1],
        [10_000],
        [0.0, 1.0],
        [True],
        [0, 1, 2, 3],
        [[0, 1]],
        [[0], [1, 2]],
        np.array([np.nan]),
        [None, 1],
    ],
    ids=repr,
)
def test_what_is_not_a_few_indices_is_refused_in_one_line(flags: Path, wrong: Any) -> None:
    def broken(index: VideoIndex, texts: Any, k: int) -> Any:
        return wrong

    with pytest.raises(
        OptionsError, match=r"the selector 'broken' returned .*; return 1 to 3 indices"
    ) as error:
        select_keyframes(flags, method=broken)
    assert "\n" not in str(error.value)


def test_a_rule_of_its_own_refuses_a_threshold(flags: Path) -> None:
    with pytest.raises(OptionsError, match="'last' has a rule of its own; leave out threshold"):
        select_keyframes(flags, method=last, threshold=0.5)


# Video-LLM ----------------------------------------------------------------------------------------------


def test_an_object_with_generate_alone_does_all_there_is_to_do(flags: Path) -> None:
    llm = KeyframeLLM(Counts(), ColourEncoder())
    answer = llm.ask(flags, "Is it red?", max_frames=2)
    shown = len(answer.selection.frames)
    assert answer.text == f"{shown} pictures" and answer.model == "Counts"
    assert (answer.prompt_tokens, answer.visual_tokens, answer.default_sampling) == (None, None, None)
    assert llm.caption(flags, max_frames=1).text == "1 pictures"
    selection, pieces = llm.stream(flags, "Is it red?", max_frames=2)
    assert list(pieces) == [answer.text] and len(selection.frames) == shown
    many = llm.ask_many(flags, ["Is it red?", "Is it blue?"], max_frames=1)
    assert [one.text for one in many] == ["1 pictures"] * 2


def test_its_answer_classifies_and_what_it_cannot_do_is_said(flags: Path) -> None:
    model = Answers("It waves.")
    llm = KeyframeLLM(model, ColourEncoder())
    result = llm.classify(flags, ["wave", "waves"], by="answer", generate_caption=False)
    assert result.label == "waves" and result.model == "Answers"
    with pytest.raises(ModelError, match="the model Answers has no label_log_likelihoods") as error:
        llm.classify(flags, ["walk", "wave"], generate_caption=False)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("method", ["moments", "aks", "uniform"])
def test_a_caption_is_written_first_whatever_the_method(flags: Path, method: str) -> None:
    """A selector that needs a text has none yet: the caption's own frames are chosen by the default."""
    llm = KeyframeLLM(Answers("a blue flag"), ColourEncoder())
    found = llm.select(flags, generate_caption=True, method=method)
    assert (found.caption, found.caption_source, found.method) == ("a blue flag", "generated", method)


def test_its_errors_are_its_own(flags: Path) -> None:
    class Broken:
        def generate(self, messages: Any) -> str:
            raise ZeroDivisionError("not today")

    with pytest.raises(ZeroDivisionError, match="not today"):
        KeyframeLLM(Broken(), ColourEncoder()).ask(flags, "Is it red?")


# Encoder ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("kind", "kept"), [(KnownColours, True), (ColourEncoder, False)])
def test_embeddings_are_kept_on_disk_for_an_encoder_with_an_identity(
    flags: Path, kind: type[ColourEncoder], kept: bool
) -> None:
    first, second = kind(), kind()
    one = Indexer(first, store=Store()).select(flags, SelectOptions(), caption="blue")
    two = Indexer(second, store=Store()).select(flags, SelectOptions(), caption="blue")
    assert first.images_seen > 0 and (second.images_seen == 0) is kept
    np.testing.assert_array_equal(one.seconds, two.seconds)
    np.testing.assert_allclose(one.scores.total, two.scores.total, atol=1e-6)
    kinds = [entry.kind for entry in Store().entries()]
    assert ("embeddings" in kinds) is ("neutral" in kinds) is kept


def test_another_identity_is_another_encoder(flags: Path) -> None:
    class Newer(KnownColours):
        identity = "three colours, version 2"

    newer = Newer()
    for encoder in (KnownColours(), newer):
        select_keyframes(flags, caption="blue", encoder=encoder)
    assert newer.images_seen > 0


# Decoder ------------------------------------------------------------------------------------------------


def test_a_function_opens_the_video(flags: Path) -> None:
    opened: list[str] = []

    def mine(path: str) -> PyAVDecoder:
        opened.append(path)
        return PyAVDecoder(path)

    found = select_keyframes(flags, caption="blue", encoder=ColourEncoder(), backend=mine)
    usual = select_keyframes(flags, caption="blue", encoder=ColourEncoder())
    assert opened == [str(flags)] and found.seconds.tolist() == usual.seconds.tolist()


def test_a_decoder_of_one_method_is_enough(flags: Path) -> None:
    class Shifted(SimpleDecoder):
        """The frames of another decoder, with red and blue exchanged."""

        def __init__(self, path: str) -> None:
            super().__init__()
            with open_video(path) as decoder:
                self.info = decoder.info
                self._frames = decoder.decode_at(np.arange(0, 30, 0.5).tolist())

        def read(self, from_seconds: float) -> Any:
            for second, image in zip(self._frames.seconds, self._frames.images, strict=True):
                yield float(second), image[..., ::-1]

    found = select_keyframes(flags, caption="red", encoder=ColourEncoder(), backend=Shifted, max_frames=1)
    assert flag_at(float(found.seconds[0])) == "blue"


def test_what_is_no_decoder_is_named(flags: Path) -> None:
    with pytest.raises(OptionsError, match=r"returned a object without .*; return a Decoder"):
        select_keyframes(flags, backend=lambda path: object())


# Prompts ------------------------------------------------------------------------------------------------


def test_a_folder_replaces_the_prompts_file_by_file(flags: Path, tmp_path: Path) -> None:
    (tmp_path / "question.txt").write_text("Watch closely. {question} Be brief.\n", encoding="utf-8")
    model = Answers("red")
    llm = KeyframeLLM(model, ColourEncoder(), prompts=tmp_path)
    llm.ask(flags, "What {question} is {it}?")
    llm.caption(flags)
    assert model.texts == [
        "Watch closely. What {question} is {it}? Be brief.",
        default_prompts().text("caption"),
    ]


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("captoin.txt", b"Describe it.", "hold captoin.txt, which is no prompt; the files are action_templ"),
        ("question.txt", b"Answer it.", r"question.txt lacks \{question\}; add it"),
        ("choose.txt", b"Which?", r"choose.txt lacks \{labels\}; add it"),
        ("caption.txt", b"  \n", "caption.txt lacks any text; add it"),
        ("caption.txt", b"\xff\xfe", "caption.txt cannot be read"),
    ],
)
def test_a_prompt_that_cannot_be_used_is_one_line(
    tmp_path: Path, name: str, content: bytes, message: str
) -> None:
    (tmp_path / name).write_bytes(content)
    for use in (Prompts, lambda folder: KeyframeLLM("cartoon", prompts=folder)):
        with pytest.raises(OptionsError, match=message) as error:
            use(tmp_path)
        assert "\n" not in str(error.value)


def test_a_folder_of_prompts_that_is_none_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(OptionsError, match=r"nowhere' is no folder; give one with files of prompts"):
        Prompts(tmp_path / "nowhere")
