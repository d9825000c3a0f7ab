"""The tools for smolagents' agents: `ToolCallingAgent(tools=smolagents_tools(toolbox), model=…)`."""

from __future__ import annotations

from typing import Any

from keyframe_llm.tools.functions import Toolbox
from keyframe_llm.tools.schemas import Schema

__all__ = ["smolagents_tools"]


def smolagents_tools(toolbox: Toolbox) -> list[Any]:
    """One `smolagents.Tool` for each tool; results are objects, and pictures in them are paths."""
    from smolagents import Tool

    class VideoTool(Tool):  # type: ignore[misc]
        output_type = "object"
        skip_forward_signature_validation = True

        def __init__(self, schema: Schema) -> None:
            required = schema.parameters["required"]
            self.name, self.description = schema.name, schema.description
            self.output_schema = schema.returns
            self.inputs = {
                name: {**told, **({} if name in required else {"nullable": True})}
                for name, told in schema.parameters["properties"].items()
            }
            super().__init__()

        def forward(self, *arguments: Any, **named: Any) -> dict[str, Any]:
            given = {**dict(zip(self.inputs, arguments, strict=False)), **named}
            result: dict[str, Any] = toolbox.call_tool(self.name, given)
            return result

    return [VideoTool(schema) for schema in toolbox.schemas.values()]
