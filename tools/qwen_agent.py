"""The tools for Qwen-Agent: `Assistant(llm=…, function_list=qwen_agent_tools(toolbox))`."""

from __future__ import annotations

import base64
import json
from typing import Any

from keyframe_llm.tools.functions import Toolbox
from keyframe_llm.tools.schemas import Schema
from keyframe_llm.tools.trust import ToolError

__all__ = ["qwen_agent_tools"]


def qwen_agent_tools(toolbox: Toolbox) -> list[Any]:
    """One `qwen_agent.tools.base.BaseTool` for each tool; pictures follow the result as images.

    An error is an answer to the model, not the end of the run.
    """
    from qwen_agent.llm.schema import ContentItem
    from qwen_agent.tools.base import BaseTool

    class VideoTool(BaseTool):  # type: ignore[misc]
        def __init__(self, schema: Schema) -> None:
            self.name, self.description = schema.name, schema.description
            # Its check of schemas knows these three words and no other.
            self.parameters = {key: schema.parameters[key] for key in ("type", "properties", "required")}
            super().__init__()

        def call(self, params: str | dict[str, Any], **_: Any) -> str | list[Any]:
            try:
                result = toolbox.call_tool(self.name, params)
            except ToolError as error:
                return str(error)
            text = json.dumps(result, ensure_ascii=False)
            items = [ContentItem(text=text)]
            for frame in result["keyframes"]:
                if frame["image"] is not None:
                    picture = base64.b64encode(toolbox.pictures.read(frame["image"])).decode()
                    items += [
                        ContentItem(text=f"[{frame['seconds']:.1f}s]"),
                        ContentItem(image=f"data:image/jpeg;base64,{picture}"),
                    ]
            return items if len(items) > 1 else text

    return [VideoTool(schema) for schema in toolbox.schemas.values()]
