"""The tools: plain functions an agent can call, over one Video-LLM and one encoder.

`describe_video`, `select_keyframes`, `ask_video` and `classify_video` are the methods of a `Toolbox`. The
functions of this module under these names, and `openai_tools`, `anthropic_tools` and `call_tool`, are those
of a toolbox with the default models on the folder that is current when one is first used.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future
from functools import cache, cached_property
from typing import Any

from keyframe_llm.tools.calls import Call
from keyframe_llm.tools.results import (
    Classes,
    Description,
    Exclude,
    FrameBudget,
    Keyframes,
    Labels,
    Query,
    Question,
    ShowImages,
    Start,
    Stop,
    Video,
    VideoAnswer,
)
from keyframe_llm.tools.schemas import Schema, schema_of
from keyframe_llm.tools.trust import ToolError
from keyframe_llm.tools.workbench import Seen, Workbench

from keyframe_llm.proposals.sample import Progress

__all__ = ["Toolbox"]

_MOMENTS_TOLD = 50
_OF_DEFAULT = {"describe_video", "select_keyframes", "ask_video", "classify_video"} | {
    "openai_tools",
    "anthropic_tools",
    "call_tool",
}


class Toolbox(Workbench):  # type: ignore[misc] # mypy knows it under another name
    """The tools over one Video-LLM and one encoder. Close it, or use it as a context manager."""

    @cached_property
    def tools(self) -> dict[str, Callable[..., Any]]:
        """The tools by name."""
        tools = (self.describe_video, self.select_keyframes, self.ask_video, self.classify_video)
        return {tool.__name__: tool for tool in tools}

    @cached_property
    def schemas(self) -> dict[str, Schema]:
        """What a model is told of each tool, by name."""
        return {name: schema_of(tool, self.limits) for name, tool in self.tools.items()}

    # The tools ------------------------------------------------------------------------------------------

    def describe_video(
        self,
        video: Video,
        start_seconds: Start = None,
        end_seconds: Stop = None,
        exclude_seconds: Exclude = None,
        include_images: ShowImages = False,
    ) -> Description:
        """Say in one sentence what a video, or a part of it, shows, and when its look changes.

        Use this first, on a video you know nothing about, and again on a part that needs a closer look.
        Returns the description, the video's length and size, the moments its look changes, and the key frames
        the description rests on. Costs one pass over the video and one short answer of a vision model. Sound
        is not used.
        """

        def work(seen: Seen) -> Description:
            said = seen.llm.caption(seen.path, **_window(start_seconds, end_seconds, exclude_seconds))
            result = seen.result(said.selection, include_images=include_images, used=(self.model,))
            moments = said.selection.proposals.seconds[:: -(-len(said.selection.proposals) // _MOMENTS_TOLD)]
            told = [round(float(second), 3) for second in moments]
            return {**result, "description": said.text, "moments": told, "model": self.model}

        return self.run(video, work)

    def select_keyframes(
        self,
        video: Video,
        query: Query = None,
        max_frames: FrameBudget = 3,
        start_seconds: Start = None,
        end_seconds: Stop = None,
        exclude_seconds: Exclude = None,
        include_images: ShowImages = True,
    ) -> Keyframes:
        """Find the few frames of a video that matter to a query, and look at them yourself.

        Use this to find out when something happens, or to see it with your own eyes. Returns the seconds, a
        score and a picture of each key frame, in time order. To look closer, call it again with start_seconds
        and end_seconds around a frame; to see other frames, put those you know into exclude_seconds. Costs
        one pass over the video; a second query about the same video costs next to nothing. It always returns
        the best frames there are, even where nothing fits: look before you trust them.
        """

        def work(seen: Seen) -> Keyframes:
            window = _window(start_seconds, end_seconds, exclude_seconds)
            text = {"question" if query and "?" in query else "caption": query}
            selection = seen.llm.select(seen.path, max_frames=self.budget(max_frames), **text, **window)
            used = (self.encoder,) if query else ()
            return seen.result(selection, include_images=include_images, used=used)

        return self.run(video, work)

    def ask_video(
        self,
        video: Video,
        question: Question,
        max_frames: FrameBudget = 3,
        start_seconds: Start = None,
        end_seconds: Stop = None,
        exclude_seconds: Exclude = None,
        include_images: ShowImages = False,
    ) -> VideoAnswer:
        """Answer one question about a video from the few frames that matter to it.

        Use this for who, what, where and which colour. Do not use it to count repetitions or to judge speed:
        a few frames cannot show them. Returns the answer and the seconds of the frames it rests on; give
        those as evidence. If the frames miss the moment, ask again with start_seconds and end_seconds, or
        with the seconds already seen in exclude_seconds. Costs one pass over the video and one answer of a
        vision model; a second question about the same video costs the answer alone.
        """

        def work(seen: Seen) -> VideoAnswer:
            window = _window(start_seconds, end_seconds, exclude_seconds)
            answer = seen.llm.ask(seen.path, question, max_frames=self.budget(max_frames), **window)
            used = (self.model, self.encoder)
            result = seen.result(answer.selection, include_images=include_images, used=used)
            return {**result, "answer": answer.text, "model": self.model}

        return self.run(video, work)

    def classify_video(
        self,
        video: Video,
        labels: Labels,
        start_seconds: Start = None,
        end_seconds: Stop = None,
        exclude_seconds: Exclude = None,
        include_images: ShowImages = False,
    ) -> Classes:
        """Say which of some classes, such as actions, a video or a part of it shows.

        Use this where the possible answers are known; one of the labels is always chosen, so add one such as
        'something else' where none may fit. Returns the likeliest label, the probability of each, and the
        seconds of the frames that were judged. Costs one pass over the video, one caption, and one reading of
        the labels by a vision model.
        """

        def work(seen: Seen) -> Classes:
            window = _window(start_seconds, end_seconds, exclude_seconds)
            # A server tells no likelihoods of labels it did not write.
            found = seen.llm.classify(seen.path, labels, by="answer" if self.served else "model", **window)
            used = (self.model, self.encoder)
            result = seen.result(found.selection, include_images=include_images, used=used)
            shares = {label: round(share, 4) for label, share in found.probabilities.items()}
            return {**result, "label": found.label, "probabilities": shares, "model": self.model}

        return self.run(video, work)

    # Calling them ----------------------------------------------------------------------------------------

    def openai_tools(self) -> list[dict[str, Any]]:
        """What `tools` takes in chat completions of OpenAI and of servers that speak like it."""
        return [
            {
                "type": "function",
                "function": {"name": s.name, "description": s.description, "parameters": s.parameters},
            }
            for s in self.schemas.values()
        ]

    def anthropic_tools(self) -> list[dict[str, Any]]:
        """What `tools` takes in Anthropic's messages."""
        return [
            {"name": s.name, "description": s.description, "input_schema": s.parameters}
            for s in self.schemas.values()
        ]

    def call_tool(self, name: str, arguments: Mapping[str, Any] | str) -> dict[str, Any]:
        """Call a tool by name with arguments as a model gave them: an object, or JSON of one.

        Raises `ToolError`, whose message is meant for the model.
        """
        result: dict[str, Any] = self.wait(*self.start(name, arguments))
        return result

    def start(
        self, name: str, arguments: Mapping[str, Any] | str, progress: Progress | None = None
    ) -> tuple[Call, Future[dict[str, Any]]]:
        """Start a call that can be stopped; `progress` is told of it from another thread.

        Raises `ToolError` on a name or arguments that do not fit, or where too many calls are waiting.
        """
        schema = self.schemas.get(name)
        if schema is None:
            raise ToolError(f"there is no tool {name!r}; the tools are {', '.join(self.schemas)}")
        checked = schema.check(arguments)
        call = Call(self.limits.timeout_seconds, progress)
        return call, self.submit(call, lambda: self.tools[name](**checked))

    def __enter__(self) -> Toolbox:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def _window(start: float | None, end: float | None, exclude: Sequence[float] | None) -> dict[str, Any]:
    return {"start_seconds": start, "end_seconds": end, "exclude_seconds": tuple(exclude or ())}


@cache
def _default() -> Toolbox:
    return Toolbox()


def __getattr__(name: str) -> Any:
    if name in _OF_DEFAULT:
        return getattr(_default(), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
