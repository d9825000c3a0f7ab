"""Data sets that people have: every selector on the same frames, by the measure each sample allows."""

from __future__ import annotations

import sys
from collections.abc import Iterable
from dataclasses import replace
from itertools import groupby
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from keyframe_llm.encoders import Encoder
from keyframe_llm.errors import VideoError
from keyframe_llm.evaluation.datasets import Dataset, Sample
from keyframe_llm.evaluation.footage import Footage
from keyframe_llm.evaluation.keyframes import bgr_histogram, match_keyframes
from keyframe_llm.evaluation.metrics import hit_at_k, question_accuracy, ranks
from keyframe_llm.evaluation.page import film_of
from keyframe_llm.evaluation.results import Table
from keyframe_llm.evaluation.selectors import BLIND, SELECTORS, choose
from keyframe_llm.messages.prompts import frame_messages, prompt
from keyframe_llm.options import SelectOptions
from keyframe_llm.scoring.baseline import plain_embedding
from keyframe_llm.video import open_video

__all__ = ["measure_dataset"]

_LABEL_TEXT = "a video of a person: {}"
_K = 3


def measure_dataset(
    dataset: Dataset, encoder: Encoder, *, limit: int | None = None, model: str | None = None
) -> list[Table]:
    """Run a data set whose videos are all there (or the first `limit` samples of it).

    Captions are ranked (per pair, and with frames chosen by no text), moments give hit@3, labels accuracy,
    key frames F1, questions with a `model` accuracy. Raises `OptionsError` where a video is missing.
    """
    chosen = dataset if limit is None else replace(dataset, samples=dataset.samples[:limit])
    chosen.require_videos()
    tables: dict[str, Table] = {}
    films: dict[Path, Footage] = {}
    plain = plain_embedding(encoder)
    for video, group in groupby(chosen, key=lambda sample: sample.video):
        samples = list(group)
        try:
            film, _ = film_of(video, encoder, SelectOptions(), plain)
        except VideoError as error:
            print(f"keyframe-llm eval: left out: {error}", file=sys.stderr)
            continue
        films[video] = film
        for sample in samples:
            _measure(tables, dataset, sample, film, encoder, model)
    captioned = [s for s in chosen if s.captions and not s.moments and s.video in films]
    if len({s.video for s in captioned}) > 1:
        for setting in ("per pair", "leak-free"):
            tables[setting] = _retrieval(dataset.name, setting, captioned, films, encoder)
    return list(tables.values())


def _measure(
    tables: dict[str, Table],
    dataset: Dataset,
    sample: Sample,
    film: Footage,
    encoder: Encoder,
    model: str | None,
) -> None:
    text = sample.question or (sample.captions[0] if sample.captions else None)
    if sample.moments and text:
        table = tables.setdefault("moments", Table(dataset.name, f"hit@{_K}"))
        for name, times in _times(film, _vector(encoder, text)):
            hit = hit_at_k([times], [sample.moments], _K)[0]
            table.row(name, _K).add(sample.id, str(sample.video), hit, times)
    if sample.label is not None and len(dataset.labels) > 1:
        table = tables.setdefault("labels", Table(dataset.name, "accuracy", "Judged by the encoder alone."))
        labels = np.asarray(encoder.embed_texts([_LABEL_TEXT.format(x) for x in dataset.labels]), np.float64)
        for name, times in _times(film, None):
            best = int(np.argmax(labels @ _pooled(film, times)))
            right = dataset.labels[best] == sample.label
            table.row(name, _K).add(sample.id, str(sample.video), right, times)
    if sample.keyframes:
        table = tables.setdefault("keyframes", Table(dataset.name, "F1", "TVSum20's matching of colours."))
        truth = np.stack([bgr_histogram(_read(path)) for path in sample.keyframes])
        for name, times in _times(film, _vector(encoder, text) if text else None):
            with open_video(sample.video) as decoder:
                frames = decoder.decode_at(times.tolist()).images
            match = match_keyframes(np.stack([bgr_histogram(image) for image in frames]), truth)
            table.row(name, _K).add(sample.id, str(sample.video), match.f1, times)
    if sample.question and sample.answer is not None and model is not None:
        _answer(tables, dataset, sample, film, encoder, model)


def _answer(
    tables: dict[str, Table],
    dataset: Dataset,
    sample: Sample,
    film: Footage,
    encoder: Encoder,
    model: str,
) -> None:
    from keyframe_llm.vlm.transformers import load_vlm

    vlm = _LOADED.setdefault(model, None) or load_vlm(model)
    _LOADED[model] = vlm
    table = tables.setdefault("questions", Table(dataset.name, "answers right", f"Answered by {model}."))
    asked = sample.question or ""
    for i, option in enumerate(sample.options):
        asked += f"\n{chr(ord('A') + i)}. {option}"
    for name, times in _times(film, _vector(encoder, sample.question or "")):
        with open_video(sample.video) as decoder:
            frames = decoder.decode_at(times.tolist())
        said = vlm.generate(frame_messages(frames, prompt("question", question=asked)), max_new_tokens=64)
        right = question_accuracy([said], [sample.answer or ""], [sample.options])[0]
        table.row(name, _K).add(sample.id, str(sample.video), right, times)


_LOADED: dict[str, Any] = {}


def _retrieval(
    name: str, setting: str, samples: list[Sample], films: dict[Path, Footage], encoder: Encoder
) -> Table:
    videos = list(dict.fromkeys(sample.video for sample in samples))
    texts = [(videos.index(s.video), text) for s in samples for text in s.captions]
    owner = np.array([v for v, _ in texts])
    queries = np.asarray(encoder.embed_texts([text for _, text in texts]), np.float64)
    note = "Frames chosen with every text, for every video." if setting == "per pair" else "No text chooses."
    table = Table(f"{name}, text-to-video retrieval, {setting}", "R@1", note)
    rows = [(row, _K) for row in SELECTORS if (row in BLIND) == (setting == "leak-free")]
    for row, budget in [*rows, *([("uniform", 8)] if setting == "leak-free" else [])]:
        likeness = np.empty((len(queries), len(videos)))
        times: list[list[NDArray[np.float64]]] = []
        for v, video in enumerate(videos):
            film = films[video]
            guides = [None] if row in BLIND else list(queries)
            found = [film.seconds[choose(row, film, guide, k=budget)] for guide in guides]
            pooled = np.stack([_pooled(film, seconds) for seconds in found])
            likeness[:, v] = (queries * pooled).sum(axis=1)
            times.append(found)
        places = ranks(likeness, owner[:, None] == np.arange(len(videos)))
        for q, place in enumerate(places):
            v = int(owner[q])
            seconds = times[v][0 if row in BLIND else q]
            table.row(row, budget).add(f"{videos[v].name}: {texts[q][1]}", str(v), place == 1, seconds)
    return table


def _times(film: Footage, query: NDArray[np.float64] | None) -> Iterable[tuple[str, NDArray[np.float64]]]:
    for name in SELECTORS:
        if query is not None or name in BLIND:
            yield name, film.seconds[choose(name, film, query, k=_K)]


def _vector(encoder: Encoder, text: str) -> NDArray[np.float64]:
    rows: NDArray[np.float64] = np.asarray(encoder.embed_texts([text]), np.float64)
    return rows.reshape(-1)


def _pooled(film: Footage, seconds: NDArray[np.float64]) -> NDArray[np.float64]:
    mean = film.embeddings[np.searchsorted(film.seconds, seconds)].mean(axis=0)
    return np.asarray(mean / max(float(np.linalg.norm(mean)), 1e-12))


def _read(path: Path) -> NDArray[np.uint8]:
    return np.asarray(Image.open(path).convert("RGB"))
