"""The tools for LangChain and LangGraph: `create_agent(model, langchain_tools(toolbox))`."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable
from typing import Any

from keyframe_llm.tools.functions import Toolbox
from keyframe_llm.tools.trust import ToolError

__all__ = ["langchain_tools"]


def langchain_tools(toolbox: Toolbox) -> list[Any]:
    """One `StructuredTool` for each tool.

    Messages hold the result as JSON and its pictures as image blocks; their `artifact` is the result itself.
    An error is an answer to the model, not the end of the run.
    """
    from langchain_core.tools import StructuredTool, ToolException

    def calling(name: str) -> Callable[..., tuple[list[dict[str, Any]], dict[str, Any]]]:
        def run(**arguments: Any) -> tuple[list[dict[str, Any]], dict[str, Any]]:
            try:
                result = toolbox.call_tool(name, arguments)
            except ToolError as error:
                raise ToolException(str(error)) from error
            return _blocks(toolbox, result), result

        return run

    return [
        StructuredTool(
            name=schema.name,
            description=schema.description,
            args_schema=schema.parameters,
            func=calling(schema.name),
            response_format="content_and_artifact",
            handle_tool_error=True,
        )
        for schema in toolbox.schemas.values()
    ]


def _blocks(toolbox: Toolbox, result: dict[str, Any]) -> list[dict[str, Any]]:
    blocks: list[dict[str, Any]] = [{"type": "text", "text": json.dumps(result, ensure_ascii=False)}]
    for frame in result["keyframes"]:
        if frame["image"] is not None:
            picture = base64.b64encode(toolbox.pictures.read(frame["image"])).decode()
            blocks.append({"type": "text", "text": f"[{frame['seconds']:.1f}s]"})
            blocks.append({"type": "image", "base64": picture, "mime_type": "image/jpeg"})
    return blocks
