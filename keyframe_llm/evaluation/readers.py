"""One reader for each data set's own files: annotations in, samples out; no video is opened."""

from __future__ import annotations

import csv
import re
from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np

from keyframe_llm.errors import OptionsError
from keyframe_llm.evaluation.files import numbered_json_lines, read_json, read_json_lines, read_parquet
from keyframe_llm.evaluation.samples import Sample, Tree

__all__ = [
    "read_didemo",
    "read_didemo_moments",
    "read_hmdb51",
    "read_longvideobench",
    "read_msrvtt",
    "read_msvd",
    "read_own",
    "read_qvhighlights",
    "read_summe",
    "read_tvsum20",
    "read_ucf101",
    "read_video_mme",
]

_DIDEMO_CHUNK_SECONDS = 5.0


def read_msrvtt(tree: Tree) -> list[Sample]:
    """MSR-VTT 1k-A (JSFusion): 1,000 videos with one caption each."""
    with tree.need("MSRVTT_JSFUSION_test.csv").open(encoding="utf-8", newline="") as rows:
        return [
            Sample(row["video_id"], tree.video(row["video_id"]), captions=(row["sentence"].strip(),))
            for row in csv.DictReader(rows)
        ]


def read_msvd(tree: Tree) -> list[Sample]:
    """MSVD: 670 test videos with some 40 captions each.

    From `MSVD_test.tsv`, or from the original `AllVideoDescriptions.txt` for the names in `test_list.txt`.
    """
    table = tree.first("MSVD_test.tsv")
    if table is not None:
        captions = {name: tuple(_split(text)) for text, name in _tab_rows(table)}
    else:
        captions = _described(tree.need("AllVideoDescriptions.txt"), tree.need("test_list.txt"))
    return [Sample(name, tree.video(name), captions=texts) for name, texts in captions.items()]


def read_didemo(tree: Tree) -> list[Sample]:
    """DiDeMo for retrieval: some 1,000 test videos, all captions of a video joined to one paragraph."""
    table = tree.first("DiDeMo_test.tsv")
    if table is not None:
        paragraphs = {name: ", ".join(_split(text)) for text, name in _tab_rows(table)}
    else:
        descriptions: dict[str, list[str]] = {}
        for row in read_json(tree.need("test_data.json")):
            descriptions.setdefault(row["video"], []).append(row["description"].strip())
        paragraphs = {name: ", ".join(texts) for name, texts in descriptions.items()}
    return [Sample(name, tree.video(name), captions=(text,)) for name, text in paragraphs.items()]


def read_didemo_moments(tree: Tree) -> list[Sample]:
    """DiDeMo for moments: every description with the run of 5-second chunks most annotators marked."""
    samples = []
    for row in read_json(tree.need("test_data.json")):
        (first, last), _ = Counter(tuple(time) for time in row["times"]).most_common(1)[0]
        samples.append(
            Sample(
                str(row["annotation_id"]),
                tree.video(row["video"]),
                captions=(row["description"].strip(),),
                moments=((first * _DIDEMO_CHUNK_SECONDS, (last + 1) * _DIDEMO_CHUNK_SECONDS),),
            )
        )
    return samples


def read_hmdb51(tree: Tree, split: int) -> list[Sample]:
    """HMDB51: the 1,530 test videos (marked 2) of an official split, 30 for each of 51 classes."""
    ending = f"_test_split{split}.txt"
    lists = tree.matching("*" + ending)
    if not lists:
        raise tree.absent("*" + ending)
    samples = []
    for path in lists:
        label = path.name.removesuffix(ending).replace("_", " ")
        marks = [line.split() for line in path.read_text(encoding="utf-8").splitlines() if line.strip()]
        samples += [Sample(name, tree.video(name), label=label) for name, mark in marks if mark == "2"]
    return samples


def read_ucf101(tree: Tree, split: int) -> list[Sample]:
    """UCF101: the test videos of an official split, some 3,700 of 101 classes."""
    names = tree.need(f"testlist0{split}.txt").read_text(encoding="utf-8").split()
    return [
        Sample(Path(name).stem, tree.video(Path(name).name), label=_words(Path(name).parent.name))
        for name in names
    ]


def read_tvsum20(tree: Tree) -> list[Sample]:
    """TVSum20: 20 videos with pictures of their key frames, `Keyframe/<video>.mp4/<frame index>.jpg`.

    The title is the caption where `tvsum20_keyframes.json` or TVSum's `ydata-tvsum50-info.tsv` is there.
    """
    pictures: dict[str, list[Path]] = {}
    for path in tree.matching("Keyframe/*/*.jpg"):
        pictures.setdefault(path.parent.name.removesuffix(".mp4"), []).append(path)
    if not pictures:
        raise tree.absent("Keyframe/*/*.jpg")
    titles = _titles(tree)
    return [
        Sample(
            name,
            tree.video(name),
            captions=(titles[name],) if name in titles else (),
            keyframes=tuple(sorted(found, key=lambda path: int(path.stem))),
        )
        for name, found in pictures.items()
    ]


def read_summe(tree: Tree) -> list[Sample]:
    """SumMe: 25 videos with the summaries of 15–18 people each (`GT/*.mat`).

    People chose segments, not key frames: the key-frame F1 of the literature cannot be had from these files.
    """
    from scipy.io import loadmat

    files = tree.matching("GT/*.mat")
    if not files:
        raise tree.absent("GT/*.mat")
    samples = []
    for path in files:
        content = loadmat(str(path))
        fps = float(np.asarray(content["FPS"]).squeeze())
        kept = np.asarray(content["user_score"]) > 0
        summaries = tuple(tuple(_runs(person, fps)) for person in kept.T)
        samples.append(Sample(path.stem, tree.video(path.stem), summaries=summaries))
    return samples


def read_qvhighlights(tree: Tree) -> list[Sample]:
    """QVHighlights: 1,550 validation queries with their moments (the test split's are not published)."""
    return [
        Sample(
            str(row["qid"]),
            tree.video(row["vid"]),
            captions=(row["query"].strip(),),
            moments=tuple((float(start), float(end)) for start, end in row["relevant_windows"]),
        )
        for row in read_json_lines(tree.need("highlight_val_release.jsonl"))
    ]


def read_video_mme(tree: Tree) -> list[Sample]:
    """Video-MME: 2,700 questions with four options on 900 videos, grouped `short`, `medium` and `long`."""
    path = tree.need("test-*.parquet", "test.jsonl")
    samples = []
    for row in read_parquet(path) if path.suffix == ".parquet" else read_json_lines(path):
        options = tuple(re.sub(r"^[A-H]\s*[.):]\s*", "", option.strip()) for option in row["options"])
        samples.append(
            Sample(
                row["question_id"],
                tree.video(row["videoID"]),
                question=row["question"].strip(),
                options=options,
                answer=options[ord(row["answer"].strip()) - ord("A")],
                group=row["duration"],
            )
        )
    return samples


def read_longvideobench(tree: Tree) -> list[Sample]:
    """LongVideoBench: the 1,337 validation questions with their options, without subtitles."""
    return [
        Sample(
            str(row["id"]),
            tree.video(row["video_path"]),
            question=row["question"].strip(),
            options=tuple(row["candidates"]),
            answer=row["candidates"][row["correct_choice"]],
            group=str(row["duration_group"]),
        )
        for row in read_json(tree.need("lvb_val.json"))
    ]


def read_own(path: Path, tree: Tree) -> list[Sample]:
    """One's own videos: a JSON Lines file, or a folder.

    A line is an object with `video` (a path, relative to the file) and any of `id`, `caption` or `captions`,
    `question`, `options`, `answer`, `moments` ([[start, end], …] in seconds), `label`, `group`. In a folder,
    the name of a subfolder is the label, and a text file beside a video holds its captions, one a line.
    """
    if path.is_file():
        return [_own_line(path, number, row) for number, row in numbered_json_lines(path)]
    if not tree.video_files():
        raise tree.absent("video")
    samples = []
    for video in tree.video_files():
        beside = video.with_suffix(".txt")
        texts = beside.read_text(encoding="utf-8").splitlines() if beside.is_file() else []
        label = None if video.parent == path else video.parent.name
        captions = tuple(text.strip() for text in texts if text.strip())
        samples.append(Sample(str(video.relative_to(path)), video, captions=captions, label=label))
    return samples


def _own_line(path: Path, number: int, row: Any) -> Sample:
    known = {
        "id",
        "video",
        "caption",
        "captions",
        "question",
        "options",
        "answer",
        "moments",
        "label",
        "group",
    }
    try:
        unknown = set(row) - known
        if unknown:
            raise ValueError(f"{sorted(unknown)[0]!r} is not one of {', '.join(sorted(known))}")
        captions = [row["caption"]] if "caption" in row else row.get("captions", [])
        if isinstance(captions, str):
            raise ValueError("`captions` is a list; a single one is `caption`")
        return Sample(
            str(row.get("id", number)),
            path.parent / row["video"],
            captions=tuple(captions),
            question=row.get("question"),
            options=tuple(row.get("options", ())),
            answer=row.get("answer"),
            moments=tuple((float(start), float(end)) for start, end in row.get("moments", ())),
            label=row.get("label"),
            group=row.get("group"),
        )
    except KeyError as error:
        raise OptionsError(f"{path}, line {number}: `video` is missing; give the path of a video") from error
    except (TypeError, ValueError) as error:
        raise OptionsError(f"{path}, line {number}: {error}") from error


def _tab_rows(path: Path) -> Iterable[list[str]]:
    """Rows of two columns; a quoted caption may run over several lines."""
    with path.open(encoding="utf-8", newline="") as lines:
        yield from (row for row in csv.reader(lines, delimiter="\t") if len(row) == 2)


def _split(text: str) -> list[str]:
    """The captions of a comma-joined list, white space tidied."""
    return [caption for part in re.split(r",\s", text + " ") if (caption := " ".join(part.split()))]


def _described(descriptions: Path, names: Path) -> dict[str, tuple[str, ...]]:
    wanted: dict[str, list[str]] = {name: [] for name in names.read_text(encoding="utf-8").split()}
    for line in descriptions.read_text(encoding="utf-8").splitlines():
        name, _, caption = line.partition(" ")
        if name in wanted and caption.strip():
            wanted[name].append(caption.strip())
    return {name: tuple(captions) for name, captions in wanted.items() if captions}


def _titles(tree: Tree) -> dict[str, str]:
    listed, info = tree.first("tvsum20_keyframes.json"), tree.first("ydata-tvsum50-info.tsv")
    if listed is not None:
        return {row["video"]: row["title"] for row in read_json(listed)}
    if info is not None:
        with info.open(encoding="utf-8", newline="") as rows:
            return {row["video_id"]: row["title"] for row in csv.DictReader(rows, delimiter="\t")}
    return {}


def _runs(kept: Any, fps: float) -> list[tuple[float, float]]:
    """Stretches of True, in seconds."""
    edges = np.flatnonzero(np.diff(np.concatenate([[0], kept.astype(int), [0]])))
    return [(float(a / fps), float(b / fps)) for a, b in edges.reshape(-1, 2)]


def _words(camel: str) -> str:
    return re.sub(r"(?<=[a-z])(?=[A-Z])", " ", camel).lower()
