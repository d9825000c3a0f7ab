"""Questions as people ask them, read as those that the drawn world has.

The embedded Video-LLM was taught few questions, word for word. "And where is she?" or "Which way does the man
go?" is one of them once it is known who is meant; "What is the weather like?" is none of them.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from functools import cache
from typing import Literal

from keyframe_llm.cartoon.world.language import ACTION_PHRASES, CAPTION_REQUESTS, PLACE_PHRASES
from keyframe_llm.cartoon.world.scenes import COLOURS, PLACES, SUBJECTS, THINGS

__all__ = ["Asked", "Person", "is_caption_request", "last_person", "not_understood", "read_question"]

Kind = Literal["do", "doing", "where", "beside", "when", "way", "colour", "at", "does", "near", "first"]

_TEXTS: dict[Kind, str] = {
    "do": "what does {0} do?",
    "doing": "what is {0} doing?",
    "where": "where is {0}?",
    "beside": "what is next to {0}?",
    "when": "when is {0} seen?",
    "way": "which way does {0} go?",
    "colour": "what colour does {0} wear?",
    "at": "who is {value}?",
    "does": "who {value}?",
    "near": "who is next to the {value}?",
    "first": "who is seen first, {0} or {1}?",
}
"""What the model was taught to be asked."""
_PRONOUNS = {"he": ("man", "child"), "she": ("woman", "child"), "it": ("robot",)}
"""Whom each may mean, the likeliest first."""
_SAME = {"him": "he", "her": "she"}
_LEADING = ("and", "but", "so", "then")
_LONGEST = 200
_MOST_WORDS, _LONGEST_WORD = 5, 30
_WORLD_ONLY = "The embedded model knows only its drawn world"


@dataclass(frozen=True, slots=True)
class Person:
    """Somebody as a question names them."""

    subjects: tuple[str, ...]
    """The kinds of people who may be meant: several for `he` and `she`."""
    colour: str | None = None
    """None where the question does not say."""

    def __str__(self) -> str:
        return f"the {self.subjects[0]}" + (f" in {self.colour}" if self.colour else "")


@dataclass(frozen=True, slots=True)
class Asked:
    """A question of the drawn world."""

    kind: Kind
    people: tuple[Person, ...] = ()
    value: str = ""
    """The place, action or thing by which somebody is looked for."""

    @property
    def text(self) -> str:
        """The question word for word as the model was taught it."""
        people = self.people
        if self.kind == "colour":
            people = tuple(replace(person, colour=None) for person in people)
        return _TEXTS[self.kind].format(*people, value=self.value)


def read_question(text: str) -> Asked | None:
    """The question of the drawn world that a text asks; None where it asks another one."""
    plain = _plain(text)
    for kind, form in _forms().items():
        if found := form.fullmatch(plain) if len(plain) <= _LONGEST else None:
            groups = found.groupdict()
            people = [_person(groups, number) for number in range(2)]
            value = groups.get("value") or ""
            value = PLACE_PHRASES[value] if kind == "at" else value
            return Asked(kind, tuple(person for person in people if person), value)
    return None


def is_caption_request(text: str) -> bool:
    """Whether a text asks for a caption in the words that the model was taught."""
    return _plain(text) in {_plain(request) for request in CAPTION_REQUESTS}


def last_person(texts: Sequence[str], subjects: Iterable[str]) -> Person | None:
    """The person of one of these kinds whom the texts, in the order they were said, named last."""
    named = _named_person().findall(" ".join(texts).casefold())
    fitting = [(subject, colour) for subject, colour in named if subject in set(subjects)]
    return Person((fitting[-1][0],), fitting[-1][1]) if fitting else None


def not_understood(text: str) -> str:
    """What the model says to a question it was not taught: one sentence, with the words it does not know."""
    words = [word for word in re.findall(r"\w+", _plain(text[:2000])) if word not in _known_words()]
    unknown = list(dict.fromkeys(words))
    if not unknown:
        return (
            f"{_WORLD_ONLY}, and no question like this one; ask for example “Who is in the park?” or "
            "“What does the robot do?”."
        )
    short = [w if len(w) <= _LONGEST_WORD else f"{w[:_LONGEST_WORD]}…" for w in unknown[:_MOST_WORDS]]
    more = " and others" if len(unknown) > _MOST_WORDS else ""
    plural = "s" if len(unknown) > 1 else ""
    return f"{_WORLD_ONLY}, and not the word{plural} {', '.join(f'“{word}”' for word in short)}{more}."


def _plain(text: str) -> str:
    """In lower case, without the signs around it and the words that only lead to it."""
    folded = " ".join(unicodedata.normalize("NFKC", text[:2000]).casefold().split()).replace("’", "'")
    folded = re.sub(r"'s\b", " is", folded).strip(" .,;:!?\"'“”")
    return re.sub(rf"^(?:(?:{'|'.join(_LEADING)})\b,? ?)+", "", folded)


def _person(groups: dict[str, str | None], number: int) -> Person | None:
    pronoun, subject = groups.get(f"pronoun{number}"), groups.get(f"subject{number}")
    if pronoun is not None:
        return Person(_PRONOUNS[_SAME.get(pronoun, pronoun)])
    return None if subject is None else Person((subject,), groups.get(f"colour{number}"))


@cache
def _forms() -> dict[Kind, re.Pattern[str]]:
    subjects, colours, pronouns = "|".join(SUBJECTS), "|".join(COLOURS), "|".join([*_PRONOUNS, *_SAME])

    def person(number: int) -> str:
        named = rf"(?:the|a) (?P<subject{number}>{subjects})(?: in (?P<colour{number}>{colours}))?"
        return rf"(?:{named}|(?P<pronoun{number}>{pronouns}))"

    by_trait: dict[Kind, str] = {
        "at": rf"who is (?:in|on|at) (?:the )?(?P<value>{'|'.join(PLACES)})",
        "does": rf"who (?P<value>{'|'.join(ACTION_PHRASES.values())})",
        "near": rf"who is next to (?:the|a) (?P<value>{'|'.join(THINGS)})",
    }
    forms: dict[Kind, re.Pattern[str]] = {}
    for kind, text in _TEXTS.items():
        about_people = text.rstrip("?").replace("colour", "colou?r")
        about_people = about_people.replace("{0}", person(0)).replace("{1}", person(1))
        forms[kind] = re.compile(by_trait.get(kind, about_people))
    return forms


@cache
def _named_person() -> re.Pattern[str]:
    return re.compile(rf"\b({'|'.join(SUBJECTS)}) in ({'|'.join(COLOURS)})\b")


@cache
def _known_words() -> frozenset[str]:
    phrases = [*_TEXTS.values(), *PLACE_PHRASES.values(), *ACTION_PHRASES.values(), *CAPTION_REQUESTS]
    names = [*SUBJECTS, *COLOURS, *THINGS, *_PRONOUNS, *_SAME, *_LEADING, "a", "at", "color"]
    words = re.findall(r"[a-z]+", " ".join([*phrases, *names]))
    return frozenset(words) - {"value"}
