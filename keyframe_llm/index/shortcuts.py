"""One call from a video to its index or its key frames: `index_video` and `select_keyframes`."""

from __future__ import annotations

from os import PathLike, fspath
from typing import Any

from keyframe_llm.data import Progress
from keyframe_llm.encoders import DEFAULT_ENCODER, Encoder
from keyframe_llm.index.indexer import Indexer
from keyframe_llm.index.store import Store
from keyframe_llm.index.video_index import VideoIndex
from keyframe_llm.options import SelectOptions
from keyframe_llm.prompts import Prompts
from keyframe_llm.selection import Selection
from keyframe_llm.video import VideoInput

__all__ = ["index_video", "opened_prompts", "opened_store", "select_keyframes"]


def index_video(
    video: VideoInput,
    *,
    encoder: str | Encoder | None = None,
    device: str | None = None,
    progress: Progress | None = None,
    cache: bool | Store = True,
    prompts: str | PathLike[str] | Prompts | None = None,
    **options: Any,
) -> VideoIndex:
    """Decode a video once and learn what can be known of it without any question.

    With an `encoder`, a name or any object with `embed_images(images) -> (N, D)` and `embed_texts(texts) ->
    (N, D)`, its candidates are embedded and `VideoIndex.select` takes texts; without one it takes none.
    `options` are the fields of `SelectOptions`. `cache` keeps what was learnt on disk for the next call (a
    `Store` of one's own, or False for none). `prompts` is a folder of prompts of one's own. Raises
    `VideoError`, `ModelError`, `OptionsError`.
    """
    indexer = Indexer(
        encoder if encoder is not None else DEFAULT_ENCODER,
        device=device,
        progress=progress,
        store=opened_store(cache),
        prompts=opened_prompts(prompts),
    )
    return indexer.index(video, SelectOptions(**options), embed=encoder is not None)


def select_keyframes(
    video: VideoInput,
    *,
    caption: str | None = None,
    question: str | None = None,
    encoder: str | Encoder = DEFAULT_ENCODER,
    device: str | None = None,
    progress: Progress | None = None,
    cache: bool | Store = True,
    prompts: str | PathLike[str] | Prompts | None = None,
    **options: Any,
) -> Selection:
    """Choose the two or three frames of a video that matter to a text, or to the video itself.

    `encoder` is used only where there is a caption or a question: a name, or any object with
    `embed_images(images) -> (N, D)` and `embed_texts(texts) -> (N, D)`. With neither text, the frames that
    represent the video best by their colours are taken. `options`, `cache` and `prompts` are as for
    `index_video`. Raises `VideoError`, `ModelError`, `OptionsError`.
    """
    indexer = Indexer(
        encoder,
        device=device,
        progress=progress,
        store=opened_store(cache),
        prompts=opened_prompts(prompts),
    )
    return indexer.select(video, SelectOptions(**options), caption=caption, question=question)


def opened_store(cache: bool | Store) -> Store | None:
    """The store on disk that `cache` asks for."""
    if isinstance(cache, Store):
        return cache
    return Store() if cache else None


def opened_prompts(prompts: str | PathLike[str] | Prompts | None) -> Prompts | None:
    """The prompts that were given; None for those of the package."""
    return prompts if prompts is None or isinstance(prompts, Prompts) else Prompts(fspath(prompts))
