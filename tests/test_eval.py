"""`keyframe-llm eval`: truth planted in joined footage, the shipped row, what is written."""

from __future__ import annotations

import json
import os
from pathlib import Path

import numpy as np
import pytest

from keyframe_llm import VideoIndex, select_keyframes
from keyframe_llm.cartoon.world.questions import shows_answer
from keyframe_llm.cartoon.world.scenes import SceneFrame, random_clip
from keyframe_llm.cartoon.world.video import write_clip
from keyframe_llm.cli import main
from keyframe_llm.encoders import load_encoder
from keyframe_llm.evaluation import joined
from keyframe_llm.evaluation.dense import baseline_of, dense_index, embed_caption, index_densely
from keyframe_llm.evaluation.drawn import KINDS, drawn_clip, measure_actions, questioned_clips
from keyframe_llm.evaluation.found import area, measure_found
from keyframe_llm.evaluation.results import SHIPPED, Results, Table, markdown, plot, write_json
from keyframe_llm.evaluation.selectors import ROWS, choose

NAMED = os.environ.get("KEYFRAME_LLM_TEST_DATA")


def planted() -> dict[str, VideoIndex]:
    """Clips in which every subject is a direction of its own."""
    listed = joined.subjects()
    clips = {}
    for name in {moment[0] for s in listed for moment in s["moments"]}:
        seconds = np.arange(0, 150, 0.5)
        rows = np.full((len(seconds), len(listed) + 1), 1e-3)
        for i, subject in enumerate(listed):
            for file, start, end in subject["moments"]:
                if file == name:
                    rows[(seconds >= start - 0.5) & (seconds <= end + 0.5), i] = 1.0
        clips[name] = dense_index(rows, seconds, rows, np.ones(len(seconds)))
    return clips


def queries_of(half: str) -> list[tuple[int, str]]:
    """Every text of a part, with the number of its subject."""
    clips, words = ("second", "sealed") if half == "sealed" else (half, "captions")
    listed = enumerate(joined.subjects())
    return [(i, text) for i, s in listed if s["half"] == clips for text in s.get(words, ())]


def test_the_halves_share_no_clip_and_every_part_has_many_texts_of_its_own() -> None:
    files = {
        half: {m[0] for s in joined.subjects() if s["half"] == half for m in s["moments"]}
        for half in ("first", "second")
    }
    assert not files["first"] & files["second"]
    texts = [text for half in joined.HALVES for _, text in queries_of(half)]
    assert all(len(queries_of(half)) >= 20 for half in joined.HALVES)
    assert len(set(texts)) == len(texts)


@pytest.mark.parametrize("half", joined.HALVES)
def test_a_joined_video_shows_its_captions_in_their_moments(half: str) -> None:
    made = joined.join(planted(), half, seed=3)
    assert [query.text for query in made.queries] == [text for _, text in queries_of(half)]
    for query, (subject, _) in zip(made.queries, queries_of(half), strict=True):
        inside = np.zeros(len(made.index.seconds), bool)
        for start, end in query.moments:
            inside |= (made.index.seconds >= start) & (made.index.seconds <= end)
        assert inside.any()
        assert (made.index.unit_embeddings[inside, subject] > 0.1).all()


def test_the_same_seed_joins_the_same_video_and_another_one_another() -> None:
    clips = planted()
    one, again, other = (joined.join(clips, "first", seed) for seed in (1, 1, 2))
    assert np.array_equal(one.index.embedded(), again.index.embedded())
    assert one.index.embedded().shape != other.index.embedded().shape or not np.array_equal(
        one.index.embedded(), other.index.embedded()
    )


def test_the_shipped_row_chooses_what_the_package_chooses(tmp_path: Path) -> None:
    encoder = load_encoder("cartoon")
    rng = np.random.default_rng(4)
    clip = random_clip(rng, scenes=5, seconds=40, event=True)
    write_clip(clip, tmp_path / "clip.mp4", fps=6)
    text = f"a {clip.scenes[2].subject} in {clip.scenes[2].colour}"
    found = select_keyframes(tmp_path / "clip.mp4", caption=text, encoder=encoder)
    index = index_densely(tmp_path / "clip.mp4", encoder)
    query = embed_caption(encoder, text, baseline_of(encoder))
    assert index.seconds[choose(SHIPPED, index, query, k=3)].tolist() == found.seconds.tolist()
    no_text = select_keyframes(tmp_path / "clip.mp4")
    assert index.seconds[choose(f"{SHIPPED} no text", index, k=3)].tolist() == no_text.seconds.tolist()
    published = select_keyframes(tmp_path / "clip.mp4", caption=text, encoder=encoder, method="mdp3")
    assert index.seconds[choose("mdp3", index, query, k=3)].tolist() == published.seconds.tolist()


def test_a_drawn_clip_has_a_short_event_that_its_question_is_about() -> None:
    for seed in range(9):
        clip, question = drawn_clip(seed)
        assert clip.event is not None and clip.duration_seconds > 50
        event = clip.scenes[clip.event]
        assert event in (question.scene, question.other)
        assert 1.6 <= event.end - event.start <= 3.0
        glimpse = [SceneFrame(event, event.start)]
        both = [SceneFrame(event, event.start), SceneFrame(event, event.end)]
        if KINDS[seed % 3] == "what":
            assert shows_answer(question, glimpse)
        elif KINDS[seed % 3] == "which way":
            assert not shows_answer(question, glimpse) and shows_answer(question, both)
        else:
            assert question.scene and question.other and question.scene.start < question.other.start
            pair = [
                SceneFrame(question.scene, question.scene.start),
                SceneFrame(question.other, question.other.start),
            ]
            assert not shows_answer(question, both) and shows_answer(question, pair)
            assert question.answer in question.text


def test_drawn_events_are_found_by_the_embedded_encoder() -> None:
    encoder = load_encoder("cartoon")
    clips = questioned_clips(encoder, 2)
    accuracy, _ = measure_actions(clips, encoder)
    assert set(accuracy.rows) == {(name, 3) for name in ROWS}
    for each in clips:
        times = each.index.seconds[choose(f"{SHIPPED} question", each.index, each.text, k=3)]
        assert shows_answer(each.question, [each.clip.frame_at(float(second)) for second in times])


def test_what_is_there_and_what_is_not_is_told_apart_in_drawn_clips() -> None:
    fitted, reported = measure_found(load_encoder("cartoon"), None, None, clips=2, joins=1)
    for table in (fitted, reported):
        share = {name: row.value for (name, _), row in table.rows.items()}
        assert share["there: yes"] >= 0.75 and share["people not there: yes"] <= 0.25
        assert share["other things: probably not there"] == 1.0 and share["told apart (AUC)"] > 0.9
    said = [row.values for (name, _), row in fitted.rows.items() if name.startswith("there: ")]
    assert np.sum(said, axis=0).tolist() == [1.0] * 8  # each text has one word
    assert "| there: yes |" in markdown(fitted) and "frames" not in markdown(fitted)


def test_the_area_is_the_share_of_pairs_in_the_right_order() -> None:
    """0.9 and 0.4 are there, 0.5 and 0.1 are not: one of four pairs is wrong; equals count half."""
    assert area([2.9, 2.4, 0.5, 0.1]) == 0.75
    assert area([2.5, 0.5]) == 0.5
    assert np.isnan(area([0.5]))


def test_results_are_written_with_every_frame_and_read_as_they_were(tmp_path: Path) -> None:
    table = Table("A table", "hit@k", "A note.")
    for budget in (1, 2, 3):
        for i in range(10):
            table.row(SHIPPED, budget).add(f"s{i}", f"g{i // 2}", i < 5 + budget, [0.5, float(i)][:budget])
            table.row("uniform", budget).add(f"s{i}", f"g{i // 2}", i < 4, [1.0])
    write_json(Results({"seed": 0}, [table]), tmp_path / "out" / "results.json")
    written = json.loads((tmp_path / "out" / "results.json").read_text())
    (row,) = [r for r in written["tables"][0]["rows"] if r["selector"] == SHIPPED and r["budget"] == 3]
    assert row["value"] == 0.8 and row["groups"] == 5 and row["low"] <= 0.8 <= row["high"]
    assert row["seconds"][9] == [0.5, 9.0] and row["samples"][9] == "s9"
    lines = markdown(table, 3).splitlines()
    assert lines[6].startswith(f"| **{SHIPPED}** | 0.800 |") and lines[7].startswith("| uniform | 0.400 |")
    assert table.ahead_of(SHIPPED, 3, "uniform").value == pytest.approx(0.4)
    plot([table], tmp_path / "quality.png")
    assert (tmp_path / "quality.png").stat().st_size > 5000


def test_the_page_shows_every_selector_in_one_file(tmp_path: Path) -> None:
    write_clip(random_clip(np.random.default_rng(0), scenes=3, seconds=9), tmp_path / "v.mp4", fps=6)
    page = tmp_path / "page.html"
    arguments = ["eval", "--video", str(tmp_path / "v.mp4"), "--caption", "a man in <red>"]
    assert main([*arguments, "--encoder", "cartoon", "--out", str(page)]) == 0
    text = page.read_text(encoding="utf-8")
    assert all(f'<div class="name">{name}</div>' in text for name in ROWS)
    assert "a man in &lt;red&gt;" in text and 'src="data:image/jpeg;base64,' in text
    assert "http" not in text


def test_the_page_shows_a_selector_of_ones_own_before_the_others(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_clip(random_clip(np.random.default_rng(0), scenes=3, seconds=9), tmp_path / "v.mp4", fps=6)
    (tmp_path / "my_rules.py").write_text(
        "def the_last(index, texts, k):\n    return [len(index.candidates) - 1]\n"
    )
    monkeypatch.chdir(tmp_path)
    arguments = [
        "eval",
        "--video",
        "v.mp4",
        "--caption",
        "a man",
        "--encoder",
        "cartoon",
        "--out",
        "page.html",
    ]
    assert main([*arguments, "--selector", "my_rules:the_last"]) == 0
    first = (tmp_path / "page.html").read_text(encoding="utf-8").split("<section")[1]
    assert '<div class="name">the_last</div>' in first and first.count("<figure>") == 1
    assert main([*arguments, "--selector", "my_rules:another"]) == 2


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["--on", "joined"], "needs real footage"),
        (["--on", "joined", "--data", "nowhere"], "nowhere is not a folder"),
        (["--on", "joined", "--data", "."], "real_encoder.py is missing"),
        (["--dataset", "msvd"], "needs --root"),
        (["--dataset", "msvd", "--root", "nowhere"], "download"),
        (["--dataset", "pets", "--root", "."], "choose one of msrvtt-1ka"),
        (["--video", "v.mp4"], "give --caption"),
        (["--video", "v.mp4", "--caption", "a dog", "--out", "folder"], "such as comparison.html"),
    ],
)
def test_a_mistake_costs_one_line(
    arguments: list[str], says: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("KEYFRAME_LLM_TEST_DATA", raising=False)
    assert main(["eval", *arguments]) == 2
    assert says in capsys.readouterr().err.splitlines()[-1]


def test_a_folder_of_ones_own_is_measured(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for seed in range(2):
        clip = random_clip(np.random.default_rng(seed), scenes=2, seconds=8)
        write_clip(clip, tmp_path / f"{seed}.mp4", fps=6)
        scene = clip.scenes[0]
        (tmp_path / f"{seed}.txt").write_text(f"a {scene.subject} in {scene.colour}\n", encoding="utf-8")
    assert main(["eval", "--dataset", "own", "--root", str(tmp_path), "--encoder", "cartoon"]) == 0
    printed = capsys.readouterr().out
    assert "retrieval, per pair" in printed and "retrieval, leak-free" in printed and "| uniform |" in printed


@pytest.mark.skipif(NAMED is None, reason="KEYFRAME_LLM_TEST_DATA names no folder of videos")
def test_real_features_are_measured_and_guided_rows_find_their_moment(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """On the first third of a clip."""
    (source,) = (Path(str(NAMED)) / "embeddings").glob("*.npz")
    (tmp_path / "embeddings").mkdir()
    with np.load(source) as data:
        part = {name: data[name][: len(data[name]) // 3] for name in data}
    np.savez(tmp_path / "embeddings" / source.name, **part)
    assert main(["eval", "--on", "features", "--data", str(tmp_path), "--out", str(tmp_path)]) == 0
    (table,) = json.loads((tmp_path / "results.json").read_text())["tables"]
    value = {row["selector"]: row["value"] for row in table["rows"]}
    assert value["top-k"] > 0.8 > value["uniform"]
    assert "### Real CLIP features" in capsys.readouterr().out
