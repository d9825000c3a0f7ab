"""More candidates for an index that exists: the frames in which something is said, where none was sampled."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from keyframe_llm.data import Proposals
from keyframe_llm.jpeg import encode_jpeg
from keyframe_llm.proposals.color_histogram import color_histogram
from keyframe_llm.proposals.sample import HISTOGRAM_SIDE, sharpness
from keyframe_llm.video import Decoder

if TYPE_CHECKING:
    from keyframe_llm.index.video_index import VideoIndex

__all__ = ["with_frames"]

_SAME_SECONDS = 1e-3
_QUALITY = 92  # of the pictures, as the samples' are kept


def with_frames(index: VideoIndex, decoder: Decoder, seconds: Sequence[float]) -> VideoIndex:
    """The same index, with the frames on screen at these times as candidates too, embedded if the others are.

    Times of the new candidates are those of the frames. Frames that are candidates already change nothing.
    Raises `VideoError` where nothing can be decoded, `OptionsError` where an embedded index has no encoder.
    """
    wanted = sorted({float(second) for second in seconds})
    if not wanted:
        return index
    side = index.embedder.picture_side() if index.embedder is not None else 0
    frames = decoder.decode_at(wanted, short_side=max(side, HISTOGRAM_SIDE))
    away = np.abs(frames.seconds[:, None] - index.candidates.seconds).min(axis=1)
    new = np.flatnonzero(away > _SAME_SECONDS)
    if not len(new):
        return index
    return _inserted(index, frames.seconds[new], frames.images[new])


def _inserted(index: VideoIndex, seconds: NDArray[np.float64], images: NDArray[np.uint8]) -> VideoIndex:
    """An index with further candidates at these times, which none of its candidates has."""
    unsampled = np.abs(seconds[:, None] - index.seconds).min(axis=1) > _SAME_SECONDS
    order = np.argsort(np.concatenate([index.seconds, seconds[unsampled]]), kind="stable")
    times = np.concatenate([index.seconds, seconds[unsampled]])[order]
    place = np.argsort(order)  # where each sample of before stands now
    pictures = [encode_jpeg(image, quality=_QUALITY, full_colour=True) for image in images]
    samples = np.concatenate([index.histograms, *(_colours(one) for one in images[unsampled])])[order]
    sharp = None
    if index.sharpness is not None:
        sharp = np.append(index.sharpness, [sharpness(one) for one in images[unsampled]])[order]
    at = np.abs(times[:, None] - seconds).argmin(axis=0)
    candidates = np.concatenate([place[index.candidates.indices], at])
    among = np.argsort(candidates, kind="stable")
    embeddings = index.embeddings
    if embeddings is not None:
        embeddings = np.concatenate([embeddings, index.embed_pictures(pictures)])[among]
    kept = [*index.pictures, *pictures] if index.pictures else []
    return replace(
        index,
        seconds=times,
        histograms=samples,
        sharpness=sharp,
        proposals=_proposals(times, index.proposals, place, order),
        candidates=_nearest(times, candidates[among]),
        embeddings=embeddings,
        pictures=tuple(kept[i] for i in among) if kept else (),
    )


def _proposals(
    times: NDArray[np.float64], found: Proposals, place: NDArray[np.intp], order: NDArray[np.intp]
) -> Proposals:
    """The clusters of before; a sample that is new belongs to that of its neighbour."""
    old = np.flatnonzero(order < len(found.labels))
    nearest = old[np.abs(times[:, None] - times[old]).argmin(axis=1)]
    return Proposals(times, found.labels[order[nearest]], place[found.indices], found.silhouettes)


def _nearest(times: NDArray[np.float64], indices: NDArray[np.intp]) -> Proposals:
    labels = np.abs(times[:, None] - times[indices]).argmin(axis=1)
    return Proposals(times, labels.astype(np.intp), indices)


def _colours(image: NDArray[np.uint8]) -> NDArray[np.float32]:
    step = max(1, min(image.shape[:2]) // HISTOGRAM_SIDE)
    return color_histogram(image[::step, ::step])
