"""Key frames, or moments, that others chose, scored by their times: without a video, without a model."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from keyframe_llm.errors import OptionsError, shortened
from keyframe_llm.evaluation.results import Table
from keyframe_llm.evaluation.samples import Dataset, Sample
from keyframe_llm.evaluation.scenes import (
    FrameMatch,
    MomentMatch,
    SceneScores,
    geometric_mean,
    match_frames,
    match_moment,
    near_in_time,
    score_scenes,
)

__all__ = ["Chosen", "add_frame_scores", "read_frame_list", "read_frame_lists", "score_frame_lists"]


@dataclass(frozen=True, slots=True)
class Chosen:
    """What was chosen for one question."""

    seconds: tuple[float, ...]
    """The times of the key frames; of a moment its ends."""
    is_moment: bool = False


FrameList = Mapping[str, Chosen]
"""What was chosen, by the question's id."""

_IDS = ("id", "uid", "question_id", "qid")
_TIMES = ("frame_timestamps", "timestamps_used", "keyframe_timestamps", "seconds")
_MOMENTS = ("moments", "pred_relevant_windows")
_MOMENT_MEASURES: Mapping[str, Callable[[MomentMatch], float]] = {
    "IoU": lambda match: match.iou,
    "IoU ≥ 0.3": lambda match: match.iou >= 0.3,
    "IoU ≥ 0.5": lambda match: match.iou >= 0.5,
    "IoU ≥ 0.7": lambda match: match.iou >= 0.7,
    "IoP": lambda match: match.iop,
    "IoP ≥ 0.3": lambda match: match.iop >= 0.3,
    "IoP ≥ 0.5": lambda match: match.iop >= 0.5,
}
_MEASURES: Mapping[str, Callable[[SceneScores], float]] = {
    "KFR": lambda scores: scores.key_frame_rate,
    "SHR": lambda scores: scores.scene_hit_rate,
    "BSR": lambda scores: scores.balanced_scene_recall,
    "BDS": lambda scores: scores.balanced_distribution,
    "UKSS": lambda scores: scores.unified,
}
_PARTS: Mapping[str, Callable[[FrameMatch], float]] = {
    "precision": lambda match: match.precision,
    "recall": lambda match: match.recall,
    "F1": lambda match: match.f1,
}


def read_frame_list(path: Path) -> FrameList:
    """Read a JSON array, or JSON Lines, of objects with an id and times in seconds.

    The id is `id`, `uid`, `question_id` or `qid`; the times are `frame_timestamps`, `timestamps_used`,
    `keyframe_timestamps` or `seconds`. In their place `moments` or `pred_relevant_windows` may hold moments,
    of which the first counts; a JSON object of ids and moments is NExT-GQA's form. Raises `OptionsError` in
    one line on anything else: indices of frames have no time without the video.
    """
    try:
        rows = _rows(path.read_text(encoding="utf-8-sig"))
    except OptionsError as error:
        raise OptionsError(f"{path}: {error}") from error
    except (OSError, ValueError, RecursionError) as error:
        raise OptionsError(f"cannot read the frame list {str(path)!r} ({error}); give JSON") from error
    found: dict[str, Chosen] = {}
    for number, row in enumerate(rows, 1):
        key, chosen = _entry(row, f"{path}, entry {number}")
        if key in found:
            raise OptionsError(f"{path}, entry {number}: {key!r} is there twice; give each question once")
        found[key] = chosen
    if not found:
        raise OptionsError(f"{path} holds no frame list; give an array of objects with an id and times")
    return found


def read_frame_lists(paths: Sequence[Path]) -> dict[str, FrameList]:
    """Several lists by the names of their files, or by their paths where two files have one name."""
    names = Counter(path.stem for path in paths)
    return {path.stem if names[path.stem] == 1 else str(path): read_frame_list(path) for path in paths}


def score_frame_lists(dataset: Dataset, lists: Mapping[str, FrameList]) -> list[Table]:
    """Score frame lists by name against a data set's scenes, moments or key frames, a row for each.

    A question that a list leaves out is not scored for it. Raises `OptionsError` where nothing can be scored.
    """
    samples = {s.id: s for s in dataset if s.scenes or s.moments or s.key_seconds}
    tables: dict[str, Table] = {}
    for name, frames in lists.items():
        known = [key for key in frames if key in samples]
        if not known:
            raise OptionsError(
                f"{name} has no question with annotated times of {dataset.name}; its first id is "
                f"{next(iter(frames))!r}, the data set's {next(iter(samples), None)!r}"
            )
        budget = max(len(frames[key].seconds) for key in known)
        for key in known:
            add = _add_moment_scores if frames[key].is_moment else add_frame_scores
            add(tables, dataset.name, (name, budget), samples[key], frames[key].seconds)
        for table in tables.values():
            table.note = f"{table.note} {name}: {len(known)} of {len(samples)} questions.".strip()
    return list(tables.values())


def add_frame_scores(
    tables: dict[str, Table], title: str, row: tuple[str, int], sample: Sample, times: Iterable[float]
) -> None:
    """Add one question's frames to the tables of the measures that its annotation allows."""
    seconds = list(times)

    def add(measure: str, value: float, statistic: Callable[[ArrayLike], float] | None = None) -> None:
        table = tables.setdefault(measure, Table(title, measure, statistic=statistic))
        table.row(*row).add(sample.id, str(sample.video), value, seconds)

    scenes = sample.scenes or tuple((moment,) for moment in sample.moments)
    if scenes:
        scores = score_scenes(seconds, scenes)
        for measure, read in _MEASURES.items():
            add(measure, read(scores), geometric_mean if measure == "UKSS" else None)
    if sample.key_seconds:
        match = match_frames(near_in_time(seconds, sample.key_seconds, sample.tolerance_seconds))
        for name, part in _PARTS.items():
            add(f"temporal {name}", part(match))


def _add_moment_scores(
    tables: dict[str, Table], title: str, row: tuple[str, int], sample: Sample, times: Iterable[float]
) -> None:
    start, end = times
    truth = sample.moments or tuple(moment for scene in sample.scenes for moment in scene)
    match = match_moment((start, end), truth)
    for measure, read in _MOMENT_MEASURES.items():
        table = tables.setdefault(measure, Table(title, measure))
        table.row(*row).add(sample.id, str(sample.video), read(match), (start, end))


def _rows(text: str) -> list[Any]:
    try:
        whole = json.loads(text, object_pairs_hook=_unique)
    except json.JSONDecodeError as error:
        lines = [(number, line) for number, line in enumerate(text.split("\n"), 1) if line.strip()]
        if len(lines) < 2:
            raise
        return [_line(number, line, error) for number, line in lines]
    if isinstance(whole, dict) and all(isinstance(value, list) for value in whole.values()):
        return [_unnamed(key, value) for key, value in whole.items()]
    return whole if isinstance(whole, list) else [whole]


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """A JSON object; raises `OptionsError` where a name is in it twice, of which JSON keeps the last."""
    found = dict(pairs)
    if len(found) < len(pairs):
        double = next(name for name, count in Counter(name for name, _ in pairs).items() if count > 1)
        raise OptionsError(f"{shortened(double)} is there twice; give each question, and each field, once")
    return found


def _line(number: int, line: str, whole: json.JSONDecodeError) -> Any:
    """One line of JSON Lines; where already the first is none, the fault is that of the `whole` text."""
    try:
        return json.loads(line, object_pairs_hook=_unique)
    except json.JSONDecodeError as error:
        raise ValueError(str(whole) if number == 1 else f"line {number}: {error.msg}") from error


def _unnamed(key: str, numbers: list[Any]) -> dict[str, Any]:
    """A moment in NExT-GQA's form, two numbers under an id; more of them may be frames, or indices."""
    if len(numbers) != 2:
        raise OptionsError(
            f"{key!r} is given {len(numbers)} numbers and no name for them; give a moment as two seconds, "
            'key frames as {"id": …, "seconds": […]}'
        )
    return {"id": key, "moments": [numbers]}


def _entry(row: Any, place: str) -> tuple[str, Chosen]:
    if not isinstance(row, dict):
        raise OptionsError(f"{place} is {shortened(row)}; give an object with an id and times")
    key = next((row[name] for name in _IDS if name in row), None)
    times = next((row[name] for name in _TIMES if name in row), None)
    moments = next((row[name] for name in _MOMENTS if name in row), None) if times is None else None
    if isinstance(moments, list) and moments:
        times = moments[0]
    if key is None or not isinstance(times, list):
        raise OptionsError(
            f"{place} has the fields {', '.join(row)}; give one of {', '.join(_IDS)} and, in seconds, one of "
            f"{', '.join(_TIMES + _MOMENTS)}"
        )
    return str(key), _chosen(times, moments is not None, place)


def _chosen(times: list[Any], is_moment: bool, place: str) -> Chosen:
    try:
        seconds = np.array(times, np.float64)
    except (TypeError, ValueError) as error:
        raise OptionsError(f"{place}: times are {shortened(times)}; give numbers") from error
    if seconds.ndim != 1 or not np.all(np.isfinite(seconds)):
        raise OptionsError(f"{place}: times are {shortened(times)}; give finite numbers")
    if not is_moment:
        return Chosen(tuple(seconds.tolist()))
    start, end = seconds[:2].tolist() if len(seconds) >= 2 else (0.0, -1.0)  # a score may follow
    if start > end:
        raise OptionsError(
            f"{place}: the moment is {shortened(times)}; give its start and its end, in seconds"
        )
    return Chosen((start, end), is_moment=True)
