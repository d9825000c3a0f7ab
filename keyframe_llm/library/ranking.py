"""Ranking the videos of a library for a text: by their key frames, and that order joined with the words'.

As in the paper's retrieval, a video is its few key frames: those chosen for this text among its candidates,
and the cosine of the text with their mean ranks it. So a search returns what `evaluation` measures. Where
videos have words that hold those of the text, both orders are joined by reciprocal ranks (Cormack, Clarke and
Büttcher 2009).
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from keyframe_llm.arrays import unit_rows
from keyframe_llm.library.catalogue import StoredVideo
from keyframe_llm.library.moments import FoundMoment, FoundVideo, Window, index_of, span_around
from keyframe_llm.library.word_search import FoundWords
from keyframe_llm.options import SelectOptions
from keyframe_llm.scoring.queries import Query
from keyframe_llm.scoring.selectors import choose_frames

__all__ = ["best_fits", "by_pictures", "joined"]

_RANK_CONSTANT = 60


def by_pictures(
    videos: Sequence[StoredVideo],
    query: Query,
    whole: NDArray[np.floating],
    options: SelectOptions,
    window: Window,
    most: int,
) -> list[FoundVideo]:
    """The videos ordered by the cosine of the text with the mean of the key frames chosen for it.

    `whole` (D,) is the embedding of the whole text, `query` that of its parts. Only the `most` videos whose
    best single candidate fits best are ranked by their key frames.
    """
    text = np.asarray(unit_rows(whole), np.float64)
    fits = best_fits(videos, text, window)
    order = sorted(range(len(videos)), key=lambda i: -fits[i])
    found = [_found(videos[i], query, text, options, window) for i in order[:most] if fits[i] > -np.inf]
    return sorted(found, key=lambda each: -each.score)


def best_fits(
    videos: Sequence[StoredVideo], text: NDArray[np.floating], window: Window
) -> NDArray[np.float64]:
    """(V,) the cosine of a text (D,) with the candidate of each video that fits it best; −∞ where none is."""
    fits = np.full(len(videos), -np.inf)
    vector = np.asarray(text, np.float32)
    for i, video in enumerate(videos):
        inside = window.holds(video.seconds)
        if inside.any():
            fits[i] = (video.embeddings[inside].astype(np.float32) @ vector).max()
    return fits


def _found(
    video: StoredVideo,
    query: Query,
    text: NDArray[np.float64],
    options: SelectOptions,
    window: Window,
) -> FoundVideo:
    index = index_of(video, window.holds(video.seconds))
    choice = choose_frames(index, query, options)
    ranked = choice if query.order is None else choose_frames(index, replace(query, order=None), options)
    rows = index.unit_embeddings[choice.chosen]
    moments: list[FoundMoment] = []
    for second, row in zip(index.seconds[choice.chosen], rows, strict=True):
        span = span_around(video, float(second))
        new = FoundMoment(*span, float(second), "picture", float(row @ text))
        # Two frames of one moment, unless the text asks for what comes next to another one.
        if moments and moments[-1].end >= new.start and not choice.beside:
            before = moments.pop()
            best = new if new.score > before.score else before
            new = replace(best, start=before.start, end=new.end)
        moments.append(new)
    # What follows an anchor need not look like the text, so it does not rank its video.
    score = float(unit_rows(index.unit_embeddings[ranked.chosen].mean(axis=0)) @ text)
    return FoundVideo(video.path, score, tuple(moments), video.duration_seconds)


def joined(
    pictures: Sequence[FoundVideo],
    words: Mapping[int, FoundWords],
    bare: Mapping[int, FoundVideo],
) -> list[FoundVideo]:
    """Both orders as one; without words found, that of the pictures as it is.

    A video's words count by the share of the text that they hold. `bare` holds the videos whose words were
    found, without moments.
    """
    if not words:
        return list(pictures)
    said = {bare[video].path: found for video, found in words.items()}
    videos = {each.path: each for each in [*bare.values(), *pictures]}
    ranks: dict[str, float] = defaultdict(float)
    for place, each in enumerate(pictures, 1):
        ranks[each.path] += 1 / (_RANK_CONSTANT + place)
    for place, (path, each_said) in enumerate(said.items(), 1):
        ranks[path] += each_said.share / (_RANK_CONSTANT + place)
    found = []
    for path in sorted(ranks, key=lambda each: -ranks[each]):
        passages = said[path].moments if path in said else ()
        moments = sorted([*videos[path].moments, *passages], key=lambda moment: moment.seconds)
        found.append(replace(videos[path], score=ranks[path], moments=tuple(moments)))
    return found
