"""A session as the page shows it: chat messages, what was saved, notices."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from functools import partial
from html import escape
from pathlib import Path
from textwrap import shorten
from typing import Any
from urllib.parse import quote

import numpy as np
from numpy.typing import NDArray

from keyframe_llm.data import STAGES
from keyframe_llm.demos import transcript, views
from keyframe_llm.demos.buttons import copy_answer, edit_question, save_selection
from keyframe_llm.demos.session import Session
from keyframe_llm.demos.shown_text import as_data
from keyframe_llm.demos.span import control, part_name
from keyframe_llm.demos.times import linked_times
from keyframe_llm.demos.turns import Turn
from keyframe_llm.jpeg import encode_jpeg
from keyframe_llm.selection import Selection

__all__ = [
    "classified",
    "kept",
    "kept_turns",
    "keyframes",
    "messages",
    "notice",
    "plain_trouble",
    "said",
    "session_address",
    "status",
]

_HEADING = 60
"""Characters of the question in the heading of its key frames."""
_THUMBNAIL = (416, 416)
"""Pixels; twice the size on the page, for dense screens."""


def messages(session: Session) -> list[dict[str, Any]]:
    """Return the conversation for `gr.Chatbot`: question, key frames, answer, and its cost."""
    shown, about = list[dict[str, Any]](), ""
    for turn in session.turns:
        if turn.about != about and turn.about:
            shown.append(_html(f'<p class="kf-about">About <bdi>{escape(turn.about)}</bdi>, before:</p>'))
        about = turn.about
        shown += _turn(turn, session)
    return shown


def kept(sessions: Sequence[Session], in_view: Session) -> str:
    """All conversations in words for the browser to keep, and what it is told of the one in view."""
    asked = in_view.turns[-1].question if in_view.turns else ""
    folder = in_view.video.parent.name if in_view.video is not None else ""
    facts = {"kept": kept_turns(sessions), "asked": asked, "folder": folder, "said": said(in_view)}
    named = " ".join(f'data-{name}="{escape(fact)}"' for name, fact in facts.items())
    return f"<span {named}></span>"


def said(session: Session) -> str:
    """The names of a conversation's turns, of which a page tells whether it shows them all."""
    return " ".join(turn.name for turn in session.turns if turn.state != "working")


def kept_turns(sessions: Sequence[Session]) -> str:
    """All conversations in words: JSON of [video, question, answer] lists, in ASCII."""
    turns = [
        [turn.about or (session.video.name if session.video else ""), turn.question, turn.answer]
        for session in sessions
        for turn in session.turns
        if turn.state != "working"
    ]
    return json.dumps(turns)


def _turn(turn: Turn, session: Session) -> list[dict[str, Any]]:
    parts: list[dict[str, Any]] = [{"role": "user", "content": as_data(turn.question)}]
    if turn.selection is not None:
        parts.append(_frames(turn, turn.selection, session))
    parts += [{"role": "assistant", "content": text} for text in _texts(turn, session)]
    if turn.state in ("done", "stopped") and turn.selection is not None:
        warned = [views.sentence(escape(text)) for text in turn.warnings]
        parts += [_html(f'<p class="kf-warning">{text}</p>') for text in warned]
        parts.append(_facts(turn, turn.selection))
    elif turn.state in ("failed", "stopped"):
        parts.append(_html(f'<p class="kf-tools">{edit_question(turn.name, turn.question)}</p>'))
    return parts


def _frames(turn: Turn, selection: Selection, session: Session) -> dict[str, Any]:
    kind = "frames" if turn.uniform is None else "both"
    if kind not in turn.drawn:
        drawn = views.rows(selection, session_address(session), turn.uniform, turn.name)
        turn.drawn[kind] = _html(drawn + transcript.fitting_lines(selection))
    message: dict[str, Any] = turn.drawn[kind]
    return message


def _texts(turn: Turn, session: Session) -> list[str]:
    if turn.state == "failed":
        trouble = f"**That did not work:** {as_data(_without_path(turn.trouble, session.video))}"
        return [as_data(turn.answer), trouble] if turn.answer else [trouble]
    if turn.state == "kept":
        return [as_data(turn.answer)]
    if not turn.answer or turn.selection is None:
        return ["*stopped before the first word*"] if turn.state == "stopped" else [_waiting(session)]
    end = turn.selection.video.duration_seconds
    linked = partial(linked_times, end_seconds=end, question=turn.question)
    texts = [linked(as_data(turn.answer), turn.selection.frames)]
    if turn.state == "stopped":
        texts[0] += " *— stopped*"
    if turn.uniform is not None and turn.state == "done":
        uniform_answer = linked(as_data(turn.uniform_answer), turn.uniform) or "…"
        texts.append(f"*Shown the uniform frames instead, the model says:* {uniform_answer}")
    return texts


def _waiting(session: Session) -> str:
    if session.stopping:
        return "*Stopping …*"
    if session.waiting:
        return "*Waiting for the model, which answers one question at a time …*"
    return f"*{views.sentence(STAGES.get(session.stage, STAGES['score']))} …*"


def _facts(turn: Turn, selection: Selection) -> dict[str, Any]:
    """What the answer cost and saved, in one line under it."""
    if "facts" not in turn.drawn:
        count, visual = len(selection.frames), turn.tokens[1] if turn.tokens else 0
        plural = "frame" if count == 1 else "frames"
        of = f" from {part_name(turn.part)}" if turn.part else ""
        facts = [f"rests on {count} {plural} of {selection.sampled_frames} sampled{of}"]
        if selection.found is not None:
            facts.insert(0, f"in the video: {selection.found}")
        if visual:
            facts.append(f"{visual:,} image tokens, not the {visual * 8 // count:,} of 8 uniform frames")
        chosen = selection.timings["total"] - selection.timings["caption"]
        ended = "stopped" if turn.state == "stopped" else "answered"
        facts.append(f"chosen in {chosen:.1f} s, {ended} in {turn.answer_seconds:.1f} s")
        if turn.saved_seconds >= 0.1:
            facts.append(f"{turn.saved_seconds:.1f} s saved: the video was not read again")
        again = edit_question(turn.name, turn.question)
        tools = f'<p class="kf-tools">{again}{copy_answer(turn.answer)}{save_selection(turn.name)}</p>'
        turn.drawn["facts"] = _html(f'<p class="kf-facts">{escape(" · ".join(facts))}</p>{tools}')
    message: dict[str, Any] = turn.drawn["facts"]
    return message


def status(session: Session) -> str:
    """Show how far the work is, or what it took and saved."""
    if session.stage and not (session.turns and session.turns[-1].state == "working"):
        return str(views.stages(session.stage, session.pace))
    found = session.overview
    if found is None:
        return ""
    total = (found.video.duration_seconds or 0) * (found.video.average_fps or 0)
    facts = [
        f"{len(found.frames)} key frames out of {total:,.0f}" if total else f"{len(found.frames)} frames"
    ]
    facts.append(f"{found.sampled_frames} sampled, {len(found.proposals)} proposed")
    share = found.frame_reduction()["versus_uniform8"]
    if share and share > 0:
        facts.append(f"{share:.0%} fewer than 8 uniform frames")
    if session.indexing_seconds:
        facts.append(f"indexed in {session.indexing_seconds:.1f} s, kept for every question")
    return str(views.spent(session.spent, facts))


def keyframes(session: Session) -> str:
    """Draw the key frames and curves: of the question in view, or of the video as a whole."""
    turn, found = session.in_view, session.overview
    if turn is not None and turn.selection is not None:
        about = f"for “{shorten(turn.question, _HEADING, placeholder=' …')}”"
        found, uniform, drawn, owner = turn.selection, turn.uniform, turn.drawn, turn.name
    elif found is not None:
        about = "by the caption" if found.caption else "without a text"
        uniform, drawn, owner = session.overview_uniform, session.overview_drawn, "video"
    else:
        return ""
    part = turn.part if turn is not None else session.part
    about += f", {part_name(part)}" if part else ""
    if "keyframes" not in drawn:
        drawn["keyframes"] = views.keyframes(found, about, session_address(session), uniform, owner)
    if "words" not in drawn:
        drawn["words"] = transcript.source(session.video, session.words, session.models.words)
        drawn["words"] += transcript.told(found, session.words) if turn is not None else ""
    parts = [str(drawn["keyframes"]), str(drawn["words"])]
    parts.insert(0 if session.part else 1, control(session.part))
    return "".join(parts)


def classified(session: Session) -> str:
    """Draw how likely each label is, and the frames it was judged by."""
    found = session.classified
    if session.stage:
        return str(views.stages(session.stage, session.pace, last="classify"))
    if found is None:
        return ""
    frames = views.rows(found.selection, session_address(session), owner="labels")
    judged = views.bars(found.probabilities)
    if not found.probabilities:
        judged = f'<p class="kf-answer">The model answers: <b>{escape(found.label)}</b></p>'
    return f"{judged}<h4>Judged by these frames</h4>{frames}"


def notice(session: Session) -> str:
    """What went wrong in the last job, and the library's warnings."""
    trouble = [plain_trouble(session)] if session.trouble else []
    rows = [f'<p class="kf-trouble" role="alert">{escape(text)}</p>' for text in trouble]
    rows += [
        f'<p class="kf-warning">{escape(_without_path(text, session.video))}</p>' for text in session.warnings
    ]
    return "".join(rows)


def plain_trouble(session: Session) -> str:
    """What went wrong in the last job, in words for people."""
    return _without_path(session.trouble, session.video)


def session_address(session: Session) -> views.Address:
    """Give pictures of a session's video an address beside the video, where nobody else finds them.

    They are files, not `data:` addresses: a page is slow that gets all its pictures anew at every word.
    """

    def address(image: NDArray[np.uint8]) -> str:
        if session.video is None:
            return ""
        data = encode_jpeg(image, quality=82, max_size=_THUMBNAIL)
        path = session.video.with_name(hashlib.sha256(data).hexdigest()[:20] + ".jpg")
        return f"gradio_api/file={quote(str(path))}" if transcript.write_once(path, data) else ""

    return address


def _without_path(text: str, video: Path | None) -> str:
    """Name the video as the person knows it, not by where the server keeps it."""
    return str(views.sentence(text.replace(str(video), video.name) if video is not None else text))


def _html(value: str) -> dict[str, Any]:
    """A piece of the conversation drawn here, as the page takes a `gr.HTML`, less its many defaults."""
    shown = {"type": "component", "component": "html", "value": f'<div class="kf-in-chat">{value}</div>'}
    return {"role": "assistant", "content": {**shown, "constructor_args": {}, "props": {}}}
