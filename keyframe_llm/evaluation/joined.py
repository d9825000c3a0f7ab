"""Real footage: captioned moments of public clips, cut and joined into longer videos in many random orders.

Every clip is decoded and embedded once, at the rate people sample at; a joined video is then put together
from those samples, so hundreds of queries cost seconds. The first half of the clips is for choosing a method,
the second, which shares no clip with it, for reporting. The sealed part asks of the second half in words that
were written after the method was settled, in joins that were not seen before.
"""

from __future__ import annotations

import importlib.util
import json
import sys
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from importlib import resources
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from keyframe_llm.encoders import Encoder, preferred_image_size
from keyframe_llm.encoders.views import embed_views
from keyframe_llm.errors import OptionsError
from keyframe_llm.evaluation.dense import EmbeddedText, baseline_of, dense_index
from keyframe_llm.evaluation.metrics import hit_at_k
from keyframe_llm.evaluation.results import SHIPPED, Table
from keyframe_llm.evaluation.selectors import ROWS, STOCHASTIC, choose
from keyframe_llm.index import VideoIndex
from keyframe_llm.options import SelectOptions, Views
from keyframe_llm.proposals.color_histogram import color_histogram
from keyframe_llm.proposals.sample import sharpness
from keyframe_llm.video import open_video

__all__ = [
    "HALVES",
    "Joined",
    "Query",
    "cut_of",
    "join",
    "measure_joined",
    "put_together",
    "real_encoder",
    "sampled_clips",
    "subjects",
]

HALVES = ("first", "second", "sealed")
_SEALED_JOINS = 2000
"""Seed of the first join of the sealed part."""
STRIDE_SECONDS = 0.5
SEGMENTS = 40
SEGMENT_SECONDS = (2.0, 8.0)
WHOLE = f"{SHIPPED}, whole pictures"
_COMPARED = (SHIPPED, "uniform", "top-k", "top-k-gap", "aks", "mdp3", "keyscore S+T+D")
"""The rows whose quality is drawn against the budget; all rows are measured at three frames."""


@dataclass(frozen=True, slots=True)
class Query:
    """A caption and when it is shown."""

    text: str
    moments: tuple[tuple[float, float], ...]
    """Seconds of the joined video."""


@dataclass(frozen=True, slots=True, eq=False)
class Joined:
    """One joined video, as samples, and its queries."""

    index: VideoIndex
    queries: tuple[Query, ...]


def subjects() -> list[dict[str, Any]]:
    """The captioned moments inside this package: half, name, moments [file, start, end], captions, sealed."""
    text = (resources.files("keyframe_llm.evaluation") / "data" / "joined.json").read_text(encoding="utf-8")
    listed: list[dict[str, Any]] = json.loads(text)["subjects"]
    return listed


def real_encoder(root: Path) -> Encoder:
    """The weak but real encoder that lies beside the folder of test footage.

    Raises `OptionsError` where it, or the package it needs, is missing.
    """
    source = root.resolve().parent / "real_encoder.py"
    if not source.is_file():
        raise OptionsError(f"{source} is missing; give --encoder, or put the file there")
    if importlib.util.find_spec("ai_edge_litert") is None:
        raise OptionsError(f"{source} needs ai-edge-litert; `pip install ai-edge-litert`, or give --encoder")
    encoder: Encoder = _module(source).RealEncoder()
    return encoder


def sampled_clips(
    root: Path, files: Iterable[str], encoder: Encoder, views: Views = "whole"
) -> dict[str, VideoIndex]:
    """Decode and embed every clip once, two frames a second, seen in these views."""
    side, clips = preferred_image_size(encoder), {}
    for name in dict.fromkeys(files):
        with open_video(root / name) as decoder:
            frames = list(decoder.sample(STRIDE_SECONDS, short_side=side))
        images = [image for _, image in frames]
        index = dense_index(
            embed_views(encoder, images, views),
            [second for second, _ in frames],
            np.concatenate([color_histogram(image[::2, ::2]) for image in images]),
            [sharpness(image) for image in images],
            name=name,
        )
        clips[name] = replace(index, options=SelectOptions(views=views))
    return clips


def join(clips: dict[str, VideoIndex], half: str, seed: int) -> Joined:
    """Join 40 cuts of 2–8 s: every subject of the half once, then some again and again, as footage does."""
    sealed = half == "sealed"
    rng = np.random.default_rng([7, seed + sealed * _SEALED_JOINS])
    cast = [subject for subject in subjects() if subject["half"] == ("second" if sealed else half)]
    often = rng.dirichlet(np.full(len(cast), 0.7))
    more = rng.choice(len(cast), size=SEGMENTS - len(cast), p=often)
    parts: list[tuple[str, NDArray[np.intp]]] = []
    shown: dict[int, list[tuple[float, float]]] = {}
    now = 0.0
    for i in rng.permutation(np.concatenate([np.arange(len(cast)), more])):
        name, start, end = cast[i]["moments"][int(rng.integers(len(cast[i]["moments"])))]
        cut = cut_of(rng, clips[name].seconds, start, end)
        parts.append((name, cut))
        shown.setdefault(int(i), []).append((now, now + STRIDE_SECONDS * (len(cut) - 1)))
        now += STRIDE_SECONDS * len(cut)
    words = "sealed" if sealed else "captions"
    queries = [Query(text, tuple(shown[i])) for i, s in enumerate(cast) for text in s.get(words, ())]
    return Joined(put_together(clips, parts), tuple(queries))


def measure_joined(
    root: Path,
    encoder: Encoder,
    *,
    joins: int,
    budgets: Sequence[int],
    halves: Sequence[str] = HALVES,
    views: Views = "whole",
) -> list[Table]:
    """hit@k of every selector on both halves; the budgets beyond 3 only for the rows people compare.

    The package's own rows choose from pictures seen in these views, at most 128 of them for a text; all
    others, and one row more of the package where the views are parts, from whole pictures.
    """
    listed = subjects()
    files = [moment[0] for subject in listed for moment in subject["moments"]]
    clips = sampled_clips(root, files, encoder)
    seen = clips if views == "whole" else sampled_clips(root, files, encoder, views)
    texts = [text for s in listed for text in [*s["captions"], *s.get("sealed", ())]]
    baseline, rows = baseline_of(encoder), np.asarray(encoder.embed_texts(texts), np.float64)
    embedded = {text: EmbeddedText.of(row, baseline) for text, row in zip(texts, rows, strict=True)}
    tables = []
    for half in halves:
        title = "sealed captions" if half == "sealed" else f"{half} half"
        table = Table(f"Real footage, {title}", "hit@k", _note(half, joins))
        for seed in range(joins):
            joined, own = join(clips, half, seed), join(seen, half, seed).index
            rows_of = {name: own if name.startswith(SHIPPED) else joined.index for name in ROWS}
            _measure_one(table, rows_of, joined.queries, embedded, budgets, seed)
            if seen is not clips:
                _measure_one(table, {WHOLE: joined.index}, joined.queries, embedded, budgets, seed)
        tables.append(table)
    return tables


def _measure_one(
    table: Table,
    rows_of: Mapping[str, VideoIndex],
    queries: Sequence[Query],
    embedded: dict[str, EmbeddedText],
    budgets: Sequence[int],
    seed: int,
) -> None:
    for name, index in rows_of.items():
        for budget in budgets if name in _COMPARED else [3]:
            row = table.row(name, budget)
            for query in queries:
                # Stochastic rows draw anew for every query; the mean over hundreds of them is the row's.
                drawn = seed * 1000 + len(row.values) if name in STOCHASTIC else seed
                selector = SHIPPED if name == WHOLE else name
                found = index.seconds[choose(selector, index, embedded[query.text], k=budget, seed=drawn)]
                hit = hit_at_k([found], [query.moments], budget)[0]
                row.add(f"join {seed}: {query.text}", query.text, hit, found)


_CLIPS = {
    "first": "the first half of the clips, on which the method was chosen",
    "second": "the second half of the clips, printed beside the first all the while",
    "sealed": "the second half of the clips, captions and joins first used when the method was settled",
}


def _note(half: str, joins: int) -> str:
    return (
        f"{joins} joined videos of 40 cuts of {_CLIPS[half]}. A hit is a frame inside a moment of the "
        "caption. Intervals draw captions, each with all its videos."
    )


def cut_of(
    rng: np.random.Generator, seconds: NDArray[np.float64], start: float, end: float
) -> NDArray[np.intp]:
    """The samples of 2–8 s at a random place of a moment; all of a shorter one, at least one sample."""
    length = min(float(rng.uniform(*SEGMENT_SECONDS)), end - start)
    begin = start + rng.random() * max(0.0, end - start - length)
    inside = np.flatnonzero((seconds >= begin - 1e-6) & (seconds <= begin + length))
    return inside if len(inside) else np.array([int(np.abs(seconds - begin).argmin())], np.intp)


def put_together(clips: dict[str, VideoIndex], parts: Sequence[tuple[str, NDArray[np.intp]]]) -> VideoIndex:
    """The index of a video made of parts of clips, each the name of a clip and its samples."""

    def column(name: str) -> NDArray[Any]:
        return np.concatenate([getattr(clips[clip], name)[cut] for clip, cut in parts])

    rows = column("embeddings")
    times = STRIDE_SECONDS * np.arange(len(rows), dtype=np.float64)
    index = dense_index(rows, times, column("histograms"), column("sharpness"))
    return replace(index, options=clips[parts[0][0]].options)


def _module(source: Path) -> ModuleType:
    spec = importlib.util.spec_from_file_location("real_encoder", source)
    if spec is None or spec.loader is None:
        raise OptionsError(f"{source} cannot be loaded; give --encoder")
    module = importlib.util.module_from_spec(spec)
    sys.modules["real_encoder"] = module
    spec.loader.exec_module(module)
    return module
