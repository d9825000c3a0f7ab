"""What the page does on every event: each handler finds its session by the browser tab."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import astuple
from functools import partial
from pathlib import Path
from typing import Any

import gradio as gr

from keyframe_llm.cartoon import is_embedded
from keyframe_llm.demos import render, views
from keyframe_llm.demos.fetched import Fetch
from keyframe_llm.demos.player import player
from keyframe_llm.demos.session import Session
from keyframe_llm.demos.sessions import Sessions
from keyframe_llm.demos.settings import Settings
from keyframe_llm.demos.shelf import Shelf
from keyframe_llm.demos.span import checked_part, part_name
from keyframe_llm.demos.videos import DRAWN_QUESTIONS, EXAMPLES
from keyframe_llm.errors import KeyframeError, OptionsError, VideoError

__all__ = ["GENERAL_QUESTIONS", "NO_CONVERSATION", "Handlers", "plain_error"]

_HAS_ENDED = "this session has ended: the server was started again, or the page was away for too long. "
_ENDED = _HAS_ENDED + "The conversation is still here; give the video again to go on"
_RELOAD = _HAS_ENDED + "Reload the page: the conversation is kept"
_NO_SESSION = "<span data-ended></span>"
"""Has `draft.js` load the page again."""
_MOST_KEPT = 200
"""Turns of a conversation that a browser kept."""
_NO_VIDEO = "First drop a video, or take an example"
NO_CONVERSATION = "First a video, then your questions about it"
GENERAL_QUESTIONS = ("What happens in the video?", "Who is in it?", "Where is this?")


class Handlers:
    """The handlers. Those of the video's side return notice, status, keyframes, caption and question box."""

    def __init__(self, sessions: Sessions, examples: dict[str, Path]) -> None:
        self.sessions, self.examples = sessions, examples

    def _session(self, request: gr.Request, settings: Sequence[Any] = ()) -> Session:
        session = self.sessions.session(str(request.session_hash))
        if settings:
            session.settings = Settings(*settings)
        return session

    def _with_video(self, request: gr.Request, settings: Sequence[Any] = ()) -> Session:
        """The session of a page that shows a video; raises `gr.Error` where it has ended."""
        session = self._session(request, settings)
        if session.video is None:
            raise plain_error(OptionsError(_RELOAD), "The session is gone")
        return session

    def _kept(self, request: gr.Request) -> str:
        shelf = self._shelf(request)
        return str(render.kept(shelf.sessions, shelf.current))

    def _shelf(self, request: gr.Request) -> Shelf:
        return self.sessions.shelf(str(request.session_hash))

    def restored(self, name: str, kept: str, folder: str, request: gr.Request) -> Iterator[Any]:
        """Draw the session that a browser tab had; where it is gone, the conversation that the tab kept.

        `folder` names the video that the tab had in view. Returns start, the video's side, player,
        conversation, classification, the open videos, then as `_video_side`, then what the browser keeps, and
        the settings.
        """
        account = request.username or ""
        known = bool(name) and self.sessions.join(
            str(request.session_hash), f"{account}:{name[:64]}", folder[:64]
        )
        session = self._session(request)
        turns = _kept_turns(kept)
        if not known and turns:
            session.recall(turns)
            session.trouble = _ENDED
        if session.video is None and not session.turns and not self._shelf(request).files:
            # There is nothing to draw, and the first click may be on its way.
            yield [*[gr.skip()] * 12, *_shown(session.settings)]
            return
        yield from self._followed(session, request)

    def _followed(self, session: Session, request: gr.Request) -> Iterator[Any]:
        """Draw everything as long as the session is at work and in view, at the end what is in view."""
        draw = partial(self._whole_page, request=request)
        for _ in session.follow():
            if not self._in_view(session, request):
                yield from self._as_in_view(draw, request)
                return
            yield draw(session)
        yield gr.skip()  # Gradio sends the last yielded once more, and another video may be in view by then

    def _as_in_view(self, draw: Callable[[Session], list[Any]], request: gr.Request) -> Iterator[Any]:
        """Draw the video in view: what was drawn of an older one may reach the page after its first drawing.

        It is drawn again where another one came into view while it was sent.
        """
        while True:
            session = self._session(request)
            yield draw(session)
            if self._in_view(session, request):
                yield gr.skip()  # Gradio sends the last yielded once more
                return

    def _in_view(self, session: Session, request: gr.Request) -> bool:
        return self._session(request) is session

    def _videos(self, request: gr.Request) -> Any:
        """The open videos to choose from; shown where there is another one than that in view."""
        shelf = self._shelf(request)
        names, current = shelf.names(), shelf.current.name
        shelf.shown = names
        others = [name for _, name in names if name != current]
        known = current if len(others) < len(names) else None
        return gr.update(choices=names, value=known, visible=bool(others))

    def chosen(self, name: str, request: gr.Request) -> Iterator[Any]:
        """Bring another open video into view, with its conversation as it is by now."""
        if str(name) not in [known for _, known in self._shelf(request).names()]:
            raise plain_error(OptionsError(_RELOAD), "The session is gone")
        session = self._shelf(request).choose(str(name))
        yield from self._followed(session, request)

    def begun(self, request: gr.Request) -> list[Any]:
        """Go to the beginning of the page, where another video is given; the open ones stay open."""
        self._with_video(request)
        self._shelf(request).begin()
        return self._beginning(request)

    def _whole_page(self, session: Session, request: gr.Request) -> list[Any]:
        video, busy = session.video, bool(session.stage)
        shown = [gr.update(visible=video is None), gr.update(visible=video is not None)]
        shown_video = player(video, self.sessions.previews.get(video)) if video else ""
        notice, status, keyframes, caption, _ = self._video_side(session)
        there = session.overview is not None and not busy
        answering = busy and bool(session.turns) and session.turns[-1].state == "working"
        hint = _hint(session)
        box = gr.update(interactive=there or answering, placeholder=hint, submit_btn=not busy, stop_btn=busy)
        chat = _chat(session.questions, render.messages(session)) if video or session.turns else gr.skip()
        settings = _shown(session.settings)
        side = [notice, status, keyframes, caption, box]
        judged, videos, kept = render.classified(session), self._videos(request), self._kept(request)
        return [*shown, shown_video, chat, judged, videos, *side, kept, *settings]

    def opened(self, upload: str | None, request: gr.Request) -> list[Any]:
        """Put an uploaded video into the player and start anew.

        Returns start, the video's side, player, conversation, classification, the open videos, then as
        `_video_side`.
        """
        if not upload:
            return [gr.skip()] * 11
        embedded = is_embedded(self.sessions.models.model_names[0])
        return self._opened(Path(upload), DRAWN_QUESTIONS if embedded else GENERAL_QUESTIONS, request)

    def addressed(self, address: str, request: gr.Request) -> Iterator[Any]:
        """Fetch the video at an address and put it into the player.

        Returns as `opened`, then the address box.
        """
        try:
            self._shelf(request).room()
        except OptionsError as error:
            raise plain_error(error, "Too many videos") from error
        session = self._shelf(request).begin()
        fetch = Fetch(address, self.sessions.folder, session)
        draw = partial(self._fetched, fetch, session)
        for drawn in self._work(session, request, fetch.work, draw):
            yield [*[gr.skip()] * 6, *(drawn if isinstance(drawn, list) else [drawn]), *[gr.skip()] * 5]
        if fetch.path is not None and self._in_view(session, request):
            yield [*self.opened(str(fetch.path), request), ""]

    def _fetched(self, fetch: Fetch, session: Session, shown: Session) -> list[Any]:
        return [(shown is session and fetch.drawn()) or render.notice(shown)]

    def example(self, name: str, request: gr.Request) -> list[Any]:
        """Put a bundled video into the player and start anew."""
        return self._opened(self.examples[name], EXAMPLES[name].questions, request)

    def _opened(self, path: Path, questions: tuple[str, ...], request: gr.Request) -> list[Any]:
        try:
            session = self.sessions.add_video(str(request.session_hash), path, questions)
        except OptionsError as error:
            self.sessions.discard(path)
            raise plain_error(error, "Too many videos") from error
        assert session.video is not None
        shown = [gr.update(visible=False), gr.update(visible=True), player(session.video)]
        self._shelf(request).gather(session)
        chat = _chat(questions, render.messages(session))
        return [*shown, chat, "", self._videos(request), *self._video_side(session)]

    def closed(self, request: gr.Request) -> Iterator[Any]:
        """Put the video away; show another one that is open, or the beginning."""
        session, shelf = self._session(request), self._shelf(request)
        with session.at_rest():
            session.forget()
        self.sessions.remove_files(str(request.session_hash))
        if shelf.files:
            yield from self._followed(shelf.choose(shelf.names()[-1][1]), request)
        else:
            yield [*self._beginning(request), *[gr.skip()] * len(Settings.__slots__)]

    def _beginning(self, request: gr.Request) -> list[Any]:
        shown = (gr.update(visible=True), gr.update(visible=False))
        chat = gr.Chatbot(value=[], examples=None, placeholder=NO_CONVERSATION)
        box = gr.update(interactive=False, placeholder=_NO_VIDEO, submit_btn=True, stop_btn=False)
        kept = self._kept(request)
        return [*shown, "", chat, "", self._videos(request), "", "", "", "", box, kept]

    def watched(self, request: gr.Request, *settings: Any) -> Iterator[Any]:
        """Find the key frames of the video in view, unless they were or are being found; draw them.

        Also returns the start, the video's side, the upload and the open videos: where the video cannot be
        read the page goes back to its beginning and keeps the notice.
        """
        session, chosen = self._session(request, settings), Settings(*settings)
        video = session.video
        if video is None or session.stage or session.overview is not None:
            yield gr.skip()
            return

        def draw(shown: Session) -> list[Any]:
            side, kept = self._video_side(shown), [gr.skip()] * 4
            if shown is session and not session.stage and session.overview is None and session.video == video:
                session.video = None
                self.sessions.remove_files(str(request.session_hash))
                videos = self._videos(request)
                kept = [gr.update(visible=True), gr.update(visible=False), None, videos]
            return [*side, *kept]

        yield from self._work(session, request, lambda: session.watch(chosen), draw)

    def captioned(self, request: gr.Request, caption: str, *settings: Any) -> Iterator[Any]:
        """Choose the frames by the caption a person wrote."""
        session, chosen = self._with_video(request, settings), Settings(*settings)
        job = partial(session.select_by_caption, caption, chosen)
        yield from self._work(session, request, job, self._video_side)

    def parted(self, event: gr.EventData, request: gr.Request, *settings: Any) -> Iterator[Any]:
        """Have everything be about the part of the video that was dragged or typed, or about the whole."""
        session, chosen = self._with_video(request, settings), Settings(*settings)
        start, end = event._data.get("start"), event._data.get("end")

        def job() -> None:
            found = session.overview
            if found is None:
                raise OptionsError("there are no frames yet; wait until the video has been read")
            length = found.video.duration_seconds or float(found.proposals.sampled_seconds[-1])
            part = None if start is None else checked_part(start, end, length)
            session.ask_about(part, chosen)

        yield from self._work(session, request, job, self._video_side)

    def asked(self, request: gr.Request, question: str, edited: str, *settings: Any) -> Iterator[Any]:
        """Answer, word by word; the frames come first. An `edited` turn is asked in other words."""
        session, chosen = self._with_video(request, settings), Settings(*settings)
        if not question.strip():
            if not session.stage:  # else Enter was pressed twice
                gr.Info("Write a question first.", title="Nothing was asked")
            yield gr.skip()
            return
        job = partial(session.ask, question, chosen, in_place_of=str(edited or ""))
        yield from self._converse(session, request, job)

    def example_asked(self, event: gr.SelectData, request: gr.Request, *settings: Any) -> Iterator[Any]:
        """Answer one of the examples of questions."""
        yield from self.asked(request, str(event.value["text"]), "", *settings)

    def again(self, request: gr.Request, *settings: Any) -> Iterator[Any]:
        """Ask the last question once more, with the settings as they are now."""
        session, chosen = self._with_video(request, settings), Settings(*settings)
        if session.turns:
            yield from self._converse(session, request, partial(session.ask_again, chosen))
        else:
            yield gr.skip()

    def _converse(self, session: Session, request: gr.Request, job: Callable[[], Any]) -> Iterator[Any]:
        """Do a job of the conversation."""

        def draw(shown: Session) -> list[Any]:
            busy = bool(shown.stage)
            return [*self._chat_side(shown, request), gr.update(submit_btn=not busy, stop_btn=busy)]

        yield from self._work(session, request, job, draw)

    def undone(self, request: gr.Request) -> list[Any]:
        """Take the last question back into the box."""
        session = self._session(request)
        if not session.turns or session.stage:
            return [gr.skip()] * 6
        question = session.take_back()
        return [*self._chat_side(session, request), gr.update(value=question)]

    def cleared(self, request: gr.Request) -> list[Any]:
        """Forget the conversation, keep the video."""
        session = self._session(request)
        with session.at_rest():
            session.clear()
        box = gr.update(submit_btn=True, stop_btn=False)
        return [*self._chat_side(session, request), box]

    def set(self, request: gr.Request, *settings: Any) -> None:
        """Note the settings, so that a page that is loaded again has them."""
        self._session(request, settings)

    def checked(self, event: gr.EventData, request: gr.Request) -> Any:
        """Have a page load again whose session is gone or was changed in another tab; `draft.js` asks."""
        shelf, page = self._shelf(request), event._data
        gone = page.get("shown") and not shelf.files
        return _NO_SESSION if gone or (page.get("looked") and _changed(shelf, page)) else gr.skip()

    def stopped(self, request: gr.Request) -> None:
        """End the answer that is being written."""
        self._session(request).stop()

    def classified(self, request: gr.Request, labels: list[str], *settings: Any) -> Iterator[Any]:
        """Draw which label fits the video."""
        session, chosen = self._session(request, settings), Settings(*settings)
        names = [name.strip() for label in labels or [] for name in re.split(r"[,\n]", label)]
        job = partial(session.classify, names, chosen)
        yield from self._work(
            session, request, job, lambda shown: [render.classified(shown), render.notice(shown)]
        )

    def left(self, request: gr.Request) -> None:
        """Keep the session of a page that was closed or lost for some minutes, then end it."""
        self.sessions.leave(str(request.session_hash))

    def _work(
        self,
        session: Session,
        request: gr.Request,
        job: Callable[[], Any],
        draw: Callable[[Session], list[Any]],
    ) -> Iterator[Any]:
        """Do the job and draw what is new; where another job is not done, say so and leave it alone.

        What has not changed is left out: a page that gets everything at every word has no time for a click.
        Once another video is in view that one is drawn, and the job goes on.
        """
        last, trouble = list[Any](), ""
        try:
            for _ in session.work(job):
                if not self._in_view(session, request):
                    yield from self._as_in_view(draw, request)
                    return
                trouble = render.plain_trouble(session)  # with the name of a video that `draw` may put away
                drawn = draw(session)
                same = [i < len(last) and last[i] == value for i, value in enumerate(drawn)]
                yield [gr.skip() if known else value for known, value in zip(same, drawn, strict=True)]
                last = drawn
            if trouble:  # the notice may be out of sight
                raise plain_error(VideoError(trouble))
        except OptionsError as error:
            raise plain_error(error, "One thing at a time") from error

    def _video_side(self, session: Session) -> list[Any]:
        ready = not session.stage
        caption = gr.update(value=session.caption, interactive=ready)
        there = ready and session.overview is not None
        box = gr.update(interactive=there, placeholder=_hint(session))
        notice = render.notice(session)
        return [notice, render.status(session), render.keyframes(session), caption, box]

    def _chat_side(self, session: Session, request: gr.Request) -> list[Any]:
        drawn = [render.messages(session), render.keyframes(session)]
        return [*drawn, render.status(session), render.notice(session), self._kept(request)]


def _chat(questions: Sequence[str], messages: list[dict[str, Any]]) -> Any:
    """The conversation about a video, with examples of questions while it is empty."""
    examples = [{"text": question} for question in questions]
    return gr.Chatbot(value=messages, examples=examples or None, placeholder="What would you like to know?")


def _changed(shelf: Shelf, page: Mapping[str, Any]) -> bool:
    """Whether another page has changed what this one shows: its video, its conversation, the open videos."""
    session = shelf.current
    if session.video is None or session.video.parent.name != page.get("video"):
        return shelf.shown != shelf.names()
    said = not session.stage and page.get("said") != render.said(session)
    return said or shelf.shown != shelf.names()


def _hint(session: Session) -> str:
    if session.video is None:
        return _NO_VIDEO
    if session.stage or session.overview is None:
        return "One moment, reading the video …"
    return f"Ask about {part_name(session.part)}" if session.part else "Ask about the video"


def _shown(settings: Settings | None) -> list[Any]:
    """Settings for their controls; None leaves these as they are."""
    return [gr.skip()] * len(Settings.__slots__) if settings is None else list(astuple(settings))


def _kept_turns(kept: str) -> list[tuple[str, str, str]]:
    """Videos, questions and answers as a browser keeps them; none where the text is anything else."""
    try:
        turns = json.loads(kept or "[]")
        return [(str(about), str(asked), str(answer)) for about, asked, answer in turns[-_MOST_KEPT:]]
    except (ValueError, TypeError):
        return []


def plain_error(error: KeyframeError, title: str = "That did not work") -> gr.Error:
    """Turn an error into the message a page or an API client is shown."""
    return gr.Error(views.sentence(str(error)), title=title, print_exception=False)
