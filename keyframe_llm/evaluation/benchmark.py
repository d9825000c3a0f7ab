"""Data sets that people have: every selector on the same frames, by the measure each sample allows."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from itertools import groupby
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from keyframe_llm.arrays import unit_rows
from keyframe_llm.encoders import Encoder
from keyframe_llm.errors import VideoError
from keyframe_llm.evaluation.datasets import Dataset, Sample
from keyframe_llm.evaluation.dense import (
    EmbeddedText,
    baseline_of,
    embed_caption,
    embed_question,
    index_densely,
)
from keyframe_llm.evaluation.frame_lists import add_frame_scores
from keyframe_llm.evaluation.keyframes import bgr_histogram, match_keyframes
from keyframe_llm.evaluation.metrics import group_score, hit_at_k, macro_f1, question_accuracy
from keyframe_llm.evaluation.results import Table
from keyframe_llm.evaluation.retrieval import pooled, rank_videos
from keyframe_llm.evaluation.scenes import FrameMatch, match_frames
from keyframe_llm.evaluation.selectors import ROWS, TEXT_FREE, choose
from keyframe_llm.evaluation.ssim import pairwise_ssim
from keyframe_llm.index import VideoIndex
from keyframe_llm.messages import frame_messages, prompt
from keyframe_llm.video import open_video
from keyframe_llm.vlm import VLM, load_vlm

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
    run = _Run(dataset, encoder, model)
    indexes: dict[Path, VideoIndex] = {}
    for video, group in groupby(chosen, key=lambda sample: sample.video):
        samples = list(group)
        try:
            index = index_densely(video, encoder)
        except VideoError as error:
            print(f"keyframe-llm eval: left out: {error}", file=sys.stderr)
            continue
        if any(map(_is_ranked, samples)):  # the others are not needed again
            indexes[video] = index
        for sample in samples:
            run.measure(sample, index)
    run.note_f1()
    run.note_similarity()
    run.note_groups(chosen)
    captioned = [sample for sample in chosen if _is_ranked(sample) and sample.video in indexes]
    if len({s.video for s in captioned}) > 1:
        for setting in ("per pair", "leak-free"):
            run.tables[setting] = _retrieval(run, setting, captioned, indexes)
    return list(run.tables.values())


def _is_ranked(sample: Sample) -> bool:
    """Whether its captions are about the whole video, so that they can find it among the others."""
    return bool(sample.captions) and not sample.moments


@dataclass(slots=True)
class _Run:
    """What one run over a data set shares: models, label embeddings, tables."""

    dataset: Dataset
    encoder: Encoder
    model: str | None
    tables: dict[str, Table] = field(default_factory=dict)
    predicted: dict[str, list[str]] = field(default_factory=dict)
    truth: list[str] = field(default_factory=list)
    baseline: NDArray[np.float64] = field(init=False)
    labels: NDArray[np.float64] = field(init=False)
    vlm: VLM | None = None

    def __post_init__(self) -> None:
        self.baseline = baseline_of(self.encoder)
        texts = [_LABEL_TEXT.format(label) for label in self.dataset.labels]
        self.labels = unit_rows(self.encoder.embed_texts(texts)) if texts else np.empty((0, 0))

    def measure(self, sample: Sample, index: VideoIndex) -> None:
        """Add one sample to every table it has something for."""
        text = sample.question or (sample.captions[0] if sample.captions else None)
        if sample.moments and text:
            table = self._table("moments", f"hit@{_K}")
            for name, times in _times(index, self._embedded(sample)):
                hit = hit_at_k([times], [sample.moments], _K)[0]
                table.row(name, _K).add(sample.id, str(sample.video), hit, times)
        if (sample.scenes or sample.key_seconds) and text:
            picks = dict(_times(index, self._embedded(sample)))
            for name, times in picks.items():
                add_frame_scores(self.tables, self.dataset.name, (name, _K), sample, times)
            if sample.key_seconds:
                self._compare(sample, picks)
        if sample.label is not None and len(self.dataset.labels) > 1:
            self._classify(sample, sample.label, index)
        if sample.keyframes:
            self._match(sample, index, self._embedded(sample) if text else None)
        if sample.question and sample.answer is not None and self.model is not None:
            self._answer(sample, sample.question, index)

    def note_f1(self) -> None:
        """Write the macro-F1 of every row under the table of labels."""
        if "labels" in self.tables:
            figures = [f"{name} {macro_f1(self.truth, found):.3f}" for name, found in self.predicted.items()]
            self.tables["labels"].note += f" Macro-F1: {', '.join(figures)}."

    def note_similarity(self) -> None:
        """Write under the tables of SSIM the F1 of every row's two means, as LV-Haystack reports it."""
        if "SSIM recall" not in self.tables:
            return
        tables = self.tables["SSIM precision"], self.tables["SSIM recall"]
        pairs = {row: [table.rows[row].value for table in tables] for row in tables[0].rows}
        figures = [f"{name} {FrameMatch(*pair).f1:.3f}" for (name, _), pair in pairs.items()]
        tables[1].note = f"F1: {', '.join(figures)}."

    def note_groups(self, samples: Iterable[Sample]) -> None:
        """Write under the table of questions the mean over groups, as MLVU and Video-MME-v2 report it."""
        kinds = {sample.id: (sample.group, sample.structure) for sample in samples if sample.group}
        if "questions" not in self.tables or not kinds:
            return
        table, figures = self.tables["questions"], []
        for row in table.rows.values():
            groups: dict[tuple[str | None, str | None], list[bool]] = {}
            for key, value in zip(row.samples, row.values, strict=True):
                groups.setdefault(kinds.get(key, (None, None)), []).append(bool(value))
            scores = [
                group_score(right, structure) if structure and len(right) == 4 else float(np.mean(right))
                for (_, structure), right in groups.items()
            ]
            figures.append(f"{row.selector} {np.mean(scores):.3f}")
        table.note += f" Mean over groups: {', '.join(figures)}."

    def _classify(self, sample: Sample, label: str, index: VideoIndex) -> None:
        table = self._table("labels", "accuracy", "Judged by the encoder alone.")
        self.truth.append(label)
        for name, times in _times(index, None):
            frames = pooled(index, np.searchsorted(index.seconds, times))
            guess = self.dataset.labels[int(np.argmax(self.labels @ frames))]
            self.predicted.setdefault(name, []).append(guess)
            table.row(name, _K).add(sample.id, str(sample.video), guess == label, times)

    def _match(self, sample: Sample, index: VideoIndex, text: EmbeddedText | None) -> None:
        table = self._table("keyframes", "F1", "TVSum20's matching of colours.")
        truth = np.stack([bgr_histogram(_read(path)) for path in sample.keyframes])
        for name, times in _times(index, text):
            with open_video(sample.video) as decoder:
                frames = decoder.decode_at(times.tolist()).images
            match = match_keyframes(np.stack([bgr_histogram(image) for image in frames]), truth)
            table.row(name, _K).add(sample.id, str(sample.video), match.f1, times)

    def _compare(self, sample: Sample, picks: Mapping[str, NDArray[np.float64]]) -> None:
        """Add how alike each row's frames and the true ones look."""
        with open_video(sample.video) as decoder:
            truth = decoder.decode_at(sample.key_seconds)
            frames = decoder.decode_at(np.unique(np.concatenate([*picks.values()])).tolist())
        likeness = pairwise_ssim(frames.images, truth.images)
        for name, times in picks.items():
            nearest = np.abs(np.asarray(frames.seconds) - times[:, None]).argmin(axis=1)
            match = match_frames(likeness[nearest])
            for part, value in (("precision", match.precision), ("recall", match.recall)):
                table = self.tables.setdefault(f"SSIM {part}", Table(self.dataset.name, f"SSIM {part}"))
                table.row(name, _K).add(sample.id, str(sample.video), value, times)

    def _answer(self, sample: Sample, question: str, index: VideoIndex) -> None:
        if self.vlm is None:
            self.vlm = load_vlm(str(self.model))
        table = self._table("questions", "answers right", f"Answered by {self.model}.")
        options = "".join(f"\n{chr(ord('A') + i)}. {option}" for i, option in enumerate(sample.options))
        text = prompt("question", question=question + options)
        for name, times in _times(index, self._embedded(sample)):
            with open_video(sample.video) as decoder:
                frames = decoder.decode_at(times.tolist())
            reply = self.vlm.generate(frame_messages(frames, text), max_new_tokens=64)
            right = question_accuracy([reply], [sample.answer or ""], [sample.options])[0]
            table.row(name, _K).add(sample.id, str(sample.video), right, times)

    def _embedded(self, sample: Sample) -> EmbeddedText:
        if sample.question:
            return embed_question(self.encoder, sample.question, self.baseline)
        return embed_caption(self.encoder, sample.captions[0], self.baseline)

    def _table(self, kind: str, measure: str, note: str = "") -> Table:
        return self.tables.setdefault(kind, Table(self.dataset.name, measure, note))


def _retrieval(run: _Run, setting: str, samples: list[Sample], indexes: dict[Path, VideoIndex]) -> Table:
    videos = list(dict.fromkeys(sample.video for sample in samples))
    captions = [(videos.index(s.video), text) for s in samples for text in s.captions]
    owner = np.array([v for v, _ in captions])
    queries = [embed_caption(run.encoder, text, run.baseline) for _, text in captions]
    note = "Frames chosen with every text, for every video." if setting == "per pair" else "No text chooses."
    table = Table(f"{run.dataset.name}, text-to-video retrieval, {setting}", "R@1", note)
    names = [f"{videos[v].name}: {text}" for v, text in captions]
    rows = [(row, _K) for row in ROWS if (row in TEXT_FREE) == (setting == "leak-free")]
    for row in [*rows, *([("uniform", 8)] if setting == "leak-free" else [])]:
        guides = [None] if row[0] in TEXT_FREE else queries
        rank_videos(table, row, [indexes[v] for v in videos], queries, owner, [guides] * len(videos), names)
    return table


def _times(index: VideoIndex, text: EmbeddedText | None) -> Iterable[tuple[str, NDArray[np.float64]]]:
    for name in ROWS:
        if text is not None or name in TEXT_FREE:
            yield name, index.seconds[choose(name, index, text, k=_K)]


def _read(path: Path) -> NDArray[np.uint8]:
    return np.asarray(Image.open(path).convert("RGB"))
