"""A video that may be read, and what tools make of it: facts, key frames, pictures."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from concurrent.futures import wait
from typing import TYPE_CHECKING, Any

from keyframe_llm.data import Frames, VideoInfo
from keyframe_llm.jpeg import encode_jpeg
from keyframe_llm.options import WordOptions
from keyframe_llm.pipeline import KeyframeLLM
from keyframe_llm.scoring.queries import query_kind
from keyframe_llm.selection import Selection
from keyframe_llm.tools.arguments import Detail
from keyframe_llm.tools.frames import (
    cell_side,
    cropped,
    draw_sheet,
    even_seconds,
    fitted_size,
    image_tokens,
    picture_side,
    sheet_side,
)
from keyframe_llm.tools.limits import ToolError
from keyframe_llm.tools.results import (
    ContactSheet,
    FoundKeyframes,
    IndexProgress,
    Keyframe,
    Keyframes,
    SavedClip,
    SavedClips,
    SavedFrame,
    SavedFrames,
    ShownFrame,
    ShownFrames,
    VideoFacts,
)
from keyframe_llm.tools.sandbox import AllowedFile
from keyframe_llm.tools.saving import cut_clip
from keyframe_llm.tools.times import format_time
from keyframe_llm.words import Words

if TYPE_CHECKING:
    from keyframe_llm.tools.runtime import ToolRuntime

__all__ = ["OpenedVideo"]

_SAVED_QUALITY = 95
_SOON_SECONDS = 0.25


class OpenedVideo:
    """A video that may be read, a `KeyframeLLM` to read it with, and how its results are written."""

    def __init__(self, runtime: ToolRuntime, llm: KeyframeLLM, file: AllowedFile) -> None:
        self._runtime, self.llm, self.file = runtime, llm, file
        self.path = str(file.path)

    def stated(self) -> VideoInfo:
        """What the header of the file states, read as the library reads it. Raises `VideoError`."""
        with self._runtime.open_decoder(self.path) as decoder:
            return decoder.info

    def words(self) -> Words:
        """What is subtitled in the file. Raises `VideoError`."""
        with self._runtime.open_decoder(self.path) as decoder:
            return decoder.read_words(WordOptions())

    def read(self, **window: Any) -> KeyframeLLM:
        """The `KeyframeLLM`, once it has read the video, or the part of it that a window names.

        A file that is gone after the call is read by the call itself.
        """
        options = self.llm.options.replaced(**window)
        if self.file.lasts and (reading := self._runtime.reading(self.file.path, options)) is not None:
            self._runtime.join(reading)
        return self.llm

    def reading_progress(self) -> IndexProgress:
        """Begin to read the video in the background, and tell how far that is. Raises what ended it."""
        options, path = self.llm.options, self.file.path
        if not self.file.lasts:
            raise ToolError("a video from a URL is fetched for each call and cannot be read ahead")
        if (failure := self._runtime.reading_failure(path, options)) is not None:
            raise failure
        reading = self._runtime.reading(path, options)
        if reading is not None and wait([reading.future], _SOON_SECONDS).done:
            reading.future.result()
            reading = None
        video = self.facts(self.stated())
        if reading is None:
            return {"video": video, "done": True, "percent": 100, "doing": "done", "seconds_left": 0.0}
        job = reading.job
        left = job.seconds_to_go
        return {
            "video": video,
            "done": False,
            "percent": round(100 * job.share) if job.stage == "decode" else 0,
            "doing": job.doing,
            "seconds_left": None if left is None else round(left, 1),
        }

    def select(self, query: str | None, **options: Any) -> Selection:
        """The key frames for a query, which is a caption or a question; without one, of the whole video."""
        is_question = query is not None and query_kind(query) == "question"
        question, caption = (query, None) if is_question else (None, query)
        return self.read(**options).select(self.path, question=question, caption=caption, **options)

    def shown_frames(
        self, seconds: Sequence[float], detail: Detail, box: Sequence[float] | None
    ) -> ShownFrames:
        """The frames on screen at some times, or a part of them, as pictures."""
        side = picture_side(detail, self._runtime.limits)
        info, frames, warnings = self._decoded(sorted(set(seconds)))
        shown: list[ShownFrame] = []
        for image, second in zip(frames.images, frames.seconds, strict=True):
            part = cropped(image, box)
            width, height = fitted_size(part.shape[1], part.shape[0], side)
            shown.append(
                {
                    "seconds": round(float(second), 3),
                    "time": format_time(float(second)),
                    "image": self._runtime.save_picture(part, side),
                    "width": width,
                    "height": height,
                    "image_tokens": image_tokens((width, height)),
                }
            )
        return {"video": self.facts(info), "frames": shown, "warnings": self.public_texts(warnings)}

    def contact_sheet(
        self, start: float | None, end: float | None, count: int, detail: Detail
    ) -> ContactSheet:
        """Frames spread evenly over a window, in one picture."""
        first, last = self._window(start, end)
        side = sheet_side(detail, self._runtime.limits)
        seconds = even_seconds(first, last, count)
        info, frames, warnings = self._decoded(seconds, short_side=cell_side(count, side))
        sheet = draw_sheet(frames, side)
        return {
            "video": self.facts(info),
            "image": self._runtime.save_picture(sheet, side),
            "image_tokens": image_tokens((sheet.shape[1], sheet.shape[0])),
            "seconds": [round(float(second), 3) for second in frames.seconds],
            "warnings": self.public_texts(warnings),
        }

    def saved_frames(self, seconds: Sequence[float], box: Sequence[float] | None) -> SavedFrames:
        """Save the frames on screen at some times, or a part of them, in full size."""
        folder = self._runtime.allowed_folder()
        info, frames, warnings = self._decoded(sorted(set(seconds)))
        files: list[SavedFrame] = []
        with self._runtime.new_folder() as private:
            for image, second in zip(frames.images, frames.seconds, strict=True):
                jpeg = private / "frame.jpg"
                jpeg.write_bytes(encode_jpeg(cropped(image, box), quality=_SAVED_QUALITY))
                path = folder.save(jpeg, self.file.name, _file_time(float(second)))
                files.append(
                    {
                        "path": str(path),
                        "size_bytes": path.stat().st_size,
                        "seconds": round(float(second), 3),
                        "time": format_time(float(second)),
                    }
                )
        return {"video": self.facts(info), "files": files, "warnings": self.public_texts(warnings)}

    def saved_clip(self, start: float | None, end: float | None) -> SavedClips:
        """Save a part of the video as it is, without decoding it."""
        folder = self._runtime.allowed_folder()
        first, last = self._window(start, end)

        with self._runtime.new_folder() as private:
            decoders, target = self._runtime.decoders, private / "clip"
            clip, begin = decoders.call(self.path, cut_clip, self.path, target, first, last, folder.room)
            path = folder.save(clip, self.file.name, f"{_file_time(begin)}-{_file_time(last)}")
        file: SavedClip = {
            "path": str(path),
            "size_bytes": path.stat().st_size,
            "start_seconds": round(begin, 3),
            "end_seconds": round(last, 3),
        }
        return {"video": self.facts(self.stated()), "files": [file], "warnings": []}

    def _decoded(
        self, seconds: Sequence[float], short_side: int | None = None
    ) -> tuple[VideoInfo, Frames, list[str]]:
        """What is known of the video, its frames on screen at some times, ascending, and its faults."""
        with self._runtime.open_decoder(self.path) as decoder:
            frames = decoder.decode_at(seconds, short_side=short_side)
            return decoder.info, frames, decoder.warnings

    def _window(self, start: float | None, end: float | None) -> tuple[float, float]:
        """A part of the video: where it begins and ends. Raises `ToolError` if there is nothing in it."""
        length = self.stated().duration_seconds
        ends = [second for second in (end, length) if second is not None]
        if not ends:
            raise ToolError(f"the length of {self.file.name} is not known; give end_seconds")
        first, last = start or 0.0, min(ends)
        if first >= last:
            raise ToolError(
                f"there is nothing from {format_time(first)} to {format_time(last)} in {self.file.name}; "
                "give an earlier start_seconds or a later end_seconds"
            )
        return first, last

    def facts(self, video: VideoInfo) -> VideoFacts:
        """The facts of the video in results."""
        duration = video.duration_seconds
        return {
            "name": self.file.name,
            "duration_seconds": None if duration is None else round(duration, 3),
            "duration": None if duration is None else format_time(duration),
            "width": video.width,
            "height": video.height,
        }

    def public_texts(self, texts: Iterable[str]) -> list[str]:
        """Texts that may be shown: printable, without the places of files."""
        return [self._runtime.public_text(text, self.file) for text in texts]

    def found_result(self, selection: Selection, **shown: Any) -> FoundKeyframes:
        """As `result`, and whether what was asked for is there at all."""
        found = selection.found
        return {
            **self.result(selection, **shown),
            "found": None if found is None else found.word,
            "found_score": None if found is None else round(found.score, 2),
        }

    def result(self, selection: Selection, *, include_images: bool, detail: Detail = "auto") -> Keyframes:
        """What the results of all tools about key frames have in common."""
        scores = selection.scores.total[selection.chosen]
        side = picture_side(detail, self._runtime.limits)
        height, width = selection.frames.images.shape[1:3]
        tokens = image_tokens(fitted_size(width, height, side))
        return {
            "video": self.facts(selection.video),
            "keyframes": [
                _with_order(
                    {
                        "seconds": round(float(second), 3),
                        "time": format_time(float(second)),
                        "score": round(float(score), 4),
                        "image": self._runtime.save_picture(image, side) if include_images else None,
                        "image_tokens": tokens,
                    },
                    order,
                )
                for second, score, order, image in zip(
                    selection.seconds, scores, selection.orders(), selection.frames.images, strict=True
                )
            ],
            "warnings": self.public_texts(selection.warnings),
        }


def _with_order(keyframe: Keyframe, order: str | None) -> Keyframe:
    if order is not None:
        keyframe["order"] = order
    return keyframe


def _file_time(seconds: float) -> str:
    """A time for the name of a file: `1h02m03.5s`."""
    *rest, last = format_time(seconds).split(":")
    return "".join(part + unit for part, unit in zip(rest, "hm"[-len(rest) :], strict=True)) + last + "s"
