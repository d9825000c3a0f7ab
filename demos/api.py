"""The page's endpoints for programs: a video and a text in, an answer, files and figures out.

They are independent of the conversation on the page: no session, and nothing is kept between calls.
"""

from __future__ import annotations

import re
import secrets
import shutil
import time
from pathlib import Path
from typing import Any

import gradio as gr

from keyframe_llm import KeyframeLLM
from keyframe_llm.demos.downloads import selection_details, selection_text
from keyframe_llm.demos.handlers import plain_error
from keyframe_llm.demos.models import classified
from keyframe_llm.demos.session import check_length
from keyframe_llm.demos.sessions import RESULTS, Sessions
from keyframe_llm.errors import KeyframeError, VideoError
from keyframe_llm.report.files import save_selection
from keyframe_llm.selection import Selection

__all__ = ["Endpoints", "uploads_only"]

_KEPT_SECONDS = 3600.0


class Endpoints:
    """`/select`, `/ask` and `/classify`, with the models the page started with."""

    def __init__(self, sessions: Sessions) -> None:
        self.sessions = sessions

    def add(self) -> None:
        """Declare the endpoints inside a `gr.Blocks`; the page shows nothing of them."""
        with gr.Row(visible=False):
            video = uploads_only(gr.File(label="video"))
            question, caption = gr.Textbox(label="question"), gr.Textbox(label="caption", value="")
            labels = gr.Textbox(label="labels, separated by commas")
            frames = gr.Slider(1, 16, 3, step=1, label="max_frames")
            text, files = gr.Textbox(label="answer"), gr.File(label="files", file_count="multiple")
            details, button = gr.JSON(label="details"), gr.Button()
        button.click(self.select, [video, caption, frames], [files, details], api_name="select")
        button.click(self.ask, [video, question, caption, frames], [text, files, details], api_name="ask")
        button.click(self.classify, [video, labels, frames], [text, files, details], api_name="classify")

    def select(self, video: str, caption: str = "", max_frames: float = 3) -> tuple[list[str], Any]:
        """Choose the key frames of an uploaded video, guided by a caption if one is given.

        Returns the files (key frames in time order, selection.json, contact sheet, score plot) and the
        details as `keyframe-llm select --json` prints them.
        """
        return self._done(
            video, lambda llm, path: (llm.select(path, caption=caption or None), {}), max_frames
        )

    def ask(
        self, video: str, question: str, caption: str = "", max_frames: float = 3
    ) -> tuple[str, list[str], Any]:
        """Answer a question about an uploaded video.

        Returns the answer, the files and the details as `/select` does; the details name model and tokens.
        """

        def work(llm: KeyframeLLM, path: Path) -> tuple[Selection, dict[str, Any]]:
            answer = llm.ask(path, question, caption=caption or None)
            tokens = {"prompt_tokens": answer.prompt_tokens, "visual_tokens": answer.visual_tokens}
            return answer.selection, {"answer": answer.text, "model": self._model, **tokens}

        files, details = self._done(video, work, max_frames)
        return details["answer"], files, details

    def classify(self, video: str, labels: str, max_frames: float = 3) -> tuple[str, list[str], Any]:
        """Find which of the labels, separated by commas, an uploaded video shows.

        Returns the likeliest label, the files and the details, which hold every label's probability
        where the model can tell it.
        """

        def work(llm: KeyframeLLM, path: Path) -> tuple[Selection, dict[str, Any]]:
            found = classified(llm, path, re.split(r"[,\n]", labels))
            more = {"label": found.label, "probabilities": found.probabilities, "model": self._model}
            return found.selection, more

        files, details = self._done(video, work, max_frames)
        return details["label"], files, details

    @property
    def _model(self) -> str:
        return str(self.sessions.models.model_names[0])

    def _done(self, video: str | None, work: Any, max_frames: float) -> tuple[list[str], Any]:
        self._sweep()
        models = self.sessions.models
        try:
            if not video:
                raise VideoError("no video was given; upload one with gradio_client.handle_file(path)")
            check_length(Path(video))
            llm = models.pipeline()
            llm.options = llm.options.replaced(max_frames=int(max_frames))
            selection, more = work(llm, Path(video))
        except KeyframeError as error:
            raise plain_error(type(error)(str(error).replace(str(video), Path(video or "").name))) from error
        finally:
            if video:
                self.sessions.discard(Path(video))
        return self._saved(selection, more)

    def _saved(self, selection: Selection, more: dict[str, Any]) -> tuple[list[str], Any]:
        folder = self.sessions.folder / (RESULTS + secrets.token_urlsafe(16))
        written = save_selection(selection, folder)
        pictures = [path for path in written.values() if path.suffix == ".jpg"]
        details = {**selection_details(selection, [path.name for path in pictures]), **more}
        written["json"].write_text(selection_text(details), encoding="utf-8")
        others = [path for path in written.values() if path not in pictures]
        return [str(path) for path in (*pictures, *others)], details

    def _sweep(self) -> None:
        """Remove the results nobody has fetched for an hour."""
        for folder in self.sessions.folder.glob(RESULTS + "*"):
            if time.time() - folder.stat().st_mtime > _KEPT_SECONDS:
                shutil.rmtree(folder, ignore_errors=True)


def uploads_only(component: Any) -> Any:
    """Have a file component take uploads alone: left to itself, Gradio would fetch an address it is given."""
    inherited = component.async_move_resource_to_block_cache

    async def refuse_addresses(path: str | Path | None) -> str | None:
        if path is not None and "://" in str(path):
            raise gr.Error("Only uploaded files are read, no addresses.", print_exception=False)
        moved: str | None = await inherited(path)
        return moved

    component.async_move_resource_to_block_cache = refuse_addresses
    return component
