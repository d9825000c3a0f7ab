"""Videos that are brought: with the percentage, a way to cancel, and limits that are told before."""

from __future__ import annotations

import re
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import gradio as gr

from keyframe_llm.demos.session import LONGEST_SECONDS
from keyframe_llm.demos.views import sentence
from keyframe_llm.errors import VideoError

__all__ = ["LARGEST_BYTES", "limits", "uploaded"]

LARGEST_BYTES = 500_000_000
_FOLDER = re.compile(r"[0-9a-f]{64}")
"""What Gradio calls the folder of an upload: the digest of its content."""
_PATIENCE_SECONDS = 10.0
"""Gradio answers an upload before the file is in its place."""
_LISTEN = "document.addEventListener('kf-uploaded', (event) => trigger('click', event.detail));"


def limits() -> str:
    """Tell what is taken; the script `upload.js` reads the largest size here."""
    return (
        f'<p class="kf-limits" data-most="{LARGEST_BYTES}">Any format, up to {LARGEST_BYTES / 1e6:.0f} MB '
        f"and {LONGEST_SECONDS / 3600:.0f} hours. It is removed from this server after you leave.</p>"
    )


def uploaded(folder: Path, opened: Callable[[str | None, gr.Request], list[Any]], outputs: list[Any]) -> Any:
    """Declare the event of an upload that `upload.js` has finished; return it. Uploads lie in `folder`."""

    def handle(event: gr.EventData, request: gr.Request) -> Any:
        try:
            video = _upload(folder, str(event._data["file"]))
        except VideoError as error:
            gr.Warning(sentence(str(error)), title="That did not work")
            return [gr.skip()] * len(outputs)
        return opened(str(video), request)

    told = gr.HTML(js_on_load=_LISTEN, elem_id="kf-uploaded", elem_classes="kf-hidden")
    hidden: dict[str, Any] = {"api_visibility": "private", "show_progress": "hidden"}
    return told.click(handle, None, outputs, trigger_mode="multiple", **hidden)


def _upload(folder: Path, given: str) -> Path:
    """The upload at a path that a browser gave; raises `VideoError` where it is anything else."""
    path = Path(given)
    if (
        path.parent.parent != folder
        or not _FOLDER.fullmatch(path.parent.name)
        or path.name in ("", ".", "..")
    ):
        raise VideoError("only uploaded files are read")
    end = time.monotonic() + _PATIENCE_SECONDS
    while not path.is_file() and time.monotonic() < end:
        time.sleep(0.05)
    if path.is_symlink() or not path.is_file():
        raise VideoError("the upload is not there any more; give the video again")
    return path
