"""What tools return: plain JSON objects, and the arguments they share. Schemas are made from these types."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field
from typing_extensions import TypedDict

__all__ = [
    "Classes",
    "Description",
    "Exclude",
    "FrameBudget",
    "Keyframe",
    "Keyframes",
    "Labels",
    "Query",
    "Question",
    "ShowImages",
    "Start",
    "Stop",
    "Video",
    "VideoAnswer",
    "VideoFacts",
]

Video = Annotated[
    str,
    Field(
        min_length=1,
        max_length=4096,
        description="Path of the video file, as the user gave it; or its URL, where URLs are allowed.",
    ),
]
Start = Annotated[
    float | None,
    Field(ge=0, description="Look at nothing before this second. Set it to look closer at a part."),
]
Stop = Annotated[
    float | None,
    Field(gt=0, description="Look at nothing after this second. Set it to look closer at a part."),
]
Exclude = Annotated[
    list[Annotated[float, Field(ge=0)]] | None,
    Field(max_length=64, description="Seconds of frames you have already seen, to be shown other ones."),
]
FrameBudget = Annotated[int, Field(ge=1, le=64, description="At most this many key frames.")]
ShowImages = Annotated[
    bool, Field(description="Also return the key frames as pictures, a few hundred tokens each.")
]
Question = Annotated[
    str, Field(min_length=1, max_length=2000, description="One question that pictures can answer.")
]
Labels = Annotated[
    list[Annotated[str, Field(min_length=1, max_length=200)]],
    Field(
        min_length=2,
        max_length=200,
        description="The classes to choose from, such as ['walk', 'wave a hand'].",
    ),
]
Query = Annotated[
    str | None,
    Field(
        min_length=1,
        max_length=2000,
        description="What the frames should show, in a few plain words, or the question they should answer. "
        "Leave it out for frames that represent the whole video.",
    ),
]


class VideoFacts(TypedDict):
    """What the file is."""

    name: str
    duration_seconds: float | None
    width: int
    height: int


class Keyframe(TypedDict):
    """One key frame."""

    seconds: Annotated[float, Field(description="When it is shown, from the start of the video.")]
    score: Annotated[float, Field(description="How much it matters here, 0 to 1.")]
    image: Annotated[str | None, Field(description="Where its picture is, if pictures were asked for.")]


class Keyframes(TypedDict):
    """The key frames of a video, in time order."""

    video: VideoFacts
    keyframes: list[Keyframe]
    warnings: list[str]


class Description(Keyframes):
    """A video in one sentence, and the times to look closer at."""

    description: str
    moments: Annotated[
        list[float], Field(description="Seconds at which the video looks different from before.")
    ]
    model: str


class VideoAnswer(Keyframes):
    """An answer, and the key frames it rests on."""

    answer: str
    model: str


class Classes(Keyframes):
    """The likeliest class, and how likely each is."""

    label: str
    probabilities: Annotated[
        dict[str, float],
        Field(description="Of each label; they sum to 1. Empty where the model can only name its choice."),
    ]
    model: str
