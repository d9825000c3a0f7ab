"""The player: the video where the browser plays it, else a preview of it, else the frame that was clicked."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import AsyncIterator
from functools import lru_cache, partial
from html import escape
from pathlib import Path
from threading import Thread
from typing import Any
from urllib.parse import quote

import gradio as gr

from keyframe_llm.demos.buttons import LINK_TO_MOMENT
from keyframe_llm.demos.preview import Preview
from keyframe_llm.demos.session import Session
from keyframe_llm.demos.sessions import Sessions
from keyframe_llm.demos.shown_text import shown_name
from keyframe_llm.demos.times import clock
from keyframe_llm.errors import KeyframeError
from keyframe_llm.jpeg import encode_jpeg
from keyframe_llm.video import open_video

__all__ = ["Player", "player"]

_LISTEN = """
document.addEventListener('kf-unplayable', (event) => trigger('click', event.detail));
document.addEventListener('kf-still', (event) => trigger('select', event.detail));
"""
_STILL_SIDE = 720
_REDRAW_SECONDS = 0.4
_PREVIEW = (
    "Your browser cannot play this file, so this is a small preview of it, without sound. "
    "Key frames and answers come from the file itself."
)
_MAKING = (
    "Your browser cannot play this file. A preview that it can play is being made: {share:.0%}. "
    "Until then a click on a frame, on the curves or on a time shows the picture here."
)
_STILL = (
    "Your browser cannot play this file, and there is no preview: {reason}. "
    "A click on a frame, on the curves or on a time shows the picture here."
)


def player(video: Path, preview: Preview | None = None) -> str:
    """Draw the video of a session, or what stands for it; its address cannot be guessed by others."""
    name = f'data-name="{escape(video.name)}" data-folder="{video.parent.name}"'
    about = f"<p><bdi>{escape(shown_name(video.name))}</bdi>{LINK_TO_MOMENT}</p>"
    if preview is None:
        offset = f'data-offset="{first_frame_seconds(video):.6f}"'
        return _video(video, video.name, f'{name} data-video="{video.parent.name}" {offset}') + about
    if preview.path is not None:
        note = f'<p class="kf-preview">{_PREVIEW}</p>'
        return _video(preview.path, f"preview of {video.name}", name) + note + about
    return _still(preview, f'{name} data-video="{video.parent.name}"') + about


def _video(path: Path, label: str, data: str) -> str:
    return (
        f'<video controls playsinline preload="auto" aria-label="Video {escape(label)}" {data} '
        f'src="{_address(path)}"></video>'
    )


def _still(preview: Preview, data: str) -> str:
    """The picture that was asked for last, and why the video does not play."""
    reason = preview.trouble.replace(str(preview.video), preview.video.name).replace("; ", ", ")
    note = _STILL.format(reason=escape(reason)) if preview.trouble else _MAKING.format(share=preview.share)
    bar = f'<div class="kf-bar"><div style="width:{preview.share:.0%}"></div></div>'
    picture = ""
    if preview.picture is not None:
        label = f"Frame at {preview.second:.2f} seconds"
        picture = (
            f'<figure><img alt="{label}" src="{_address(preview.picture)}">'
            f"<figcaption>{clock(preview.second)}</figcaption></figure>"
        )
    state = "kf-still" if preview.trouble else "kf-still kf-preparing"
    return (
        f'<div class="{state}" {data} data-shown="{preview.second:.3f}">{picture}'
        f'<p class="kf-preview" role="status">{note}</p>{"" if preview.trouble else bar}</div>'
    )


@lru_cache(maxsize=256)
def first_frame_seconds(video: Path) -> float:
    """The time of the first frame by the file's own clock, which browsers show; here it counts as 0 s.

    0 where no frame can be read: then no player is shown for long.
    """
    import av

    try:
        with av.open(str(video)) as container:
            return next(container.decode(container.streams.video[0])).time or 0.0
    except (OSError, ValueError, IndexError, StopIteration):  # PyAV's errors are both of the first two
        return 0.0


def _address(path: Path) -> str:
    return f"gradio_api/file={quote(str(path))}"


class Player:
    """Has a preview made when the browser says that it cannot play a video, and shows stills without one."""

    def __init__(self, sessions: Sessions) -> None:
        self.sessions = sessions

    def add(self, shown: gr.HTML) -> None:
        """Declare the events inside a `gr.Blocks`; `shown` is where the player is drawn."""
        hidden: dict[str, Any] = {"api_visibility": "private", "show_progress": "hidden"}
        told = gr.HTML(js_on_load=_LISTEN, elem_id="kf-playing", elem_classes="kf-hidden")
        told.click(self.prepared, None, shown, concurrency_limit=None, **hidden)
        told.select(self.still, None, shown, trigger_mode="always_last", **hidden)

    async def prepared(self, event: gr.EventData, request: gr.Request) -> AsyncIterator[Any]:
        """Make the preview of the video that the browser cannot play, once, and draw how far it is."""
        load = str(request.session_hash)
        session = self.sessions.session(load)
        video = session.video
        if video is None or video.parent.name != event._data["video"]:
            yield gr.skip()
            return
        preview = self.sessions.previews.get(video)
        if preview is None:
            preview = self.sessions.previews[video] = Preview(video)
            await asyncio.to_thread(_show, preview, 0.0)
            reads = partial(_is_read, session, video)
            Thread(
                target=preview.make, args=(video.exists, reads), name="keyframe-llm-preview", daemon=True
            ).start()
        while not preview.done and self.sessions.session(load).video == video:  # another may come into view
            yield player(video, preview)
            await asyncio.sleep(_REDRAW_SECONDS)
        yield player(video, preview) if self.sessions.session(load).video == video else gr.skip()

    def still(self, event: gr.EventData, request: gr.Request) -> Any:
        """Draw the frame at a second of a video that the browser cannot play."""
        video = self.sessions.session(str(request.session_hash)).video
        preview = self.sessions.previews.get(video) if video is not None else None
        if video is None or preview is None:
            return gr.skip()
        _show(preview, max(0.0, float(event._data["second"])))
        return player(video, preview)


def _is_read(session: Session, video: Path) -> bool:
    """Whether a session's video is being read, and has no key frames yet."""
    return session.video == video and session.overview is None and bool(session.stage)


def _show(preview: Preview, second: float) -> None:
    """Have the frame at a second be the picture that stands for the video; a damaged one leaves it."""
    try:
        with open_video(preview.video) as decoder:
            frames = decoder.decode_at([second], short_side=_STILL_SIDE)
    except KeyframeError:
        return
    data = encode_jpeg(frames.images[0], quality=88)
    path = preview.video.with_name(hashlib.sha256(data).hexdigest()[:20] + ".jpg")
    try:
        path.write_bytes(data)
    except FileNotFoundError:  # the video was put away meanwhile
        return
    preview.picture, preview.second = path, float(frames.seconds[0])
