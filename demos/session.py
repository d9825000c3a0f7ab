"""One person's video and conversation, and the models that everybody shares.

A session is worked on in a thread of its own and drawn from its state, so that stopping, closing the page or
a slow network never leaves a model busy.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from queue import Empty, Queue
from threading import Event, Lock, Thread
from typing import Any

import numpy as np
from keyframe_llm.demos.models import Models

from keyframe_llm import KeyframeLLM
from keyframe_llm.cartoon import OUTSIDE_WORLD, is_drawn
from keyframe_llm.data import Frames, Selection
from keyframe_llm.errors import KeyframeError, ModelError, OptionsError, VideoError
from keyframe_llm.pipeline import Classification
from keyframe_llm.prompting import frame_messages, prompt
from keyframe_llm.video import open_video

__all__ = [
    "LONGEST_SECONDS",
    "Session",
    "Settings",
    "Turn",
    "check_length",
    "conversation",
    "guiding_text",
    "relay",
]

LONGEST_SECONDS = 3 * 3600.0
"""Longer videos are refused: people wait for one another on one machine."""
_LONGEST_TEXT = 2000
_REMEMBERED_TURNS = 3
_LEANING = re.compile(
    r"\b(he|she|it|they|him|her|them|his|its|their|there|this|that|these|those|one|then|else)\b|"
    r"^(and|but|or|so|why|how come|what about|how about|really)\b",
    re.IGNORECASE,
)


@dataclass(frozen=True, slots=True)
class Settings:
    """What a person may set; the defaults need no visit."""

    model: str
    encoder: str
    frames: int = 3
    guide: str = "question"
    semantic: float = 1.0
    temporal: float = 1.0
    drop: float = 1.0
    compare: bool = False

    def options(self) -> dict[str, Any]:
        """Return what changes in `SelectOptions`; raises `OptionsError` where no weight is left."""
        parts = (self.semantic, self.temporal, self.drop)
        if min(parts) < 0 or sum(parts) <= 0:
            raise OptionsError("all three weights are 0; raise at least one of them in the settings")
        weights = tuple(part / sum(parts) for part in parts)
        return {"max_frames": int(self.frames), "weights": weights}


@dataclass(slots=True, eq=False)
class Turn:
    """A question, and the answer as far as it has come."""

    question: str
    answer: str = ""
    selection: Selection | None = None
    uniform: Frames | None = None
    uniform_answer: str = ""
    tokens: tuple[int, int] = (0, 0)
    """Of the prompt, and those of them that stand for pictures."""
    answer_seconds: float = 0.0
    saved_seconds: float = 0.0
    """What the first look at the video took and this question did not have to pay again."""
    state: str = "working"
    """`working`, `done`, `stopped`, or `failed`."""
    trouble: str = ""
    drawn: dict[str, str] = field(default_factory=dict)
    """HTML that was drawn of it, so that it is drawn once."""


class Session:
    """One person's chat about one video at a time."""

    def __init__(self, models: Models) -> None:
        self.models = models
        self.video: Path | None = None
        self.caption, self.trouble, self.stage, self.share = "", "", "", 0.0
        self.overview: Selection | None = None
        self.overview_uniform: Frames | None = None
        self.classified: Classification | None = None
        self.turns: list[Turn] = []
        self.first_look = 0.0
        self._llms: dict[tuple[str, str], KeyframeLLM] = {}
        self._stop, self.working = Event(), Lock()
        self._changed: Callable[[], None] = lambda: None

    def open(self, video: Path) -> None:
        """Start anew with another video; what was known of the last one is forgotten."""
        self.stop()
        with self.working:
            self.forget()
            self.video = video
            self._stop.clear()

    def forget(self) -> None:
        """Go back to before there was a video."""
        self.video, self.caption, self.trouble, self.stage = None, "", "", ""
        self.overview = self.overview_uniform = self.classified = None
        self.turns, self.first_look, self._llms = [], 0.0, {}

    def stop(self) -> None:
        """Have the answer that is being written end at its next word."""
        self._stop.set()

    def watch(self, settings: Settings) -> None:
        """Find what matters in the video, first by its looks, then by the caption the model writes."""
        video, llm = self._video(), self._llm(settings)
        options = settings.options()
        check_length(video)
        try:
            self.overview = llm.select(video, expect_text=True, **options)
        except ModelError as error:  # frames need no model: show them, and say what is missing
            self.overview, self.trouble = llm.select(video, max_frames=options["max_frames"]), str(error)
            return
        self.first_look = _looking(self.overview)
        self._compare(settings)
        self._changed()
        self.guide_by_caption(llm.caption(video, max_frames=options["max_frames"]).text, settings)
        self.first_look += _looking(self.overview)

    def guide_by_caption(self, caption: str, settings: Settings) -> None:
        """Choose the frames of the overview by a caption, the model's or a person's."""
        self.caption = _checked_text("caption", caption)
        self.overview = self._llm(settings).select(
            self._video(), caption=self.caption, **{**settings.options(), "guide": "caption"}
        )
        self._compare(settings)
        self._changed()

    def ask(self, question: str, settings: Settings) -> None:
        """Answer a question from frames chosen for it, knowing what was said before."""
        video, llm = self._video(), self._llm(settings)
        turn = Turn(_checked_text("question", question))
        earlier = [said for said in self.turns if said.answer and said.state != "failed"]
        self.turns.append(turn)
        self._changed()
        try:
            self._choose(turn, earlier, settings)
            self._changed()
            self._answer(turn, earlier, llm)
            if settings.compare and turn.state == "done":
                self._answer_uniform(turn, earlier, llm, video)
        except KeyframeError as error:
            turn.state, turn.trouble = "failed", str(error)
        finally:
            if turn.state == "working":  # an error of the page itself, which is raised and logged
                turn.state, turn.trouble = "failed", "an error in this page; its log says more"

    def classify(self, labels: list[str], settings: Settings) -> None:
        """Say which of the labels the video shows."""
        caption = self.caption or None
        options = {**settings.options(), "guide": "caption"}
        self.classified = self._llm(settings).classify(self._video(), labels, caption=caption, **options)

    def warnings(self, settings: Settings) -> list[str]:
        """Return what a person should know about the video that is open."""
        found = list(self.overview.warnings) if self.overview else []
        if self.video and "cartoon" in (settings.model, settings.encoder) and not is_drawn(str(self.video)):
            found.append(OUTSIDE_WORLD.split(":")[0] + ": start the page with a real --model and --encoder")
        return found

    def work(self, job: Callable[[], None]) -> Iterator[None]:
        """Do one job at a time in a thread; yield whenever there is something new to draw, and at the end."""
        if not self.working.acquire(blocking=False):
            raise OptionsError("something is still being worked on; wait for it, or stop the answer first")
        self._stop.clear()
        self.trouble, self.stage, self.share = "", "start", 0.0

        def run(changed: Callable[[], None]) -> None:
            self._changed = changed
            try:
                job()
            except KeyframeError as error:
                self.trouble = str(error)
            finally:
                self.stage, self._changed = "", lambda: None
                self.working.release()

        yield from relay(run)

    def _choose(self, turn: Turn, earlier: list[Turn], settings: Settings) -> None:
        guide = settings.guide
        turn.selection = self._llm(settings).select(
            self._video(),
            question=guiding_text(turn.question, earlier),
            caption=self.caption or None if guide != "question" else None,
            generate_caption=True,
            **{**settings.options(), "guide": guide},
        )
        turn.saved_seconds = max(0.0, self.first_look - _looking(turn.selection))
        if settings.compare:
            turn.uniform = _uniform(turn.selection)

    def _answer(self, turn: Turn, earlier: list[Turn], llm: KeyframeLLM) -> None:
        assert turn.selection is not None
        self.progress("answer", 0.0)
        messages = conversation(turn.selection.frames, earlier, turn.question)
        turn.tokens = llm.model.count_tokens(messages)
        began = time.perf_counter()
        with closing(llm.model.stream(messages)) as pieces:  # type: ignore[type-var]
            for piece in pieces:
                if self._stop.is_set():
                    break
                turn.answer += piece
                self._changed()
        turn.answer = turn.answer.strip()
        turn.answer_seconds = time.perf_counter() - began
        turn.state = "stopped" if self._stop.is_set() else "done"

    def _answer_uniform(self, turn: Turn, earlier: list[Turn], llm: KeyframeLLM, video: Path) -> None:
        assert turn.uniform is not None
        self._changed()
        turn.uniform_answer = llm.model.generate(conversation(turn.uniform, earlier, turn.question))

    def _compare(self, settings: Settings) -> None:
        self.overview_uniform = _uniform(self.overview) if settings.compare and self.overview else None

    def _llm(self, settings: Settings) -> KeyframeLLM:
        """The pipeline with these models; its memory of the video is this session's alone."""
        key = (settings.model, settings.encoder)
        if key not in self._llms:
            model, encoder = self.models.model(settings.model), self.models.encoder(settings.encoder)
            self._llms[key] = KeyframeLLM(model, encoder, progress=self.progress, cache=False)
        return self._llms[key]

    def _video(self) -> Path:
        if self.video is None:
            raise VideoError("there is no video yet; drop one on the page or take an example")
        return self.video

    def progress(self, stage: str, share: float) -> None:
        """Note how far the work is."""
        self.stage, self.share = stage, share
        self._changed()


def relay(run: Callable[[Callable[[], None]], None]) -> Iterator[None]:
    """Run `run(changed)` in a thread of its own; yield after changes, several at once, and at its end.

    What `run` raises is raised here. The thread ends by itself, whether or not anybody still listens.
    """
    news, failures = Queue[bool](), list[BaseException]()

    def work() -> None:
        try:
            run(lambda: news.put(True))
        except BaseException as error:
            failures.append(error)
        finally:
            news.put(False)

    Thread(target=work, name="keyframe-llm-chat", daemon=True).start()
    going = True
    while going:
        going = news.get()
        time.sleep(0.03)  # words come faster than a page needs drawing
        try:
            while going:
                going = news.get_nowait()
        except Empty:
            pass
        yield
    if failures:
        raise failures[0]


def conversation(frames: Frames, earlier: list[Turn], question: str) -> list[dict[str, Any]]:
    """The frames chosen for this question, what was said before, and the question.

    Frames stand in the first turn, as in the conversations Video-LLMs are trained on, and only those of the
    question at hand: earlier answers keep in words what earlier frames showed.
    """
    said = earlier[-_REMEMBERED_TURNS:]
    opening = said[0].question if said else question
    messages = frame_messages(frames, prompt("question", question=opening))
    asked = [*(turn.question for turn in said), question]
    for turn, following in zip(said, asked[1:], strict=True):
        messages.append({"role": "assistant", "content": [{"type": "text", "text": turn.answer}]})
        messages.append({"role": "user", "content": [{"type": "text", "text": following}]})
    return messages


def guiding_text(question: str, earlier: list[Turn]) -> str:
    """The text that looks for the frames: a follow-up that leans on what was said takes it along.

    "Where is she?" finds nothing by itself; after "What is the woman doing?" it does.
    """
    if not earlier or not _LEANING.search(question):
        return question
    return f"{guiding_text(earlier[-1].question, earlier[:-1])} {question}"


def _uniform(selection: Selection) -> Frames:
    """As many frames at equal distances, the middles of equal parts: what would have been shown instead."""
    count = len(selection.frames)
    end = selection.video.duration_seconds or float(selection.proposals.sampled_seconds[-1])
    with open_video(selection.video.path) as decoder:
        return decoder.decode_at(((np.arange(count) + 0.5) / count * end).tolist())


def _looking(selection: Selection) -> float:
    return sum(selection.timings[stage] for stage in ("decode", "propose", "embed"))


def _checked_text(name: str, text: str) -> str:
    if not text.strip():
        raise OptionsError(f"the {name} is empty; write something about the video")
    if len(text) > _LONGEST_TEXT:
        raise OptionsError(f"the {name} has {len(text):,} characters; at most {_LONGEST_TEXT:,} are read")
    return text.strip()


def check_length(video: Path) -> None:
    """Refuse a video that would keep everybody waiting; raises `VideoError`."""
    with open_video(video) as decoder:
        seconds = decoder.info.duration_seconds
    if seconds is not None and seconds > LONGEST_SECONDS:
        hours, most = seconds / 3600, LONGEST_SECONDS / 3600
        raise VideoError(f"the video is {hours:.1f} hours long; at most {most:.0f} hours are taken here")
