"""One video of a batch → one row: its key frames, the score of every candidate, caption, answer, label."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterable
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from keyframe_llm.classification import By, Classification, unique_labels
from keyframe_llm.errors import KeyframeError, ModelError, OptionsError
from keyframe_llm.messages import Layout
from keyframe_llm.messages.sheet import checked_layout
from keyframe_llm.options import SelectOptions
from keyframe_llm.pipeline import KeyframeLLM
from keyframe_llm.prompts import Prompts
from keyframe_llm.scoring.queries import checked_text
from keyframe_llm.selection import Selection
from keyframe_llm.vlm import Normalise
from keyframe_llm.vlm.load import check_options
from keyframe_llm.vlm.served_request import FramesAs

if TYPE_CHECKING:
    from keyframe_llm.library.collect import Item

__all__ = ["BatchOptions", "Row", "Task", "failed_row", "outdated", "task_of", "video_row"]

_DIGEST_LETTERS = 24

Row = dict[str, Any]
"""One row of the table, by the names of its columns (see `results.schema`)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class BatchOptions:
    """What is done with every video. Raises `OptionsError` where two options contradict each other."""

    model: str | None = None
    """The Video-LLM that writes captions that are missing and answers; None: none is used."""
    encoder: str | None = None
    device: str | None = None
    question: str | None = None
    """Asked of every video that has no question of its own."""
    labels: tuple[str, ...] = ()
    """The actions to tell apart; empty: videos are not classified."""
    by: By = "model"
    """Who classifies (see `KeyframeLLM.classify`)."""
    normalise: Normalise = "mean"
    """How the likelihoods of a label's tokens are put together (see `KeyframeLLM.classify`)."""
    layout: Layout = "images"
    """How the Video-LLM is shown key frames (see `KeyframeLLM`)."""
    frames_as: FramesAs | None = None
    """How a server is sent key frames; None: what the served model's name asks for."""
    prompts: Prompts | None = None
    """The prompts of one's own; None: those of the package."""
    jpeg: bool = False
    """Keep the key frames as pictures."""
    select: SelectOptions = field(default_factory=SelectOptions)

    def __post_init__(self) -> None:
        checked_text("question", self.question)
        if self.model is None and self.frames_as is not None:
            raise OptionsError("frames_as is given without a model; give the URL of a server as the model")
        check_options(self.model or "", self._model_options, checked_layout(self.layout))
        if self.labels:
            unique_labels(self.labels)
            if self.by != "encoder" and self.model is None:
                raise OptionsError(f"by is {self.by!r} without a model; give a model, or classify by encoder")
            if self.question is not None:
                raise OptionsError("labels and a question are given; give one of them")

    @property
    def _model_options(self) -> dict[str, Any]:
        return {} if self.frames_as is None else {"frames_as": self.frames_as}

    def llm(self) -> KeyframeLLM:
        """The library with these options; it keeps nothing on disk."""
        named = {"model": self.model, "encoder": self.encoder, "device": self.device}
        given: dict[str, Any] = {name: value for name, value in named.items() if value}
        return KeyframeLLM(
            **given,
            **self._model_options,
            options=self.select,
            cache=False,
            prompts=self.prompts,
            layout=self.layout,
        )


class Task(NamedTuple):
    """One video with the texts that belong to it."""

    key: str
    """Names the row: of the path and the texts, and after it of the size and time of the file."""
    path: str
    caption: str | None
    question: str | None


def task_of(item: Item, options: BatchOptions) -> Task:
    """What is to be done for one video."""
    path, question = str(item.path), item.question or options.question
    try:
        found = Path(path).stat()
        state = f"{found.st_size} {found.st_mtime_ns}"
    except OSError:
        state = ""
    key = _digest((path, item.caption, question)) + _digest(state)
    return Task(key, path, item.caption, question)


def outdated(keys: Iterable[str], tasks: Iterable[Task]) -> set[str]:
    """Those keys whose video has changed since: a task has the same path and texts under another key."""
    now = {task.key[:_DIGEST_LETTERS]: task.key for task in tasks}
    return {key for key in keys if now.get(key[:_DIGEST_LETTERS], key) != key}


def _digest(value: object) -> str:
    known = repr(value).encode("utf-8", "surrogatepass")
    return hashlib.sha256(known).hexdigest()[:_DIGEST_LETTERS]


def video_row(task: Task, options: BatchOptions) -> Row:
    """The row of a video; a video that cannot be read makes a row with its error.

    Raises `ModelError`: no other video would fare better.
    """
    try:
        return _row(task, options)
    except ModelError:
        raise
    except KeyframeError as error:
        return failed_row(task, str(error))
    except MemoryError:
        return failed_row(task, f"{task.path} takes more memory than a worker may have; use a smaller copy")
    except Exception as error:
        return failed_row(task, f"a fault of the program: {type(error).__name__}: {error}")


def failed_row(task: Task, error: str) -> Row:
    """The row of a video that failed, with its one line."""
    line = str(KeyframeError(error)).removeprefix(f"{task.path}: ")
    return {
        "key": task.key,
        "video": _unicode(task.path),
        "error": line,
        "question": task.question,
        "keyframes": [],
        "candidates": [],
        "warnings": [],
        "labels": [],
    }


@lru_cache(maxsize=1)
def _llm(options: BatchOptions) -> KeyframeLLM:
    """The models, loaded once a process."""
    return options.llm()


def _row(task: Task, options: BatchOptions) -> Row:
    llm, write = _llm(options), options.model is not None
    if options.labels:
        result = llm.classify(
            task.path,
            options.labels,
            by=options.by,
            caption=task.caption,
            generate_caption=write,
            normalise=options.normalise,
        )
        return {**_selected(task, result.selection, options), **_judged(result)}
    if task.question is not None and write:
        answer = llm.ask(task.path, task.question, caption=task.caption)
        return {**_selected(task, answer.selection, options), "answer": answer.text}
    selection = llm.select(task.path, caption=task.caption, question=task.question, generate_caption=write)
    return _selected(task, selection, options)


def _judged(result: Classification) -> Row:
    shares = [{"label": label, "probability": share} for label, share in result.probabilities.items()]
    return {"label": result.label, "labels": shares}


def _selected(task: Task, selection: Selection, options: BatchOptions) -> Row:
    facts = selection.to_dict()
    video = facts["video"]
    names = ("duration_seconds", "average_fps", "width", "height", "codec")
    return {
        "key": task.key,
        "video": _unicode(task.path),
        "error": None,
        **{name: video[name] for name in names},
        "caption": selection.caption,
        "caption_source": selection.caption_source,
        "question": selection.question,
        "method": selection.method,
        "score_name": selection.scores.name,
        "keyframes": _keyframes(selection, facts, options.jpeg),
        "candidates": _candidates(selection),
        "labels": [],
        "warnings": list(selection.warnings),
    }


def _keyframes(selection: Selection, facts: Row, jpeg: bool) -> list[Row]:
    from keyframe_llm.jpeg import encode_jpeg

    names = ("seconds", "score", "semantic", "temporal", "drop")
    rows = [{name: entry[name] for name in names} for entry in facts["keyframes"]]
    if jpeg:
        for row, image in zip(rows, selection.frames.images, strict=True):
            row["jpeg"] = encode_jpeg(image)
    return rows


def _candidates(selection: Selection) -> list[Row]:
    scores, chosen = selection.scores, set(selection.chosen.tolist())
    columns = (scores.total, scores.semantic, scores.temporal, scores.drop)
    return [
        {
            "seconds": float(second),
            **dict(zip(("score", "semantic", "temporal", "drop"), map(_number, parts), strict=True)),
            "chosen": i in chosen,
        }
        for i, (second, *parts) in enumerate(zip(selection.proposals.seconds, *columns, strict=True))
    ]


def _number(value: float) -> float | None:
    return float(value) if math.isfinite(value) else None


def _unicode(path: str) -> str:
    """A path as Parquet can hold it: bytes that are no Unicode are escaped."""
    return path.encode("utf-8", "backslashreplace").decode("utf-8")
