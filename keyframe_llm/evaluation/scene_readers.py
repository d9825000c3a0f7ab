"""Readers of the benchmarks that say when an answer is shown, and of those about long videos."""

from __future__ import annotations

import csv
import re
from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from keyframe_llm.evaluation.files import read_json, read_json_lines, read_parquet
from keyframe_llm.evaluation.readers import read_longvideobench, read_video_mme
from keyframe_llm.evaluation.samples import Sample, Tree

__all__ = [
    "read_cg_bench",
    "read_charades_sta",
    "read_kfs_bench",
    "read_lv_haystack",
    "read_lvbench",
    "read_mlvu",
    "read_next_gqa",
    "read_rextime",
    "read_video_mme_v2",
]

Moment = tuple[float, float]

_KFS_END_SECONDS = 1.0  # an annotated end is a whole second, which counts to its end
_HAYSTACK_SECONDS = 5.0


def read_kfs_bench(tree: Tree) -> list[Sample]:
    """KFS-Bench: scenes of 1,291 LongVideoBench and 888 Video-MME questions, from its `*_anno.csv` files.

    The questions come from `lvb_val.json` and Video-MME's `test-*.parquet`, where these lie below the folder.
    """
    files = tree.matching("*_anno.csv")
    if not files:
        raise tree.absent("*_anno.csv")
    questions = _questions(tree)
    samples = []
    for path in files:
        for key, scenes in _scenes(path).items():
            name = key.rpartition("-" if "_" not in key else "_")[0]
            sample = questions.get(key) or Sample(key, tree.video(name))
            moments = tuple(moment for scene in scenes for moment in scene)
            samples.append(replace(sample, scenes=scenes, moments=moments, group=path.stem))
    return samples


def read_lvbench(tree: Tree) -> list[Sample]:
    """LVBench: 1,549 questions on 103 videos, with the time that each refers to."""
    samples = []
    for video in read_json_lines(tree.need("video_info.meta.jsonl")):
        for row in video["qa"]:
            question, *options = re.split(r"\n\s*\([A-H]\)\s*", row["question"].strip())
            samples.append(
                Sample(
                    str(row["uid"]),
                    tree.video(video["key"]),
                    question=question.strip(),
                    options=tuple(option.strip() for option in options),
                    answer=options[_letter(row["answer"])].strip(),
                    moments=_spans(row.get("time_reference") or ""),
                )
            )
    return samples


def read_mlvu(tree: Tree) -> list[Sample]:
    """MLVU dev: the questions with options of seven tasks, `1_plotQA.json` to `7_topic_reasoning.json`.

    Questions whose answer is not among their options (two of 2,175) are left out.
    """
    files = tree.matching("[1-7]_*.json")
    if not files:
        raise tree.absent("[1-7]_*.json")
    return [
        Sample(
            f"{path.stem} {number}",
            tree.video(row["video"]),
            question=row["question"].strip(),
            options=tuple(row["candidates"]),
            answer=row["answer"],
            group=row["question_type"],
        )
        for path in files
        for number, row in enumerate(read_json(path))
        if row["answer"] in row["candidates"]
    ]


def read_cg_bench(tree: Tree) -> list[Sample]:
    """CG-Bench: questions with the intervals that hold the clues; the mini set has 3,000 on 1,118 videos."""
    return [
        Sample(
            str(row["qid"]),
            tree.video(row["video_uid"]),
            question=row["question"].strip(),
            options=tuple(row["choices"]),
            answer=row["choices"][_letter(row["right_answer"])],
            moments=_moments(row["clue_intervals"]),
            group=row["sub_category"],
        )
        for row in read_json(tree.need("cgbench_mini.json", "cgbench.json"))
    ]


def read_next_gqa(tree: Tree) -> list[Sample]:
    """NExT-GQA: the grounded questions of the test split, or, where it is not there, of the validation."""
    path = tree.need("gsub_test.json", "gsub_val.json")
    spans = read_json(path)
    samples = []
    for row in _csv(path.with_name(path.stem.removeprefix("gsub_") + ".csv")):
        located = spans.get(row["video_id"], {}).get("location", {}).get(row["qid"])
        if located:
            samples.append(
                Sample(
                    f"{row['video_id']}_{row['qid']}",
                    tree.video(row["video_id"]),
                    question=row["question"].strip(),
                    options=tuple(row[f"a{i}"] for i in range(5)),
                    answer=row["answer"],
                    moments=_moments(located),
                    group=row["type"],
                )
            )
    return samples


def read_rextime(tree: Tree) -> list[Sample]:
    """ReXTime: the 921 validation questions; options where the file has them (that on Hugging Face has)."""
    path = tree.need("rextime_val.json", "rextime_val.jsonl")
    samples = []
    for row in read_json(path) if path.suffix == ".json" else read_json_lines(path):
        options = tuple(row.get("options", ()))
        samples.append(
            Sample(
                str(row["qid"]),
                tree.video(row["vid"]),
                question=(row.get("question") or row["query"]).strip(),
                options=options,
                answer=options[_letter(row["ans"])] if options else None,
                moments=_moments(row["relevant_windows"]),
            )
        )
    return samples


def read_lv_haystack(tree: Tree) -> list[Sample]:
    """LV-Haystack: questions with the frames that answer them; a frame at most 5 s away counts.

    Questions have no id there; theirs is their number in the file, from 0.
    """
    samples = []
    for number, row in enumerate(_table(tree.need("test-*.parquet", "test*.jsonl"))):
        rate = float(row["video_metadata"]["frame_rate"])
        options = {key: text for key, text in (row.get("options") or {}).items() if text is not None}
        samples.append(
            Sample(
                str(row.get("question_id", number)),
                tree.video(row["video_id"]),
                question=row["question"].strip(),
                options=tuple(options.values()),
                answer=options.get(row["answer"], row["answer"]),
                key_seconds=tuple(sorted(frame / rate for frame in row["frame_indexes_video"])),
                tolerance_seconds=_HAYSTACK_SECONDS,
            )
        )
    return samples


def read_charades_sta(tree: Tree) -> list[Sample]:
    """Charades-STA: 3,720 test sentences, each with its moment: `video start end##sentence`."""
    samples = []
    lines = tree.need("charades_sta_test.txt").read_text(encoding="utf-8").splitlines()
    for number, line in enumerate(line for line in lines if line.strip()):
        head, _, sentence = line.partition("##")
        video, start, end = head.split()
        moments = _moments([(float(start), float(end))])
        samples.append(Sample(str(number), tree.video(video), captions=(sentence.strip(),), moments=moments))
    return samples


def read_video_mme_v2(tree: Tree) -> list[Sample]:
    """Video-MME-v2: 3,200 questions with eight options; the four on a video are scored together."""
    samples = []
    for number, row in enumerate(_table(tree.need("test.parquet", "test.jsonl"))):
        listed = row["options"].splitlines() if isinstance(row["options"], str) else row["options"]
        options = tuple(re.sub(r"^[A-H]\s*[.):]\s*", "", text.strip()) for text in listed if text.strip())
        relevance = row["group_type"] == "relevance"
        samples.append(
            Sample(
                str(row.get("question_id", f"{row['video']}-{number % 4 + 1}")),
                tree.video(str(row["video"])),
                question=row["question"].strip(),
                options=options,
                answer=options[_letter(row["answer"])],
                group=str(row["video"]),
                structure="relevance" if relevance else str(row["group_structure"]).replace(" ", ""),
            )
        )
    return samples


def _questions(tree: Tree) -> dict[str, Sample]:
    known: list[Sample] = []
    if tree.first("lvb_val.json"):
        known += read_longvideobench(tree)
    if tree.first("test-*.parquet"):
        known += read_video_mme(tree)
    return {sample.id: sample for sample in known}


def _scenes(path: Path) -> dict[str, tuple[tuple[Moment, ...], ...]]:
    """The scenes of every question; the segments of one scene belong together."""
    found: dict[str, dict[str, list[Moment]]] = {}
    for row in _csv(path):
        moment = _clock(row["start"]), _clock(row["end"]) + _KFS_END_SECONDS
        found.setdefault(row["id"], {}).setdefault(row["scene_id"], []).append(moment)
    return {key: tuple(tuple(scene) for scene in scenes.values()) for key, scenes in found.items()}


def _clock(text: str) -> float:
    """`1:02:03.5`, `02:03` or `3` in seconds."""
    seconds = 0.0
    for part in text.strip().split(":"):
        seconds = 60 * seconds + float(part)
    return seconds


def _spans(text: str) -> tuple[Moment, ...]:
    """`mm:ss-mm:ss`, or a single time, as moments; none where there is no time."""
    times = [_clock(part) for part in re.findall(r"\d+(?::\d+)+", text)]
    if len(times) == 1:
        times *= 2
    return _moments(zip(times[::2], times[1::2], strict=False))


def _moments(pairs: Iterable[Sequence[float]]) -> tuple[Moment, ...]:
    """Pairs of seconds as moments; some annotations start a little before the video."""
    return tuple((max(0.0, float(min(pair))), float(max(pair))) for pair in pairs)


def _letter(text: str) -> int:
    return ord(text.strip()[0].upper()) - ord("A")


def _csv(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8-sig", newline="") as rows:
        return list(csv.DictReader(rows))


def _table(path: Path) -> list[dict[str, Any]]:
    return read_parquet(path) if path.suffix == ".parquet" else read_json_lines(path)
