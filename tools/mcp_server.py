"""The tools over the Model Context Protocol: pictures beside structured results, progress, cancellation."""

from __future__ import annotations

import asyncio
import base64
import json
import logging
from collections.abc import Callable
from contextlib import suppress
from importlib import resources
from typing import Any

import anyio
import mcp_types as types
from keyframe_llm.tools.functions import Toolbox
from keyframe_llm.tools.pictures import SCHEME, MemoryPictures
from keyframe_llm.tools.trust import ToolError
from mcp.server import Server, ServerRequestContext
from mcp.shared.exceptions import MCPError

from keyframe_llm import __version__
from keyframe_llm.errors import OptionsError

__all__ = ["mcp_server", "skill"]

_logger = logging.getLogger(__name__)
_TITLES = {
    "describe_video": "Describe a video",
    "select_keyframes": "Find the frames that matter",
    "ask_video": "Ask about a video",
    "classify_video": "Choose what a video shows",
}
_STAGES = {
    "decode": "reading the video",
    "propose": "proposing frames",
    "caption": "describing the video",
    "embed": "looking at the proposals",
    "answer": "answering",
    "classify": "comparing labels",
}
_JPEG = "image/jpeg"

Context = ServerRequestContext[Any]


def skill() -> str:
    """How an agent works with a video, in steps: the text of the skill file."""
    file = resources.files("keyframe_llm.tools") / "skills" / "watch-video" / "SKILL.md"
    return file.read_text(encoding="utf-8").split("---\n", 2)[2].strip()


def mcp_server(toolbox: Toolbox) -> Server[Any]:
    """An MCP server over a toolbox that keeps its pictures in memory (`pictures=MemoryPictures()`).

    Run it with the SDK's transports, or with `keyframe-llm mcp`. Raises `OptionsError` for other pictures:
    their paths would be told to the client.
    """
    pictures = toolbox.pictures
    if not isinstance(pictures, MemoryPictures):
        raise OptionsError("the toolbox keeps its pictures as files; give it pictures=MemoryPictures()")

    async def list_tools(_: Context, __: types.PaginatedRequestParams | None) -> types.ListToolsResult:
        return types.ListToolsResult(tools=_tools(toolbox))

    async def call_tool(context: Context, params: types.CallToolRequestParams) -> types.CallToolResult:
        return await _call(context, toolbox, params)

    async def list_resources(
        _: Context, __: types.PaginatedRequestParams | None
    ) -> types.ListResourcesResult:
        kept = [types.Resource(uri=uri, name="key frame", mime_type=_JPEG) for uri in pictures.names()]
        return types.ListResourcesResult(resources=kept)

    async def list_templates(
        _: Context, __: types.PaginatedRequestParams | None
    ) -> types.ListResourceTemplatesResult:
        template = types.ResourceTemplate(
            uri_template=SCHEME + "{name}",
            name="key frame",
            description="A key frame of an earlier result, by the `image` it gave.",
            mime_type=_JPEG,
        )
        return types.ListResourceTemplatesResult(resource_templates=[template])

    async def read_resource(_: Context, params: types.ReadResourceRequestParams) -> types.ReadResourceResult:
        try:
            blob = base64.b64encode(pictures.read(str(params.uri))).decode()
        except ToolError as error:
            raise MCPError(code=types.INVALID_PARAMS, message=str(error)) from error
        held = types.BlobResourceContents(uri=params.uri, mime_type=_JPEG, blob=blob)
        return types.ReadResourceResult(contents=[held])

    return Server(
        "keyframe-llm",
        version=__version__,
        title="keyframe-llm: watch videos",
        instructions=skill(),
        on_list_tools=list_tools,
        on_call_tool=call_tool,
        on_list_resources=list_resources,
        on_list_resource_templates=list_templates,
        on_read_resource=read_resource,
    )


def _tools(toolbox: Toolbox) -> list[types.Tool]:
    return [
        types.Tool(
            name=schema.name,
            title=_TITLES[schema.name],
            description=schema.description,
            input_schema=schema.parameters,
            output_schema=schema.returns,
            annotations=types.ToolAnnotations(
                read_only_hint=True,
                destructive_hint=False,
                idempotent_hint=True,
                open_world_hint=bool(toolbox.url_hosts),
            ),
        )
        for schema in toolbox.schemas.values()
    ]


async def _call(
    context: Context, toolbox: Toolbox, params: types.CallToolRequestParams
) -> types.CallToolResult:
    """Run a tool in a worker's thread, passing on its progress; being cancelled stops the work."""
    loop = asyncio.get_running_loop()
    steps: asyncio.Queue[str | None] = asyncio.Queue()

    def tell(text: str | None) -> None:
        with suppress(RuntimeError):  # the loop has ended, and nobody listens
            loop.call_soon_threadsafe(steps.put_nowait, text)

    try:
        call, future = toolbox.start(params.name, params.arguments or {}, _Stages(tell))
        future.add_done_callback(lambda _: tell(None))
        try:
            with anyio.move_on_after(call.seconds_left):
                done = 0
                while (text := await steps.get()) is not None:
                    done += 1
                    await context.session.report_progress(done, None, text)
                return _result(toolbox, future.result())
            raise call.late()
        finally:
            call.stop()
            future.cancel()
    except ToolError as error:
        return types.CallToolResult(content=[types.TextContent(text=str(error))], is_error=True)
    except Exception:
        _logger.exception("%s failed", params.name)
        told = f"{params.name} failed for a reason of its own; tell the user that its log says more"
        return types.CallToolResult(content=[types.TextContent(text=told)], is_error=True)


class _Stages:
    """Turns progress into one line a stage, and one every tenth of the reading."""

    def __init__(self, tell: Callable[[str], None]) -> None:
        self._tell, self._last = tell, ""

    def __call__(self, stage: str, share: float) -> None:
        text = _STAGES.get(stage, "")
        if stage == "decode":
            text += f", {int(share * 10) * 10} %"
        if text and text != self._last:
            self._last = text
            self._tell(text)


def _result(toolbox: Toolbox, data: dict[str, Any]) -> types.CallToolResult:
    """The result as JSON, structured and as text, then `[12.3s]` and picture of each key frame."""
    content: list[Any] = [types.TextContent(text=json.dumps(data, ensure_ascii=False))]
    for frame in data["keyframes"]:
        if frame["image"] is not None:
            picture = base64.b64encode(toolbox.pictures.read(frame["image"])).decode()
            content.append(types.TextContent(text=f"[{frame['seconds']:.1f}s]"))
            content.append(types.ImageContent(data=picture, mime_type=_JPEG))
    return types.CallToolResult(content=content, structured_content=data)
