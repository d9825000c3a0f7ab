"""Whole conversations: every video in a list of messages becomes its key frames, each with its time."""

from __future__ import annotations

from collections.abc import Hashable, Iterator, Sequence
from contextlib import suppress
from functools import lru_cache
from typing import Any

from keyframe_llm.encoders import DEFAULT_ENCODER, Encoder
from keyframe_llm.errors import OptionsError
from keyframe_llm.index import Indexer
from keyframe_llm.messages import MAX_IMAGE_BYTES, Format, Layout, Messages, laid_out, to_format
from keyframe_llm.options import SelectOptions, option_fields
from keyframe_llm.selection import Selection
from keyframe_llm.video import FrameList, VideoInput

__all__ = ["guiding_questions", "rewrite_messages", "select_for_part", "shared_indexer", "video_source"]

_MOST_FRAMES = 64
_SHARED_INDEXERS = 4


def rewrite_messages(
    messages: Messages,
    *,
    format: Format | None = None,
    encoder: str | Encoder = DEFAULT_ENCODER,
    max_image_bytes: int = MAX_IMAGE_BYTES,
    words: bool = False,
    layout: Layout = "images",
    **options: Any,
) -> Messages:
    """A copy of a conversation in which every video is its key frames: `[12.3s]`, picture, …

    A video is a part `{"type": "video", "video": path}` (also `path` or `url`) or OpenAI-style
    `{"type": "video_url", "video_url": {"url": "https://…"}}`. In place of the path there may be whatever
    `select_keyframes` takes, or a list of frames with their rate as `sample_fps`. A video is guided by the
    last text of a user from its message on, up to the next message with a video; a part may give `caption`,
    `question`, `video_start`, `video_end` and the fields of `SelectOptions`, which go before `options`.

    `format` None keeps each video's own: its pictures become Hugging Face `image` parts for a `video`,
    `image_url` parts for a `video_url`. `words` adds what is said and written around the key frames, quoted,
    after them. `layout="sheet"` puts the key frames of each video on one picture, with their times, for
    models that take a single picture. Everything else passes through untouched. Raises `VideoError`,
    `ModelError`, `OptionsError`.
    """
    if format == "openai-video":
        raise OptionsError(
            "format is 'openai-video', and messages alone hold no times of a video; take select_keyframes, "
            "then to_messages and extra_body of its Selection"
        )
    questions = guiding_questions(messages)
    rewritten: Messages = []
    for message, question in zip(messages, questions, strict=True):
        if question is _NO_VIDEO:
            rewritten.append(message)
            continue
        parts: list[dict[str, Any]] = []
        for part in message["content"]:
            if video_source(part) is None:
                parts.append(part)
                continue
            selection = select_for_part(part, question, encoder, options)
            text = selection.with_words("") if words else None
            length = selection.video.duration_seconds
            shown = laid_out(selection.frames, text, layout=layout, duration_seconds=length)
            if part["type"] == "video_url":
                shown = to_format(shown, "openai", max_image_bytes=max_image_bytes)
            parts += shown[0]["content"]
        rewritten.append({**message, "content": parts})
    return rewritten if format is None else to_format(rewritten, format, max_image_bytes=max_image_bytes)


_NO_VIDEO = ""


def guiding_questions(messages: Messages) -> list[str | None]:
    """For each message the text that its videos are guided by: None where there is none, `""` without videos.

    It is the last text of a user from that message on, up to the next message with a video; where that is
    none, the last one before.
    """
    holds = [any(video_source(part) is not None for part in _parts(message)) for message in messages]
    user_texts = [_text(message) if message["role"] == "user" else "" for message in messages]
    questions: list[str | None] = []
    for i in range(len(messages)):
        if not holds[i]:
            questions.append(_NO_VIDEO)
            continue
        after = next((j for j in range(i + 1, len(messages)) if holds[j]), len(messages))
        near, before = [t for t in user_texts[i:after] if t], [t for t in user_texts[:i] if t]
        texts = near or before
        questions.append(texts[-1] if texts else None)
    return questions


def video_source(part: Any) -> Any:
    """The video of a message part as it stands there (a path, an address, a list of frames), or None."""
    if not isinstance(part, dict):
        return None
    if part.get("type") == "video_url":
        address = part.get("video_url")
        return address.get("url") if isinstance(address, dict) else address
    if part.get("type") == "video" or "video" in part:
        return next((part[key] for key in ("video", "path", "url") if key in part), None)
    return None


def select_for_part(
    part: dict[str, Any], question: str | None, encoder: str | Encoder, options: dict[str, Any]
) -> Selection:
    """Choose the key frames of one video part; what the part itself asks for goes before `options`."""
    own = {name: part[name] for name in option_fields() if part.get(name) is not None}
    for theirs, ours in (("video_start", "start_seconds"), ("video_end", "end_seconds")):
        if part.get(theirs) is not None:
            own[ours] = float(part[theirs])
    if part.get("nframes") is not None:
        own.setdefault("max_frames", part["nframes"])
    if isinstance(own.get("max_frames"), int) and own["max_frames"] > _MOST_FRAMES:
        del own["max_frames"]  # a bound meant for dense sampling, which any choice of key frames keeps
    chosen = SelectOptions(**{**options, **own})
    question = part.get("question") or question
    return shared_indexer(encoder).select(
        _video_of(part), chosen, caption=part.get("caption"), question=question or None
    )


def _video_of(part: dict[str, Any]) -> VideoInput:
    """The video of a part; a list of frames with the times that its `sample_fps` gives them."""
    source: VideoInput = video_source(part)
    if not (isinstance(source, (list, tuple)) or hasattr(source, "__array__")):
        return source
    rate = part.get("sample_fps")
    if rate is None:
        raise OptionsError(
            "nothing says when the frames of a list were shown; give sample_fps, the frames per second"
        )
    with suppress(TypeError, ValueError):  # in Qwen's README it is a text
        rate = float(rate)
    return FrameList(source, fps=rate)


def shared_indexer(encoder: str | Encoder) -> Indexer:
    """One indexer for each encoder, so that the same video is indexed once over many calls."""
    return _remembered(encoder) if isinstance(encoder, Hashable) else Indexer(encoder)


@lru_cache(maxsize=_SHARED_INDEXERS)
def _remembered(encoder: Any) -> Indexer:
    return Indexer(encoder)


def _parts(message: dict[str, Any]) -> Iterator[Any]:
    content = message.get("content")
    yield from content if isinstance(content, Sequence) and not isinstance(content, str) else ()


def _text(message: dict[str, Any]) -> str:
    content = message.get("content")
    if isinstance(content, str):
        return content.strip()
    kinds = ("text", "input_text")
    texts = [part["text"] for part in _parts(message) if isinstance(part, dict) and part.get("type") in kinds]
    return "\n".join(texts).strip()
