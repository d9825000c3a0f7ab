"""Key frames against annotated scenes: metrics worked by hand, readers of the benchmarks, lists of others."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from keyframe_llm import OptionsError
from keyframe_llm.cartoon.world.scenes import random_clip
from keyframe_llm.cartoon.world.video import write_clip
from keyframe_llm.cli import main
from keyframe_llm.evaluation.datasets import load_dataset
from keyframe_llm.evaluation.frame_lists import Chosen, read_frame_list, score_frame_lists
from keyframe_llm.evaluation.metrics import group_score
from keyframe_llm.evaluation.scenes import (
    geometric_mean,
    match_frames,
    match_moment,
    near_in_time,
    score_scenes,
)
from keyframe_llm.evaluation.ssim import pairwise_ssim

ANNOTATION = """id,segment_id,scene_id,start,end
a_0,0,0,0:00:10,0:00:19
a_0,1,1,0:01:00,0:01:29
a_0,2,0,0:02:00,0:02:09
b-1,0,0,1:05,1:05
"""


def write(path: Path, content: object) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(content if isinstance(content, str) else json.dumps(content), encoding="utf-8")
    return path


def test_the_metrics_of_kfs_bench_worked_by_hand() -> None:
    # Scene 0: 10 s and 10 s, scene 1: 30 s. Frames 12, 15, 125 lie in scene 0, 70 in scene 1, 50 in none.
    scenes = [[(10.0, 20.0), (120.0, 130.0)], [(60.0, 90.0)]]
    scores = score_scenes([12, 15, 50, 70, 125], scenes)
    assert (scores.key_frame_rate, scores.scene_hit_rate) == (4 / 5, 1.0)
    # Four hits: scene 0 needs min(4 · 20 / 50, 4 / 2) = 1.6, so 1; scene 1 needs min(2.4, 2) = 2 and has 1.
    assert scores.balanced_scene_recall == 0.5
    # Hits 3 and 1; the lengths 20 and 30 to the power 0 are nearest: 4 / √10 / √2
    assert scores.balanced_distribution == pytest.approx(4 / np.sqrt(20))
    assert scores.unified == pytest.approx((0.8 * 0.5 * 4 / np.sqrt(20)) ** (1 / 3))


def test_one_frame_in_one_of_two_scenes_is_half_of_them() -> None:
    scores = score_scenes([12, 50], [[(10.0, 20.0)], [(60.0, 90.0)]])
    # one hit asks each scene for one frame: half of them have it
    assert (scores.key_frame_rate, scores.scene_hit_rate, scores.balanced_scene_recall) == (0.5, 0.5, 0.5)
    assert scores.balanced_distribution == pytest.approx(1 / np.sqrt(2))


@pytest.mark.parametrize("times", [[], [5.0, 100.0]])
def test_frames_that_hit_no_scene_score_nothing(times: list[float]) -> None:
    scores = score_scenes(times, [[(10.0, 20.0)]])
    assert (scores.key_frame_rate, scores.scene_hit_rate, scores.unified) == (0, 0, 0)


def test_a_question_without_a_hit_counts_a_hundredth_in_the_geometric_mean() -> None:
    assert geometric_mean([0.0, 0.01, 1.0]) == pytest.approx(0.01 ** (2 / 3))
    with pytest.raises(OptionsError, match="no scenes"):
        score_scenes([1.0], [])


def test_frames_near_a_true_one_count_both_ways() -> None:
    # 9 and 15 are within 5 s of 10, 50 is not: precision 2/3; of the true frames 10 and 30 one is found: 1/2
    match = match_frames(near_in_time([9.0, 15.0, 50.0], [10.0, 30.0], 5.0))
    assert match.precision == pytest.approx(2 / 3) and match.recall == 0.5
    assert match.f1 == pytest.approx(2 * (2 / 3) * 0.5 / (2 / 3 + 0.5))
    assert (
        match_frames(near_in_time([], [10.0], 5.0)).f1
        == match_frames(near_in_time([1.0], [10.0], 5.0)).f1
        == 0
    )


def test_a_moment_is_matched_with_the_true_one_it_fits_best() -> None:
    # 10 to 20 s has 5 s in common with 15 to 25 s, 15 s together; all of 12 to 14 s lies in it
    match = match_moment((10.0, 20.0), [(15.0, 25.0), (12.0, 14.0)])
    assert match.iou == pytest.approx(5 / 15) and match.iop == 0.5
    assert match_moment((10.0, 20.0), [(30.0, 40.0)]).iou == 0.0
    single = match_moment((16.0, 16.0), [(15.0, 25.0)])
    assert (single.iou, single.iop) == (0.0, 1.0)


def test_ssim_is_that_of_a_gaussian_window_over_columns_and_colours() -> None:
    import torch
    from torch.nn.functional import conv2d

    pictures = np.random.default_rng(3).integers(0, 256, (4, 18, 25, 3), dtype=np.uint8)
    pictures[3] = pictures[0] // 2 + 60
    steps = torch.arange(11, dtype=torch.float64) - 5
    line = torch.exp(-(steps**2) / (2 * 1.5**2))
    window = (torch.outer(line, line) / line.sum() ** 2).expand(18, 1, 11, 11)

    def blurred(values: torch.Tensor) -> torch.Tensor:
        return conv2d(values, window, padding=5, groups=18)

    planes = torch.tensor(pictures, dtype=torch.float64) / 255
    expected = np.zeros((3, 2))
    for row, column in np.ndindex(3, 2):
        one, other = planes[row], planes[2 + column]
        a, b = blurred(one), blurred(other)
        spread = blurred(one * one) - a * a + blurred(other * other) - b * b
        upper = (2 * a * b + 0.01**2) * (2 * (blurred(one * other) - a * b) + 0.03**2)
        expected[row, column] = (upper / ((a * a + b * b + 0.01**2) * (spread + 0.03**2))).mean()
    found = pairwise_ssim(pictures[:3], pictures[2:])
    assert found == pytest.approx(expected, abs=1e-5)
    assert found[2, 0] == pytest.approx(1.0) and found[0, 1] > 0.7
    with pytest.raises(OptionsError, match="pictures of one size"):
        pairwise_ssim([pictures[0]], [pictures[0][:9]])


@pytest.mark.parametrize(
    ("right", "structure", "score"),
    [
        ("1010", "relevance", 4 / 16),
        ("1111", "relevance", 1.0),
        ("1101", "[1,2,3,4]", 4 / 16),  # a step that is missed ends the chain
        ("0111", "[1,2,3,4]", 0.0),
        ("1011", "[1,[2,3],4]", 4 / 12),  # of two side by side the other one counts
        ("1110", "[1,[2,3],4]", 7 / 12),
        ("0111", "[[1,2],3,4]", 1 / 10),
        ("1110", "[[1,2],3,4]", 5 / 10),
    ],
)
def test_four_questions_on_one_video_are_scored_together(right: str, structure: str, score: float) -> None:
    assert group_score([digit == "1" for digit in right], structure) == pytest.approx(score)


def test_a_group_of_another_size_is_refused() -> None:
    with pytest.raises(OptionsError, match="has 3 questions"):
        group_score([True] * 3, "relevance")


def test_kfs_bench_groups_segments_by_scene_and_counts_the_last_second(tmp_path: Path) -> None:
    write(tmp_path / "lvb_anno.csv", ANNOTATION)
    first, second = load_dataset("kfs-bench", tmp_path)
    assert first.scenes == (((10.0, 20.0), (120.0, 130.0)), ((60.0, 90.0),))
    assert (first.video.name, first.question) == ("a.mp4", None)
    assert (second.id, second.video.name, second.moments) == ("b-1", "b.mp4", ((65.0, 66.0),))


def test_kfs_bench_takes_its_questions_from_longvideobench_where_it_lies_beside(tmp_path: Path) -> None:
    write(tmp_path / "lvb_anno.csv", ANNOTATION)
    row = {"id": "a_0", "video_path": "a.mp4", "question": "Who? ", "candidates": ["he", "she"]}
    write(tmp_path / "lvb_val.json", [row | {"correct_choice": 1, "duration_group": 60}])
    first, second = load_dataset("kfs-bench", tmp_path)
    assert (first.question, first.answer, len(first.scenes)) == ("Who?", "she", 2)
    assert second.question is None


def test_lvbench_divides_question_and_options_and_reads_its_times(tmp_path: Path) -> None:
    text = "What is red?\n(A) a car\n(B) a bus\n(C) a dog\n(D) a hat"
    asked = {"uid": 7, "question": text, "answer": "B"}
    rows = [asked | {"time_reference": "01:30-02:05"}, asked | {"uid": 8, "time_reference": "1:00:02"}]
    write(tmp_path / "video_info.meta.jsonl", json.dumps({"key": "xyz", "qa": rows}))
    first, second = load_dataset("lvbench", tmp_path)
    assert (first.id, first.question, first.answer) == ("7", "What is red?", "a bus")
    assert first.options == ("a car", "a bus", "a dog", "a hat")
    assert (first.moments, second.moments) == (((90.0, 125.0),), ((3602.0, 3602.0),))


def test_mlvu_leaves_out_questions_whose_answer_is_no_option(tmp_path: Path) -> None:
    row = {"video": "v_1.mp4", "question": "Who?", "candidates": ["he", "she"], "question_type": "plotQA"}
    write(tmp_path / "json" / "1_plotQA.json", [row | {"answer": "she"}, row | {"answer": "it"}])
    write(tmp_path / "json" / "8_sub_scene.json", [row | {"answer": "a text"}])
    (sample,) = load_dataset("mlvu", tmp_path)
    assert (sample.answer, sample.group, sample.video.name) == ("she", "plotQA", "v_1.mp4")


def test_cg_bench_names_its_answer_by_letter_and_its_clues_by_seconds(tmp_path: Path) -> None:
    row = {"qid": 14, "video_uid": "abc", "question": "Which colour?", "choices": ["red", "white"]}
    more = {"right_answer": "B", "clue_intervals": [[8, 11], [20, 22]], "sub_category": "Entity"}
    write(tmp_path / "cgbench_mini.json", [row | more])
    (sample,) = load_dataset("cg-bench", tmp_path)
    assert (sample.answer, sample.moments) == ("white", ((8.0, 11.0), (20.0, 22.0)))


def test_next_gqa_keeps_the_grounded_questions_and_starts_no_moment_before_the_video(tmp_path: Path) -> None:
    write(tmp_path / "gsub_test.json", {"11": {"location": {"0": [[-0.1, 4.5]]}}})
    head = "video_id,frame_count,width,height,question,answer,qid,type,a0,a1,a2,a3,a4\n"
    rows = "11,9,1,1,why,two,0,CW,one,two,three,four,five\n11,9,1,1,how,one,1,CH,one,two,three,four,five\n"
    write(tmp_path / "test.csv", head + rows)
    (sample,) = load_dataset("next-gqa", tmp_path)
    assert (sample.id, sample.answer, sample.moments) == ("11_0", "two", ((0.0, 4.5),))


def test_rextime_has_its_options_only_in_one_of_its_files(tmp_path: Path) -> None:
    row = {"qid": "q1", "vid": "v_abc", "relevant_windows": [[5, 8]], "ans": "A"}
    write(tmp_path / "a" / "rextime_val.jsonl", json.dumps(row | {"query": "Who?"}))
    write(tmp_path / "b" / "rextime_val.json", [row | {"question": "Who?", "options": ["he", "she"]}])
    bare, whole = (load_dataset("rextime", tmp_path / name).samples[0] for name in "ab")
    assert (bare.question, bare.answer, bare.moments) == ("Who?", None, ((5.0, 8.0),))
    assert whole.answer == "he"


def test_lv_haystack_turns_frames_into_seconds_by_the_frame_rate(tmp_path: Path) -> None:
    row = {"video_id": "e", "question": "Where?", "options": {"A": "here", "B": "there"}, "answer": "B"}
    more = {"frame_indexes_video": [90, 30], "video_metadata": {"frame_rate": 30.0}}
    write(tmp_path / "test.jsonl", json.dumps(row | more))
    (sample,) = load_dataset("lv-haystack", tmp_path)
    assert (sample.key_seconds, sample.answer) == ((1.0, 3.0), "there")
    assert (sample.id, sample.tolerance_seconds) == ("0", 5.0)


def test_charades_sta_has_a_moment_and_a_sentence_on_each_line(tmp_path: Path) -> None:
    write(
        tmp_path / "charades_sta_test.txt",
        "3MSZA 24.3 30.4##person turns on the light.\n\nB 1.0 0.5##sits.\n",
    )
    first, second = load_dataset("charades-sta", tmp_path)
    assert (first.video.name, first.captions) == ("3MSZA.mp4", ("person turns on the light.",))
    assert (first.moments, second.moments) == (((24.3, 30.4),), ((0.5, 1.0),))


def test_video_mme_v2_has_eight_options_and_groups_of_four(tmp_path: Path) -> None:
    options = "\n".join(f"{letter}. option {letter.lower()}" for letter in "ABCDEFGH")
    row = {"video": "001", "question": "Which?", "options": options, "answer": "H", "group_type": "logic"}
    lines = [json.dumps(row | {"group_structure": "[1, [2, 3], 4]"}) for _ in range(4)]
    write(tmp_path / "test.jsonl", "\n".join(lines))
    samples = load_dataset("video-mme-v2", tmp_path).samples
    assert [sample.id for sample in samples] == ["001-1", "001-2", "001-3", "001-4"]
    assert (samples[0].answer, len(samples[0].options)) == ("option h", 8)
    assert (samples[0].group, samples[0].structure) == ("001", "[1,[2,3],4]")


def test_lists_of_others_are_scored_side_by_side_without_a_video(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write(tmp_path / "lvb_anno.csv", ANNOTATION)
    good = write(
        tmp_path / "good.json",
        "\ufeff"
        + json.dumps([{"id": "a_0", "frame_timestamps": [12, 65, 75]}, {"id": "b-1", "seconds": [65.5]}]),
    )
    poor = write(
        tmp_path / "poor.json", [{"uid": "a_0", "timestamps_used": [5.0]}, {"uid": "other", "seconds": [1]}]
    )
    arguments = ["eval", "--dataset", "kfs-bench", "--root", str(tmp_path)]
    assert (
        main([*arguments, "--frames", str(good), "--frames", str(poor), "--out", str(tmp_path / "out")]) == 0
    )
    tables = json.loads((tmp_path / "out" / "results.json").read_text())["tables"]
    figures = {(t["measure"], r["selector"]): r["value"] for t in tables for r in t["rows"]}
    assert figures["KFR", "good"] == figures["SHR", "good"] == 1.0
    assert (figures["SHR", "poor"], figures["UKSS", "poor"]) == (0.0, pytest.approx(0.01))
    printed = capsys.readouterr().out
    assert "good: 2 of 2 questions. poor: 1 of 2 questions." in printed
    (tmp_path / "again").mkdir()
    same = good.rename(tmp_path / "again" / "poor.json")
    assert main([*arguments, "--frames", str(same), "--frames", str(poor)]) == 0
    assert f"{same}: 2 of 2 questions. {poor}: 1 of 2" in capsys.readouterr().out


@pytest.mark.parametrize(
    "content",
    [
        [{"qid": "q1", "pred_relevant_windows": [[4.0, 7.0, 0.9], [1.0, 2.0, 0.1]]}],
        {"q1": [4.0, 7.0]},
    ],
)
def test_moments_of_others_are_scored_by_what_they_have_in_common(
    content: object, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    row = {"qid": "q1", "vid": "v_abc", "relevant_windows": [[5, 8]], "ans": "A", "query": "Who?"}
    write(tmp_path / "rextime_val.jsonl", json.dumps(row))
    found = write(tmp_path / "found.json", content)
    arguments = ["eval", "--dataset", "rextime", "--root", str(tmp_path), "--frames", str(found)]
    assert main([*arguments, "--out", str(tmp_path / "out")]) == 0
    tables = json.loads((tmp_path / "out" / "results.json").read_text())["tables"]
    figures = {table["measure"]: table["rows"][0]["value"] for table in tables}
    assert figures == {"IoU": 0.5, "IoU ≥ 0.3": 1, "IoU ≥ 0.5": 1, "IoU ≥ 0.7": 0} | {
        "IoP": pytest.approx(2 / 3),
        "IoP ≥ 0.3": 1,
        "IoP ≥ 0.5": 1,
    }
    assert "found: 1 of 1 questions." in capsys.readouterr().out


@pytest.mark.parametrize(
    ("content", "says"),
    [
        ('[{"id": "a_0", "moments": [[5, 3]]}]', "give its start and its end"),
        ('[{"id": "a_0", "moments": [[5]]}]', "give its start and its end"),
        ('[{"id": "a_0", "keyframe_indices": [1, 2]}]', "fields id, keyframe_indices"),
        ('[{"id": "a_0", "seconds": ["soon"]}]', "give numbers"),
        ('[{"id": "a_0", "seconds": [1]}, {"id": "a_0", "seconds": [2]}]', "there twice"),
        ('{"id": "a_0", "seconds": [1], "seconds": [2]}', "'seconds' is there twice; give each"),
        ('{"a_0": [1.0, 5.0], "b_1": [1.0, 2.0], "a_0": [3.0, 4.0]}', "list.json: 'a_0' is there twice"),
        ("[1]", "give an object"),
        ("[]", "holds no frame list"),
        ("{", "cannot read the frame list"),
        ('{"id": "a_0", "seconds": [1]}\n\n{"id": "b_1", "sec', "line 3: Unterminated string"),
        ('{"a_0": [1.0, 5.0, 9.0, 12.0]}', r"'a_0' is given 4 numbers and no name for them"),
        ("[" * 100_000, "cannot read the frame list"),
    ],
)
def test_a_list_that_cannot_be_read_costs_one_line(tmp_path: Path, content: str, says: str) -> None:
    with pytest.raises(OptionsError, match=says):
        read_frame_list(write(tmp_path / "list.json", content))


@pytest.mark.parametrize(
    ("name", "files"),
    [
        ("kfs-bench", {"lvb_anno.csv": "id,segment_id,scene_id,start,end\na_0,0\n"}),
        ("next-gqa", {"gsub_val.json": '{"1": {"location": {"0": [[1, 2]]}}}'}),
        ("next-gqa", {"gsub_val.json": "[1]", "val.csv": "video_id,qid\n1,0\n"}),
        ("cg-bench", {"cgbench_mini.json": "[" * 100_000}),
    ],
)
def test_damaged_or_missing_parts_of_annotations_cost_one_line(
    name: str, files: dict[str, str], tmp_path: Path
) -> None:
    for file, text in files.items():
        write(tmp_path / file, text)
    with pytest.raises(
        OptionsError, match=f"^{name}: the annotations in .* are damaged .*; download"
    ) as error:
        load_dataset(name, tmp_path)
    assert "\n" not in str(error.value)


def test_a_list_of_another_data_set_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write(tmp_path / "lvb_anno.csv", ANNOTATION)
    with pytest.raises(OptionsError, match="its first id is 'c', the data set's 'a_0'"):
        score_frame_lists(load_dataset("kfs-bench", tmp_path), {"mine": {"c": Chosen((1.0,))}})
    assert main(["eval", "--frames", str(tmp_path / "x.json")]) == 2
    assert "--frames needs --dataset" in capsys.readouterr().err


def test_every_selector_is_scored_on_the_scenes_of_videos_that_are_there(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_clip(random_clip(np.random.default_rng(1), scenes=2, seconds=8), tmp_path / "a.mp4", fps=4)
    write(tmp_path / "lvb_anno.csv", "id,segment_id,scene_id,start,end\na_0,0,0,0:00:02,0:00:05\n")
    row = {"id": "a_0", "video_path": "a.mp4", "question": "What does the man do?", "candidates": ["x", "y"]}
    write(tmp_path / "lvb_val.json", [row | {"correct_choice": 0, "duration_group": 60}])
    arguments = ["eval", "--dataset", "kfs-bench", "--root", str(tmp_path), "--encoder", "cartoon"]
    assert main(arguments) == 0
    printed = capsys.readouterr().out
    assert "| selector | SHR |" in printed and "| selector | UKSS |" in printed and "| wfs-sb |" in printed


def test_lv_haystack_compares_times_and_pictures_with_those_of_the_true_frames(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_clip(random_clip(np.random.default_rng(1), scenes=2, seconds=16), tmp_path / "e.mp4", fps=4)
    more = {"frame_indexes_video": [4, 60], "video_metadata": {"frame_rate": 4.0}}
    write(tmp_path / "test.jsonl", json.dumps({"video_id": "e", "question": "Where?", "answer": "a"} | more))
    out = tmp_path / "out"
    arguments = ["eval", "--dataset", "lv-haystack", "--root", str(tmp_path), "--encoder", "cartoon"]
    assert main([*arguments, "--out", str(out)]) == 0
    tables = json.loads((out / "results.json").read_text())["tables"]
    figures = {(t["measure"], r["selector"]): r["value"] for t in tables for r in t["rows"]}
    # of 3 uniform frames at 0, 8 and 16 s that in the middle is near none of 1 and 15 s
    assert figures["temporal precision", "uniform"] == pytest.approx(2 / 3)
    assert figures["temporal recall", "uniform"] == 1.0
    assert 0.5 < figures["SSIM recall", "uniform"] < 1.0
    assert "F1: keyframe-llm 0." in capsys.readouterr().out
    exact = write(tmp_path / "exact.json", [{"id": 0, "seconds": [1.0, 15.0]}])
    assert main([*arguments, "--frames", str(exact)]) == 0
    assert "| exact | 1.000 |" in capsys.readouterr().out
