"""What the page does when somebody does something: every handler finds its session by the tab that asks."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import gradio as gr
from keyframe_llm.demos import told, views
from keyframe_llm.demos.session import Session, Settings
from keyframe_llm.demos.videos import EXAMPLES
from keyframe_llm.demos.visitors import Visitors

from keyframe_llm.errors import KeyframeError, OptionsError

__all__ = ["GENERAL_QUESTIONS", "Desk", "plain_error"]

_NO_VIDEO = "First drop a video, or take an example"
GENERAL_QUESTIONS = ("What happens in the video?", "Who is in it?", "Where is this?")


class Desk:
    """The handlers. Those of a video's side return notice, status, moments, caption and question box."""

    def __init__(self, visitors: Visitors, examples: dict[str, Path]) -> None:
        self.visitors, self.examples = visitors, examples

    def _session(self, request: gr.Request) -> Session:
        return self.visitors.session(str(request.session_hash))

    def opened(self, upload: str | None, request: gr.Request) -> list[Any]:
        """Put an uploaded video into the player and start anew."""
        if not upload:
            return [gr.skip()] * 5
        return self._opened(Path(upload), GENERAL_QUESTIONS, request)

    def example(self, name: str, request: gr.Request) -> list[Any]:
        """Put a bundled video into the player and start anew."""
        return self._opened(self.examples[name], EXAMPLES[name].questions, request)

    def _opened(self, path: Path, questions: tuple[str, ...], request: gr.Request) -> list[Any]:
        session = self._session(request)
        session.stop()
        session.open(self.visitors.bring(str(request.session_hash), path))
        assert session.video is not None
        chat = gr.Chatbot(value=[], examples=[{"text": question} for question in questions])
        shown = (gr.Column(visible=False), gr.Column(visible=True))
        return [*shown, told.player(session.video), chat, ""]

    def closed(self, request: gr.Request) -> list[Any]:
        """Put the video away and go back to the beginning."""
        session = self._session(request)
        session.stop()
        with session.working:
            session.forget()
        self.visitors.put_away(str(request.session_hash))
        shown = (gr.Column(visible=True), gr.Column(visible=False))
        chat = gr.Chatbot(value=[], examples=None)
        box = gr.Textbox(interactive=False, placeholder=_NO_VIDEO)
        return [*shown, "", chat, "", None, "", "", "", "", box]

    def watched(self, request: gr.Request, *settings: Any) -> Iterator[list[Any]]:
        """Find what matters in the video; draw the frames as soon as they are there."""
        session, chosen = self._session(request), Settings(*settings)
        for _ in session.work(lambda: session.watch(chosen)):
            yield self._video_side(session, chosen, ready=not session.stage)

    def seen(self, request: gr.Request) -> list[Any]:
        """Go back to the beginning, notice kept, where nothing could be made of the video."""
        session = self._session(request)
        if session.overview is not None or session.video is None:
            return [gr.skip()] * 3
        session.video = None
        self.visitors.put_away(str(request.session_hash))
        return [gr.Column(visible=True), gr.Column(visible=False), None]

    def captioned(self, request: gr.Request, caption: str, *settings: Any) -> Iterator[list[Any]]:
        """Choose the frames by the caption a person wrote."""
        session, chosen = self._session(request), Settings(*settings)
        for _ in _worked(session, lambda: session.guide_by_caption(caption, chosen)):
            yield self._video_side(session, chosen, ready=not session.stage)

    def asked(self, request: gr.Request, question: str, *settings: Any) -> Iterator[list[Any]]:
        """Answer, word by word; the frames come first."""
        session, chosen = self._session(request), Settings(*settings)
        if not question.strip():
            raise gr.Error("Write a question first.", title="Nothing was asked", print_exception=False)
        box = gr.Textbox(value="", submit_btn=False, stop_btn=True)
        for _ in _worked(session, lambda: session.ask(question, chosen)):
            going = bool(session.stage)
            yield [*self._chat_side(session, chosen), box if going else _idle_box()]
            box = gr.Textbox(submit_btn=False, stop_btn=True)

    def again(self, request: gr.Request, *settings: Any) -> Iterator[list[Any]]:
        """Ask the last question once more, with the settings as they are now."""
        session = self._session(request)
        if session.turns and not session.stage:
            yield from self.asked(request, session.turns.pop().question, *settings)

    def undone(self, request: gr.Request, *settings: Any) -> list[Any]:
        """Take the last question back into the box."""
        session = self._session(request)
        if not session.turns or session.stage:
            return [gr.skip()] * 5
        question = session.turns.pop().question
        return [*self._chat_side(session, Settings(*settings)), gr.Textbox(value=question)]

    def cleared(self, request: gr.Request, *settings: Any) -> list[Any]:
        """Forget what was said, keep the video."""
        session = self._session(request)
        session.stop()
        with session.working:
            session.turns.clear()
        return [*self._chat_side(session, Settings(*settings)), _idle_box()]

    def stopped(self, request: gr.Request) -> None:
        """End the answer that is being written."""
        self._session(request).stop()

    def classified(self, request: gr.Request, labels: list[str], *settings: Any) -> Iterator[list[Any]]:
        """Say which label fits the video."""
        session, chosen = self._session(request), Settings(*settings)
        names = [name.strip() for label in labels or [] for name in re.split(r"[,\n]", label)]
        session.classified = None
        for _ in _worked(session, lambda: session.classify(names, chosen)):
            found = session.classified
            if session.stage or found is None:
                drawn = views.stages(session.stage, session.share) if session.stage else ""
            else:
                frames = views.strip(found.selection.frames, views.frame_scores(found.selection))
                drawn = views.bars(found.probabilities) + "<h4>Judged by these frames</h4>" + frames
            yield [drawn, told.notice(session, chosen)]

    def left(self, request: gr.Request) -> None:
        """End the session of a tab that was closed."""
        self.visitors.leave(str(request.session_hash))

    def _video_side(self, session: Session, settings: Settings, *, ready: bool) -> list[Any]:
        caption = gr.Textbox(value=session.caption, interactive=ready)
        there = ready and session.overview is not None
        hint = "Ask about the video" if there else _NO_VIDEO if ready else "One moment, looking …"
        box = gr.Textbox(interactive=there, placeholder=hint)
        notice = told.notice(session, settings)
        return [notice, told.status(session), told.moments(session), caption, box]

    def _chat_side(self, session: Session, settings: Settings) -> list[Any]:
        drawn = [told.messages(session), told.moments(session)]
        return [*drawn, told.status(session), told.notice(session, settings)]


def _idle_box() -> Any:
    return gr.Textbox(submit_btn=True, stop_btn=False)


def _worked(session: Session, job: Callable[[], None]) -> Iterator[None]:
    """Do the job; where something else is being worked on, say so and leave that alone."""
    try:
        yield from session.work(job)
    except OptionsError as error:
        raise plain_error(error, "One thing at a time") from error


def plain_error(error: KeyframeError, title: str = "That did not work") -> gr.Error:
    """Turn an error into the message a page or an API client is shown."""
    return gr.Error(views.sentence(str(error)), title=title, print_exception=False)
