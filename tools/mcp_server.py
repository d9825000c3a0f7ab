"""The tools over the Model Context Protocol: pictures beside structured results, progress, cancellation."""

from __future__ import annotations

import asyncio
import base64
import logging
from collections.abc import Callable
from contextlib import suppress
from importlib import resources
from typing import Any

import anyio
import mcp_types as types
from mcp.server import Server, ServerRequestContext
from mcp.shared.exceptions import MCPError

from keyframe_llm import __version__
from keyframe_llm.data import STAGES
from keyframe_llm.errors import OptionsError
from keyframe_llm.tools.blocks import JPEG_TYPE, ImageBlock, TextBlock, result_blocks
from keyframe_llm.tools.functions import Toolbox
from keyframe_llm.tools.limits import ToolError
from keyframe_llm.tools.pictures import SCHEME, MemoryPictures
from keyframe_llm.tools.progress import stage_percent, stage_words
from keyframe_llm.tools.text import printable

__all__ = ["mcp_server", "skill"]

_logger = logging.getLogger(__name__)
_TITLES = {
    "list_videos": "List videos",
    "search_videos": "Find videos and moments",
    "video_info": "Facts about a video",
    "read_transcript": "Read what is said",
    "contact_sheet": "Frames of a video in one picture",
    "view_frames": "Look at frames",
    "index_video": "Read a video ahead",
    "describe_video": "Describe a video",
    "select_keyframes": "Find the frames that matter",
    "find_in_videos": "Find which video shows something",
    "ask_video": "Ask about a video",
    "classify_video": "Choose what a video shows",
    "save_frames": "Save frames as files",
    "save_clip": "Save a part of a video as a file",
}

_WHOLE, _LEAST_STEP = 100.0, 0.01
_Step = tuple[float, str]
"""How far a call is, in percent, and what is done next."""

Context = ServerRequestContext[Any]


def skill() -> str:
    """How an agent works with a video, in steps: the text of the skill file."""
    file = resources.files("keyframe_llm.tools") / "skills" / "watch-video" / "SKILL.md"
    return file.read_text(encoding="utf-8").split("---\n", 2)[2].strip()


def mcp_server(toolbox: Toolbox) -> Server[Any]:
    """An MCP server over a toolbox that keeps its pictures in memory (`pictures=MemoryPictures()`).

    Run it with the SDK's transports, or with `keyframe-llm mcp`. Raises `OptionsError` for other pictures:
    the client would learn their paths.
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
        kept = [types.Resource(uri=uri, name="key frame", mime_type=JPEG_TYPE) for uri in pictures.names()]
        return types.ListResourcesResult(resources=kept)

    async def list_templates(
        _: Context, __: types.PaginatedRequestParams | None
    ) -> types.ListResourceTemplatesResult:
        template = types.ResourceTemplate(
            uri_template=SCHEME + "{name}",
            name="key frame",
            description="A key frame of an earlier result, by the `image` it gave.",
            mime_type=JPEG_TYPE,
        )
        return types.ListResourceTemplatesResult(resource_templates=[template])

    async def read_resource(_: Context, params: types.ReadResourceRequestParams) -> types.ReadResourceResult:
        try:
            blob = base64.b64encode(pictures.read(str(params.uri))).decode()
        except ToolError as error:
            raise MCPError(code=types.INVALID_PARAMS, message=str(error)) from error
        contents = types.BlobResourceContents(uri=params.uri, mime_type=JPEG_TYPE, blob=blob)
        return types.ReadResourceResult(contents=[contents])

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
                read_only_hint=not schema.name.startswith("save_"),
                destructive_hint=False,
                idempotent_hint=not schema.name.startswith("save_"),
                open_world_hint=bool(toolbox.url_hosts),
            ),
        )
        for schema in toolbox.schemas.values()
    ]


async def _call(
    context: Context, toolbox: Toolbox, params: types.CallToolRequestParams
) -> types.CallToolResult:
    """Run a tool in a thread of the pool and pass on its progress; a cancelled request stops the job."""
    if params.name not in toolbox.schemas:
        names = ", ".join(toolbox.schemas)
        message = f"there is no tool {params.name!r}; the tools are {names}"
        raise MCPError(code=types.INVALID_PARAMS, message=printable(message, None))
    try:
        return await _run(context, toolbox, params)
    except ToolError as error:
        return _error(str(error))
    except Exception:
        _logger.exception("%s failed", params.name)
        return _error(f"{params.name} failed for an internal reason; tell the user that its log says more")


async def _run(
    context: Context, toolbox: Toolbox, params: types.CallToolRequestParams
) -> types.CallToolResult:
    loop = asyncio.get_running_loop()
    steps: asyncio.Queue[_Step | None] = asyncio.Queue()

    def put(step: _Step | None) -> None:
        with suppress(RuntimeError):  # the loop has ended, and nobody listens
            loop.call_soon_threadsafe(steps.put_nowait, step)

    job, future = toolbox.start(
        params.name,
        params.arguments or {},
        _Steps(put),
        client=_client(context),
        answer_seconds=toolbox.limits.answer_seconds,
    )
    future.add_done_callback(lambda _: put(None))
    try:
        with anyio.move_on_after(job.answer_seconds_left):
            while (step := await steps.get()) is not None:
                await context.session.report_progress(step[0], _WHOLE, step[1])
            result = _result(toolbox, future.result())
            await context.session.report_progress(_WHOLE, _WHOLE, "done")
            return result
    except BaseException:
        job.stop()  # a request that is cancelled, too: what was read for it is kept, and no answer is wanted
        future.cancel()
        raise
    raise toolbox.leave(job, future)


def _client(context: Context) -> str:
    """Whose request it is: a session's; without one, that of a program of this name on that machine."""
    request = context.request
    if request is None:
        return ""
    params = context.session.client_params
    name = params.client_info.name if params is not None else ""
    host = request.client.host if request.client is not None else ""
    session: str | None = request.headers.get("mcp-session-id")
    return session or f"{host} {name}"


class _Steps:
    """Turns progress into one step for each stage, and one for each tenth of the reading."""

    def __init__(self, put: Callable[[_Step], None]) -> None:
        self._put, self._last = put, (0.0, "")

    def __call__(self, stage: str, share: float) -> None:
        if stage not in STAGES:
            return
        message = stage_words(stage, share)
        if message != self._last[1]:
            # It may only grow, also when a stage comes twice.
            percent = max(stage_percent(stage, share), self._last[0] + _LEAST_STEP)
            self._last = (min(percent, _WHOLE - _LEAST_STEP), message)
            self._put(self._last)


def _error(message: str) -> types.CallToolResult:
    return types.CallToolResult(content=[types.TextContent(text=message)], is_error=True)


def _result(toolbox: Toolbox, result: dict[str, Any]) -> types.CallToolResult:
    """The result as structured content, and as blocks of text and pictures."""
    content: list[Any] = [_content(block) for block in result_blocks(result, toolbox.pictures)]
    return types.CallToolResult(content=content, structured_content=result)


def _content(block: TextBlock | ImageBlock) -> types.TextContent | types.ImageContent:
    if isinstance(block, TextBlock):
        return types.TextContent(text=block.text)
    return types.ImageContent(data=block.base64, mime_type=JPEG_TYPE)
