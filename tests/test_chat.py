"""The chat page without a browser: sessions, messages to the model, drawings, and the endpoints."""

from __future__ import annotations

import argparse
import gc
import json
import re
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from threading import Event, Thread, Timer
from threading import enumerate as enumerate_threads
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from keyframe_llm import KeyframeLLM, OptionsError
from keyframe_llm.cartoon import OUTSIDE_WORLD
from keyframe_llm.cartoon.world.video import write_clip
from keyframe_llm.data import Frames
from keyframe_llm.demos import render
from keyframe_llm.demos.dialogue import conversation, query_text
from keyframe_llm.demos.models import Models
from keyframe_llm.demos.session import Session, Settings, Turn
from keyframe_llm.demos.sessions import Sessions
from keyframe_llm.demos.shelf import MOST_VIDEOS
from keyframe_llm.demos.shown_text import as_data, cleaned, shown_name
from keyframe_llm.demos.times import clock, linked_times
from keyframe_llm.demos.videos import DEMO_QUESTION, demo_clips, demo_video
from keyframe_llm.demos.views import keyframes
from keyframe_llm.options import SelectOptions
from keyframe_llm.vlm.shared import SharedVLM
from support.videos import draw

# Gradio leaves event loops and sockets of its server to the garbage collector; nothing here can close them.
pytestmark = [
    pytest.mark.filterwarnings("ignore::ResourceWarning"),
    pytest.mark.filterwarnings("ignore::DeprecationWarning:gradio.*"),
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
]


class Colours:
    """An encoder of the caller's own: a picture is its mean colour, a text about the robot is purple."""

    def __init__(self) -> None:
        self.seen = 0

    def embed_images(self, images: Sequence[NDArray[np.uint8]], /) -> NDArray[np.float32]:
        self.seen += len(images)
        return np.stack([np.asarray(image, np.float32).mean((0, 1)) / 255 for image in images])

    def embed_texts(self, texts: Sequence[str], /) -> NDArray[np.float32]:
        purple, sand = (0.6, 0.3, 0.7), (0.9, 0.5, 0.2)
        return np.array([purple if "robot" in text else sand for text in texts], np.float32)


class Listener:
    """A Video-LLM of the caller's own: remembers what it was shown and answers with the count of words."""

    def __init__(self) -> None:
        self.conversations: list[list[dict[str, Any]]] = []

    def generate(self, messages: list[dict[str, Any]], *, max_new_tokens: int = 128) -> str:
        self.conversations.append(messages)
        return f"answer {len(self.conversations)}"

    def stream(self, messages: list[dict[str, Any]], *, max_new_tokens: int = 128) -> Iterator[str]:
        yield from self.generate(messages).partition(" ")

    def generate_batch(self, conversations: Sequence[Any], *, max_new_tokens: int = 128) -> list[str]:
        return [self.generate(messages) for messages in conversations]

    def label_log_likelihoods(
        self, messages: Any, labels: Sequence[str], *, normalise: str = "mean"
    ) -> NDArray[np.float64]:
        return -np.array([len(label) for label in labels], np.float64)

    def count_tokens(self, messages: Any) -> tuple[int, int]:
        return 100, 27


SETTINGS = Settings("Listener", "Colours")


@pytest.fixture(scope="module")
def minute(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The bundled minute drawn small: a robot is shown from 30.5 to 32.5 seconds."""
    path = tmp_path_factory.mktemp("minute") / "minute.mp4"
    write_clip(demo_clips()["hidden_event.mp4"], path, width=160, height=120, fps=4)
    return path


@pytest.fixture
def talk(minute: Path) -> SimpleNamespace:
    """A session about the minute, with models that keep what they were given."""
    model, encoder = Listener(), Colours()
    session = Session(Models([model], [encoder]))
    session.open(minute)
    return SimpleNamespace(session=session, model=model, encoder=encoder)


def pictures(message: dict[str, Any]) -> int:
    return sum(part["type"] == "image" for part in message["content"])


def texts(message: dict[str, Any]) -> list[str]:
    return [part["text"] for part in message["content"] if part["type"] == "text"]


def test_a_follow_up_is_told_what_was_said_and_shown_the_frames_of_its_own_question(
    talk: SimpleNamespace,
) -> None:
    talk.session.ask(DEMO_QUESTION, SETTINGS)
    talk.session.ask("Where is it?", SETTINGS)
    first, second = talk.model.conversations
    assert [m["role"] for m in first] == ["user"]
    assert [m["role"] for m in second] == ["user", "assistant", "user"]
    assert DEMO_QUESTION in texts(second[0])[-1] and texts(second[1]) == ["answer 1"]
    assert texts(second[2]) == ["Where is it?"] and pictures(second[2]) == 0
    last = talk.session.turns[-1].selection
    assert pictures(second[0]) == len(last.frames)
    assert any(30.5 <= second < 32.5 for second in last.seconds)  # "it" is the robot, of whom these are


def test_a_question_that_stands_by_itself_is_looked_for_by_itself() -> None:
    said = [Turn("What is the robot doing?", "flies a kite")]
    assert query_text("Where is it?", said) == "What is the robot doing? Where is it?"
    assert query_text("And the child?", said) == "What is the robot doing? And the child?"
    assert query_text("What does the woman in yellow do?", said) == "What does the woman in yellow do?"
    assert query_text("Where is it?", []) == "Where is it?"


def test_no_more_than_three_earlier_turns_are_told() -> None:
    frames = Frames(np.zeros((1, 8, 8, 3), np.uint8), np.array([1.0]))
    told = conversation(frames, [Turn(f"q{i}", f"a{i}") for i in range(9)], "now")
    assert [texts(m)[-1] for m in told[1:]] == ["a6", "q7", "a7", "q8", "a8", "now"]
    assert texts(told[0])[0] == "[1.0s]" and texts(told[0])[1].endswith("q6")


def test_the_second_question_looks_at_no_picture_again(talk: SimpleNamespace) -> None:
    talk.session.watch(SETTINGS)
    assert talk.encoder.seen > 0 and talk.session.caption == "answer 1"
    looked = set(talk.session.overview.proposals.indices.tolist())
    for question in (DEMO_QUESTION, "Who is on the beach?", DEMO_QUESTION):
        talk.session.ask(question, SETTINGS)
        looked |= set(talk.session.turns[-1].selection.proposals.indices.tolist())
    assert talk.encoder.seen == len(looked) <= 128
    assert talk.session.turns[-1].selection.timings["propose"] == 0.0
    assert talk.session.turns[-1].saved_seconds > 0


def test_an_edited_caption_guides_the_frames(talk: SimpleNamespace) -> None:
    talk.session.watch(SETTINGS)
    before = talk.session.overview.seconds
    talk.session.select_by_caption("a robot", SETTINGS)
    assert any(30.5 <= second < 32.5 for second in talk.session.overview.seconds)
    assert list(before) != list(talk.session.overview.seconds)
    assert talk.session.overview.caption == "a robot"


def test_comparing_shows_uniform_frames_and_what_the_model_says_to_them(talk: SimpleNamespace) -> None:
    chosen = Settings("Listener", "Colours", frames=2, compare=True)
    talk.session.ask(DEMO_QUESTION, chosen)
    turn = talk.session.turns[0]
    count = len(turn.selection.frames)
    np.testing.assert_allclose(turn.uniform.seconds, (np.arange(count) + 0.5) / count * 60, atol=0.1)
    assert (turn.answer, turn.uniform_answer) == ("answer 1", "answer 2")


def test_a_new_video_starts_anew(talk: SimpleNamespace) -> None:
    talk.session.watch(SETTINGS)
    talk.session.ask(DEMO_QUESTION, SETTINGS)
    talk.session.open(demo_video("one_walk.mp4"))
    assert (talk.session.turns, talk.session.caption, talk.session.overview) == ([], "", None)
    talk.session.ask("And then?", SETTINGS)
    assert len(talk.model.conversations[-1]) == 1
    assert talk.session.turns[0].selection.video.duration_seconds == pytest.approx(6.0, abs=0.2)


def test_an_edited_caption_shows_its_frames_also_after_a_question(talk: SimpleNamespace) -> None:
    talk.session.watch(SETTINGS)
    talk.session.ask("Who is on the beach?", SETTINGS)
    assert talk.session.in_view is talk.session.turns[0]
    talk.session.select_by_caption("a robot", SETTINGS)
    assert talk.session.in_view is None and talk.session.overview.caption == "a robot"


class Chatterbox(Listener):
    """Talks until it is stopped, and says when it has fallen silent."""

    def __init__(self) -> None:
        super().__init__()
        self.silent = Event()

    def stream(self, messages: list[dict[str, Any]], *, max_new_tokens: int = 128) -> Iterator[str]:
        try:
            for word in range(1_000_000):
                yield f"word{word} "
        finally:
            self.silent.set()


def talking(minute: Path) -> tuple[Session, Chatterbox, Settings]:
    model = Chatterbox()
    session = Session(Models([model], [Colours()]))
    session.open(minute)
    return session, model, Settings("Chatterbox", "Colours")


def test_a_stopped_answer_is_kept_as_far_as_it_came_and_can_be_asked_again(minute: Path) -> None:
    session, model, settings = talking(minute)
    for _ in session.work(lambda: session.ask("What?", settings)):
        if session.turns and "word9 " in session.turns[0].answer:
            session.stop()
    turn = session.turns[0]
    assert turn.state == "stopped" and turn.answer.startswith("word0 word1 ") and model.silent.is_set()
    assert session.stage == "" and "— stopped" in str(render.messages(session))
    for _ in session.work(lambda: session.ask_again(settings)):
        if "word9 " in session.turns[-1].answer:
            session.stop()
    assert [t.question for t in session.turns] == ["What?"] and session.turns[0] is not turn
    assert session.take_back() == "What?" and session.turns == [] and session.in_view is None


def test_a_new_video_ends_the_answer_about_the_last_one(minute: Path) -> None:
    session, model, settings = talking(minute)
    drawings = session.work(lambda: session.ask("What?", settings))
    while not (session.turns and session.turns[0].answer):
        next(drawings)
    session.open(demo_video("one_walk.mp4"))
    assert model.silent.is_set() and session.turns == []
    list(drawings)
    assert session.trouble == ""


def test_a_look_that_nobody_waits_for_ends_before_its_time(talk: SimpleNamespace) -> None:
    drawings = talk.session.work(lambda: talk.session.watch(SETTINGS))
    next(drawings)
    talk.session.stop()
    list(drawings)
    assert talk.model.conversations == [] and talk.session.trouble == "" and talk.session.stage == ""


@pytest.mark.parametrize("content", [b"", b"\0\0\0\x18ftypmp42" + bytes(500)])
def test_a_file_that_is_no_video_gets_a_notice_with_the_embedded_models_too(
    tmp_path: Path, content: bytes
) -> None:
    (tmp_path / "broken.mp4").write_bytes(content)
    session, settings = Session(Models(["cartoon"], ["cartoon"])), Settings("cartoon", "cartoon")
    session.open(tmp_path / "broken.mp4")
    shown = [render.notice(session) for _ in session.work(lambda: session.watch(settings))]
    assert "kf-trouble" in shown[-1] and "broken.mp4" in shown[-1] and str(tmp_path) not in shown[-1]
    assert session.overview is None and session.stage == ""


def test_one_thing_is_done_at_a_time(talk: SimpleNamespace) -> None:
    going, release = Event(), Event()

    def wait() -> None:
        going.set()
        release.wait()

    drawings = talk.session.work(wait)
    begun = Thread(target=lambda: list(drawings))
    begun.start()
    going.wait()
    with pytest.raises(OptionsError, match="another task is not done"):
        next(talk.session.work(lambda: None))
    release.set()
    begun.join()
    assert list(talk.session.work(lambda: None)) == [None]


def test_pictures_lie_beside_the_video_and_go_with_it(tmp_path: Path) -> None:
    sessions = Sessions(Models([Listener()], [Colours()]), tmp_path)
    upload = tmp_path / "upload" / "v.mp4"
    upload.parent.mkdir()
    upload.write_bytes(demo_video("one_walk.mp4").read_bytes())
    session = sessions.session("ann")
    session.open(sessions.take("ann", upload)[1])
    session.ask("What?", SETTINGS)
    shown = re.findall(r'src="gradio_api/file=([^"]+)"', render.keyframes(session))
    assert len(shown) == len(session.turns[0].selection.frames)
    assert all(Path(path).parent == session.video.parent and Image.open(path).width <= 416 for path in shown)
    sessions.end("ann")
    assert not any(Path(path).exists() for path in shown)


def test_the_page_weighs_as_the_library_does_unless_told_otherwise() -> None:
    assert Settings("m", "e").options()["weights"] == SelectOptions().weights


def test_weights_are_brought_to_a_sum_of_one_and_none_at_all_is_a_mistake() -> None:
    assert Settings("m", "e", semantic=1.0, temporal=0.0, drop=1.0).options()["weights"] == (0.5, 0.0, 0.5)
    with pytest.raises(OptionsError, match="all three weights are 0"):
        Settings("m", "e", semantic=0, temporal=0, drop=0).options()


def test_only_models_on_offer_can_be_chosen(talk: SimpleNamespace) -> None:
    with pytest.raises(OptionsError, match="this page offers Listener"):
        talk.session.ask("What?", Settings("/etc", "Colours"))


@pytest.mark.parametrize(
    ("seconds", "told"),
    [(0.04, "0.0 s"), (31.46, "31.5 s"), (59.96, "1:00.0"), (125.25, "2:05.2"), (3725, "1:02:05")],
)
def test_times_read_as_on_a_player(seconds: float, told: str) -> None:
    assert clock(seconds) == told


TIMES = Frames(np.zeros((3, 8, 8, 3), np.uint8), np.array([10.04, 31.5, 65.25]))
NOTE = "\n\n*\\* No frame that the model was shown has this time.*"


@pytest.mark.parametrize(
    ("answer", "drawn"),
    [
        ("at 10.0 seconds and 31.5s.", "at [10.0 seconds](#t=10.040) and [31.5s](#t=31.500)."),
        ("at 1:05.2, or 1:05", "at [1:05.2](#t=65.250), or [1:05](#t=65.250)"),
        ("1 minute 5.3 seconds in", "[1 minute 5.3 seconds](#t=65.250) in"),
        ("at 20 seconds and 0:25", "at [20 seconds](#t=20.000)\\* and [0:25](#t=25.000)\\*" + NOTE),
        ("at 500 s", "at 500 s\\*" + NOTE),
        ("for 3 seconds, then for about 3 s", "for 3 seconds, then for about 3 s"),
        ("3 seconds later, a 3-second jump in 3 steps", "3 seconds later, a 3-second jump in 3 steps"),
        ("the clock says 10:30, at 4:30 pm; 16:9", "the clock says 10:30, at 4:30 pm; 16:9"),
        ("At second 10 he", "At [second 10](#t=10.040) he"),
        ("between seconds 10 and 32", "between seconds [10](#t=10.040) and [32](#t=31.500)"),
        ("from 10 to 31.5 seconds", "from [10](#t=10.040) to [31.5 seconds](#t=31.500)"),
        ("- 10–32 s: a man", "- [10](#t=10.040)–[32 s](#t=31.500): a man"),
        (
            "&#91;10.0s&#93; &#60;31.5 seconds&#62;",
            "&#91;[10.0s](#t=10.040)&#93; &#60;[31.5 seconds](#t=31.500)&#62;",
        ),
        (
            "between 0:10 and 0:31, at 1m5s",
            "between [0:10](#t=10.040) and [0:31](#t=31.500), at [1m5s](#t=65.250)",
        ),
        ("the 10-second mark of a 10 s clip", "the [10-second](#t=10.040) mark of a 10 s clip"),
        *[
            (said, said)
            for said in (
                *(
                    "it takes 10 to 31.5 seconds",
                    "he waits between 1 and 10 seconds",
                    "in the first 10 seconds",
                ),
                *(
                    "the second 10 people",
                    "a second 10 times",
                    "10 seconds of footage",
                    "10 seconds per frame",
                ),
                *("a score of 10 to 32 seconds", "from 32 to 10 seconds", "60 frames per second 10"),
            )
        ],
    ],
)
def test_times_in_an_answer_are_links_and_durations_are_not(answer: str, drawn: str) -> None:
    assert linked_times(answer, TIMES, 120.0) == drawn


def test_how_long_something_takes_is_no_moment() -> None:
    answer, question = "10 to 32 seconds, from 10.0 to 31.5 seconds", "How long does he walk?"
    drawn = "10 to 32 seconds, from [10.0](#t=10.040) to [31.5 seconds](#t=31.500)"
    assert linked_times(answer, TIMES, 120.0, question=question) == drawn


@pytest.mark.parametrize(
    ("text", "drawn"),
    [
        ("![x](y) <b> a & b", "&#33;&#91;x&#93;(y) &#60;b&#62; a &#38; b"),
        ("http://a.b www.c.d e@f", "http:&#47;&#47;a.b www&#46;c.d e&#64;f"),
        ("if `a[0]` and", "if <code>a&#91;&#48;&#93;</code> and"),
        (
            "```json\n<b>\n\n[x]\n```\nend",
            "<pre><code>&#60;b&#62;&#10;&#10;&#91;x&#93;&#10;</code></pre>\n\nend",
        ),
        ("~~~\nopen", "<pre><code>open</code></pre>"),
        ("`a\n\nb ``c``", "&#96;a\n\nb <code>c</code>"),
        ("x\n\n    <b>\n- y\n    - z", "x\n\n   &#60;b&#62;\n- y\n    - z"),
    ],
)
def test_texts_are_shown_as_they_are_and_code_as_code(text: str, drawn: str) -> None:
    assert as_data(text).strip() == drawn


def test_broken_letters_and_control_characters_do_not_reach_the_page(talk: SimpleNamespace) -> None:
    assert "".join(cleaned(["a\ud83d", "\ude00\x00\x1b b\r\n", "\tc\ud83d"])) == "a😀 b\n\tc\ufffd"
    assert shown_name("a\u202egpj.mp4\x00") == "agpj.mp4"
    talk.model.generate = lambda messages, **_: "half \ud83d"
    talk.session.ask("Who is \udc00 it?", SETTINGS)
    turn = talk.session.turns[0]
    assert (turn.question, turn.answer) == ("Who is \ufffd it?", "half \ufffd")


def test_the_curve_has_its_picks_where_their_seconds_are(minute: Path) -> None:
    found = KeyframeLLM(Listener(), Colours()).select(minute, caption="a robot <b>", max_frames=3)
    drawn = keyframes(found, "for “a robot <b>”", lambda image: "frame.jpg")
    picks = re.findall(r'class="kf-pick" data-second="([\d.]+)".*?left:([\d.]+)%;top:([\d.]+)%', drawn)
    assert [float(second) for second, _, _ in picks] == pytest.approx(found.seconds.tolist(), abs=0.001)
    for (second, left, top), score in zip(picks, found.scores.total[found.chosen], strict=True):
        assert float(left) == pytest.approx(100 * float(second) / 60, abs=0.1)
        assert float(top) == pytest.approx(100 * (1 - score) * 100 / 116, abs=0.2)
    assert drawn.count('src="frame.jpg"') == len(found.frames) and "<b>”" not in drawn


def test_with_no_text_a_frame_shows_the_share_of_the_video_it_stands_for(minute: Path) -> None:
    found = KeyframeLLM(Listener(), Colours()).select(minute, max_frames=3)
    drawn = keyframes(found, "without a text", lambda image: "frame.jpg")
    shares = re.findall(r"<b>stands for (\d+)%</b>", drawn)
    assert [int(share) for share in shares] == [
        round(100 * share) for share in found.scores.total[found.chosen]
    ]
    stems = re.search(r'kf-stems" d="([^"]+)"', drawn)
    assert stems is not None and stems[1].count("M") == len(found.frames)
    assert "share of the video" in drawn and "score" not in drawn.lower()


def test_a_published_method_takes_no_weights_and_its_scores_have_their_own_name(
    talk: SimpleNamespace,
) -> None:
    chosen = Settings("Listener", "Colours", method="top-k", semantic=0, drop=0)
    assert "weights" not in chosen.options()
    talk.session.watch(chosen)
    talk.session.ask(DEMO_QUESTION, chosen)
    assert talk.session.turns[0].selection.method == "top-k"
    assert "similarity" in render.keyframes(talk.session)


def test_the_warning_about_the_embedded_models_is_the_librarys_own(flags: Path, tmp_path: Path) -> None:
    session, settings = Session(Models(["cartoon"])), Settings("cartoon", "cartoon")
    assert session.models.encoder_names == ["cartoon"]
    session.open(flags)
    session.ask("Where is the snowman?", settings)
    drawn = str(render.messages(session))
    assert re.search(r"in the video: (yes|maybe|probably not there) · rests on", drawn)
    assert session.warnings == (OUTSIDE_WORLD,) and "kf-warning" in render.notice(session)
    assert "their words and scores mean nothing" in str(render.messages(session)[-2:])  # at the answer too
    session.open(demo_video("one_walk.mp4"))
    session.ask("What does the man in green do?", settings)
    assert session.warnings == session.turns[0].warnings == ()


def test_what_somebody_brought_is_theirs_alone_and_goes_with_them(tmp_path: Path) -> None:
    sessions = Sessions(Models([Listener()], [Colours()]), tmp_path)
    upload = tmp_path / "upload" / "v.mp4"
    upload.parent.mkdir()
    upload.write_bytes(demo_video("one_walk.mp4").read_bytes())
    ann, bob = (sessions.take(name, upload)[1] for name in ("ann", "bob"))
    assert ann != bob and sessions.session("ann") is not sessions.session("bob")
    sessions.end("ann")
    assert not ann.exists() and upload.exists() and bob.exists()
    sessions.end("bob")
    assert not upload.exists() and not bob.exists()


def test_videos_that_come_at_the_same_time_have_a_session_each(tmp_path: Path) -> None:
    sessions = Sessions(Models([Listener()], [Colours()]), tmp_path)
    uploads = [tmp_path / "upload" / f"{i}.mp4" for i in range(MOST_VIDEOS)]
    uploads[0].parent.mkdir()
    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    try:
        for _ in range(5):
            for upload in uploads:
                upload.touch()
            threads = [Thread(target=sessions.add_video, args=("ann", upload)) for upload in uploads]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()
            files = sessions.shelf("ann").files
            opened = {session.video: own / upload.name for session, (own, upload) in files.items()}
            assert len(opened) == MOST_VIDEOS and all(one == other for one, other in opened.items())
            sessions.end("ann")
    finally:
        sys.setswitchinterval(interval)


def test_two_pages_of_one_session_have_the_same_videos_and_each_its_own_in_view(tmp_path: Path) -> None:
    sessions = Sessions(Models([Listener()], [Colours()]), tmp_path, grace_seconds=3600)
    uploads = [tmp_path / "upload" / f"{i}.mp4" for i in range(3)]
    uploads[0].parent.mkdir()
    for upload in uploads:
        upload.touch()
    sessions.join("one", "tab")
    first, video = sessions.take("one", uploads[0])
    sessions.join("two", "tab", video.parent.name)
    assert sessions.session("two") is first
    second, _ = sessions.take("two", uploads[1])
    assert sessions.session("two") is second and sessions.session("one") is first
    third, late = sessions.take("three", uploads[2])  # given before the page has joined
    third.open(late)
    assert sessions.join("three", "tab", "-") and sessions.session("three") is third
    assert sessions.join("four", "tab", "-") and sessions.session("four") not in sessions.shelf("one").files
    assert list(sessions.shelf("four").files) == [first, second, third]
    sessions.leave("two")
    assert sessions.join("five", "tab") and sessions.session("five") is not first
    sessions.end("one")
    assert all(session.stopping for session in (first, second, third)) and not late.exists()
    assert not sessions.shelf("five").files and not sessions.shelf("one").files


def wait_for_ends(sessions: Sessions) -> None:
    """Wait until the sessions that are to end have ended."""
    for thread in enumerate_threads():
        if isinstance(thread, Timer) and thread.function == sessions._end_unless_used:
            thread.join()


def test_a_session_outlives_its_page_and_ends_after_the_grace(tmp_path: Path) -> None:
    sessions = Sessions(Models([Listener()], [Colours()]), tmp_path, grace_seconds=3600)
    upload = tmp_path / "upload" / "v.mp4"
    upload.parent.mkdir()
    upload.write_bytes(demo_video("one_walk.mp4").read_bytes())
    assert not sessions.join("load 1", "tab")
    session, video = sessions.take("load 1", upload)
    sessions.leave("load 1")
    assert sessions.session("load 1") is session  # a page whose connection broke goes on
    assert sessions.join("load 2", "tab") and sessions.session("load 2") is session and video.exists()
    sessions.close()
    assert not video.exists()
    sessions.grace_seconds = 0.0
    upload.write_bytes(b"another")
    sessions.join("load 3", "other")
    stopped, other = sessions.take("load 3", upload)
    sessions.leave("load 3")
    wait_for_ends(sessions)
    assert not other.exists() and stopped.stopping and not sessions.join("load 4", "other")
    sessions.leave("load 4")
    upload.write_bytes(b"a third")
    _, late = sessions.take("load 4", upload)  # given before the page was closed, and taken after
    assert not sessions.join("load 5", "late")
    sessions.leave("load 5")
    sessions.join("load 5", "late")
    wait_for_ends(sessions)
    assert not late.exists() and not upload.exists() and not sessions.join("load 6", "other")


def test_two_people_asking_at_once_are_answered_as_if_alone(checkpoint: Any) -> None:
    model = SharedVLM(str(checkpoint("qwen2_5_vl")))
    rng = np.random.default_rng(0)
    asked = [
        conversation(Frames(rng.integers(0, 255, (n, 56, 84, 3), np.uint8), np.arange(n) * 1.0), [], text)
        for n, text in ((1, "what?"), (3, "where is the man in red?"))
    ]
    alone = [model.generate(messages, max_new_tokens=12) for messages in asked]
    together: dict[int, str] = {}

    def ask(i: int) -> None:
        together[i] = "".join(model.stream(asked[i], max_new_tokens=12)).strip()

    threads = [Thread(target=ask, args=(i,)) for i in (0, 1)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [together[0], together[1]] == alone


# Models behind a server ----------------------------------------------------------------------------------


def served(server: Any, video: Path) -> tuple[Session, Settings]:
    pytest.importorskip("openai", reason="openai is not installed (the `server` extra)")
    name = f"{server.url}#served"
    session = Session(Models([name], [Colours()]))
    session.open(video)
    return session, Settings(name, "Colours")


def test_a_question_to_a_server_is_one_request(server: Any, minute: Path) -> None:
    session, settings = served(server, minute)
    session.ask("What?", settings)
    assert [turn.state for turn in session.turns] == ["done"] and len(server.requests) == 1


def test_a_server_that_hangs_for_one_person_answers_another_and_stop_closes_its_connection(
    server: Any, minute: Path
) -> None:
    ann, settings = served(server, minute)
    bob = Session(ann.models)
    bob.open(minute)
    server.waits_for_client = True
    hanging = Thread(target=lambda: list(ann.work(lambda: ann.ask("What?", settings))))
    hanging.start()
    while not server.requests:
        Event().wait(0.01)
    server.waits_for_client = False
    bob.ask("And here?", settings)
    assert bob.turns[0].answer.endswith("pictures") and not server.client_left.is_set()
    ann.stop()
    assert server.client_left.wait(60)
    hanging.join()
    assert ann.turns[0].state == "stopped"


def test_a_server_that_dies_leaves_the_words_that_came(server: Any, minute: Path) -> None:
    session, settings = served(server, minute)
    server.breaks = "clean"
    session.ask("What?", settings)
    drawn = str(render.messages(session))
    assert session.turns[0].state == "failed" and "pictures" in drawn and "That did not work" in drawn
    assert "see its log" not in drawn and "cartoon" not in drawn


def test_a_server_classifies_by_its_answer(server: Any, minute: Path) -> None:
    session, settings = served(server, minute)
    list(session.work(lambda: session.classify(["3 pictures", "run"], settings)))
    assert session.classified.by == "answer"
    assert "The model answers: <b>" in render.classified(session)


def test_the_command_refuses_a_password_without_a_name() -> None:
    from keyframe_llm.demos.chat import run

    args = argparse.Namespace(
        model=None,
        encoder=None,
        device=None,
        prompts=None,
        host="127.0.0.1",
        port=None,
        share=False,
        auth=["ann"],
    )
    with pytest.raises(OptionsError, match="NAME:PASSWORD"):
        run(args)


# The endpoints, through the client people use ------------------------------------------------------------


@pytest.fixture(scope="module")
def client() -> Iterator[Any]:
    """A client of a page that is really served."""
    pytest.importorskip("gradio", reason="gradio is not installed (the `demo` extra)")
    from gradio_client import Client

    from keyframe_llm.demos.chat import serving

    with serving(Models([Listener()], [Colours()])) as addresses:
        with_client = Client(addresses[0], verbose=False, httpx_kwargs={"timeout": 120})
        yield with_client
        with_client.close()
    gc.collect()


def uploads(client: Any) -> list[Path]:
    import os

    folder = Path(os.environ["GRADIO_TEMP_DIR"])
    kept = ("examples", "results-")
    return [p for p in folder.rglob("*.mp4") if not p.relative_to(folder).parts[0].startswith(kept)]


def test_ask_returns_the_answer_and_files_that_open(client: Any) -> None:
    from gradio_client import handle_file

    answer, files, details = client.predict(
        video=handle_file(demo_video()), question=DEMO_QUESTION, max_frames=2, api_name="/ask"
    )
    assert answer.startswith("answer") and details["answer"] == answer
    frames = [path for path in files if path.endswith(".jpg")]
    assert len(frames) == len(details["keyframes"]) <= 2
    for path, keyframe in zip(frames, details["keyframes"], strict=True):
        assert Image.open(path).size == (480, 360) and Path(path).name == keyframe["image"]
    assert {Path(path).name for path in files} >= {"selection.json", "contact_sheet.png", "scores.png"}
    told = json.loads(next(Path(path) for path in files if path.endswith(".json")).read_text())
    assert told["video"]["name"] == details["video"]["name"] == "hidden_event.mp4"
    assert uploads(client) == []


def test_select_and_classify_return_files_too(client: Any) -> None:
    from gradio_client import handle_file

    video = handle_file(demo_video("one_walk.mp4"))
    files, details = client.predict(video=video, api_name="/select")
    assert len([path for path in files if path.endswith(".jpg")]) == len(details["keyframes"])
    label, files, details = client.predict(video=video, labels="walking, run", api_name="/classify")
    assert label == "run" and sum(details["probabilities"].values()) == pytest.approx(1.0)
    assert len(files) == len(details["keyframes"]) + 3


def test_no_other_file_and_no_address_is_read(client: Any, tmp_path: Path) -> None:
    import httpx

    secret = tmp_path / "secret.mp4"
    secret.write_bytes(demo_video("one_walk.mp4").read_bytes())
    for path in (str(secret), "http://127.0.0.1:9/video.mp4", "file:///etc/passwd"):
        told = {"path": path, "meta": {"_type": "gradio.FileData"}}  # as no upload of the client's own
        call = f"{client.src}gradio_api/call/ask"
        asked = httpx.post(call, json={"data": [told, "What?", "", 3]}, timeout=120)
        answer = httpx.get(f"{call}/{asked.json()['event_id']}", timeout=120).text
        assert "event: error" in answer and "event: complete" not in answer


@pytest.mark.parametrize(
    ("name", "content", "says"),
    [
        ("damaged.mp4", b"\0\0\0\x18ftypmp42" + bytes(500), "damaged.mp4"),
        ("empty.mp4", b"", "empty"),
    ],
)
def test_a_bad_upload_gets_a_plain_message(
    client: Any, tmp_path: Path, name: str, content: bytes, says: str
) -> None:
    from gradio_client import handle_file
    from gradio_client.exceptions import AppError

    (tmp_path / name).write_bytes(content)
    with pytest.raises(AppError, match=says) as refused:
        client.predict(video=handle_file(tmp_path / name), question="What?", api_name="/ask")
    assert "keyframe-llm-chat-" not in str(refused.value) and "Traceback" not in str(refused.value)
    assert uploads(client) == []


def event_of(client: Any, element: str, name: str) -> int:
    """The number of an event of the page's own."""
    (place,) = [each["id"] for each in client.config["components"] if each["props"].get("elem_id") == element]
    (event,) = [each["id"] for each in client.config["dependencies"] if each["targets"] == [[place, name]]]
    return int(event)


def messages_until(http: Any, client: Any, page: dict[str, str], completed: int) -> list[str]:
    """What a page is sent until so many events are over."""
    told = list[str]()
    with http.stream("GET", f"{client.src}gradio_api/queue/data", params=page) as stream:
        for line in stream.iter_lines():
            told.append(line)
            if sum('"process_completed"' in each for each in told) == completed:
                break
    return told


def test_files_that_are_dropped_together_are_opened_in_their_order(client: Any, tmp_path: Path) -> None:
    """The first takes longer to open: its answer would come last, and take the second off the page."""
    import httpx

    slow, quick = tmp_path / "slow.avi", demo_video("one_walk.mp4")
    draw(slow, [0.0], codec="png", size=(3840, 2160), pixels="rgb24")
    api, page = f"{client.src}gradio_api/", {"session_hash": "dropped"}
    with httpx.Client(timeout=120) as http:
        given = [
            http.post(f"{api}upload", files={"files": (path.name, path.read_bytes())}).json()[0]
            for path in (slow, quick)
        ]
        event = event_of(client, "kf-uploaded", "click")
        for file in given:
            asked = {"data": [], "fn_index": event, "event_data": {"file": file}, **page}
            assert http.post(f"{api}queue/join", json=asked).status_code == 200
        told = [line for line in messages_until(http, client, page, 2) if '"process_completed"' in line]
        shown = [re.findall(r"data-name=.\"([a-z_.0-9]+)", line) for line in told]
        assert shown == [["slow.avi"], ["one_walk.mp4"]]
        assert "one_walk.mp4" not in told[0] and '["slow.avi",' in told[1]
        (name,) = re.findall(r'\["slow.avi","(\w+)"\]', told[1])
        chosen = {"data": [name], "fn_index": event_of(client, "kf-videos", "input"), **page}
        assert http.post(f"{api}queue/join", json=chosen).status_code == 200
        told = [line for line in messages_until(http, client, page, 1) if "data-name" in line]
    # An event's last word says nothing: another video may have been chosen since.
    assert told and not any('"process_completed"' in line for line in told)


def test_the_endpoints_are_documented_and_the_pages_own_are_not_for_programs(client: Any) -> None:
    told = client.view_api(return_format="dict")["named_endpoints"]
    assert set(told) == {"/select", "/ask", "/classify"}
    assert "Answer a question about an uploaded video" in str(told["/ask"])
