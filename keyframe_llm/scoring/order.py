"""Words of order in a text: "what happens after the dog jumps?" asks for what follows the jump.

As a whole, such a text fits the frames of the jump best. Taken apart, the jump is the anchor, and what is
wanted lies on one side of it in time. English alone is read, and only where an order word plainly stands
before or between clauses. Every other text has no order, and nothing changes for it.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal

from keyframe_llm.scoring.general_words import names_something

__all__ = ["Direction", "Order", "read_order"]

Direction = Literal["after", "before"]


@dataclass(frozen=True, slots=True)
class Order:
    """What a text says about when its target is shown."""

    direction: Direction
    """On which side of the anchor in time."""
    anchor: str | None
    """What happens at that time; None: the start of the video (`after`), or its end (`before`)."""
    target: str | None
    """What is looked for on that side; None: whatever is there."""

    @property
    def texts(self) -> list[str]:
        """The anchor and the target, those that there are."""
        return [text for text in (self.anchor, self.target) if text is not None]


_LONGEST = 400
_ASKS = r"(?:what|who|whom|whose|where|which|why|how|does|do|did|is|are|was|were|can|could)"
_CLOSELY = r"(?:right|just|immediately|directly|shortly|soon)"
_SIDE = r"(?P<side>after|before|prior to|following)"
_VIDEO = r"(?:video|clip|film|movie|footage|recording)"
_OF_VIDEO = rf"(?: of (?:the|this) (?:whole |entire )?{_VIDEO})?"
_START = rf"(?:at|in) the (?:very )?(?:beginning|start){_OF_VIDEO}"
_END = rf"(?:at|in) the (?:very )?end{_OF_VIDEO}"


def _form(pattern: str) -> re.Pattern[str]:
    return re.compile(pattern, re.IGNORECASE)


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


_QUESTION_FORMS = (
    _form(rf"(?P<target>{_ASKS}\b.*?),? (?:{_CLOSELY} )?{_SIDE} (?P<anchor>.+)"),
    _form(rf"(?:{_CLOSELY} )?{_SIDE} (?P<anchor>.+?)(?:, ?|,? (?=wh))(?P<target>{_ASKS}\b.+)"),
)
_CAPTION_FORMS = (
    _form(rf"(?:{_CLOSELY} )?{_SIDE} (?P<anchor>[^,]+), (?P<target>.+)"),
    _form(rf"(?P<target>.+?),? {_CLOSELY} {_SIDE} (?P<anchor>.+)"),
    _form(rf"(?P<target>.+?),? {_SIDE} (?P<anchor>(?:\w+ing|(?:he|she|it|they) \w+)\b.*)"),
)
_BOUNDS: dict[Direction, re.Pattern[str]] = {
    "before": _form(rf"(?:the )?(?:very )?end{_OF_VIDEO}|(?:the|this) {_VIDEO} (?:ends|ended|is over|stops)"),
    "after": _form(rf"the (?:very )?(?:beginning|start){_OF_VIDEO}|(?:the|this) {_VIDEO} (?:begins|starts)"),
}
"""Anchors that are the ends of the video."""
_THEN_FORM = _form(r"(?:first,? )?(?P<anchor>.+?)(?:[,;](?: and)?| and) then,? (?P<target>.+)")
_END_FORMS = (
    _form(rf"(?P<target>{_ASKS}\b.+?),? (?P<end>{_START}|{_END}|first|last)"),
    _form(rf"(?P<end>{_START}|{_END}),? (?P<target>{_ASKS}\b.+)"),
)
_THEN, _OR = _form(r"\bthen\b"), _form(r"\bor\b")
_SIDE_WORDS = _form(r"\b(?:after|before|following|prior to)\b")
_QUOTED = re.compile(r"\"[^\"]*\"|“[^”]*”|«[^»]*»|„[^“”]*[“”]|(?<!\w)'[^']*'(?!\w)|‘[^’]*’(?!\w)")

_OTHER_USES = _words(
    """
    look looks looked looking name names named naming take takes took taken taking ask asks asked asking
    call calls called model models modelled modeled pattern patterned chase chases chased chasing seek
    seeks sought lust lusts hunger hungers day night morning evening week month year hour minute second
    moment a an the this that my your his her its our their every each very titled and long much far often
    """
)
"""Words before `after` or `before` that give these another meaning: "looks after", "the day before"."""
_NEEDS_CLAUSE = _words(
    """
    up run runs ran running go goes went going gone come comes came coming hurry hurries hurried hurrying
    walk walks walked walking swim swims swam swimming fly flies flew flying stand stands stood standing
    sit sits sat sitting seated kneel kneels knelt kneeling bow bows bowed bowing
    """
)
"""Words before `after` or `before` that say no time unless a clause follows: "runs after the dog"."""
_CLAUSE = _form(
    r"(?:\w+ing|(?:he|she|it|they|someone|somebody) \w+|(?:the|a|an) \w+ (?:\w+ )*\w+(?:s|ed))\b.*"
)
_NO_VERB = _words("morning evening wedding king string thing ring building ceiling wing spring")
_NOT_FIRST = _words(
    """
    is are was were be come comes came coming in finish finishes finished place places placed arrive
    arrives arrived the a an at to for it they he she will would can could his her their that
    """
)
"""Words before `first` or `last` with which these say no time in the video: "who came first?"."""
_GENERAL = _words(
    """
    next then come comes came coming follow follows followed occur occurs occurred take takes took place
    event events action actions thing things appear appears appeared person people else immediately right
    visible first last has have had will should get gets go goes kind
    """
)
"""Words of a question that ask for nothing more definite than what happens."""
_TIMES = _words(
    """
    end ends ended beginning begins start starts over first last s sec secs min mins h hr hrs another
    other now then too ever never again once yet long while time times moment moments hour hours minute
    minutes second seconds day days night noon midnight am pm dark work few couple two three four five ten
    half several many much next certain each both
    """
)
"""Words of what is no anchor: "after a few seconds", "one after another"."""
_SUBJECT = _form(
    r"\b(?:does|do|did|is|are|was|were|can|could|has|have|had) "
    r"(?P<who>(?:the|a|an|this|that|his|her|their) \w+(?: (?:in|with) (?:(?:the|a|an) )?\w+)?)"
)
_PRONOUN = _form(r"(?:he|she|it|they) (?=\w)")


def read_order(text: str, *, is_question: bool) -> Order | None:
    """The order that a question or a caption states; None where it states none, or not plainly one.

    Of a question its first sentence is read: answers to choose from and requests may follow it.
    """
    lines = [line for line in text.strip().split("\n") if line.strip()] or [""]
    sentences = re.split(r"(?<=[.!?])\s+", " ".join((lines[0] if is_question else text)[:2000].split()))
    sentence = sentences[0].rstrip(" .!?")
    if len(sentence) > _LONGEST or (len(sentences) > 1 and not is_question):
        return None
    hidden = _QUOTED.sub(lambda quoted: "_" * len(quoted.group()), sentence)
    count, thens = len(_SIDE_WORDS.findall(hidden)), len(_THEN.findall(hidden))
    if count + thens > 1 or (thens and is_question) or _OR.search(hidden):
        return None
    if thens:
        return _in_turn(sentence, hidden)
    if count:
        return _beside_anchor(sentence, hidden, is_question)
    return _at_an_end(sentence, hidden) if is_question else None


def _beside_anchor(sentence: str, hidden: str, is_question: bool) -> Order | None:
    """What comes before or after something: "what does she do after he sits down"."""
    found = _first_match(_QUESTION_FORMS if is_question else _CAPTION_FORMS, hidden)
    if found is None:
        return None
    target, anchor = sentence[slice(*found.span("target"))], sentence[slice(*found.span("anchor"))]
    comes_last = found.start("target") < found.start("side")
    side = found["side"].casefold()
    if comes_last and _other_use(target, anchor):
        return None
    wanted = names_something([target], _GENERAL)
    if side == "following" and (not is_question or (comes_last and wanted)):
        return None  # "the man following the dog"
    direction: Direction = "before" if side in ("before", "prior to") else "after"
    if is_question and _BOUNDS[direction].fullmatch(anchor):
        return Order(direction, None, f"{target}?" if wanted else None)
    if not names_something([re.sub(r"[\d_]", "", anchor)], _TIMES):
        return None
    if is_question:
        anchor, target = _with_subject(anchor, target), f"{target}?"
    return Order(direction, anchor, target if wanted else None)


def _in_turn(sentence: str, hidden: str) -> Order | None:
    """What a caption joins by "then": "a man sits down, then a dog jumps"."""
    found = _THEN_FORM.fullmatch(hidden)
    if found is None:
        return None
    anchor, target = sentence[slice(*found.span("anchor"))], sentence[slice(*found.span("target"))]
    whole = all(len(text.split()) > 1 and names_something([text], _TIMES) for text in (anchor, target))
    return Order("after", anchor, target) if whole else None


def _at_an_end(sentence: str, hidden: str) -> Order | None:
    """What comes at the start or the end of the video: "what happens at the end", "what is shown first"."""
    found = _first_match(_END_FORMS, hidden)
    if found is None:
        return None
    target, word = sentence[slice(*found.span("target"))], found["end"].casefold()
    if word in ("first", "last"):
        words = target.casefold().split()
        if words[-1] in _NOT_FIRST or words[0] == "how":
            return None
    wanted = names_something([target], _GENERAL)
    at_start = word == "first" or re.fullmatch(_START, word) is not None
    return Order("after" if at_start else "before", None, f"{target}?" if wanted else None)


def _first_match(forms: tuple[re.Pattern[str], ...], text: str) -> re.Match[str] | None:
    return next((found for form in forms if (found := form.fullmatch(text)) is not None), None)


def _other_use(words_before: str, anchor: str) -> bool:
    """Whether `after` or `before` belongs to the word before it, or says a place."""
    words = words_before.casefold().split()
    last = words[-1]
    if last in _OTHER_USES or anchor.casefold().split()[0] == last:
        return True
    if set(words) <= {"what", "who", "which", "where", "is", "are", "was", "were"}:
        return last in ("is", "are", "was", "were")  # "who is before the house"
    if words[0] == "how" and len(words) > 1 and words[1] in ("long", "soon", "much", "many", "far", "often"):
        return True
    return last in _NEEDS_CLAUSE and not _CLAUSE.fullmatch(anchor)


def _with_subject(anchor: str, target: str) -> str:
    """The anchor with the target's subject in place of its pronoun, or before its participle."""
    subject = _SUBJECT.search(target)
    if subject is None:
        return anchor
    first = anchor.split()[0].casefold()
    if first.endswith("ing") and first not in _NO_VERB:
        return f"{subject['who']} {anchor}"
    return _PRONOUN.sub(f"{subject['who']} ", anchor, count=1) if _PRONOUN.match(anchor) else anchor
