"""Texts of people and models, made to be shown as they are: no HTML, picture or link of their own."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator

__all__ = ["as_data", "clean", "cleaned", "shown_name"]

_BROKEN = re.compile("[\ud800-\udfff]")
"""Halves of signs such as smileys, which no encoding can write."""
_CONTROLS = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f]")
_TURNS = re.compile("[\u202a-\u202e\u2066-\u2069]")
_CODE = re.compile(
    r"^ {0,3}(?P<fence>`{3,}|~{3,})[^\n`]*\n(?P<block>.*?)(?:^ {0,3}(?P=fence)[`~]*[ \t]*$\n?|\Z)"
    r"|(?<!`)(?P<ticks>`+)(?!`)(?P<span>(?:(?!\n\s*\n).)+?)(?<!`)(?P=ticks)(?!`)",
    re.MULTILINE | re.DOTALL,
)
"""Code as Markdown has it: between lines of backticks or tildes, or inside a line. An answer that is being
written may end inside it."""
_ACTIVE = re.compile(r"[!`\[\]<>&@]|(?<=:)//|(?<=www)\.", re.IGNORECASE)
"""What begins code, HTML, a picture, a link or an address that becomes one."""
_INDENT = re.compile(r"^(?: {4,}| *\t[ \t]*)(?=\S)(?![-*+] |\d+[.)] )", re.MULTILINE)
"""Makes code of a line, unless a list goes on there."""


def clean(text: str) -> str:
    """The text without control characters, and with a sign in place of broken halves of signs."""
    return _CONTROLS.sub("", _BROKEN.sub("\ufffd", text.replace("\r\n", "\n").replace("\r", "\n")))


def cleaned(pieces: Iterable[str]) -> Iterator[str]:
    """The pieces of a text as `clean` gives it; a sign whose halves come in two pieces is put together."""
    held = ""
    for piece in pieces:
        whole = (held + piece).encode("utf-16-le", "surrogatepass").decode("utf-16-le", "surrogatepass")
        held = whole[-1:] if "\ud800" <= whole[-1:] <= "\udbff" else ""
        yield clean(whole[: len(whole) - len(held)])
    if held:
        yield clean(held)


def shown_name(name: str) -> str:
    """The name of a file without signs that turn the direction of what follows: `gpj.mp4` stays so."""
    return _TURNS.sub("", clean(name))


def as_data(text: str) -> str:
    """A text from a person or a model as Markdown that shows it; what is code in it is shown as code.

    Everything is escaped, in code too: what counts as code decides how it looks, and nothing else.
    """
    parts, at = list[str](), 0
    for found in _CODE.finditer(text):
        parts += [_escaped(text[at : found.start()]), _code(found)]
        at = found.end()
    return "".join([*parts, _escaped(text[at:])])


def _escaped(text: str) -> str:
    return _ACTIVE.sub(_entities, _INDENT.sub("   ", text))


def _code(found: re.Match[str]) -> str:
    text = found["span"].strip() if found["ticks"] else found["block"]
    shown = f"<code>{re.sub('[^a-zA-Z ]', _entities, text)}</code>"  # digits too: no times are linked there
    return shown if found["ticks"] else f"\n\n<pre>{shown}</pre>\n\n"


def _entities(found: re.Match[str]) -> str:
    return "".join(f"&#{ord(sign)};" for sign in found[0])
