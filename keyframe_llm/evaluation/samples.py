"""What a data set gives: samples that name a video and say what is known of it; files are found by name."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from keyframe_llm.errors import OptionsError

__all__ = ["Dataset", "Sample", "Tree"]

Moment = tuple[float, float]
"""(start, end) in seconds."""

_VIDEO = (".mp4", ".avi", ".mkv", ".webm", ".mov", ".m4v", ".mpg", ".mpeg", ".wmv", ".flv", ".3gp", ".gif")


@dataclass(frozen=True, slots=True)
class Sample:
    """One video, or one question or caption about it. Raises `OptionsError` on values that contradict."""

    id: str
    video: Path
    """Where the video is, or where it is looked for if it has not been downloaded yet."""
    captions: tuple[str, ...] = ()
    question: str | None = None
    options: tuple[str, ...] = ()
    """What the question may be answered with; empty for a free answer."""
    answer: str | None = None
    """The right answer, word for word one of `options` where there are any."""
    moments: tuple[Moment, ...] = ()
    """When what the caption or question asks for can be seen, in seconds."""
    scenes: tuple[tuple[Moment, ...], ...] = ()
    """What the frames should show: scenes, each of one or more moments."""
    key_seconds: tuple[float, ...] = ()
    """The times of the true key frames, where single frames are annotated."""
    tolerance_seconds: float = 0.0
    """How far a frame may lie from one of `key_seconds`."""
    structure: str | None = None
    """How the questions of a group depend on each other (Video-MME-v2)."""
    label: str | None = None
    """The class, in words: `brush hair`."""
    keyframes: tuple[Path, ...] = ()
    """Pictures of the true key frames."""
    summaries: tuple[tuple[Moment, ...], ...] = ()
    """What each annotator kept in a summary, in seconds."""
    group: str | None = None
    """The part of the benchmark it belongs to, such as its length (`short`, `long`)."""

    def __post_init__(self) -> None:
        if self.options and self.answer is not None and self.answer not in self.options:
            raise OptionsError(f"the answer {self.answer!r} is not among its options {list(self.options)!r}")
        for start, end in (*self.moments, *(moment for scene in self.scenes for moment in scene)):
            if not 0 <= start <= end:
                raise OptionsError(
                    f"the moment {[start, end]!r} of {self.id!r} must run from a second to a later one"
                )


@dataclass(frozen=True, slots=True)
class Dataset:
    """The samples of a benchmark, in its own order."""

    name: str
    samples: tuple[Sample, ...]
    download: str
    """What to download and where to put it, in one line."""

    def __len__(self) -> int:
        return len(self.samples)

    def __iter__(self) -> Iterator[Sample]:
        return iter(self.samples)

    @property
    def labels(self) -> tuple[str, ...]:
        """The classes that occur, in alphabetical order."""
        return tuple(sorted({sample.label for sample in self.samples if sample.label is not None}))

    def missing(self) -> tuple[Path, ...]:
        """The videos that are not there, each once."""
        return tuple(dict.fromkeys(s.video for s in self.samples if not s.video.is_file()))

    def require_videos(self) -> None:
        """Raise `OptionsError`, saying what to download, where a video is not there."""
        missing = self.missing()
        if missing:
            total = len({sample.video for sample in self.samples})
            raise OptionsError(
                f"{self.name}: {len(missing)} of {total} videos are missing, the first {missing[0]}; "
                f"{self.download}"
            )


class Tree:
    """The files below a folder, found by name wherever people have put them. The folder is walked once."""

    def __init__(self, root: Path, name: str, download: str) -> None:
        self.root, self.name, self.download = root, name, download

    @cached_property
    def files(self) -> list[Path]:
        """All files, sorted; linked folders are followed, each once."""
        found, seen = list[Path](), set[str]()
        for folder, inner, names in os.walk(self.root, followlinks=True):
            real = os.path.realpath(folder)
            if real in seen:
                inner.clear()
                continue
            seen.add(real)
            found += [Path(folder, name) for name in names]
        return sorted(found)

    @cached_property
    def videos(self) -> dict[str, Path]:
        """Video files by name without extension (`x.mov.mp4` is `x`)."""
        return {_stem(path.name): path for path in self.video_files()}

    def video_files(self) -> list[Path]:
        """All videos, sorted."""
        return [path for path in self.files if path.suffix.lower() in _VIDEO]

    def video(self, name: str) -> Path:
        """The video of that name, or where to put it."""
        return self.videos.get(_stem(name), self.root / "videos" / (_stem(name) + ".mp4"))

    def matching(self, pattern: str) -> list[Path]:
        """All files whose name matches a shell pattern such as `*_test_split1.txt`."""
        return [path for path in self.files if path.match(pattern)]

    def first(self, *patterns: str) -> Path | None:
        """The first file that matches the first pattern that has one."""
        return next((path for pattern in patterns for path in self.matching(pattern)), None)

    def need(self, *patterns: str) -> Path:
        """As `first`; raises `OptionsError`, saying what to download, where there is none."""
        found = self.first(*patterns)
        if found is None:
            raise self.absent(" or ".join(patterns))
        return found

    def absent(self, what: str) -> OptionsError:
        """The error that says what is missing and how to get it."""
        return OptionsError(f"{self.name}: {self.root} holds no {what}; {self.download}")


def _stem(name: str) -> str:
    while name.lower().endswith(_VIDEO):
        name = name[: name.rfind(".")]
    return name
