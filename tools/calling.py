"""Calling tools by name, with arguments that a model wrote; their schemas in the forms of the providers."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Hashable, Iterable, Mapping
from concurrent.futures import Future
from functools import cached_property
from typing import Any

from typing_extensions import Self

from keyframe_llm.data import Progress
from keyframe_llm.tools.blocks import TextBlock, result_blocks
from keyframe_llm.tools.jobs import Job
from keyframe_llm.tools.late_calls import LateCalls
from keyframe_llm.tools.limits import StillWorking, ToolError
from keyframe_llm.tools.messages import Answer, Provider, ToolCall, answer_messages, tool_calls
from keyframe_llm.tools.runtime import ToolRuntime
from keyframe_llm.tools.schemas import Schema, schema_of

__all__ = ["ToolCaller"]


class ToolCaller(ToolRuntime):
    """Calls the tools of a subclass. Close it, or use it as a context manager."""

    @property
    @abstractmethod
    def tools(self) -> dict[str, Callable[..., Any]]:
        """The tools by name."""

    @cached_property
    def schemas(self) -> dict[str, Schema]:
        """The name, description and JSON schemas of each tool, by name."""
        return {name: schema_of(tool, self.limits, self.note(name)) for name, tool in self.tools.items()}

    def note(self, name: str) -> str:
        """The last paragraph of a tool's description, about the state of this machine; empty for none."""
        return ""

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

    def start(
        self,
        name: str,
        arguments: Mapping[str, Any] | str,
        progress: Progress | None = None,
        *,
        client: str = "",
        answer_seconds: float | None = None,
    ) -> tuple[Job, Future[dict[str, Any]]]:
        """Start a call that can be stopped, or go on with the same call if it was left; see `leave`.

        `progress` is called from another thread. `client` is whose call it is: clients take turns. After
        `answer_seconds` it is answered how far the call is; without them, when it is done.
        Raises `ToolError` on a name or arguments that do not fit, or where too many calls are waiting.
        """
        schema = self.schemas.get(name)
        if schema is None:
            raise ToolError(f"there is no tool {name!r}; the tools are {', '.join(self.schemas)}")
        checked = schema.check(arguments)
        key = None if answer_seconds is None else self._key(name, checked)
        answer_seconds = None if key is None else answer_seconds
        if (left := self._left.take(key)) is not None:
            left[0].listen(progress, answer_seconds)
            return left
        job = Job(
            self.limits.timeout_seconds, progress, answer_seconds=answer_seconds, client=client, key=key
        )
        return job, self.submit(job, lambda: self.tools[name](**checked))

    def leave(self, job: Job, future: Future[dict[str, Any]]) -> ToolError:
        """The answer to a client that waits no longer. The call goes on, and the next one like it gets it.

        It ends at its time limit or with the server.
        """
        error = job.still_working()
        job.listen(None, None)
        if isinstance(error, StillWorking):
            self._left.keep(job, future)
        else:
            job.stop()
            future.cancel()
        return error

    @cached_property
    def _left(self) -> LateCalls:
        return LateCalls()

    def _key(self, name: str, arguments: Mapping[str, Any]) -> Hashable | None:
        """What a call and the next one like it have in common: its arguments, and its videos as they are."""
        named = [arguments.get("video"), *(arguments.get("videos") or ())]
        try:
            files = [self.roots.find(video).path.stat() for video in named if video is not None]
        except (ToolError, OSError):  # of a URL, for one
            return None
        states = tuple((file.st_dev, file.st_ino, file.st_mtime_ns, file.st_size) for file in files)
        return name, repr(sorted(arguments.items())), states

    def _answer(self, call: ToolCall) -> Answer:
        try:
            result = self.call_tool(call.name, call.arguments)
            return Answer(call, list(result_blocks(result, self.pictures)))
        except ToolError as error:
            return Answer(call, [TextBlock(str(error))], is_error=True)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
