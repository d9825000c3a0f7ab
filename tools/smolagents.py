"""The tools for smolagents' agents: `ToolCallingAgent(tools=smolagents_tools(toolbox), model=…)`."""

from __future__ import annotations

from typing import Any

from keyframe_llm.tools.functions import Toolbox
from keyframe_llm.tools.schemas import Schema

__all__ = ["smolagents_tools"]


def smolagents_tools(toolbox: Toolbox) -> list[Any]:
    """One `smolagents.Tool` for each tool; results are objects, and pictures in them are paths."""
    from smolagents import Tool

    class VideoTool(Tool):  # type: ignore[misc]  # an untyped library
        output_type = "object"
        skip_forward_signature_validation = True

        def __init__(self, schema: Schema) -> None:
            required = schema.parameters["required"]
            self.name, self.description = schema.name, schema.description
            self.output_schema = schema.returns
            self.inputs = {
                name: {**argument, **({} if name in required else {"nullable": True})}
                for name, argument in schema.parameters["properties"].items()
            }
            super().__init__()

        def forward(self, *args: Any, **kwargs: Any) -> dict[str, Any]:
            return toolbox.call_tool(self.name, {**dict(zip(self.inputs, args, strict=False)), **kwargs})

    return [VideoTool(schema) for schema in toolbox.schemas.values()]
