"""Agent tools over the key-frame pipeline: functions, an MCP server, adapters for agent frameworks.

>>> from keyframe_llm.tools import Toolbox
>>> tools = Toolbox(roots=["~/Videos"])  # doctest: +SKIP
>>> tools.openai_tools(), tools.call_tool("ask_video", {...})  # doctest: +SKIP
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from keyframe_llm.tools.functions import (
        Toolbox,
        answer_calls,
        anthropic_tools,
        ask_video,
        call_tool,
        classify_video,
        contact_sheet,
        describe_video,
        find_in_videos,
        index_video,
        list_videos,
        openai_tools,
        read_transcript,
        search_videos,
        select_keyframes,
        video_info,
        view_frames,
    )
    from keyframe_llm.tools.limits import Limits, ToolError

__all__ = [
    "Limits",
    "ToolError",
    "Toolbox",
    "answer_calls",
    "anthropic_tools",
    "ask_video",
    "call_tool",
    "classify_video",
    "contact_sheet",
    "describe_video",
    "find_in_videos",
    "index_video",
    "list_videos",
    "openai_tools",
    "read_transcript",
    "search_videos",
    "select_keyframes",
    "video_info",
    "view_frames",
]


def __getattr__(name: str) -> Any:
    """Import on first use, so that the functions work on the folder that is current by then."""
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    try:
        from keyframe_llm.tools import functions, limits
    except ModuleNotFoundError as error:
        if error.name not in ("pydantic", "typing_extensions"):
            raise
        raise ImportError(f"{error.name} is missing; run `pip install 'keyframe-llm[agents]'`") from error
    return getattr(limits if name in limits.__all__ else functions, name)
