"""The bundled videos, drawn by the project: `python -m keyframe_llm.demos.videos` draws them again."""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from importlib import resources
from pathlib import Path

from keyframe_llm.cartoon.world.language import caption
from keyframe_llm.cartoon.world.scenes import Clip, Scene, SceneFrame
from keyframe_llm.cartoon.world.video import write_clip

__all__ = ["DEMO_QUESTION", "DRAWN_QUESTIONS", "EXAMPLES", "Example", "demo_clips", "demo_video", "draw"]

DEMO_QUESTION = "What is the robot in purple doing?"
"""Its answer lies in two seconds of `hidden_event.mp4`."""
DRAWN_QUESTIONS = ("What happens in the video?", "Where is the man?", "What does the woman do?")
"""What the embedded models can be asked about any drawn video."""


@dataclass(frozen=True, slots=True)
class Example:
    """A bundled video as the chat page offers it."""

    title: str
    poster_seconds: float
    questions: tuple[str, ...]
    """What the embedded models can be asked about it."""


EXAMPLES = {
    "hidden_event.mp4": Example(
        "A minute, and two seconds that matter",
        31.5,
        (DEMO_QUESTION, "Who is on the beach?", "What does the woman in yellow do?"),
    ),
    "three_scenes.mp4": Example(
        "Three scenes",
        3.0,
        ("What is the woman in orange doing?", "Who is in the desert?", "Who plays the guitar?"),
    ),
    "one_walk.mp4": Example(
        "One walk",
        3.0,
        (
            "What does the man in green do?",
            "Where is the man in green?",
            "Which way does the man in green go?",
        ),
    ),
}
"""File name → how it is shown."""

_MAN = Scene("man", "red", "park", "read", "dog", 1, 11)
_WOMAN = Scene("woman", "yellow", "kitchen", "guitar", "cat", 1, 5)
_CHILD = Scene("child", "blue", "beach", "kick", "balloon", 1, 23)
_ROBOT = Scene("robot", "purple", "mountains", "kite", "snowman", -1, 31)
_CLIMBER = Scene("woman", "orange", "street", "climb", "car", 1, 41)
_WALKER = Scene("man", "green", "desert", "walk", "tent", -1, 53)


def _in_turn(*parts: tuple[Scene, float], event: int | None = None) -> Clip:
    scenes, start = [], 0.0
    for scene, seconds in parts:
        scenes.append(replace(scene, start=start, end=start + seconds))
        start += seconds
    return Clip(tuple(scenes), event)


def demo_clips() -> dict[str, Clip]:
    """File name → what it shows."""
    return {
        "hidden_event.mp4": _in_turn(
            (_MAN, 17.0), (_WOMAN, 13.5), (_ROBOT, 2.0), (_CHILD, 14.0), (_MAN, 13.5), event=2
        ),
        "three_scenes.mp4": _in_turn((_CLIMBER, 6.0), (_WOMAN, 5.0), (_WALKER, 7.0)),
        "one_walk.mp4": _in_turn((_WALKER, 6.0)),
    }


def demo_video(name: str = "hidden_event.mp4") -> Path:
    """Path of a bundled video."""
    return Path(str(resources.files("keyframe_llm.demos") / "clips" / name))


def draw(folder: Path) -> None:
    """Draw all bundled videos and write beside them what they show."""
    folder.mkdir(parents=True, exist_ok=True)
    described = {}
    for name, clip in demo_clips().items():
        write_clip(clip, folder / name, width=480, height=360, smooth=2)
        described[name] = [
            {
                "start": s.start,
                "end": s.end,
                "caption": caption([SceneFrame(s, s.start), SceneFrame(s, s.end)]),
            }
            for s in clip.scenes
        ]
    (folder / "scenes.json").write_text(json.dumps(described, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    draw(Path(__file__).parent / "clips")
