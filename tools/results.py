"""The types of the tools' arguments and results, all plain JSON. The schemas are made from these types."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BeforeValidator, Field
from typing_extensions import TypedDict

from keyframe_llm.tools.times import parse_list, parse_time

__all__ = [
    "Chapter",
    "Classes",
    "Description",
    "Exclude",
    "FindChanges",
    "Folder",
    "FrameBudget",
    "Keyframe",
    "Keyframes",
    "Labels",
    "ListedVideo",
    "NamePart",
    "Page",
    "Query",
    "Question",
    "Seconds",
    "ShowImages",
    "SortBy",
    "Sorting",
    "Start",
    "Stop",
    "Track",
    "Video",
    "VideoAnswer",
    "VideoDetails",
    "VideoFacts",
    "VideoList",
]

Video = Annotated[
    str,
    Field(
        min_length=1,
        max_length=4096,
        description="Path of the video file, as the user gave it; or its URL, where URLs are allowed.",
    ),
]
Seconds = Annotated[float, Field(ge=0), BeforeValidator(parse_time)]
Start = Annotated[
    Seconds | None,
    Field(description="Ignore everything before this second. Set it to look closer at a part."),
]
Stop = Annotated[
    Seconds | None,
    Field(description="Ignore everything after this second. Set it to look closer at a part."),
]
Exclude = Annotated[
    Annotated[list[Seconds], Field(max_length=64), BeforeValidator(parse_list)] | None,
    Field(description="Seconds of frames you have already seen; other frames are returned."),
]
FrameBudget = Annotated[int, Field(ge=1, description="At most this many key frames.")]
"""The upper bound is that of the `Limits` in force."""
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
        description="The labels to choose from, such as ['walk', 'wave a hand'].",
    ),
    BeforeValidator(parse_list),
]
Folder = Annotated[
    str | None,
    Field(min_length=1, max_length=4096, description="Only videos in this folder and the folders below it."),
]
NamePart = Annotated[
    str | None,
    Field(min_length=1, max_length=200, description="Only videos with this text in their name, in any case."),
]
SortBy = Literal["name", "newest", "largest"]
Sorting = Annotated[SortBy, Field(description="The order of the list.")]
Page = Annotated[int, Field(ge=1, description="The number of the page; there are 25 videos on each.")]
FindChanges = Annotated[
    bool,
    Field(
        description="Also find the seconds at which the look of the video changes: one pass over the video."
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
    """Facts about the video file."""

    name: str
    duration_seconds: float | None
    duration: Annotated[str | None, Field(description="The same, such as '1:02:03.5'.")]
    width: int
    height: int


class ListedVideo(TypedDict):
    """A video of a list."""

    name: Annotated[str, Field(description="The argument `video` of the other tools.")]
    size_bytes: int
    duration_seconds: float | None
    duration: str | None


class VideoList(TypedDict):
    """One page of a list of videos."""

    videos: list[ListedVideo]
    total: Annotated[int, Field(description="How many videos there are on all pages.")]
    next_page: Annotated[int | None, Field(description="The number of the next page; null on the last one.")]


class Track(TypedDict):
    """A track of sound or subtitles."""

    codec: str
    language: str | None
    title: str | None


class Chapter(TypedDict):
    """A chapter, as the file names it."""

    start_seconds: float
    time: str
    title: str | None


class VideoDetails(TypedDict):
    """What is known of a video without any model."""

    video: VideoFacts
    size_bytes: int
    codec: str
    average_fps: float | None
    title: str | None
    sound: list[Track]
    subtitles: list[Track]
    chapters: list[Chapter]
    change_seconds: Annotated[
        list[float] | None, Field(description="Seconds at which the video begins to look different.")
    ]
    warnings: list[str]


class Keyframe(TypedDict):
    """One key frame."""

    seconds: Annotated[float, Field(description="Its time, from the start of the video.")]
    time: Annotated[str, Field(description="The same, such as '1:02:03.5'.")]
    score: Annotated[float, Field(description="How much it matters here, 0 to 1.")]
    image: Annotated[
        str | None, Field(description="Path or URI of its picture; null if pictures were not requested.")
    ]


class Keyframes(TypedDict):
    """The key frames of a video, in time order."""

    video: VideoFacts
    keyframes: list[Keyframe]
    warnings: list[str]


class Description(Keyframes):
    """A video in one sentence, and the times at which its look changes."""

    description: str
    change_seconds: Annotated[
        list[float], Field(description="Seconds at which the video begins to look different.")
    ]
    model: str


class VideoAnswer(Keyframes):
    """An answer, and the key frames it is based on."""

    answer: str
    model: str


class Classes(Keyframes):
    """The most likely label, and the probability of each."""

    label: str
    probabilities: Annotated[
        dict[str, float],
        Field(description="Of each label; they sum to 1. Empty if the model can only name its choice."),
    ]
    model: str
