"""The types of the tools' arguments: ranges, descriptions, and the forms in which models write them."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BeforeValidator, Field

from keyframe_llm.tools.times import parse_list, parse_time

__all__ = [
    "Box",
    "Detail",
    "Exclude",
    "FindChanges",
    "Folder",
    "FrameBudget",
    "FrameSeconds",
    "Labels",
    "NamePart",
    "Page",
    "PictureDetail",
    "Query",
    "Question",
    "SaidText",
    "SearchPage",
    "Seconds",
    "SheetFrames",
    "ShowImages",
    "SortBy",
    "Sorting",
    "Start",
    "Stop",
    "TranscriptPage",
    "Video",
    "Videos",
    "WantedText",
]

Video = Annotated[
    str,
    Field(
        min_length=1,
        max_length=4096,
        description="Path of the video file, as the user gave it; or its URL, where URLs are allowed.",
    ),
]
Videos = Annotated[
    list[Annotated[str, Field(min_length=1, max_length=4096)]],
    Field(min_length=1, max_length=20, description="Paths of the video files, as `list_videos` shows them."),
    BeforeValidator(parse_list),
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
SaidText = Annotated[
    str | None,
    Field(min_length=1, max_length=2000, description="Only what fits this, in a few words; best first."),
]
TranscriptPage = Annotated[int, Field(ge=1, description="The number of the page; there are 40 cues on each.")]
ShowImages = Annotated[
    bool, Field(description="Also return the key frames as pictures, a few hundred tokens each.")
]
Detail = Literal["low", "auto", "high"]
PictureDetail = Annotated[
    Detail,
    Field(
        description="Size of the pictures, and so their cost: low is about 60 tokens each, auto 450, high up "
        "to 1,900, to read small print."
    ),
]
Box = Annotated[
    Annotated[
        list[Annotated[float, Field(ge=0, le=1)]],
        Field(min_length=4, max_length=4),
        BeforeValidator(parse_list),
    ]
    | None,
    Field(description="Show only this part of the frames: left, top, right, bottom, as shares of the whole."),
]
FrameSeconds = Annotated[
    list[Seconds],
    Field(min_length=1, description="The seconds of the frames to show."),
    BeforeValidator(parse_list),
]
"""The upper bound of its length is that of the `Limits` in force."""
SheetFrames = Annotated[
    int, Field(ge=1, le=36, description="How many frames, spread evenly over the window.")
]
Question = Annotated[
    str, Field(min_length=1, max_length=2000, description="One question that pictures can answer.")
]
WantedText = Annotated[
    str,
    Field(min_length=1, max_length=2000, description="What to find, in a few plain words, or a question."),
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
SearchPage = Annotated[
    int, Field(ge=1, le=50, description="The number of the page; there are 5 videos on each.")
]
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
