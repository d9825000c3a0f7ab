"""A session as the page shows it: chat messages, what was saved, notices."""

from __future__ import annotations

from html import escape
from pathlib import Path
from typing import Any
from urllib.parse import quote

import gradio as gr
from keyframe_llm.demos import views
from keyframe_llm.demos.session import Session, Settings, Turn

__all__ = ["messages", "moments", "notice", "player", "status"]

_WAITING = {
    "start": "Starting …",
    "decode": "Looking through the video …",
    "propose": "Proposing frames …",
    "embed": "Looking for the moments …",
    "caption": "Writing the caption …",
    "answer": "Thinking …",
}


def messages(session: Session) -> list[dict[str, Any]]:
    """Return the conversation for `gr.Chatbot`: question, key frames, answer, and what was saved."""
    return [message for turn in session.turns for message in _turn(turn, session)]


def _turn(turn: Turn, session: Session) -> list[dict[str, Any]]:
    said: list[dict[str, Any]] = [{"role": "user", "content": turn.question}]
    if turn.selection is not None:
        said.append(_html(_drawn(turn)))
    said += [{"role": "assistant", "content": text} for text in _texts(turn, session)]
    if turn.state in ("done", "stopped") and turn.selection is not None:
        said.append(_html(f'<p class="kf-facts">{escape(" · ".join(_facts(turn)))}</p>'))
    return said


def _drawn(turn: Turn) -> str:
    assert turn.selection is not None
    kind = "both" if turn.uniform is not None else "frames"
    if kind not in turn.drawn:
        frames = views.strip(turn.selection.frames, views.frame_scores(turn.selection))
        if turn.uniform is not None:
            frames = f"<div><h4>KeyScore</h4>{frames}</div>"
            frames += f"<div><h4>Uniform sampling</h4>{views.strip(turn.uniform, kind='uniform')}</div>"
            frames = f'<div class="kf-versus">{frames}</div>'
        turn.drawn[kind] = frames
    return str(turn.drawn[kind])


def _texts(turn: Turn, session: Session) -> list[str]:
    if turn.state == "failed":
        return [f"**That did not work:** {turn.trouble}"]
    if not turn.answer:
        return ["*stopped before a word was said*"] if turn.state == "stopped" else [_waiting(session)]
    assert turn.selection is not None
    answer = views.linked_times(turn.answer, turn.selection.frames)
    texts = [answer + (" *— stopped*" if turn.state == "stopped" else "")]
    if turn.uniform is not None and turn.state == "done":
        said = views.linked_times(turn.uniform_answer, turn.uniform) or "…"
        texts.append(f"*Shown the uniform frames instead, the model says:* {said}")
    return texts


def _waiting(session: Session) -> str:
    return f"*{_WAITING.get(session.stage, 'Choosing the frames …')}*"


def _facts(turn: Turn) -> list[str]:
    assert turn.selection is not None
    count, (_, visual) = len(turn.selection.frames), turn.tokens
    plural = "frame" if count == 1 else "frames"
    facts = [f"rests on {count} {plural} of {turn.selection.sampled_frames} looked at"]
    if visual:
        facts.append(f"{visual:,} image tokens, not the {visual * 8 // count:,} of 8 uniform frames")
    chosen = turn.selection.timings["total"] - turn.selection.timings["caption"]
    facts.append(f"chosen in {chosen:.1f} s, answered in {turn.answer_seconds:.1f} s")
    if turn.saved_seconds >= 0.1:
        facts.append(f"{turn.saved_seconds:.1f} s saved: nothing was looked at twice")
    return facts


def status(session: Session) -> str:
    """Show how far the work is, or what it took and saved."""
    if session.stage and not (session.turns and session.turns[-1].state == "working"):
        return str(views.stages(session.stage, session.share))
    found = session.overview
    if found is None:
        return ""
    total = (found.video.duration_seconds or 0) * (found.video.average_fps or 0)
    told = [f"{len(found.frames)} key frames out of {total:,.0f}" if total else f"{len(found.frames)} frames"]
    told.append(f"{found.sampled_frames} looked at, {len(found.proposals)} proposed")
    share = found.frame_reduction()["versus_uniform8"]
    if share and share > 0:
        told.append(f"{share:.0%} fewer than 8 uniform frames")
    if session.first_look:
        told.append(f"first look {session.first_look:.1f} s, kept for every question")
    return str(views.stages("", 1.0, None, told))


def moments(session: Session) -> str:
    """Draw what matters: for the last question, or for the video as a whole."""
    last = next((turn for turn in reversed(session.turns) if turn.selection is not None), None)
    if last is not None and last.selection is not None:
        if "moments" not in last.drawn or (last.uniform is None) == ("versus" in last.drawn["moments"]):
            about = f"for “{last.question}”"
            last.drawn["moments"] = views.moments(last.selection, about, last.uniform)
        return str(last.drawn["moments"])
    if session.overview is None:
        return ""
    about = "by the caption" if session.overview.caption else "by their looks"
    return str(views.moments(session.overview, about, session.overview_uniform))


def notice(session: Session, settings: Settings) -> str:
    """Say in plain words what went wrong and what a person should know."""
    trouble = [_without_path(session.trouble, session.video)] if session.trouble else []
    rows = [f'<p class="kf-trouble" role="alert">{escape(text)}</p>' for text in trouble]
    rows += [
        f'<p class="kf-warning">{escape(_without_path(text, session.video))}</p>'
        for text in session.warnings(settings)
    ]
    return "".join(rows)


def player(video: Path) -> str:
    """Play the video of this session; its address cannot be guessed by others."""
    return (
        f'<video controls playsinline preload="auto" src="gradio_api/file={quote(str(video))}"></video>'
        f"<p>{escape(video.name)}</p>"
    )


def _without_path(text: str, video: Path | None) -> str:
    """Name the video as the person knows it, not by where the server keeps it."""
    return str(views.sentence(text.replace(str(video), video.name) if video is not None else text))


def _html(value: str) -> dict[str, Any]:
    return {"role": "assistant", "content": gr.HTML(value, elem_classes="kf-in-chat")}
