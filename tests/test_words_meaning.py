"""What compares a text with words by meaning, a reader of one's own, and speech that the subtitles hold."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from keyframe_llm import select_keyframes
from keyframe_llm.cli import main
from keyframe_llm.errors import OptionsError
from keyframe_llm.options import WordOptions
from keyframe_llm.words import Cue
from keyframe_llm.words.cleaning import without_repeated_speech
from support.words import film

LINES = [(1.0, 2.0, "Good morning."), (3.0, 4.0, "It is due on Friday."), (5.0, 6.0, "We walk the dog.")]


@pytest.fixture(scope="module")
def text_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A text model in the real format, for which a deadline is what is due, and hounds are dogs."""
    from sentence_transformers import SentenceTransformer
    from sentence_transformers.sentence_transformer.modules import StaticEmbedding
    from tokenizers import Tokenizer
    from tokenizers.models import WordLevel
    from tokenizers.normalizers import Lowercase
    from tokenizers.pre_tokenizers import Whitespace

    alike = [("deadline", "due", "friday"), ("hound", "dog", "walk"), ("morning", "good")]
    words = [word for group in alike for word in group]
    tokenizer = Tokenizer(WordLevel({word: i for i, word in enumerate(["?", *words])}, unk_token="?"))
    tokenizer.normalizer, tokenizer.pre_tokenizer = Lowercase(), Whitespace()
    rows = np.zeros((len(words) + 1, 8), np.float32)
    rows[:, 7] = 0.05
    for i, word in enumerate(words, start=1):
        rows[i, next(k for k, group in enumerate(alike) if word in group)] = 1
    folder = tmp_path_factory.mktemp("text-model")
    SentenceTransformer(modules=[StaticEmbedding(tokenizer, embedding_weights=rows)]).save(str(folder))
    return folder


@pytest.fixture
def clip(tmp_path: Path) -> Path:
    return film(tmp_path / "clip.mkv", 8, subtitles=[(LINES, "eng", True)])


def test_a_text_encoder_finds_what_is_said_in_other_words(
    clip: Path, text_model: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    asked = ["transcript", str(clip), "--query", "deadline", "--top", "1", "--format", "json", "--quiet"]
    assert main(asked) == 0
    assert json.loads(capsys.readouterr().out)["cues"] == []
    assert main([*asked, "--text-encoder", str(text_model)]) == 0
    (found,) = json.loads(capsys.readouterr().out)["cues"]
    assert found["text"] == "It is due on Friday."
    chosen = {
        name: select_keyframes(
            clip, question="deadline?", encoder="cartoon", text_encoder=name, max_frames=2, cache=False
        ).word_matches
        for name in (None, str(text_model))
    }
    assert chosen[None] == () and len(chosen[str(text_model)]) == 1


def test_a_text_encoder_that_cannot_be_had_is_one_line(
    clip: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    given = ["transcript", str(clip), "--query", "x", "--quiet", "--text-encoder", str(clip.parent)]
    assert main(given) == 2
    said = capsys.readouterr().err.strip()
    assert "\n" not in said and "give a local folder or the hub id of a text model" in said
    for options, line in (
        ({"text_encoder": 3}, r"^text_encoder is 3; give the name of a text model, or an object with embed"),
        ({"text_encoder": ""}, r"^text_encoder is ''; give the name of a text model, or leave it out"),
        ({"read_screen": 1}, r"^read_screen is 1; give True, False, or an object with read"),
    ):
        with pytest.raises(OptionsError, match=line):
            WordOptions(**options)


def test_a_reader_of_ones_own_reads_the_screen_and_is_kept_by_its_identity(clip: Path) -> None:
    from keyframe_llm.index import Store
    from keyframe_llm.index.cached_words import cached_words
    from keyframe_llm.index.feature_cache import FeatureCache

    class Reader:
        def __init__(self) -> None:
            self.calls = 0

        def read(self, picture: np.ndarray) -> list[Any]:
            self.calls += 1
            return [("a sign", (2, 2, picture.shape[1] - 2, picture.shape[0] - 2), 0.9)]

    class Named(Reader):
        identity = "reader 1"

    cache = FeatureCache(Store())
    for kind, again in ((Reader, True), (Named, False)):
        first, second = kind(), kind()
        told = cached_words(clip, WordOptions(read_screen=first), cache=cache)
        assert first.calls and "a sign" in {cue.text for cue in told.cues if cue.source == "screen"}
        assert cached_words(clip, WordOptions(read_screen=second), cache=cache) == told
        assert bool(second.calls) is again


def test_what_was_heard_is_left_out_where_the_subtitles_say_it() -> None:
    cues = [
        Cue(1.0, 3.0, "The deadline is Friday, at noon.", "subtitle"),
        Cue(1.4, 3.2, "the deadline is friday at none", "speech"),
        Cue(9.0, 10.0, "The deadline is Friday.", "speech"),
        Cue(20.0, 22.0, "Das Boot fährt ab.", "subtitle"),
        Cue(20.0, 22.0, "The boat is leaving.", "speech"),
        Cue(30.0, 31.0, "截止日期是星期五", "subtitle"),
        Cue(30.0, 31.0, "截止日期是星期五。", "speech"),
    ]
    assert without_repeated_speech(cues) == [cues[0], *cues[2:6]]
