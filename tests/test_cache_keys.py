"""What keys on disk are made of: the very objects that a stage was given, and the texts that shaped it."""

from __future__ import annotations

from dataclasses import Field, dataclass, fields
from pathlib import Path
from typing import Any, get_args, get_origin

import pytest

from keyframe_llm import KeyframeLLM, SelectOptions, select_keyframes
from keyframe_llm.encoders import load_encoder
from keyframe_llm.index import Indexer, Store
from keyframe_llm.index.indexer import video_key
from keyframe_llm.options import (
    ChooseOptions,
    DecodeOptions,
    ProposeOptions,
    ScoreOptions,
    option_type,
)
from support.encoders import KnownColours

RULES_OF_THEIR_OWN = {"weights": (1.0, 0.0, 0.0), "exclude_seconds": (3.0,), "method": "top-k"}
"""Values of the fields for which the type alone gives none that differs and is in range."""


def other_value(stage: type, each: Field[Any]) -> Any:
    """A value of this option that is in range and not its default."""
    kind, _ = option_type(stage, each.name)
    if each.name in RULES_OF_THEIR_OWN:
        return RULES_OF_THEIR_OWN[each.name]
    if each.name == "backend":
        return "decord"
    if get_origin(kind) is not None and isinstance(get_args(kind)[0], str):
        return next(name for name in reversed(get_args(kind)) if name != each.default)
    if kind is bool:
        return not each.default
    if kind is str:
        return "cuda"
    low = float(each.metadata["low"])
    return kind((low if each.default is None else each.default) + 1)


def cases(*stages: type) -> list[Any]:
    """(flat name, other value) of every option of these stages."""
    return [pytest.param(f.name, other_value(s, f), id=f.name) for s in stages for f in fields(s)]


def index_keys(path: Path, options: SelectOptions) -> tuple[object, object]:
    """The keys of an index in memory and on disk."""
    indexer = Indexer(store=Store())
    return video_key(path, options), indexer._kept.key(str(path), options, pictures=False)


@pytest.mark.parametrize(("name", "value"), cases(DecodeOptions, ProposeOptions))
def test_every_option_of_decoding_and_proposing_makes_another_index(
    flags: Path, name: str, value: Any
) -> None:
    before, after = index_keys(flags, SelectOptions()), index_keys(flags, SelectOptions(**{name: value}))
    assert before[0] != after[0] and before[1] != after[1]
    assert index_keys(flags, SelectOptions(**{name: value})) == after


@pytest.mark.parametrize(
    ("name", "value"),
    [case for case in cases(ScoreOptions, ChooseOptions) if case.id != "method"],
)
def test_no_option_of_scoring_and_choosing_makes_another_index(flags: Path, name: str, value: Any) -> None:
    assert index_keys(flags, SelectOptions(**{name: value})) == index_keys(flags, SelectOptions())


def test_a_method_makes_another_index_only_where_it_asks_for_other_candidates(flags: Path) -> None:
    usual, top_k = index_keys(flags, SelectOptions()), index_keys(flags, SelectOptions(method="top-k"))
    assert usual[1] != top_k[1]
    assert index_keys(flags, SelectOptions(method="aks")) == top_k
    assert index_keys(flags, SelectOptions(method="katna"))[1] != top_k[1]  # it needs the sharpness


@dataclass(frozen=True, slots=True, kw_only=True)
class DecodeMore(DecodeOptions):
    """The options of decoding with one that the package has never heard of."""

    deinterlace: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class ProposeMore(ProposeOptions):
    """The options of proposing with one that the package has never heard of."""

    shuffle: int = 0


def test_a_new_option_is_part_of_the_key_by_being_a_field(flags: Path) -> None:
    for stage, name, values in (
        (DecodeMore, "deinterlace", (False, True)),
        (ProposeMore, "shuffle", (0, 1)),
    ):
        part = "decode" if stage is DecodeMore else "propose"
        one, two, same = (
            index_keys(flags, SelectOptions(**{part: stage(**{name: value})}))
            for value in (values[0], values[1], values[0])
        )
        assert one[0] != two[0] and one[1] != two[1] and one == same


def test_the_entry_that_is_written_has_that_key(flags: Path) -> None:
    store = Store()
    for deinterlace in (False, True, False):
        Indexer(store=store).index(flags, SelectOptions(decode=DecodeMore(deinterlace=deinterlace)))
    assert [entry.kind for entry in store.entries()].count("index") == 2


def folder_with(folder: Path, name: str, text: str) -> Path:
    folder.mkdir(exist_ok=True)
    (folder / name).write_text(text, encoding="utf-8")
    return folder


def test_another_prompt_makes_another_caption(flags: Path, tmp_path: Path) -> None:
    class Writer:
        identity = "writer 1"

        def __init__(self) -> None:
            self.prompts: list[str] = []

        def generate(self, messages: Any) -> str:
            self.prompts.append(messages[0]["content"][-1]["text"])
            return f"a caption for {self.prompts[-1]!r}"

    one = folder_with(tmp_path / "one", "caption.txt", "Tell me all.")
    writer = Writer()
    first = KeyframeLLM(writer, prompts=one).caption(flags)
    assert KeyframeLLM(writer, prompts=one).caption(flags).text == first.text
    assert writer.prompts == ["Tell me all."]
    folder_with(one, "caption.txt", "Be brief.")
    assert KeyframeLLM(writer, prompts=one).caption(flags).text != first.text
    assert writer.prompts == ["Tell me all.", "Be brief."]


def test_other_neutral_texts_make_another_baseline(flags: Path, tmp_path: Path) -> None:
    def baselines() -> int:
        return [entry.kind for entry in Store().entries()].count("neutral")

    neutral = folder_with(tmp_path / "own", "neutral.txt", "red\nsomething\n")
    seen = []
    for prompts in (None, None, neutral, neutral):
        found = select_keyframes(flags, caption="red", encoder=KnownColours(), prompts=prompts)
        seen.append(found.scores.raw.semantic.tolist())
    assert baselines() == 2
    assert seen[0] == seen[1] != seen[2] == seen[3]


def test_the_indexes_of_two_encoders_that_want_one_size_are_one(flags: Path) -> None:
    """An index holds no embedding: those are entries of their own."""
    store = Store()
    Indexer(KnownColours(), store=store).index(flags, SelectOptions(), embed=True)
    Indexer(load_encoder("cartoon"), store=store).index(flags, SelectOptions())
    kinds = [entry.kind for entry in store.entries()]
    # Those that cover the video, and those that wait for a text; with pictures, and without.
    assert kinds.count("embeddings") == 2 and kinds.count("index") == 2
