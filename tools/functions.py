"""The tools: plain functions an agent can call, over one Video-LLM and one encoder.

`describe_video`, `select_keyframes`, `ask_video` and `classify_video` are the methods of a `Toolbox`. The
functions of this module under these names, and `openai_tools`, `anthropic_tools` and `call_tool`, are those
of a toolbox with the default models on the folder that is current when one is first used.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import Future
from functools import cache, cached_property
from typing import Any

from keyframe_llm.classification import By
from keyframe_llm.data import Progress
from keyframe_llm.scoring.queries import query_kind
from keyframe_llm.tools.blocks import TextBlock, result_blocks
from keyframe_llm.tools.jobs import Job
from keyframe_llm.tools.limits import ToolError
from keyframe_llm.tools.messages import Answer, Provider, ToolCall, answer_messages, tool_calls
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
from keyframe_llm.tools.runtime import OpenedVideo, ToolRuntime
from keyframe_llm.tools.schemas import Schema, schema_of
from keyframe_llm.tools.text import printable_lines

__all__ = ["Toolbox"]

_MOST_CHANGES = 50
_OF_DEFAULT = {"describe_video", "select_keyframes", "ask_video", "classify_video"} | {
    "openai_tools",
    "anthropic_tools",
    "call_tool",
}


class Toolbox(ToolRuntime):
    """The tools over one Video-LLM and one encoder. Close it, or use it as a context manager."""

    @cached_property
    def tools(self) -> dict[str, Callable[..., Any]]:
        """The tools by name."""
        tools = (self.describe_video, self.select_keyframes, self.ask_video, self.classify_video)
        return {tool.__name__: tool for tool in tools}

    @cached_property
    def schemas(self) -> dict[str, Schema]:
        """The name, description and JSON schemas of each tool, by name."""
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
        """Describe a video, or a part of it, in one sentence, and find the times at which its look changes.

        Use this first, on a video you know nothing about, and again on a part that needs a closer look.
        Returns the description, the video's length and size, the seconds at which its look changes, and the
        key frames that the description is based on. Costs one pass over the video and one short answer of a
        vision model. Sound is not used.
        """

        def work(opened: OpenedVideo) -> Description:
            caption = opened.llm.caption(opened.path, **_window(start_seconds, end_seconds, exclude_seconds))
            result = opened.result(caption.selection, include_images=include_images)
            proposals = caption.selection.proposals
            step = math.ceil(len(proposals) / _MOST_CHANGES)
            changes = [round(float(second), 3) for second in proposals.seconds[::step]]
            return {
                **result,
                "description": printable_lines(caption.text),
                "change_seconds": changes,
                "model": self.model,
            }

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

        Use this to find out when something happens, or to see it yourself. Returns the time in seconds, a
        score and a picture of each key frame, in time order. To look closer, call it again with start_seconds
        and end_seconds around a frame; to see other frames, put the seconds of those you have seen into
        exclude_seconds. Costs one pass over the video; a second query about the same video costs very little.
        It always returns the best frames there are, even if none of them fits the query: look at the pictures
        before you trust them.
        """

        def work(opened: OpenedVideo) -> Keyframes:
            window = _window(start_seconds, end_seconds, exclude_seconds)
            is_question = query is not None and query_kind(query) == "question"
            selection = opened.llm.select(
                opened.path,
                question=query if is_question else None,
                caption=None if is_question else query,
                max_frames=self.check_budget(max_frames),
                **window,
            )
            return opened.result(selection, include_images=include_images)

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
        a few frames cannot show them. Returns the answer and the seconds of the frames it is based on; give
        those as evidence. If the frames do not show what was asked for, ask again with start_seconds and
        end_seconds, or with the seconds already seen in exclude_seconds. Costs one pass over the video and
        one answer of a vision model; a second question about the same video costs only the answer.
        """

        def work(opened: OpenedVideo) -> VideoAnswer:
            window = _window(start_seconds, end_seconds, exclude_seconds)
            budget = self.check_budget(max_frames)
            answer = opened.llm.ask(opened.path, question, max_frames=budget, **window)
            result = opened.result(answer.selection, include_images=include_images)
            return {**result, "answer": printable_lines(answer.text), "model": self.model}

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
        """Choose which of some labels, such as actions, fits a video or a part of it.

        Use this where the possible answers are known; one of the labels is always chosen, so add one such as
        'something else' where none may fit. Returns the most likely label, the probability of each, and the
        seconds of the frames that were judged. Costs one pass over the video, one caption, and one comparison
        of the labels by a vision model.
        """

        def work(opened: OpenedVideo) -> Classes:
            window = _window(start_seconds, end_seconds, exclude_seconds)
            by: By = "answer" if self.served else "model"  # a server gives no likelihoods of labels
            found = opened.llm.classify(opened.path, labels, by=by, **window)
            result = opened.result(found.selection, include_images=include_images)
            probabilities = {label: round(value, 4) for label, value in found.probabilities.items()}
            return {**result, "label": found.label, "probabilities": probabilities, "model": self.model}

        return self.run(video, work)

    # Calling them ----------------------------------------------------------------------------------------

    def openai_tools(self) -> list[dict[str, Any]]:
        """The tools in the form of OpenAI's chat completions, which many servers share."""
        return [
            {
                "type": "function",
                "function": {"name": s.name, "description": s.description, "parameters": s.parameters},
            }
            for s in self.schemas.values()
        ]

    def anthropic_tools(self) -> list[dict[str, Any]]:
        """The tools in the form of Anthropic's messages."""
        return [
            {"name": s.name, "description": s.description, "input_schema": s.parameters}
            for s in self.schemas.values()
        ]

    def call_tool(self, name: str, arguments: Mapping[str, Any] | str) -> dict[str, Any]:
        """Call a tool by name with the arguments that a model gave: an object, or JSON of one.

        Raises `ToolError`, whose message is meant for the model.
        """
        return self.wait(*self.start(name, arguments))

    def answer_calls(self, calls: Iterable[Any], provider: Provider = "openai") -> list[dict[str, Any]]:
        """Run the tool calls that a model made in one turn; returns the messages that answer them.

        `calls` are as for `tool_calls`: of `openai`, `message.tool_calls`; of `openai-responses`,
        `response.output`; of `anthropic`, `message.content`; of `gemini`, `response.function_calls`. Pictures
        go where the provider takes them. An error is an answer to the model.
        """
        return answer_messages([self._answer(call) for call in tool_calls(calls, provider)], provider)

    def _answer(self, call: ToolCall) -> Answer:
        try:
            result = self.call_tool(call.name, call.arguments)
            return Answer(call, list(result_blocks(result, self.pictures)))
        except ToolError as error:
            return Answer(call, [TextBlock(str(error))], is_error=True)

    def start(
        self, name: str, arguments: Mapping[str, Any] | str, progress: Progress | None = None
    ) -> tuple[Job, Future[dict[str, Any]]]:
        """Start a call that can be stopped; `progress` is called from another thread.

        Raises `ToolError` on a name or arguments that do not fit, or where too many calls are waiting.
        """
        schema = self.schemas.get(name)
        if schema is None:
            raise ToolError(f"there is no tool {name!r}; the tools are {', '.join(self.schemas)}")
        checked = schema.check(arguments)
        job = Job(self.limits.timeout_seconds, progress)
        return job, self.submit(job, lambda: self.tools[name](**checked))

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
