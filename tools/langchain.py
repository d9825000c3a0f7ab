"""The tools for LangChain and LangGraph: `create_agent(model, langchain_tools(toolbox))`."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from keyframe_llm.tools.blocks import JPEG_TYPE, ImageBlock, TextBlock, result_blocks
from keyframe_llm.tools.functions import Toolbox
from keyframe_llm.tools.limits import ToolError

__all__ = ["langchain_tools"]


def langchain_tools(toolbox: Toolbox) -> list[Any]:
    """One `StructuredTool` for each tool.

    Messages hold the result as JSON and its pictures as image blocks; their `artifact` is the result itself.
    An error is an answer to the model, not the end of the run.
    """
    from langchain_core.tools import StructuredTool, ToolException

    def function_of(name: str) -> Callable[..., tuple[list[dict[str, Any]], dict[str, Any]]]:
        def call(**arguments: Any) -> tuple[list[dict[str, Any]], dict[str, Any]]:
            try:
                result = toolbox.call_tool(name, arguments)
            except ToolError as error:
                raise ToolException(str(error)) from error
            return [_content(block) for block in result_blocks(result, toolbox.pictures)], result

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


def _content(block: TextBlock | ImageBlock) -> dict[str, Any]:
    if isinstance(block, TextBlock):
        return {"type": "text", "text": block.text}
    return {"type": "image", "base64": block.base64, "mime_type": JPEG_TYPE}
