"""The tools for Qwen-Agent: `Assistant(llm=…, function_list=qwen_agent_tools(toolbox))`."""

from __future__ import annotations

from typing import Any

from keyframe_llm.tools.blocks import JPEG_TYPE, ImageBlock, TextBlock, result_blocks
from keyframe_llm.tools.functions import Toolbox
from keyframe_llm.tools.limits import ToolError
from keyframe_llm.tools.schemas import Schema

__all__ = ["qwen_agent_tools"]


def qwen_agent_tools(toolbox: Toolbox) -> list[Any]:
    """One `qwen_agent.tools.base.BaseTool` for each tool; pictures follow the result as images.

    An error is an answer to the model, not the end of the run.
    """
    from qwen_agent.llm.schema import ContentItem
    from qwen_agent.tools.base import BaseTool

    class VideoTool(BaseTool):  # type: ignore[misc]  # an untyped library
        def __init__(self, schema: Schema) -> None:
            self.name, self.description = schema.name, schema.description
            # Its check of schemas wants these three keywords and no other.
            self.parameters = {
                "type": "object",
                "properties": schema.parameters["properties"],
                "required": schema.parameters.get("required", []),
            }
            super().__init__()

        def call(self, params: str | dict[str, Any], **_: Any) -> str | list[Any]:
            try:
                result = toolbox.call_tool(self.name, params)
            except ToolError as error:
                return str(error)
            items = [ContentItem(**_content(block)) for block in result_blocks(result, toolbox.pictures)]
            return items if len(items) > 1 else str(items[0].text)

    return [VideoTool(schema) for schema in toolbox.schemas.values()]


def _content(block: TextBlock | ImageBlock) -> dict[str, str]:
    if isinstance(block, TextBlock):
        return {"text": block.text}
    return {"image": f"data:{JPEG_TYPE};base64,{block.base64}"}
