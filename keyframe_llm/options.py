"""The options of a selection, stage by stage: defaults, ranges and help, each written once.

A stage is given its own frozen object: `DecodeOptions`, `ProposeOptions`, `WordOptions`, `ScoreOptions` or
`ChooseOptions`. What it made is kept under that very object, so no option can be missing from a cache key.
`SelectOptions` holds all of them and takes every field as a flat keyword. The command line makes its flags
from the same fields.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import Field, dataclass, field, fields, replace
from functools import cache
from types import MappingProxyType, UnionType
from typing import Any, Literal, TypeVar, Union, get_args, get_origin, get_type_hints

from keyframe_llm.errors import OptionsError, check_number, check_whole, shortened

__all__ = [
    "Backend",
    "Candidates",
    "ChooseOptions",
    "DecodeOptions",
    "Guide",
    "Pooling",
    "ProposeOptions",
    "Proposer",
    "ScoreOptions",
    "SelectOptions",
    "Task",
    "Views",
    "WordOptions",
    "option_fields",
    "option_type",
]

Backend = Literal["pyav", "decord"]
Candidates = Literal["coarse", "diverse", "representatives", "even"]
Guide = Literal["auto", "caption", "question", "both"]
Pooling = Literal["mean", "text"]
Proposer = Literal["stacfp", "ufp", "scfp"]
Task = Literal["retrieval", "classification", "summary", "question"]
Views = Literal["whole", "halves", "corners"]

T = TypeVar("T")

# Fields ------------------------------------------------------------------------------------------------


def _option(
    default: Any,
    text: str,
    *,
    low: float | None = None,
    high: float = math.inf,
    above: bool = False,
    metavar: str | None = None,
) -> Any:
    """A field with what the command line and the checks need to know of it."""
    facts = {"help": text, "low": low, "high": high, "above": above, "metavar": metavar}
    return field(default=default, metadata=MappingProxyType(facts))


@cache
def _hints(stage: type) -> dict[str, Any]:
    return get_type_hints(stage)


def option_type(stage: type, name: str) -> tuple[Any, bool]:
    """The type of a field without its None, and whether None is allowed."""
    hint = _hints(stage)[name]
    if get_origin(hint) in (Union, UnionType):
        kinds = [kind for kind in get_args(hint) if kind is not type(None)]
        return (kinds[0] if len(kinds) == 1 else hint), len(kinds) < len(get_args(hint))
    return hint, False


def _checked(stage: Any) -> None:
    """Check every field of a stage against its type and range; whole numbers and floats become plain ones."""
    for each in fields(stage):
        value = getattr(stage, each.name)
        kind, optional = option_type(type(stage), each.name)
        if not (value is None and optional):
            object.__setattr__(stage, each.name, _checked_value(each, kind, value))


def _checked_value(each: Field[Any], kind: Any, value: Any) -> Any:
    low, high, above = (each.metadata.get(name) for name in ("low", "high", "above"))
    if kind is int and low is not None:
        return check_whole(each.name, value, int(low), high or math.inf)
    if kind is float and low is not None:
        return check_number(each.name, value, low, high or math.inf, above=bool(above))
    if kind is bool and not isinstance(value, bool):
        raise OptionsError(f"{each.name} is {shortened(value)}; give True or False")
    if get_origin(kind) is Literal and value not in get_args(kind):
        raise OptionsError(f"{each.name} is {shortened(value)}; choose one of {', '.join(get_args(kind))}")
    if kind is str and not isinstance(value, str):
        raise OptionsError(f"{each.name} is {shortened(value)}; give a text")
    if get_origin(kind) is tuple:
        return _numbers(each, value)
    return value


def _numbers(each: Field[Any], value: Any) -> tuple[float, ...]:
    if isinstance(value, (str, bytes)) or not hasattr(value, "__iter__"):
        raise OptionsError(f"{each.name} is {shortened(value)}; give a sequence of numbers")
    low, high = each.metadata["low"], each.metadata["high"]
    return tuple(check_number(each.name, one, low, high) for one in value)


def _documented(stage: type[T]) -> type[T]:
    """Write the fields into the docstring of a stage: name, default and help."""
    listed: tuple[Field[Any], ...] = fields(stage)  # type: ignore[arg-type]  # a dataclass
    lines = [f"    {each.name}: {each.metadata['help']} Default: {each.default!r}." for each in listed]
    stage.__doc__ = f"{(stage.__doc__ or '').rstrip()}\n\n" + "\n".join(lines)
    return stage


# Stages ------------------------------------------------------------------------------------------------


@_documented
@dataclass(frozen=True, slots=True, kw_only=True)
class DecodeOptions:
    """Which frames of a file are sampled, and how they are decoded. Raises `OptionsError` out of range.

    `backend` may also be a function that opens a path and returns a `Decoder`.
    """

    fps: float = _option(
        2.0,
        "Frames sampled per second of video; long videos are sampled more thinly.",
        low=0,
        high=60,
        above=True,
    )
    max_samples: int = _option(
        2000, "At most this many sampled frames, however long the video.", low=2, high=20_000
    )
    exhaustive: bool = _option(
        False, "Sample every part of a long video as densely, also where little changes between key frames."
    )
    start_seconds: float | None = _option(None, "Sample no frame before this second.", low=0)
    end_seconds: float | None = _option(None, "Sample no frame after this second.", low=0)
    max_picture_pixels: int | None = _option(
        None,
        "Decode no picture of more pixels, width times height: for files of strangers.",
        low=1,
        high=1 << 31,
    )
    backend: Backend | Callable[..., Any] = _option(
        "pyav", "The decoder: `pyav`, or `decord` where it is installed."
    )
    hardware: str | None = _option(
        None,
        "Decode on a device of this kind: cuda, vaapi, qsv, videotoolbox, …; else on the processor.",
        metavar="KIND",
    )

    def __post_init__(self) -> None:
        _checked(self)
        if not callable(self.backend) and self.backend not in get_args(Backend):
            raise OptionsError(
                f"backend is {shortened(self.backend)}; choose one of {', '.join(get_args(Backend))}, "
                "or give a function that opens a path"
            )
        start, end = self.start_seconds, self.end_seconds
        if start is not None and end is not None and end <= start:
            raise OptionsError(f"end_seconds is {end!r}, not after start_seconds {start!r}; give a later end")


@_documented
@dataclass(frozen=True, slots=True, kw_only=True)
class ProposeOptions:
    """Which of the sampled frames may be chosen. Raises `OptionsError` out of range."""

    proposer: Proposer = _option(
        "stacfp",
        "The clustering that proposes frames: `stacfp`, or the paper's baselines `ufp` (uniform, 8 frames) "
        "and `scfp` (colour alone).",
    )
    gamma_time: float = _option(
        5.0,
        "γ_time of STACFP: the weight of time against colour; the paper takes 5–20.",
        low=0,
        high=50,
    )
    k_max: int | None = _option(
        None, "At most this many clusters; without it the video's length decides.", low=2, high=10_000
    )
    candidates: Candidates | None = _option(
        None,
        "The frames that a text is scored on: `diverse` (the clusters' representatives, then always the "
        "frame farthest from all so far), `coarse` (those of them that cover the video, and for each text "
        "more of the parts that it fits), `representatives` (one frame a cluster) or `even` (equal steps in "
        "time); without it the method decides: `coarse` for `moments`.",
    )
    max_images: int = _option(
        128,
        "Embed about this many candidates; more only where `k_max` is larger.",
        low=1,
        high=20_000,
    )
    views: Views = _option(
        "whole",
        "How the encoder sees a candidate: `whole`, or in two `halves` or four `corners`, which find small "
        "things and count as two or four of `max_images` where a text decides what is embedded.",
    )
    seed: int = _option(0, "Seed of the clustering; the same seed gives the same frames.", low=0)

    def __post_init__(self) -> None:
        _checked(self)


@_documented
@dataclass(frozen=True, slots=True, kw_only=True)
class WordOptions:
    """Which words of a video are read and heard. Raises `OptionsError` out of range.

    `listen` may also be an object with `transcribe(samples, rate)` (see `words.speech.Recogniser`),
    `read_screen` one with `read(picture)` (see `words.ocr.TextReader`), and `text_encoder` one with
    `embed_texts(texts)` (see `words.matching.TextEncoder`).
    """

    subtitles: bool = _option(True, "Read subtitles, inside the file and in files beside it.")
    language: str | None = _option(
        None,
        "Language of the subtitles to read and of the speech to recognise (`en`, `pt-BR`); without it the "
        "default subtitles, and the language that is heard.",
        metavar="TAG",
    )
    listen: str | object | None = _option(
        None,
        "Recognise what is said: the name of a Whisper model (`small`, `turbo`, …; a hub id; a folder), or "
        "`http://host:port/v1#name` of a server that transcribes.",
        metavar="NAME",
    )
    read_screen: bool | object = _option(False, "Read what is written in the picture.")
    text_encoder: str | object | None = _option(
        None,
        "Compare a text with the words by their meaning as well: a text model of sentence-transformers, by "
        "its hub id or folder.",
        metavar="NAME",
    )

    def __post_init__(self) -> None:
        _checked(self)
        _named_or_with(self, "listen", "the name of a recogniser", "transcribe", "samples, rate")
        _named_or_with(self, "text_encoder", "the name of a text model", "embed_texts", "texts")
        if not isinstance(self.read_screen, bool) and not callable(getattr(self.read_screen, "read", None)):
            raise OptionsError(
                f"read_screen is {shortened(self.read_screen)}; give True, False, or an object with "
                "read(picture)"
            )


def _named_or_with(stage: Any, name: str, wanted: str, method: str, parameters: str) -> None:
    """Check a field that names a model, or is an object with one method."""
    value = getattr(stage, name)
    if value == "":
        raise OptionsError(f"{name} is ''; give {wanted}, or leave it out")
    if value is not None and not isinstance(value, str) and not callable(getattr(value, method, None)):
        raise OptionsError(
            f"{name} is {shortened(value)}; give {wanted}, or an object with {method}({parameters})"
        )


@_documented
@dataclass(frozen=True, slots=True, kw_only=True)
class ScoreOptions:
    """How a text is compared with the candidates. Raises `OptionsError` out of range."""

    weights: tuple[float, float, float] = _option(
        (0.5, 0.0, 0.5),
        "α, β, γ of equation 1 (semantic, temporal, drop); together they are 1.",
        low=0,
        high=1,
        metavar="S,T,D",
    )
    pooling: Pooling = _option(
        "mean", "How frames make the video embedding: their `mean`, or `text`-guided attention."
    )
    guide: Guide = _option(
        "auto",
        "The text that scores: `caption`, `question` or `both`; `auto`: the question, else the caption.",
    )

    def __post_init__(self) -> None:
        _checked(self)
        if len(self.weights) != 3 or not math.isclose(sum(self.weights), 1.0, abs_tol=1e-6):
            raise OptionsError(
                f"weights are {self.weights!r}; give three numbers from 0 to 1 that sum to 1 "
                "(semantic, temporal, drop)"
            )


@_documented
@dataclass(frozen=True, slots=True, kw_only=True)
class ChooseOptions:
    """Which of the scored candidates become key frames. Raises `OptionsError` out of range.

    `method` may also be a function of one's own (see `scoring.selectors.Selector`).
    """

    method: str | Callable[..., Any] = _option(
        "moments",
        "The selector: `moments`, the default; `paper`; or a published one by its name.",
        metavar="NAME",
    )
    max_frames: int = _option(3, "At most this many key frames.", low=1, high=64)
    task: Task | None = _option(
        None, "Whose adaptive threshold to use; without it: question, else retrieval."
    )
    threshold: float | None = _option(
        None,
        "Keep frames scoring at least this; without it the task and the scores decide.",
        low=0,
        high=1,
    )
    min_gap_seconds: float | None = _option(
        None, "Key frames lie at least this far apart; without it the video's length decides.", low=0
    )
    token_budget: int | None = _option(
        None,
        "At most this many visual tokens for all key frames: they are made smaller, and fewer where they "
        "would be too small to read. Counted as the Video-LLM counts; where none is known, as Qwen2.5-VL.",
        low=1,
    )
    exclude_seconds: tuple[float, ...] = _option(
        (),
        "Times of frames already seen: none is chosen nearer to them than key frames may lie to each other. "
        "Where that leaves none, the window is sampled again, closer.",
        low=0,
        metavar="S,S,…",
    )

    def __post_init__(self) -> None:
        _checked(self)
        if not (isinstance(self.method, str) or callable(self.method)):
            raise OptionsError(f"method is {shortened(self.method)}; give a selector's name, or a function")


# All of them -------------------------------------------------------------------------------------------

_STAGES: Mapping[str, type[Any]] = {
    "decode": DecodeOptions,
    "propose": ProposeOptions,
    "words": WordOptions,
    "score": ScoreOptions,
    "choose": ChooseOptions,
}


def option_fields() -> dict[str, tuple[type[Any], Field[Any]]]:
    """Every option by its flat name, with the stage it belongs to and its field."""
    return {each.name: (stage, each) for stage in _STAGES.values() for each in fields(stage)}


@cache
def _stage_of() -> dict[str, str]:
    return {each.name: name for name, stage in _STAGES.items() for each in fields(stage)}


@dataclass(frozen=True, slots=True, init=False)
class SelectOptions:
    """How key frames are found: the options of all stages, also given and read by their flat names.

    `SelectOptions(max_frames=2, fps=1).choose.max_frames == 2`, and so is its `.max_frames`. Raises
    `OptionsError` on a name that is no option or a value out of range.
    """

    decode: DecodeOptions
    propose: ProposeOptions
    words: WordOptions
    score: ScoreOptions
    choose: ChooseOptions

    def __init__(
        self,
        *,
        decode: DecodeOptions | None = None,
        propose: ProposeOptions | None = None,
        words: WordOptions | None = None,
        score: ScoreOptions | None = None,
        choose: ChooseOptions | None = None,
        **flat: Any,
    ) -> None:
        stages = {"decode": decode, "propose": propose, "words": words, "score": score, "choose": choose}
        changes: dict[str, dict[str, Any]] = {name: {} for name in _STAGES}
        for name, value in flat.items():
            if name not in _stage_of():
                raise OptionsError(f"there is no option {name!r}; the options are {', '.join(_stage_of())}")
            changes[_stage_of()[name]][name] = value
        for name, stage in _STAGES.items():
            object.__setattr__(self, name, replace(stages[name] or stage(), **changes[name]))

    def __getattr__(self, name: str) -> Any:
        """An option by its flat name."""
        if name in _stage_of():
            return getattr(getattr(self, _stage_of()[name]), name)
        raise AttributeError(f"SelectOptions has no attribute {name!r}")

    def replaced(self, **changes: Any) -> SelectOptions:
        """The options with some changed by their flat names."""
        return replace(self, **changes) if changes else self

    @classmethod
    def paper(cls, **changes: Any) -> SelectOptions:
        """The method as published: one frame for each cluster, S + T + D in equal parts, no gap, no words."""
        published: dict[str, Any] = {
            "method": "paper",
            "weights": (1 / 3, 1 / 3, 1 / 3),
            "min_gap_seconds": 0.0,
            "subtitles": False,
        }
        return cls(**(published | changes))
