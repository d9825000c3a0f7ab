"""The tools for smolagents' agents.

video_tools = smolagents_tools(toolbox)
ToolCallingAgent(tools=video_tools, model=…, step_callbacks=[smolagents_pictures(video_tools)])
"""

from __future__ import annotations

import io
from collections import deque
from collections.abc import Callable, Sequence
from typing import Any

from keyframe_llm.tools.blocks import picture_names
from keyframe_llm.tools.functions import Toolbox
from keyframe_llm.tools.limits import ToolError
from keyframe_llm.tools.schemas import Schema

__all__ = ["smolagents_pictures", "smolagents_tools"]

_MOST_PICTURES = 64


def smolagents_tools(toolbox: Toolbox) -> list[Any]:
    """One `smolagents.Tool` for each tool; results are objects, and pictures in them are paths."""
    from smolagents import Tool

    class VideoTool(Tool):  # type: ignore[misc]  # an untyped library
        output_type = "object"
        skip_forward_signature_validation = True

        def __init__(self, schema: Schema) -> None:
            required = schema.parameters.get("required", [])
            self.name, self.description = schema.name, schema.description
            self.output_schema = schema.returns
            self.inputs = {
                name: {**argument, **({} if name in required else {"nullable": True})}
                for name, argument in schema.parameters["properties"].items()
            }
            self.new_pictures: deque[str] = deque(maxlen=_MOST_PICTURES)
            self.pictures = toolbox.pictures
            super().__init__()

        def forward(self, *args: Any, **kwargs: Any) -> dict[str, Any]:
            result = toolbox.call_tool(self.name, {**dict(zip(self.inputs, args, strict=False)), **kwargs})
            self.new_pictures.extend(name for _, name in picture_names(result))
            return result

    return [VideoTool(schema) for schema in toolbox.schemas.values()]


def smolagents_pictures(tools: Sequence[Any]) -> Callable[..., None]:
    """A step callback that shows the model the pictures of the results of a step.

    `tools` are those that `smolagents_tools` made for the agent.
    """

    def show(memory_step: Any, agent: Any = None) -> None:
        images = [image for tool in tools for image in _taken(tool)]
        if images:
            memory_step.observations_images = [*(memory_step.observations_images or []), *images]

    return show


def _taken(tool: Any) -> list[Any]:
    """The pictures of a tool that were not shown yet; those that are not kept any more are left out."""
    from PIL import Image

    images = []
    while tool.new_pictures:
        try:
            images.append(Image.open(io.BytesIO(tool.pictures.read(tool.new_pictures.popleft()))))
        except ToolError:
            continue
    return images
