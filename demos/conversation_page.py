"""A conversation as one HTML file: questions, the frames that answers rest on, answers. It loads nothing."""

from __future__ import annotations

from html import escape
from typing import Any

from keyframe_llm.data import Frames
from keyframe_llm.demos.session import Session
from keyframe_llm.demos.times import clock
from keyframe_llm.demos.turns import Turn
from keyframe_llm.jpeg import encode_jpeg, jpeg_data_url

__all__ = ["conversation_page"]

_PICTURE = (640, 640)
"""Pixels, at most; a conversation of fifty questions is some ten megabytes."""
_HEAD = """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width">
<meta http-equiv="Content-Security-Policy" 
 content="default-src 'none'; img-src data:; style-src 'unsafe-inline'">
<title>{title}</title><style>
:root {{ color-scheme: light dark }}
body {{ font: 1rem/1.5 system-ui, sans-serif; max-width: 52rem; margin: 2rem auto; padding: 0 1rem;
  overflow-wrap: anywhere }}
h2 {{ font-size: 1.1rem; margin: 2.5rem 0 .6rem }}
p {{ white-space: pre-wrap }}
div {{ display: grid; grid-template-columns: repeat(auto-fill, minmax(12rem, 1fr)); gap: .75rem }}
figure {{ margin: 0 }} img {{ width: 100%; height: auto; border-radius: 8px }}
figcaption, small {{ opacity: .8; font-size: .85rem; font-variant-numeric: tabular-nums }}
</style></head><body>
"""


def conversation_page(session: Session) -> str:
    """Write the conversation of a session; every text in it is shown as it is, as no HTML of its own."""
    name = session.video.name if session.video is not None else "a video"
    title = escape(f"Conversation about {name}")
    caption = f"<p><b>Caption:</b> {escape(session.caption)}</p>\n" if session.caption else ""
    turns = "".join(_turn(turn) for turn in session.turns if turn.state != "working")
    return f"{_HEAD.format(title=title)}<h1>{title}</h1>\n{caption}{turns}</body></html>\n"


def _turn(turn: Turn) -> str:
    parts = [f"<h2>{escape(turn.question)}</h2>\n"]
    if turn.selection is not None:
        parts.append(_pictures(turn.selection.frames))
    parts.append(_paragraph(turn.answer, *(["stopped"] if turn.state == "stopped" else [])))
    if turn.uniform is not None and turn.uniform_answer:
        parts += [_pictures(turn.uniform), _paragraph(turn.uniform_answer, "shown uniform frames instead")]
    if turn.trouble:
        parts.append(_paragraph(turn.trouble, "that did not work"))
    return "".join(parts)


def _pictures(frames: Frames) -> str:
    figures = (_figure(image, second) for image, second in zip(frames.images, frames.seconds, strict=True))
    return f"<div>{''.join(figures)}</div>\n"


def _figure(image: Any, second: float) -> str:
    address = jpeg_data_url(encode_jpeg(image, quality=85, max_size=_PICTURE))
    return f'<figure><img alt="" src="{address}"><figcaption>{clock(second)}</figcaption></figure>'


def _paragraph(text: str, note: str = "") -> str:
    return f"<p>{escape(text)}{f' <small>({note})</small>' if note else ''}</p>\n" if text or note else ""
