"""What a person takes away: key frames in full size, contact sheets, selections, the conversation."""

from __future__ import annotations

import json
import secrets
from pathlib import Path
from typing import Any
from urllib.parse import quote

import gradio as gr

from keyframe_llm.demos.conversation_page import conversation_page
from keyframe_llm.demos.session import Session
from keyframe_llm.demos.sessions import RESULTS, Sessions
from keyframe_llm.errors import VideoError
from keyframe_llm.jpeg import encode_jpeg
from keyframe_llm.report.contact_sheet import contact_sheet
from keyframe_llm.report.files import selection_dict
from keyframe_llm.selection import Selection
from keyframe_llm.video import open_video

__all__ = ["Downloads", "selection_details", "selection_text"]

_LISTEN = "window.kfSave = (what) => trigger('click', { what });"
_DOWNLOAD = """(made) => {
  if (!made) return;
  const link = document.createElement('a');
  [link.href, link.download] = JSON.parse(made);
  document.body.append(link);
  link.click();
  link.remove();
}"""
_GONE = "That is not there any more; the page has changed since."


class Downloads:
    """Writes a file when a button of `buttons.py` is clicked, and has the browser save it."""

    def __init__(self, sessions: Sessions) -> None:
        self.sessions = sessions

    def add(self) -> None:
        """Declare the events inside a `gr.Blocks`; the page shows nothing of them."""
        hidden: dict[str, Any] = {"api_visibility": "private", "show_progress": "hidden"}
        asked = gr.HTML(js_on_load=_LISTEN, elem_id="kf-saving", elem_classes="kf-hidden")
        made = gr.Textbox(visible=False)
        asked.click(self.saved, None, made, **hidden).then(None, made, None, js=_DOWNLOAD, **hidden)

    def saved(self, event: gr.EventData, request: gr.Request) -> str:
        """Write what was asked for; returns its address and its name as JSON, empty where it is gone."""
        session = self.sessions.session(str(request.session_hash))
        try:
            path = _written(session, self._folder(session), str(event._data["what"]))
        except (VideoError, FileNotFoundError):  # it was put away meanwhile
            path = None
        if path is None:
            gr.Warning(_GONE, title="Nothing was saved")
            return ""
        return json.dumps([f"gradio_api/file={quote(str(path))}", path.name])

    def _folder(self, session: Session) -> Path:
        """Beside the video, with which it is removed; where there is none, among the results of the API."""
        if session.video is not None:
            folder = session.video.parent / "saved"
        else:
            folder = self.sessions.folder / (RESULTS + secrets.token_urlsafe(16))
        folder.mkdir(exist_ok=True)
        return folder


def _written(session: Session, folder: Path, wanted: str) -> Path | None:
    """Write what a button names, `KIND OWNER INDEX`, into the folder; None where there is no such thing."""
    kind, owner, index = [*wanted.split(" "), "", ""][:3]
    stem = session.video.stem if session.video is not None else "chat"
    if kind == "conversation":
        path = folder / f"{stem}_conversation.html"
        path.write_text(conversation_page(session), encoding="utf-8")
        return path
    found = session.selection_named(owner)
    if found is None:
        return None
    if kind == "sheet":
        path = folder / f"{stem}_{owner}_contact_sheet.png"
        contact_sheet(found).save(path)
    elif kind == "json":
        path = folder / f"{stem}_{owner}_selection.json"
        names = [_frame_name(stem, second) for second in found.seconds]
        path.write_text(selection_text(selection_details(found, names)), encoding="utf-8")
    elif kind == "frame" and index.isdigit() and int(index) < len(found.frames):
        path = folder / _frame_name(stem, found.seconds[int(index)])
        with open_video(found.video.path) as decoder:  # the session keeps small pictures alone
            image = decoder.decode_at([found.seconds[int(index)]]).images[0]
        path.write_bytes(encode_jpeg(image, quality=95, full_colour=True))
    else:
        return None
    return path


def _frame_name(stem: str, second: float) -> str:
    return f"{stem}_{second:.3f}s.jpg"


def selection_details(selection: Selection, images: list[str]) -> dict[str, Any]:
    """A selection as plain values for somebody elsewhere: the video's name, not its place on this server.

    `images` are the names of the key frames' files, in time order.
    """
    details = selection_dict(selection)
    video = Path(selection.video.path)
    details["warnings"] = [text.replace(str(video), video.name) for text in selection.warnings]
    # Clients of the API take whatever has a `path` for a file to fetch.
    details["video"]["name"] = Path(details["video"].pop("path")).name
    for keyframe, image in zip(details["keyframes"], images, strict=True):
        keyframe["image"] = image
    return details


def selection_text(details: dict[str, Any]) -> str:
    """The details as the text of a JSON file."""
    return json.dumps(details, indent=2, ensure_ascii=False, allow_nan=False) + "\n"
