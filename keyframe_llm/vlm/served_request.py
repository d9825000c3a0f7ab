"""What a server is sent of key frames: images with their times, or, to vLLM, a video with true times.

Qwen3-VL and later read the times of a video from a vLLM request. Qwen2.5-VL sees only the frames' mean
spacing, and other servers sample a video anew: they get images, the time as text before each.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import PurePosixPath
from typing import Any, Literal, get_args

from keyframe_llm.errors import OptionsError, shortened
from keyframe_llm.messages import Messages, to_format, video_fields, videos_of, with_time_labels
from keyframe_llm.messages.markers import without_markers
from keyframe_llm.messages.timestamps import reads_seconds

__all__ = ["FramesAs", "ServedModel", "ServedRequest", "check_frames_as", "served_model"]

FramesAs = Literal["images", "video"]
"""How a server is sent key frames: `images`, or as one `video` with true times, which vLLM takes."""


@dataclass(frozen=True, slots=True)
class ServedRequest:
    """The body of a request: messages in the chat format, and the fields beside them."""

    messages: Messages
    fields: dict[str, Any] = field(default_factory=dict)

    def without_pictures(self) -> ServedRequest:
        """The same request with the texts of its messages alone."""
        texts = [
            {**message, "content": [part for part in message["content"] if part["type"] == "text"]}
            for message in self.messages
        ]
        return ServedRequest(texts)


@dataclass(frozen=True, slots=True)
class ServedModel:
    """A model behind a server, and how it is sent key frames."""

    name: str
    kind: str
    """Its names, which say how it was trained to read times: the served one and its weights', and below an
    adapter those of its base."""
    frames_as: FramesAs
    by_name: bool
    """Whether `frames_as` follows from the names, and not from an option."""

    def request(self, messages: Messages) -> ServedRequest:
        """The request that a conversation becomes.

        A request has room for the times of one video: a conversation about several goes as images. Raises
        `OptionsError` where an option wants them as videos.
        """
        messages, videos = without_markers(messages), videos_of(messages)
        if self.frames_as == "video" and len(videos) == 1:
            return ServedRequest(to_format(messages, "openai-video"), video_fields(*videos[0]))
        if len(videos) > 1 and self.frames_as == "video" and not self.by_name:
            raise OptionsError(
                f"the conversation shows {len(videos)} videos, and a request holds the times of one; ask "
                'about one video, or give frames_as="images"'
            )
        return ServedRequest(to_format(with_time_labels(messages, self.kind), "openai"))

    def as_images(self) -> ServedModel:
        """The same model, sent images."""
        return replace(self, frames_as="images")


def check_frames_as(frames_as: FramesAs | None) -> None:
    """Raise `OptionsError` on a way to send key frames that there is not."""
    if frames_as is not None and frames_as not in get_args(FramesAs):
        raise OptionsError(
            f"frames_as is {shortened(frames_as)}; choose one of {', '.join(get_args(FramesAs))}"
        )


def served_model(name: str, listed: Sequence[Any], frames_as: FramesAs | None) -> ServedModel:
    """The model of that name among those that a server lists, as OpenAI's client gives them.

    vLLM says in its list that it is vLLM, which weights a name stands for, and what an adapter is below.
    `frames_as` None decides by that and the names. Raises `OptionsError` on another value of it.
    """
    check_frames_as(frames_as)
    cards = {one.id: one for one in listed}
    card = cards.get(name)
    base = getattr(card, "parent", None)
    kind = " ".join([name, _weights(card), *([base, _weights(cards.get(base))] if base else [])])
    takes_times = getattr(card, "owned_by", None) == "vllm" and reads_seconds(kind)
    default: FramesAs = "video" if takes_times else "images"
    return ServedModel(name, kind, frames_as or default, frames_as is None)


def _weights(card: Any) -> str:
    """The name of a card's weights, which are an id, a folder, or a snapshot in the hub's cache."""
    parts = PurePosixPath(str(getattr(card, "root", None) or "")).parts
    return parts[-3] if parts[-2:-1] == ("snapshots",) and len(parts) > 2 else "".join(parts[-1:])
