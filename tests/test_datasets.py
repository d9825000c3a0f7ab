"""Data sets: the published annotation files where they are, and small folders in the official layouts."""

from __future__ import annotations

import importlib.util
import json
import os
from pathlib import Path

import numpy as np
import pytest

from keyframe_llm import OptionsError
from keyframe_llm.evaluation.datasets import Dataset, Sample, dataset_names, load_dataset

ANNOTATIONS = Path(os.environ.get("KEYFRAME_LLM_TEST_DATA", "")) / "annotations"
needs_annotations = pytest.mark.skipif(
    not ANNOTATIONS.is_dir(), reason="KEYFRAME_LLM_TEST_DATA holds no annotations"
)


def write(path: Path, text: str = "") -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")
    return path


@needs_annotations
def test_msrvtt_1ka_has_a_thousand_videos_with_one_caption_each() -> None:
    data = load_dataset("msrvtt-1ka", ANNOTATIONS / "msrvtt")
    assert len(data) == len({sample.id for sample in data}) == 1000
    assert {len(sample.captions) for sample in data} == {1}
    first = data.samples[0]
    assert (first.id, first.captions) == ("video9770", ("a person is connecting something to system",))


@needs_annotations
def test_msvd_has_670_test_videos_and_27763_captions() -> None:
    data = load_dataset("msvd", ANNOTATIONS / "msvd")
    assert len(data) == 670
    assert sum(len(sample.captions) for sample in data) == 27_763
    assert data.samples[0].captions[:2] == (
        "a boy playing with dog",
        "a man plays high five with his small dog",
    )


@needs_annotations
def test_didemo_joins_the_captions_of_each_of_1004_videos() -> None:
    data = load_dataset("didemo", ANNOTATIONS / "didemo")
    assert len(data) == 1004
    assert {len(sample.captions) for sample in data} == {1}
    captions = {sample.id: sample.captions[0] for sample in data}
    assert captions["10015567@N08_3655084291_d8b58466fa.mp4"].endswith("white chicken leaves screen")
    # a quoted caption that runs over two lines
    assert (
        "closes and then opens the typewriter lid, a man in a blue"
        in captions["16483298@N00_3766400261_96bd3905c1.mp4"]
    )
    assert not any("\n" in text or text.endswith(",") for text in captions.values())


@needs_annotations
def test_tvsum20_has_20_videos_with_329_pictures_in_frame_order() -> None:
    data = load_dataset("tvsum20", ANNOTATIONS / "tvsum20")
    assert len(data) == 20
    assert sum(len(sample.keyframes) for sample in data) == 329
    listed = json.loads((ANNOTATIONS / "tvsum20" / "tvsum20_keyframes.json").read_text())
    frames = {sample.id: [int(path.stem) for path in sample.keyframes] for sample in data}
    assert frames == {row["video"]: row["keyframes"] for row in listed}
    assert {sample.id: sample.captions for sample in data}["-esJrBWj2d8"] == ("Will A Cat Eat Dog Food?",)


@needs_annotations
def test_class_names_of_the_official_lists_become_words(tmp_path: Path) -> None:
    hmdb = (ANNOTATIONS / "labels" / "hmdb51.txt").read_text().split()
    for name in hmdb:
        write(
            tmp_path / "hmdb" / "splits" / f"{name}_test_split2.txt", f"clip_{name}_0.avi 2 \nother.avi 1 \n"
        )
    labels = load_dataset("hmdb51", tmp_path / "hmdb", split=2).labels
    assert len(labels) == 51 and "brush hair" in labels and "ride bike" in labels
    ucf = (ANNOTATIONS / "labels" / "ucf101.txt").read_text().split()
    write(tmp_path / "ucf" / "testlist01.txt", "\n".join(f"{n}/v_{n}_g01_c01.avi" for n in ucf))
    labels = load_dataset("ucf101", tmp_path / "ucf").labels
    assert len(labels) == 101 and "apply eye makeup" in labels and "clean and jerk" in labels


def test_videos_are_found_in_any_folder_and_with_any_extension(tmp_path: Path) -> None:
    write(
        tmp_path / "lists" / "MSRVTT_JSFUSION_test.csv",
        "key,vid_key,video_id,sentence\nret0,msr1,video1,a dog eats\nret1,msr2,video2,a cat sleeps\n",
    )
    video = write(tmp_path / "MSRVTT" / "videos" / "all" / "video2.avi")
    data = load_dataset("msrvtt-1ka", tmp_path)
    assert [sample.video for sample in data] == [tmp_path / "videos" / "video1.mp4", video]
    assert data.missing() == (tmp_path / "videos" / "video1.mp4",)
    with pytest.raises(OptionsError, match=r"1 of 2 videos are missing, the first .*video1.mp4; download"):
        data.require_videos()
    write(tmp_path / "videos" / "video1.mp4")
    load_dataset("msrvtt-1ka", tmp_path).require_videos()


def test_linked_folders_are_followed_and_a_link_in_a_circle_is_not(tmp_path: Path) -> None:
    write(tmp_path / "elsewhere" / "video7.mp4")
    root = tmp_path / "root"
    write(root / "MSRVTT_JSFUSION_test.csv", "key,vid_key,video_id,sentence\nret0,msr7,video7,a dog\n")
    (root / "videos").symlink_to(tmp_path / "elsewhere")
    (root / "again").symlink_to(root)
    assert load_dataset("msrvtt-1ka", root).missing() == ()


def test_msvd_reads_the_original_corpus_for_the_names_of_the_test_list(tmp_path: Path) -> None:
    write(tmp_path / "test_list.txt", "abc_1_5\nxyz_0_9\n")
    write(
        tmp_path / "AllVideoDescriptions.txt",
        "# comment\n\nabc_1_5 a dog, wet, runs\nother_2_3 a cat\nabc_1_5 a dog is running\nxyz_0_9 rain\n",
    )
    clip = write(tmp_path / "YouTubeClips" / "abc_1_5.avi")
    data = load_dataset("msvd", tmp_path)
    assert [(s.id, s.captions) for s in data] == [
        ("abc_1_5", ("a dog, wet, runs", "a dog is running")),
        ("xyz_0_9", ("rain",)),
    ]
    assert data.samples[0].video == clip


def test_didemos_original_file_gives_paragraphs_and_moments_of_5_second_chunks(tmp_path: Path) -> None:
    rows = [
        {
            "annotation_id": 1,
            "video": "a.mov",
            "description": "a dog runs",
            "times": [[1, 1], [1, 2], [1, 2]],
        },
        {
            "annotation_id": 2,
            "video": "a.mov",
            "description": "it sleeps ",
            "times": [[4, 5], [4, 5], [0, 0]],
        },
    ]
    write(tmp_path / "data" / "test_data.json", json.dumps(rows))
    clip = write(tmp_path / "clips" / "a.mov.mp4")
    (whole,) = load_dataset("didemo", tmp_path)
    assert (whole.video, whole.captions) == (clip, ("a dog runs, it sleeps",))
    moments = load_dataset("didemo-moments", tmp_path)
    assert [sample.moments for sample in moments] == [((5.0, 15.0),), ((20.0, 30.0),)]


def test_hmdb51_takes_the_test_videos_of_the_split_asked_for(tmp_path: Path) -> None:
    for split, mark in ((1, 2), (2, 1), (3, 0)):
        folder = tmp_path / "testTrainMulti_7030_splits"
        write(folder / f"brush_hair_test_split{split}.txt", f"a_brush_hair_0.avi {mark} \nb.avi 2 \n")
    clip = write(tmp_path / "hmdb51_org" / "brush_hair" / "a_brush_hair_0.avi")
    first = load_dataset("hmdb51", tmp_path)
    assert [(s.id, s.label) for s in first] == [("a_brush_hair_0.avi", "brush hair"), ("b.avi", "brush hair")]
    assert first.samples[0].video == clip
    assert [s.id for s in load_dataset("hmdb51", tmp_path, split=2)] == ["b.avi"]
    with pytest.raises(OptionsError, match="split is 4; hmdb51 takes 1 to 3"):
        load_dataset("hmdb51", tmp_path, split=4)
    with pytest.raises(OptionsError, match="msvd takes none"):
        load_dataset("msvd", tmp_path, split=1)


def test_summe_gives_every_persons_stretches_in_seconds(tmp_path: Path) -> None:
    from scipy.io import savemat

    kept = np.zeros((100, 2))
    kept[10:30, 0] = 1
    kept[90:, 0] = 3
    kept[:5, 1] = 1
    (tmp_path / "GT").mkdir()
    savemat(tmp_path / "GT" / "Air_Force_One.mat", {"user_score": kept, "FPS": 10.0, "nFrames": 100})
    (sample,) = load_dataset("summe", tmp_path)
    assert sample.id == "Air_Force_One"
    assert sample.summaries == (((1.0, 3.0), (9.0, 10.0)), ((0.0, 0.5),))


def test_qvhighlights_reads_the_windows_of_every_query(tmp_path: Path) -> None:
    row = {
        "qid": 8737,
        "query": "A family plays basketball.",
        "vid": "bP5KfdFJzC4_660.0_810.0",
        "relevant_windows": [[0, 16], [20, 30]],
    }
    write(tmp_path / "highlight_val_release.jsonl", json.dumps(row) + "\n")
    clip = write(tmp_path / "videos" / "bP5KfdFJzC4_660.0_810.0.mp4")
    (sample,) = load_dataset("qvhighlights", tmp_path)
    assert (sample.id, sample.video) == ("8737", clip)
    assert sample.moments == ((0.0, 16.0), (20.0, 30.0))


VIDEO_MME = {
    "question_id": "001-1",
    "videoID": "fFjv93ACGo8",
    "duration": "short",
    "question": "When is it?",
    "options": ["A. Night.", "B. Day.", "C. I.e. never.", "D. Dusk."],
    "answer": "C",
}


def test_video_mme_drops_the_letters_and_keeps_the_answers_words(tmp_path: Path) -> None:
    write(tmp_path / "test.jsonl", json.dumps(VIDEO_MME))
    clip = write(tmp_path / "data" / "fFjv93ACGo8.mp4")
    (sample,) = load_dataset("video-mme", tmp_path)
    assert sample.options == ("Night.", "Day.", "I.e. never.", "Dusk.")
    assert (sample.answer, sample.group, sample.video) == ("I.e. never.", "short", clip)


def test_video_mmes_parquet_file_is_read_with_pyarrow_or_asks_for_it(tmp_path: Path) -> None:
    path = tmp_path / "videomme" / "test-00000-of-00001.parquet"
    write(path)
    if importlib.util.find_spec("pyarrow") is None:
        with pytest.raises(OptionsError, match="needs pyarrow; `pip install pyarrow`"):
            load_dataset("video-mme", tmp_path)
        return
    import pyarrow
    from pyarrow import parquet

    parquet.write_table(pyarrow.Table.from_pylist([VIDEO_MME]), path)
    (sample,) = load_dataset("video-mme", tmp_path)
    assert sample.answer == "I.e. never."


def test_longvideobench_takes_the_correct_choice_of_its_candidates(tmp_path: Path) -> None:
    row = {
        "id": "86CxyhFV9MI_0",
        "video_path": "86CxyhFV9MI.mp4",
        "question": "What is on the screen?",
        "candidates": ["a dog", "a cat", "rain"],
        "correct_choice": 1,
        "duration_group": 600,
    }
    write(tmp_path / "lvb_val.json", json.dumps([row]))
    (sample,) = load_dataset("longvideobench", tmp_path)
    assert (sample.answer, sample.group) == ("a cat", "600")
    assert sample.video == tmp_path / "videos" / "86CxyhFV9MI.mp4"


def test_a_folder_of_ones_own_takes_labels_from_folders_and_captions_from_text_files(tmp_path: Path) -> None:
    write(tmp_path / "top.mkv")
    write(tmp_path / "run" / "1.mp4")
    write(tmp_path / "walk" / "1.mp4")  # the same name twice is two videos
    write(tmp_path / "walk" / "1.txt", "a man walks\n\nsomeone walks by\n")
    data = load_dataset("own", tmp_path)
    assert {s.id: (s.label, s.captions) for s in data} == {
        str(Path("run", "1.mp4")): ("run", ()),
        "top.mkv": (None, ()),
        str(Path("walk", "1.mp4")): ("walk", ("a man walks", "someone walks by")),
    }
    assert data.labels == ("run", "walk")


def test_a_json_lines_file_of_ones_own_gives_everything_a_sample_can_hold(tmp_path: Path) -> None:
    rows = [
        {"video": "a.mp4", "caption": "a dog eats", "moments": [[1, 2.5]]},
        {
            "id": "q",
            "video": "b/c.mp4",
            "question": "What?",
            "options": ["x", "y"],
            "answer": "y",
            "label": "l",
        },
        {"video": "/abs/d.mp4", "captions": ["one\u2028line", "two"], "group": "long"},
    ]
    lines = "\r\n".join(json.dumps(row, ensure_ascii=False) for row in rows)
    path = write(tmp_path / "own.jsonl", lines + "\n\n")
    assert load_dataset("own", path).samples == (
        Sample("1", tmp_path / "a.mp4", captions=("a dog eats",), moments=((1.0, 2.5),)),
        Sample("q", tmp_path / "b" / "c.mp4", question="What?", options=("x", "y"), answer="y", label="l"),
        Sample("3", Path("/abs/d.mp4"), captions=("one\u2028line", "two"), group="long"),
    )


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ('{"caption": "no video"}', "line 3: `video` is missing"),
        ('{"video": "a.mp4", "captoin": "typo"}', "line 3: 'captoin' is not one of answer, caption"),
        ('{"video": "a.mp4", "captions": "one text"}', "line 3: `captions` is a list"),
        ('{"video": "a.mp4", "moments": [[5, 2]]}', r"line 3: the moment \[5.0, 2.0\]"),
        ('{"video": "a.mp4", "options": ["x"], "answer": "z"}', "line 3: the answer 'z' is not among"),
        ('["a.mp4"]', "line 3: "),
        ("{video}", "line 3 is not JSON"),
    ],
)
def test_a_mistake_in_ones_own_file_is_named_with_its_line(tmp_path: Path, line: str, message: str) -> None:
    path = write(tmp_path / "own.jsonl", '{"video": "good.mp4"}\n\n' + line)
    with pytest.raises(OptionsError, match=message) as caught:
        load_dataset("own", path)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("name", dataset_names())
def test_a_missing_data_set_gets_one_line_that_says_what_to_download_and_where_to_put_it(
    name: str, tmp_path: Path
) -> None:
    for root in (tmp_path, tmp_path / "absent"):
        with pytest.raises(OptionsError) as caught:
            load_dataset(name, root)
        message = str(caught.value)
        assert message.startswith(f"{name}: {root} ") and "\n" not in message
        assert ("download" in message or name == "own") and message.count(str(root)) == 2
        assert "http" not in message


def test_an_unknown_name_and_an_empty_list_are_refused(tmp_path: Path) -> None:
    with pytest.raises(OptionsError, match="choose one of msrvtt-1ka, msvd"):
        load_dataset("imagenet", tmp_path)
    write(tmp_path / "MSRVTT_JSFUSION_test.csv", "key,vid_key,video_id,sentence\n")
    with pytest.raises(OptionsError, match="are empty"):
        load_dataset("msrvtt-1ka", tmp_path)


def test_an_id_that_two_samples_have_is_named_with_both_places(tmp_path: Path) -> None:
    path = write(tmp_path / "own.jsonl", '{"video": "a.mp4", "id": "2"}\n{"video": "b.mp4"}')
    with pytest.raises(OptionsError, match=r"own: the samples 1 and 2 in .*own.jsonl have the same id '2'; "):
        load_dataset("own", path)


@pytest.mark.parametrize("content", ['[{"qid": 1}]', "{", '{"qid": 1, "query": "a", "vid": "v"}'])
def test_damaged_annotations_are_an_error_of_one_line(tmp_path: Path, content: str) -> None:
    write(tmp_path / "highlight_val_release.jsonl", content)
    write(tmp_path / "lvb_val.json", content)
    for name in ("qvhighlights", "longvideobench"):
        with pytest.raises(OptionsError, match=r"damaged|not JSON") as caught:
            load_dataset(name, tmp_path)
        assert "\n" not in str(caught.value)


def test_labels_are_listed_once_in_order() -> None:
    samples = tuple(Sample(str(i), Path("v.mp4"), label=label) for i, label in enumerate("bab"))
    assert Dataset("own", samples, "").labels == ("a", "b")
