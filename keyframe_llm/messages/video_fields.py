"""The times of key frames that a request to vLLM shows as a video of JPEGs (`to_format`'s `openai-video`)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from keyframe_llm.messages.formats import Messages, frame_runs, is_frame
from keyframe_llm.messages.timestamps import video_times

__all__ = ["video_fields", "videos_of"]


def video_fields(seconds: Sequence[float], duration_seconds: float | None = None) -> dict[str, Any]:
    """The fields of a request beside its messages: the true times of its one video of key frames.

    `seconds` are those of the k key frames, ascending; every frame is sent twice. The server has to be
    started with `--trust-request-mm-kwargs`. Without `duration_seconds` the last frame's time stands in.
    """
    # All of them: vLLM leaves out, in silence, what is beyond its own number of 32.
    return {"media_io_kwargs": {"video": {**video_times(seconds, duration_seconds), "num_frames": -1}}}


def videos_of(messages: Messages) -> list[tuple[list[float], float | None]]:
    """Of each video in a conversation, as `frame_messages` made it: its key frames' seconds, its length."""
    contents = [message["content"] for message in messages if not isinstance(message["content"], str)]
    runs = [run for content in contents for run in frame_runs(content) if is_frame(run[0])]
    frames = [[part["frame"] for part in run if part["type"] == "image"] for run in runs]
    return [([frame["seconds"] for frame in shown], shown[0]["duration"]) for shown in frames]
