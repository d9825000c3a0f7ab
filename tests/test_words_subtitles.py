"""Subtitles: which set is read, in which encoding, and at which times."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from fractions import Fraction
from html import escape
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest

from keyframe_llm.cli import main
from keyframe_llm.errors import OptionsError
from keyframe_llm.options import WordOptions
from keyframe_llm.video.frame_list import FrameList
from keyframe_llm.words import Cue, Words, read_words, subtitles
from keyframe_llm.words import subtitle_files as files
from keyframe_llm.words.subtitle_files import unicode_text
from keyframe_llm.words.tracks import Track, files_beside, preferred
from support.words import film, srt

LINES = [(1.0, 2.5, "one"), (4.0, 6.0, "two")]
DATA = os.environ.get("KEYFRAME_LLM_TEST_DATA", "")

# A sentence in each of 20 languages, and an old encoding in which subtitles of it are found.
LANGUAGES = {
    "en": ("Where were you last night? You said “nine o’clock” — I waited.", "cp1252"),
    "de": ("Wo warst du gestern Abend? Es war schön kühl und größer als früher.", "latin-1"),
    "fr": ("Où étais-tu hier soir ? C'était très long et déjà fermé.", "cp1252"),
    "es": ("¿Dónde estabas anoche? Estuve en la estación, mañana será otro día, señor.", "latin-1"),
    "pt": ("Onde você estava ontem à noite? A estação já estava fechada, coração.", "latin-1"),
    "pl": ("Gdzie byłeś wczoraj wieczorem? Czekałem na dworcu, źle się czułem.", "cp1250"),
    "cs": ("Kde jsi byl včera večer? Čekal jsem na nádraží, příliš žluťoučký kůň.", "cp1250"),
    "hu": ("Hol voltál tegnap este? Az állomáson vártam, nagyon hűvös volt.", "cp1250"),
    "tr": ("Dün gece neredeydin? İstasyonda bekliyordum, ağaçların altında.", "cp1254"),
    "ru": ("Где ты был вчера вечером? Я ждал на вокзале, было очень холодно.", "cp1251"),
    "uk": ("Де ти був учора ввечері? Я чекав на вокзалі, її не було.", "cp1251"),
    "el": ("Πού ήσουν χθες το βράδυ; Περίμενα στον σταθμό, έκανε πολύ κρύο.", "cp1253"),
    "he": ("איפה היית אתמול בלילה? חיכיתי בתחנה והיה קר מאוד.", "cp1255"),
    "ar": ("أين كنت الليلة الماضية؟ كنت أنتظر في المحطة وكان الجو باردا جدا.", "cp1256"),
    "th": ("เมื่อคืนคุณอยู่ที่ไหน ฉันรออยู่ที่สถานี อากาศหนาวมาก", "tis-620"),
    "ja": ("昨日の夜はどこにいたの？駅で待っていたんだけど、とても寒かった。", "shift_jis"),
    "zh": ("昨晚你在哪里？我在车站等你，天气非常冷。", "gb18030"),
    "zh-TW": ("昨晚你在哪裡？我在車站等你，天氣非常冷。", "big5"),
    "ko": ("어젯밤에 어디 있었어? 역에서 기다렸는데 너무 추웠어.", "euc-kr"),
    "hi": ("कल रात तुम कहाँ थे? मैं स्टेशन पर इंतज़ार कर रहा था।", "utf-16"),
}


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Ten seconds with two sets of subtitles: English, the default, and German."""
    german = [(1.0, 2.5, "eins"), (4.0, 6.0, "zwei")]
    path = tmp_path_factory.mktemp("words") / "clip.mkv"
    return film(path, 10, subtitles=[(german, "ger", False), (LINES, "eng", True)])


@pytest.fixture
def bare(videos: Any, tmp_path: Path) -> Path:
    """Ten seconds without subtitles, in a folder of its own."""
    path: Path = videos.draw(tmp_path / "clip.mp4", [float(second) for second in range(10)], rate=1)
    return path


def texts(found: Words) -> list[str]:
    return [cue.text for cue in found.cues]


def test_the_default_stream_is_read_with_its_times_and_language(clip: Path) -> None:
    assert read_words(clip) == Words(
        (Cue(1.0, 2.5, "one", language="en"), Cue(4.0, 6.0, "two", language="en"))
    )


@pytest.mark.parametrize("asked", ["de", "ger", "deu", "de-AT"])
def test_the_language_asked_for_is_read_by_any_of_its_tags(clip: Path, asked: str) -> None:
    assert texts(read_words(clip, WordOptions(language=asked))) == ["eins", "zwei"]


def test_a_language_that_is_missing_gives_the_default_one_and_a_line(clip: Path) -> None:
    found = read_words(clip, WordOptions(language="fr"))
    assert texts(found) == ["one", "two"]
    (line,) = found.warnings
    assert "no subtitles in 'fr' (but in de, en); those in 'en' are read" in line


def test_what_is_no_language_is_refused(clip: Path) -> None:
    with pytest.raises(
        OptionsError, match=r"^language is 'klingonish'; give a language tag such as en or pt-BR"
    ):
        read_words(clip, WordOptions(language="klingonish"))


def test_subtitles_can_be_left_out(clip: Path) -> None:
    assert read_words(clip, WordOptions(subtitles=False)) == Words()


def test_times_count_from_the_first_frame_shown(tmp_path: Path) -> None:
    late = film(tmp_path / "late.mkv", 10, subtitles=[([(4.0, 6.0, "two")], "eng", True)], first_frame=2.0)
    (cue,) = read_words(late).cues
    assert (cue.start, cue.end) == (2.0, 4.0)


def test_cues_before_the_first_frame_and_after_the_last_are_cut(tmp_path: Path) -> None:
    lines = [(0.0, 1.0, "early"), (1.0, 4.0, "begins"), (11.0, 30.0, "ends"), (40.0, 41.0, "beyond")]
    cut = film(tmp_path / "cut.mkv", 10, subtitles=[(lines, "eng", True)], first_frame=2.0)
    found = [(cue.start, cue.text) for cue in read_words(cut).cues]
    assert found[:2] == [(0.0, "begins"), (9.0, "ends")]


@pytest.mark.parametrize("language", LANGUAGES)
def test_a_file_in_an_old_encoding_is_read_as_it_was_written(language: str) -> None:
    text, encoding = LANGUAGES[language]
    content = srt([(1.0, 2.0, text), (3.0, 4.0, text)])
    assert unicode_text(content.encode(encoding), language) == content
    assert unicode_text(content.encode("utf-8")) == content
    for utf in ("utf-8-sig", "utf-16"):
        assert unicode_text(content.encode(utf)).lstrip("\ufeff") == content


def test_files_of_twenty_languages_lie_beside_one_video(bare: Path) -> None:
    for language, (text, encoding) in LANGUAGES.items():
        content = srt([(1.0, 2.0, text)]).encode(encoding)
        bare.with_name(f"clip.{language}.srt").write_bytes(content)
    for language, (text, _) in LANGUAGES.items():
        assert texts(read_words(bare, WordOptions(language=language))) == [text]


def test_every_kind_of_file_is_read_without_its_markup(bare: Path) -> None:
    contents = {
        "srt": "1\n00:00:03,5 --> 00:00:05,000\n<i>Hé</i> {\\an8}&amp; a < b\nline\n",
        "vtt": "\ufeffWEBVTT\n\n00:03.500 --> 00:05.000 align:start\n"
        "<v Bob>Hé</v> <c.y>&amp;</c> a &lt; b\nline\n",
        "ass": "[Script Info]\nScriptType: v4.00+\n\n[V4+ Styles]\nFormat: Name, Fontname\nStyle: Default,"
        "Arial\n\n[Events]\nFormat: Layer, Start, End, Style, Name, MarginL, MarginR, MarginV, Effect, Text\n"
        "Dialogue: 0,0:00:03.50,0:00:05.00,Default,Bob,0,0,0,,{\\i1}Hé{a remark} & a < b\\Nline\n"
        "Dialogue: 0,0:00:03.50,0:00:05.00,Default,,0,0,0,,{\\p1}m 0 0 l 9 9{\\p0}\n",
    }
    for ending, content in contents.items():
        file = bare.with_suffix(f".{ending}")
        file.write_text(content, encoding="utf-8")
        (cue,) = read_words(bare).cues
        assert (cue.start, cue.end, cue.text) == (3.5, 5.0, "Hé & a < b line"), ending
        file.unlink()


def test_only_files_that_are_named_after_the_video_belong_to_it(tmp_path: Path) -> None:
    own = [
        "clip.srt",
        "clip.en.vtt",
        "clip.pt-BR.forced.ass",
        "clip.mp4.srt",
        "clip.en-orig.srt",
        "clip.German.SRT",
    ]
    others = [
        "clip.mp4",
        "clip2.srt",
        "clip.2.srt",
        "clip.trailer.mp4",
        "clip.trailer.srt",
        "other.srt",
        "clip.txt",
    ]
    for name in (*own, *others):
        (tmp_path / name).touch()
    assert sorted(path.name for path in files_beside(tmp_path / "clip.mp4")) == sorted(own)


def test_a_set_of_foreign_words_alone_is_read_last() -> None:
    whole, forced, picture = (
        Track("text", "subrip", "en", stream=3),
        Track("text", "subrip", "en", stream=2, forced=True, default=True),
        Track("pictures", "dvd_subtitle", "en", stream=1, default=True),
    )
    assert preferred([picture, forced, whole], None) == [whole, forced, picture]
    assert preferred([picture, forced, whole], "en") == [whole, forced, picture]


@pytest.mark.parametrize("ending", ["mkv", "mp4"])
def test_subtitles_that_are_pictures_are_one_line(ending: str, videos: Any, tmp_path: Path) -> None:
    path = tmp_path / f"clip.{ending}"
    with (
        av.open(str(path), "w") as out,
        av.open(str(videos.draw(tmp_path / "plain.mp4", [0.0, 1.0]))) as plain,
    ):
        pictures: Any = out.add_stream_from_template(plain.streams.video[0])
        subtitles: Any = out.add_stream("dvdsub")
        for packet in plain.demux(video=0):
            if packet.dts is not None:
                packet.stream = pictures
                out.mux(packet)
        packet = av.Packet(b"a picture")
        packet.stream, packet.pts, packet.dts, packet.time_base = subtitles, 0, 0, Fraction(1, 1000)
        out.mux(packet)
    found = read_words(path)
    (line,) = found.warnings
    assert found.cues == () and "subtitle stream 1 (dvd_subtitle) holds pictures" in line


def test_a_file_of_another_video_is_named_and_the_stream_is_read(clip: Path, tmp_path: Path) -> None:
    here = tmp_path / "clip.mkv"
    here.write_bytes(clip.read_bytes())
    lines = [(60.0 * n, 60.0 * n + 2, f"line {n}") for n in range(30)]
    here.with_suffix(".srt").write_text(srt(lines), encoding="utf-8")
    found = read_words(here)
    assert texts(found) == ["one", "two"]
    (line,) = found.warnings
    assert "29 of 30 cues begin after the video's end at" in line and "another video" in line


def test_a_file_that_is_too_large_is_one_line(bare: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with bare.with_suffix(".srt").open("wb") as file:
        file.truncate(50_000_000)
    found = read_words(bare)
    (line,) = found.warnings
    assert found.cues == () and "has 50 MB, and subtitles of more than 8 MB are not read" in line
    monkeypatch.setattr(files, "MOST_BYTES", 1_000)  # the bound is what it says it is
    bare.with_suffix(".srt").write_text(srt([(1.0, 2.0, "x" * 900)]), encoding="utf-8")
    assert len(texts(read_words(bare))) == 1


@pytest.mark.parametrize("content", [b"\0" * 5000, bytes(range(256)) * 40, b"no times here\n", b"WEBVTT\n\n"])
@pytest.mark.parametrize("ending", ["srt", "vtt", "ass"])
def test_a_file_without_subtitles_is_one_line(bare: Path, content: bytes, ending: str) -> None:
    bare.with_suffix(f".{ending}").write_bytes(content)
    found = read_words(bare)
    (line,) = found.warnings
    assert found.cues == () and str(bare.with_suffix(f".{ending}")) in line and "\n" not in line


def test_an_empty_file_beside_the_video_is_about_to_be_written(bare: Path) -> None:
    bare.with_suffix(".srt").touch()
    assert read_words(bare) == Words()


def test_more_cues_than_a_day_of_talk_has_are_cut_off(bare: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(subtitles, "_MOST_CUES", 2)
    bare.with_suffix(".srt").write_text(srt([(float(n), n + 0.5, f"line {n}") for n in range(4)]), "utf-8")
    found = read_words(bare)
    (line,) = found.warnings
    assert texts(found) == ["line 0", "line 1"] and "has more than 2 cues" in line


def test_words_go_through_json_and_back(clip: Path) -> None:
    cues = (*read_words(clip).cues, Cue(1.0, 2.0, "x", "screen", None, (0.1, 0.2, 0.3, 0.4)))
    assert tuple(Cue.from_dict(json.loads(json.dumps(cue.to_dict()))) for cue in cues) == cues


def test_reading_subtitles_of_a_video_without_any_imports_no_new_library(bare: Path) -> None:
    code = (
        "import sys; from keyframe_llm import select_keyframes; from keyframe_llm.words import read_words;"
        f"select_keyframes({str(bare)!r}); before = set(sys.modules); read_words({str(bare)!r});"
        "new = {name.partition('.')[0] for name in set(sys.modules) - before};"
        "print(sorted(new - {'keyframe_llm'} - sys.stdlib_module_names))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_the_transcript_command_prints_every_format(clip: Path, capsys: pytest.CaptureFixture[str]) -> None:
    printed = {}
    for form in ("text", "srt", "vtt", "json"):
        assert main(["transcript", str(clip), "--format", form]) == 0
        printed[form] = capsys.readouterr().out
    assert printed["srt"] == srt(LINES).rstrip("\n") + "\n"
    assert printed["vtt"].startswith("WEBVTT\n\n00:00:01.000 --> 00:00:02.500\none\n\n")
    assert printed["text"] == "     1.00s  one\n     4.00s  two\n"
    assert [cue["text"] for cue in json.loads(printed["json"])["cues"]] == ["one", "two"]


def test_what_the_transcript_command_prints_is_read_back(
    bare: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    lines = [(1.0, 2.0, "a --> b & <c> {d}"), (3.0, 4.0, "مرحبا بالعالم"), (5.0, 6.0, "駅で待っていた")]
    blocks = [f"00:0{s:.3f} --> 00:0{e:.3f}\n{escape(text)}" for s, e, text in lines]
    bare.with_suffix(".vtt").write_text("\n\n".join(["WEBVTT", *blocks]), encoding="utf-8")
    first = read_words(bare)
    assert texts(first) == [text for _, _, text in lines]
    assert main(["transcript", str(bare), "--format", "vtt"]) == 0
    bare.with_suffix(".vtt").write_text(capsys.readouterr().out, encoding="utf-8")
    assert read_words(bare) == first


def test_a_query_prints_the_lines_that_fit(clip: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert (
        main(["transcript", str(clip), "--query", "Who said eins?", "--language", "de", "--format", "json"])
        == 0
    )
    (cue,) = json.loads(capsys.readouterr().out)["cues"]
    assert cue["text"] == "eins" and cue["score"] > 0
    assert main(["transcript", str(clip), "--query", "elephants"]) == 0
    out, err = capsys.readouterr()
    assert out == "" and "no line fits the query" in err


@pytest.mark.skipif(not DATA, reason="KEYFRAME_LLM_TEST_DATA names no folder")
def test_mov_text_with_gaps_is_read_from_a_real_file() -> None:
    path = Path(DATA) / "formats" / "awesome_movie_with_subtitles.a31eea76.m4v"
    english = read_words(path)
    assert [(cue.start, cue.text) for cue in english.cues] == [
        (0.5, "This is a test subtitle."),
        (2.0, "AWESOME FIXTURE MOVIE"),
        (5.95, "Nice."),
    ]
    spanish = read_words(path, WordOptions(language="es"))
    assert [cue.start for cue in spanish.cues] == [cue.start for cue in english.cues]
    assert texts(spanish)[0] == "Esto es una prueba."


def test_a_video_in_memory_has_its_subtitles_and_frames_have_none(clip: Path) -> None:
    assert read_words(clip.read_bytes()) == read_words(clip)
    assert read_words(FrameList(np.zeros((2, 8, 8, 3), np.uint8), fps=1)) == Words()
