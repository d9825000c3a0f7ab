"""What is said and written in the drawn world: facts that a question asks for, among other talk.

Nothing that is said has to do with what is seen, unless there is `gossip`: talk about people like those in
the clip, at other times than theirs, which would mislead whoever takes words for pictures.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from keyframe_llm.cartoon.world.language import person_phrase
from keyframe_llm.cartoon.world.scenes import Clip
from keyframe_llm.words import Cue, CueSource

__all__ = ["Fact", "Talk", "draw_sign", "gossip_about", "random_talk"]

_SITES = (
    "harbour",
    "museum",
    "library",
    "bakery",
    "market",
    "theatre",
    "pharmacy",
    "station",
    "school",
    "zoo",
)
_NAMES = ("Miriam", "Oscar", "Leila", "Tobias", "Ingrid", "Pedro", "Yusuf", "Clara", "Hanna", "Viktor")
_FACTS = (
    ("The {site} opens at {number} tomorrow.", "When does the {site} open?"),
    ("{name} lost the keys to the {site}.", "Who lost the keys to the {site}?"),
    ("The ticket for the {site} costs {number} crowns.", "How much is the ticket for the {site}?"),
    ("{name} was born in a town behind the {site}.", "Where was {name} born?"),
    ("Next year the {site} will be painted again.", "What is said about the {site}?"),
    ("The password of the {site} is {word}.", "What is the password of the {site}?"),
    ("{name} wants to sell the old {word}.", "What does {name} want to sell?"),
    ("There are {number} steps up to the {site}.", "How many steps lead up to the {site}?"),
)
_WORDS = ("pomegranate", "thunderbolt", "marmalade", "clarinet", "telescope", "lantern", "cinnamon", "anchor")
_CHATTER = (
    "Well, let us see what comes next.",
    "I think that is a good idea.",
    "Yes, of course, thank you very much.",
    "And then we went home.",
    "It was a long day for all of us.",
    "Do you know what I mean?",
    "Okay, so, where were we?",
    "This is the first time I have seen it.",
    "Let me show you how it works.",
    "We had a lot of fun there.",
    "In the end it does not matter.",
    "They have been here since the morning.",
    "Could you please say that again?",
    "She was looking at me all the time.",
    "That is how it is done.",
    "What did he say to you?",
    "It goes on and on, does it not?",
    "Nobody told me about it.",
)
_GOSSIP = (
    "I met {who} last week, a nice fellow.",
    "My neighbour is {who}, you know.",
    "Have you heard of {who} lately?",
    "They say {who} never pays.",
)


@dataclass(frozen=True, slots=True)
class Fact:
    """A sentence that is said or written once, and the question that asks for it."""

    sentence: str
    question: str


@dataclass(frozen=True, slots=True)
class Talk:
    """The cues of a clip, and the facts among them."""

    cues: tuple[Cue, ...]
    facts: tuple[tuple[Fact, Cue], ...]


def _random_facts(rng: np.random.Generator, count: int) -> list[Fact]:
    """Facts of different kinds, places, names and words; at most eight."""
    sites, names, words = (rng.permutation(values).tolist() for values in (_SITES, _NAMES, _WORDS))
    facts = []
    for i, kind in enumerate(rng.permutation(len(_FACTS))[:count]):
        values = {"site": sites[i], "name": names[i], "word": words[i], "number": int(rng.integers(11, 99))}
        facts.append(Fact(*(form.format(**values) for form in _FACTS[kind])))
    return facts


def random_talk(
    rng: np.random.Generator,
    seconds: float,
    *,
    facts: int = 3,
    gossip: Sequence[str] = (),
    source: CueSource = "subtitle",
    least_seconds: float = 1.5,
) -> Talk:
    """Talk for a video of that length: a cue of up to 3.4 s every 4 s or so, `facts` of them facts.

    One in three of the others is one of the `gossip`, where there is some.
    """
    starts = np.arange(1.0, max(4.0 * facts + 2.0, seconds - 4.0), 4.0)
    planted = dict(zip(rng.permutation(len(starts))[:facts].tolist(), _random_facts(rng, facts), strict=True))
    cues, found = [], []
    for i, start in enumerate(starts):
        begin = float(start + rng.uniform(0, 0.5))
        idle = gossip if len(gossip) and rng.random() < 1 / 3 else _CHATTER
        text = planted[i].sentence if i in planted else str(idle[int(rng.integers(len(idle)))])
        cues.append(Cue(begin, begin + float(rng.uniform(least_seconds, 3.4)), text, source, "en"))
        if i in planted:
            found.append((planted[i], cues[-1]))
    return Talk(tuple(cues), tuple(found))


def gossip_about(clip: Clip) -> list[str]:
    """Sentences about every person of a clip."""
    people = sorted({person_phrase(scene, "a") for scene in clip.scenes})
    return [form.format(who=who) for who in people for form in _GOSSIP]


def draw_sign(picture: NDArray[np.uint8], text: str, *, share: float = 20 / 720) -> NDArray[np.uint8]:
    """The picture, (H, W, 3), with a white sign that bears a text; letters of that share of the height."""
    image: Any = Image.fromarray(picture)
    pen = ImageDraw.Draw(image)
    size = max(1.0, share * image.height)
    font = ImageFont.load_default(size)
    left, top = image.width * 0.05, image.height * 0.06
    box = pen.textbbox((left, top), text, font=font)
    pen.rectangle(
        (box[0] - size, box[1] - size / 2, box[2] + size, box[3] + size / 2), (245, 245, 240), (30, 30, 30)
    )
    pen.text((left, top), text, font=font, fill=(25, 25, 30))
    return np.asarray(image)
