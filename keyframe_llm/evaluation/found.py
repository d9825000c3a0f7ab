"""Is it there at all? How often `found_in` is right about texts that footage shows, and about others.

Texts about other footage stand for what is not there. Every figure is reported for the clips by which the
curve of `found_in` was fitted, and for the others.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, get_args

import numpy as np
from numpy.typing import ArrayLike, NDArray

from keyframe_llm.cartoon.world.language import ACTION_PHRASES, PLACE_PHRASES, person_phrase
from keyframe_llm.cartoon.world.questions import event_question
from keyframe_llm.cartoon.world.scenes import UNSEEN_SEED, Scene, random_scene
from keyframe_llm.encoders import Encoder
from keyframe_llm.evaluation.drawn import drawn_clip, index_clip
from keyframe_llm.evaluation.features import features_index
from keyframe_llm.evaluation.joined import sampled_clips, subjects
from keyframe_llm.evaluation.results import Table
from keyframe_llm.prompts import default_prompts
from keyframe_llm.scoring.found import Found, FoundWord, found_in
from keyframe_llm.scoring.queries import caption_parts, query_kind, question_parts

__all__ = ["area", "measure_found"]

_FITTED = ("fitted", "reported")
_TEXTS_OF_A_CLIP = 4
_SHORT = 12
"""Samples of a subject in a video of several."""
_THERE = 2.0
"""Is added to the scores of what is there, so that one column holds both."""
_OTHER_THINGS = (
    "a sailing boat on a lake",
    "a bride and a groom cut a cake",
    "How many horses are there?",
    "What is the score of the match?",
    "Who wins the race?",
)
_MAY_SHOW = (
    {"puppy", "dog on the pavement"},
    {"face in the dark", "man at a computer", "glasses"},
    {"source code", "man at a computer", "keyboard", "paper sign"},
    {"bedroom", "sign language", "people one by one"},
    {"park", "dog on the pavement", "baseball"},
    {"empty room", "people one by one"},
    {"workshop", "dark hall"},
    {"car", "empty road", "dog on the pavement"},
)
"""Subjects of `joined.json` whose captions may fit each other's footage: neither there nor absent."""


@dataclass(frozen=True, slots=True, eq=False)
class _Case:
    """A text, the frames of a video (K, D), and what is true."""

    text: str
    group: str
    frames: NDArray[Any]
    truth: str
    """`there`, or what kind of text is not."""


def measure_found(
    drawn: Encoder, root: Path | None, real: Encoder | None, *, clips: int, joins: int
) -> list[Table]:
    """How often each word is said of what is there and what is not.

    `drawn` is the encoder of the drawn world; `root` holds real footage, for the encoder `real`.
    """
    tables = []
    for i, half in enumerate(_FITTED):
        cases = [case for seed in range(i, clips, 2) for case in _drawn_cases(drawn, seed)]
        tables.append(_table(f"Found or not: drawn clips, {half}", cases, drawn))
    if root is None or real is None:
        return tables
    listed = [subject for subject in subjects() if subject["captions"]]
    sampled = sampled_clips(root, (moment[0] for s in listed for moment in s["moments"]), real)
    rows = {s["name"]: _subject_rows(sampled, s) for s in listed}
    for half, of in zip(_FITTED, ("first", "second"), strict=True):
        cast = [subject for subject in listed if subject["half"] == of]
        alone = [case for shown in cast for case in _real_cases(cast, [shown], rows)]
        tables.append(_table(f"Found or not: one real clip, {half}", alone, real))
        together = [case for seed in range(joins) for case in _joined_cases(cast, rows, seed)]
        tables.append(_table(f"Found or not: half of the real clips in one video, {half}", together, real))
    return [*tables, *_names_of_things(root)]


def _drawn_cases(encoder: Encoder, seed: int) -> Iterator[_Case]:
    """Questions and captions about people of a clip, about others, and about no drawn thing."""
    clip, _ = drawn_clip(seed)
    frames, rng = index_clip(clip, encoder).embedded(), np.random.default_rng([UNSEEN_SEED, 8, seed])
    shown = [clip.scenes[i] for i in rng.permutation(len(clip.scenes))[:_TEXTS_OF_A_CLIP]]
    people = {(scene.subject, scene.colour) for scene in clip.scenes}
    absent: list[Scene] = []
    while len(absent) < _TEXTS_OF_A_CLIP:
        scene = random_scene(rng)
        absent += [] if (scene.subject, scene.colour) in people else [scene]
    for truth, scenes in (("there", shown), ("people not there", absent)):
        for scene in scenes:
            who, does = person_phrase(scene, "a"), ACTION_PHRASES[scene.action]
            for text in (event_question(rng, scene).text, f"{who} {does} {PLACE_PHRASES[scene.place]}"):
                yield _Case(text, str(seed), frames, truth)
    for text in _OTHER_THINGS:
        yield _Case(text, str(seed), frames, "other things")


def _subject_rows(sampled: Any, subject: dict[str, Any]) -> NDArray[Any]:
    """(K, D) of all moments of a subject."""
    parts = []
    for name, start, end in subject["moments"]:
        inside = (sampled[name].seconds >= start) & (sampled[name].seconds <= end)
        parts.append(sampled[name].embedded()[inside])
    return np.concatenate(parts)


def _real_cases(
    cast: Sequence[dict[str, Any]],
    shown: Sequence[dict[str, Any]],
    rows: dict[str, NDArray[Any]],
    most: int | None = None,
    note: str = "",
) -> Iterator[_Case]:
    """Every caption of a half, of a video that shows some of its subjects."""
    names = {subject["name"] for subject in shown}
    frames = np.concatenate([rows[name][:most] for name in sorted(names)])
    for subject in cast:
        there = subject["name"] in names
        unsure = any(subject["name"] in alike and alike & names for alike in _MAY_SHOW)
        for text in [] if unsure and not there else [*subject["captions"], *subject.get("sealed", ())]:
            group = subject["name"] if most else next(iter(names))
            yield _Case(f"{text}{note}", group, frames, "there" if there else "not there")


def _joined_cases(
    cast: Sequence[dict[str, Any]], rows: dict[str, NDArray[Any]], seed: int
) -> Iterator[_Case]:
    rng = np.random.default_rng([8, seed])
    shown = [cast[i] for i in rng.permutation(len(cast))[: len(cast) // 2]]
    return _real_cases(cast, shown, rows, _SHORT)


def _table(title: str, cases: Iterable[_Case], encoder: Encoder) -> Table:
    """Shares of each word by what is true, and how well the scores tell what is there from all else."""
    neutral = encoder.embed_texts(list(default_prompts().lines("neutral")))
    judged: list[tuple[_Case, Found]] = []
    unknown = 0
    for case in cases:
        parts = question_parts if query_kind(case.text) == "question" else caption_parts
        found = found_in(case.frames, encoder.embed_texts(parts(case.text)), neutral)
        if found is None:
            unknown += 1
        else:
            judged.append((case, found))
    note = f"{len(judged)} texts; {unknown} more have no word that the encoder knows. Intervals draw clips."
    return _filled(Table(title, "share", note), judged)


def _filled(table: Table, judged: Sequence[tuple[_Case, Found]]) -> Table:
    apart = table.row("told apart (AUC)", 1)
    apart.statistic = area
    for case, found in judged:
        for word in get_args(FoundWord):
            table.row(f"{case.truth}: {word}", 1).add(case.text, case.group, found.word == word, ())
        apart.add(case.text, case.group, found.score + _THERE * (case.truth == "there"), ())
    return table


def area(values: ArrayLike) -> float:
    """The chance that what is there scores more than what is not."""
    scores = np.asarray(values, np.float64)
    there, absent = scores[scores >= _THERE] - _THERE, scores[scores < _THERE]
    if not len(there) or not len(absent):
        return float("nan")
    return float(np.mean((there[:, None] > absent) + 0.5 * (there[:, None] == absent)))


def _names_of_things(root: Path) -> list[Table]:
    """Real CLIP features of a clip, and the CLIP text vectors of 1,203 things, hardly any of them in it."""
    source, features = root / "real_encoder", sorted((root / "embeddings").glob("*.npz"))
    if not features or not (source / "lvis_v1_clip_a+cname.npy").is_file():
        return []
    listed = json.loads((source / "lvis_v1_train_cat_info.json").read_text(encoding="utf-8"))
    listed.sort(key=lambda category: category["id"])
    names = [re.sub(r"_|\(.*?\)", " ", category["name"]).strip().lower() for category in listed]
    vectors = dict(zip(names, np.load(source / "lvis_v1_clip_a+cname.npy"), strict=True))
    neutral = [text.removeprefix("a ") for text in default_prompts().lines("neutral")]
    known = [vectors[name] for name in neutral if name in vectors]
    table = Table(
        "Found or not: real CLIP features of a woman who lifts a barbell, reported",
        "share",
        f"The names of {len(vectors)} things, compared with the {len(known)} of them that are neutral texts.",
    )
    for path in features:
        frames = features_index(path)[0].embedded()
        for name, vector in vectors.items():
            found = found_in(frames, [vector], known)
            kind = name if name in ("barbell", "dumbbell") else "all other names"
            for word in get_args(FoundWord) if found else ():
                assert found is not None
                table.row(f"{kind}: {word}", 1).add(name, name, found.word == word, ())
    return [table]
