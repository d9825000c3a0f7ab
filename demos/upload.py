"""Videos that are brought: with the percentage, a way to cancel, and limits that are told before."""

from __future__ import annotations

import logging
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import gradio as gr
from starlette.requests import Request
from starlette.responses import PlainTextResponse

from keyframe_llm.demos.session import LONGEST_SECONDS
from keyframe_llm.demos.views import sentence
from keyframe_llm.errors import VideoError

__all__ = ["given_up", "largest_upload", "limits", "size_name", "uploaded"]

_LARGEST_BYTES = 2_000_000_000
"""An hour of 720p has 0.5 to 2 GB."""
_PARTS_OF_DISK = 4
"""A file takes at most one part in so many of what is free: several people bring videos."""
_log = logging.getLogger(__name__)
_FOLDER = re.compile(r"[0-9a-f]{64}")
"""What Gradio calls the folder of an upload: the digest of its content."""
_LISTEN = "document.addEventListener('kf-uploaded', (event) => trigger('click', event.detail));"


def largest_upload(folder: Path) -> int:
    """Bytes of the largest file that is taken, by what the disk of a folder has room for now."""
    return min(_LARGEST_BYTES, shutil.disk_usage(folder).free // _PARTS_OF_DISK)


def size_name(count: int) -> str:
    """A number of bytes as people say it."""
    return f"{count / 1e9:.1f} GB" if count >= 1e9 else f"{count / 1e6:.0f} MB"


def given_up(request: Request, error: Exception) -> PlainTextResponse:
    """Remove what came of an upload whose browser left or cancelled it; the log gets one line."""
    trace, received = error.__traceback__, 0
    while trace is not None:  # Gradio closes and removes these files after other errors alone
        for file in getattr(trace.tb_frame.f_locals.get("self"), "_files_to_close_on_error", ()):
            received += Path(file.name).stat().st_size
            file.close()
            Path(file.name).unlink(missing_ok=True)
        trace = trace.tb_next
    _log.warning("an upload was given up by its browser; the %s that came are removed", size_name(received))
    return PlainTextResponse("given up", 499)


def limits(folder: Path) -> str:
    """Tell what is taken; the script `upload.js` reads the largest size here."""
    most = largest_upload(folder)
    return (
        f'<p class="kf-limits" data-most="{most}">Any format, up to {size_name(most)} '
        f"and {LONGEST_SECONDS / 3600:.0f} hours. It is removed from this server after you leave.</p>"
    )


def uploaded(folder: Path, opened: Callable[[str | None, gr.Request], list[Any]], outputs: list[Any]) -> Any:
    """Declare the event of an upload that `upload.js` has finished; return it. Uploads lie in `folder`.

    One is opened at a time: of two that are dropped together, the answer about the first would take the
    second off the page if it came last.
    """

    def handle(event: gr.EventData, request: gr.Request) -> Any:
        try:
            video = _upload(folder, str(event._data["file"]))
        except VideoError as error:
            gr.Warning(sentence(str(error)), title="That did not work")
            return [gr.skip()] * len(outputs)
        return opened(str(video), request)

    told = gr.HTML(js_on_load=_LISTEN, elem_id="kf-uploaded", elem_classes="kf-hidden")
    hidden: dict[str, Any] = {"api_visibility": "private", "show_progress": "hidden"}
    return told.click(handle, None, outputs, trigger_mode="multiple", concurrency_limit=1, **hidden)


def _upload(folder: Path, given: str) -> Path:
    """The upload at a path that a browser gave; raises `VideoError` where it is anything else."""
    path = Path(given)
    if (
        path.parent.parent != folder
        or not _FOLDER.fullmatch(path.parent.name)
        or path.name in ("", ".", "..")
    ):
        raise VideoError("only uploaded files are read")
    if path.is_symlink() or not path.is_file():
        raise VideoError("the upload is not there any more; give the video again")
    return path
