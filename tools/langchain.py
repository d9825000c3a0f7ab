"""The tools for LangChain and LangGraph.

    create_agent(model, langchain_tools(toolbox), middleware=[langchain_pictures(toolbox)])

Not every provider takes pictures in the message of a tool. So that message holds only text, and the
middleware shows the model the pictures in a message of the user that follows.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterator, Sequence
from typing import Any

from keyframe_llm.tools.blocks import (
    JPEG_TYPE,
    ImageBlock,
    TextBlock,
    picture_names,
    result_blocks,
    result_text,
)
from keyframe_llm.tools.functions import Toolbox
from keyframe_llm.tools.limits import ToolError
from keyframe_llm.tools.pictures import Pictures

__all__ = ["langchain_pictures", "langchain_tools", "with_pictures"]


def langchain_tools(toolbox: Toolbox) -> list[Any]:
    """One `StructuredTool` for each tool.

    Messages hold the result as JSON; their `artifact` is the result itself. An error is an answer to the
    model, not the end of the run.
    """
    from langchain_core.tools import StructuredTool, ToolException

    def function_of(name: str) -> Callable[..., tuple[str, dict[str, Any]]]:
        def call(**arguments: Any) -> tuple[str, dict[str, Any]]:
            try:
                result = toolbox.call_tool(name, arguments)
            except ToolError as error:
                raise ToolException(str(error)) from error
            return result_text(result), result

        return call

    return [
        StructuredTool(
            name=schema.name,
            description=schema.description,
            args_schema=schema.parameters,
            func=function_of(schema.name),
            response_format="content_and_artifact",
            handle_tool_error=True,
        )
        for schema in toolbox.schemas.values()
    ]


def langchain_pictures(toolbox: Toolbox) -> Any:
    """The middleware of `create_agent` that shows the model the pictures of results."""
    from langchain.agents.middleware import AgentMiddleware

    class Pictures(AgentMiddleware):
        def wrap_model_call(self, request: Any, handler: Callable[[Any], Any]) -> Any:
            return handler(request.override(messages=with_pictures(request.messages, toolbox)))

        async def awrap_model_call(self, request: Any, handler: Callable[[Any], Awaitable[Any]]) -> Any:
            return await handler(request.override(messages=with_pictures(request.messages, toolbox)))

    return Pictures()


def with_pictures(messages: Sequence[Any], toolbox: Toolbox) -> list[Any]:
    """The messages of a conversation, and after each group of tool messages one with their pictures."""
    from langchain_core.messages import HumanMessage

    shown: list[Any] = []
    blocks: list[dict[str, Any]] = []
    for message in [*messages, None]:
        if blocks and getattr(message, "type", None) != "tool":
            shown.append(HumanMessage(content=blocks))
            blocks = []
        if message is not None:
            shown.append(message)
            blocks += _pictures_of(message, toolbox.pictures)
    return shown


def _pictures_of(message: Any, pictures: Pictures) -> Iterator[dict[str, Any]]:
    result = getattr(message, "artifact", None)
    if not isinstance(result, dict) or not any(picture_names(result)):
        return
    yield {"type": "text", "text": f"Pictures of the result of {message.name} (call {message.tool_call_id}):"}
    try:
        _, *blocks = result_blocks(result, pictures)
    except ToolError as error:
        blocks = [TextBlock(str(error))]
    yield from map(_content, blocks)


def _content(block: TextBlock | ImageBlock) -> dict[str, Any]:
    if isinstance(block, TextBlock):
        return {"type": "text", "text": block.text}
    return {"type": "image", "base64": block.base64, "mime_type": JPEG_TYPE}
