"""One person's video and conversation: what is known, the questions so far, and how answers come about."""

from __future__ import annotations

import logging
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from secrets import token_hex
from typing import Any

import numpy as np

from keyframe_llm import KeyframeLLM
from keyframe_llm.cartoon import world_warnings
from keyframe_llm.classification import Classification
from keyframe_llm.data import Frames
from keyframe_llm.demos.decoding import ChatDecoder, small
from keyframe_llm.demos.dialogue import conversation, query_text
from keyframe_llm.demos.memory import give_back_memory
from keyframe_llm.demos.models import Models, classified
from keyframe_llm.demos.settings import LONGEST_TEXT, Settings
from keyframe_llm.demos.shown_text import clean, cleaned
from keyframe_llm.demos.span import Part, part_options
from keyframe_llm.demos.turns import Turn, with_small_frames
from keyframe_llm.demos.worker import Stopped, Worker
from keyframe_llm.errors import (
    KeyframeError,
    ModelError,
    OptionsError,
    VideoError,
)
from keyframe_llm.messages import Messages
from keyframe_llm.selection import Selection
from keyframe_llm.video import open_video
from keyframe_llm.words import Cue

__all__ = ["LONGEST_SECONDS", "Session", "check_length"]

LONGEST_SECONDS = 3 * 3600.0
"""Longer videos are refused: all sessions share one machine."""
_log = logging.getLogger(__name__)
_INDEXING = ("decode", "propose", "embed")
_WITHOUT_LISTENING: dict[str, Any] = {"listen": None, "read_screen": False}
"""The first frames are shown before what takes long."""


class Session(Worker):
    """One person's chat about one video at a time."""

    def __init__(self, models: Models) -> None:
        super().__init__()
        self.models, self.usual_seconds = models, models.usual_seconds
        self.name = token_hex(6)
        """What the page calls it by."""
        self.settings: Settings | None = None
        """The last ones that were used."""
        self.forget()

    def forget(self) -> None:
        """Go back to before there was a video."""
        self.video: Path | None = None
        self.questions: tuple[str, ...] = ()
        """Examples of questions about it."""
        self.caption = ""
        self.overview: Selection | None = None
        self.overview_uniform: Frames | None = None
        self.overview_drawn: dict[str, str] = {}
        self.part: Part | None = None
        """What questions, frames and labels are about; None: the whole video."""
        self.words: tuple[Cue, ...] = ()
        """What is subtitled, said and written in the video, in time order."""
        self.classified: Classification | None = None
        self.turns: list[Turn] = []
        self.in_view: Turn | None = None
        """The question whose key frames stand beside the player; None for those of the whole video."""
        self.spent: dict[str, float] = {}
        """Seconds that each stage took when the video was indexed and captioned."""
        self.warnings: tuple[str, ...] = ()
        """The library's warnings about this video, one line each."""
        self._llms: dict[tuple[str, str], KeyframeLLM] = {}
        self._uniform: tuple[tuple[int, float, float], Frames] | None = None

    def open(self, video: Path, questions: tuple[str, ...] = ()) -> None:
        """Start anew with another video; what was known of the last one is forgotten.

        What was said in an earlier session, and kept by the browser, stays.
        """
        with self.at_rest():
            recalled = [turn for turn in self.turns if turn.state == "kept"]
            self.forget()
            self.video, self.questions, self.turns = video, questions, recalled

    @property
    def indexing_seconds(self) -> float:
        """Seconds that later questions about the video do not have to pay again."""
        return sum(self.spent.get(stage, 0.0) for stage in _INDEXING)

    def watch(self, settings: Settings) -> None:
        """Find the key frames of the video, first without a text, then by the caption the model writes."""
        video, llm = self._video(), self._llm(settings)
        check_length(video)
        most: dict[str, Any] = {"max_frames": int(settings.frames)}
        settings.options()
        try:
            found = llm.select(video, expect_text=True, **most, **_WITHOUT_LISTENING)
        except ModelError as error:  # frames need no model: show them, and say what is missing
            self._show(llm.indexer.select(video, llm.options.replaced(**most), with_words=True), settings)
            self.trouble = str(error)
            return
        self._spend(found.timings)
        self._show(found, settings)
        if self.models.words.listen is not None or self.models.words.read_screen:
            self._show(llm.select(video, expect_text=True, **most), settings)
        written = llm.caption(video, **most)
        self._warn(written.selection.warnings)
        self._spend({"caption": written.selection.timings["caption"]})
        self._spend(self.select_by_caption(written.text, settings).timings)
        self.pace.learn(time.perf_counter())
        give_back_memory()

    def select_by_caption(self, caption: str, settings: Settings) -> Selection:
        """Choose the frames of the overview by a caption, the model's or a person's."""
        self.caption = _checked_text("caption", caption)
        found = self._llm(settings).select(self._video(), caption=self.caption, **self._options(settings))
        self._show(found, settings)
        return found

    def ask_about(self, part: Part | None, settings: Settings) -> None:
        """Have questions, frames and labels be about a part of the video from now on, or about the whole."""
        before, self.part = self.part, part
        try:
            text = {"caption": self.caption} if self.caption else {"expect_text": True}
            found = self._llm(settings).select(self._video(), **text, **self._options(settings))
        except BaseException:
            self.part = before
            raise
        self._show(found, settings)

    def ask(self, question: str, settings: Settings, *, in_place_of: str = "") -> None:
        """Answer a question from frames chosen for it, knowing the conversation so far.

        `in_place_of` names a turn that it replaces, with all that follow it; nothing where that is gone.
        """
        llm = self._llm(settings)
        turn = Turn(_checked_text("question", question), part=self.part)
        while any(past.name == in_place_of for past in self.turns):
            self.take_back()
        earlier = [past for past in self.turns if past.answer and self._remembers(past)]
        self.turns.append(turn)
        self.changed()
        try:
            self._choose(turn, earlier, settings)
            self._answer(turn, earlier, llm, settings)
            if turn.uniform is not None and turn.state == "done":
                self._answer_uniform(turn, earlier, llm, turn.uniform, settings)
        except Stopped:
            turn.state = "stopped"
        except KeyframeError as error:
            turn.state, turn.trouble = "failed", str(error)
            if isinstance(error, ModelError):
                _log.warning("%s", error)
                turn.trouble = f"{str(error).partition(';')[0]}; ask again, or tell whoever runs this page"
        finally:
            if turn.state == "working":  # an error of the page itself, which is raised and logged
                turn.state, turn.trouble = "failed", "an error in this page; its log says more"
            turn.keep_small_frames()
            give_back_memory()

    def ask_again(self, settings: Settings) -> None:
        """Ask the last question once more, in place of its answer."""
        self.ask(self.take_back(), settings)

    def take_back(self) -> str:
        """Forget the last question and its answer; return the question."""
        question = self.turns.pop().question
        self.in_view = next((turn for turn in reversed(self.turns) if turn.selection is not None), None)
        return question

    def recall(self, turns: Sequence[tuple[str, str, str]]) -> None:
        """Show what the browser kept from an earlier session: names of videos, questions and answers."""
        self.turns = [Turn(question, answer, about=about, state="kept") for about, question, answer in turns]

    def clear(self) -> None:
        """Forget the conversation, keep the video."""
        self.turns, self.in_view = [], None

    def classify(self, labels: list[str], settings: Settings) -> None:
        """Find which of the labels the video shows."""
        self.classified, caption = None, self.caption or None
        llm = self._llm(settings)
        names = list(dict.fromkeys(name for label in labels if (name := clean(label).strip())))
        if len(names) < 2:
            given = f"{names[0]!r} is the only label" if names else "there are no labels"
            raise OptionsError(f"{given}; give at least two different ones")
        found = classified(llm, self._video(), names, caption=caption, **self._options(settings))
        self.classified = replace(found, selection=with_small_frames(found.selection))
        self._warn(found.selection.warnings)

    def selection_named(self, name: str) -> Selection | None:
        """The frames of the turn of that name, of the `video` or its `labels`; None where they are gone."""
        if name == "labels":
            return self.classified.selection if self.classified is not None else None
        if name == "video":
            return self.overview
        return next((turn.selection for turn in self.turns if turn.name == name), None)

    def _remembers(self, turn: Turn) -> bool:
        """Whether later questions may refer back to a turn."""
        of_this_video = self.video is not None and turn.about == self.video.name
        return turn.state in ("done", "stopped") or (turn.state == "kept" and of_this_video)

    def _show(self, selection: Selection, settings: Settings) -> None:
        """Have these frames stand for the whole video."""
        self.overview, self.in_view, self.overview_drawn = with_small_frames(selection), None, {}
        if self.part is None:
            self.words = selection.words
        self.overview_uniform = small(self._uniform_like(selection)) if settings.compare else None
        self._warn(selection.warnings)
        self.changed()

    def _warn(self, warnings: Iterable[str]) -> None:
        self.warnings = tuple(dict.fromkeys([*self.warnings, *warnings]))

    def _choose(self, turn: Turn, earlier: Sequence[Turn], settings: Settings) -> None:
        turn.selection = self._llm(settings).select(
            self._video(), question=query_text(turn.question, earlier), **self._options(settings)
        )
        turn.warnings = world_warnings(str(self._video()), settings.model, settings.encoder)
        self._warn([*turn.selection.warnings, *world_warnings(str(self._video()), settings.model)])
        paid = sum(turn.selection.timings[stage] for stage in _INDEXING)
        turn.saved_seconds = max(0.0, self.indexing_seconds - paid)
        if settings.compare:
            turn.uniform = self._uniform_like(turn.selection)
        self.in_view = turn
        self.changed()

    def _answer(self, turn: Turn, earlier: Sequence[Turn], llm: KeyframeLLM, settings: Settings) -> None:
        assert turn.selection is not None
        self.progress("answer", 0.0)
        messages = self._messages(turn.selection.frames, turn, earlier, llm, settings)
        if not getattr(llm.model, "concurrent", False):  # a server would be asked twice more
            turn.tokens = llm.model.count_tokens(messages)
        began = time.perf_counter()
        for piece in self._pieces(llm, messages, settings):
            turn.answer += piece
        turn.answer = turn.answer.strip()
        turn.answer_seconds = time.perf_counter() - began
        turn.state = "stopped" if self.stopping else "done"

    def _answer_uniform(
        self, turn: Turn, earlier: Sequence[Turn], llm: KeyframeLLM, uniform: Frames, settings: Settings
    ) -> None:
        self.changed()
        for piece in self._pieces(llm, self._messages(uniform, turn, earlier, llm, settings), settings):
            turn.uniform_answer += piece
        turn.uniform_answer = turn.uniform_answer.strip() + (" … (stopped)" if self.stopping else "")

    def _messages(
        self, frames: Frames, turn: Turn, earlier: Sequence[Turn], llm: KeyframeLLM, settings: Settings
    ) -> Messages:
        """The conversation with these frames: those chosen for the question, or uniform ones."""
        found = turn.selection
        assert found is not None
        matched = [match.cue for match in found.word_matches] if frames is found.frames else []
        return conversation(
            frames,
            earlier,
            turn.question,
            llm.prompts,
            words=found.words,
            matched=matched,
            system=clean(settings.system),
            layout=llm.layout,
            duration_seconds=found.video.duration_seconds,
        )

    def _pieces(self, llm: KeyframeLLM, messages: Messages, settings: Settings) -> Iterator[str]:
        """The answer piece by piece, until it ends or is stopped."""
        model: Any = llm.model  # a `SharedVLM`
        answer = model.stream(
            messages, max_new_tokens=int(settings.longest), temperature=settings.temperature
        )
        with closing(answer) as pieces:
            for piece in cleaned(pieces):
                if self.stopping:
                    break
                if piece:  # a server that says nothing sends empty ones
                    yield piece
                    self.changed()

    def _uniform_like(self, selection: Selection) -> Frames:
        """As many frames, in the middles of equal parts of what is asked about."""
        count = len(selection.frames)
        whole = (0.0, selection.video.duration_seconds or float(selection.proposals.sampled_seconds[-1]))
        start, end = self.part or whole
        if self._uniform is None or self._uniform[0] != (count, start, end):
            with ChatDecoder(selection.video.path) as decoder:
                times = start + (np.arange(count) + 0.5) / count * (end - start)
                self._uniform = (count, start, end), decoder.decode_at(times.tolist())
        return self._uniform[1]

    def _options(self, settings: Settings) -> dict[str, Any]:
        return {**settings.options(), **part_options(self.part)}

    def _spend(self, timings: Mapping[str, float]) -> None:
        for stage, seconds in timings.items():
            self.spent[stage] = self.spent.get(stage, 0.0) + seconds

    def _llm(self, settings: Settings) -> KeyframeLLM:
        """The pipeline with these models; what it knows of the video belongs to this session alone."""
        key = (settings.model, settings.encoder)
        if key not in self._llms:
            self._llms[key] = self.models.pipeline(*key, progress=self._report, backend=ChatDecoder)
        return self._llms[key]

    def _report(self, stage: str, share: float) -> None:
        if stage != "done":  # the selection is, the job is not
            self.progress(stage, share)

    def _video(self) -> Path:
        if self.video is None:
            raise VideoError("there is no video yet; drop one on the page or take an example")
        return self.video


def _checked_text(name: str, text: str) -> str:
    text = clean(text)
    if not text.strip():
        raise OptionsError(f"the {name} is empty; write something about the video")
    if len(text) > LONGEST_TEXT:
        raise OptionsError(f"the {name} has {len(text):,} characters; at most {LONGEST_TEXT:,} are read")
    return text.strip()


def check_length(video: Path) -> None:
    """Raise `VideoError` on a video that is too long."""
    with open_video(video) as decoder:
        seconds = decoder.info.duration_seconds
    if seconds is not None and seconds > LONGEST_SECONDS:
        hours, most = seconds / 3600, LONGEST_SECONDS / 3600
        raise VideoError(f"the video is {hours:.1f} hours long; at most {most:.0f} hours are taken here")
