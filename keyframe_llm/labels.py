"""Lists of labels: from a file or a line, and the words a model reads for them.

Data sets write actions as `ApplyEyeMakeup` (UCF101), `brush_hair` (HMDB51) or `air drumming` (Kinetics). They
are taken, and given back, as they are; what a model is shown are their words.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

from keyframe_llm.errors import OptionsError

__all__ = ["label_words", "parse_labels", "read_labels", "unique_labels"]

_CAMEL = re.compile(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])")
_NUMBERED = re.compile(r"\d+[\s,;:\t]+(?=\S)")
_HEADERS = {"id,name", "index,label", "id,label", "label", "name"}


def parse_labels(text: str) -> list[str]:
    """Labels of a command line: `walk,wave`, or `@file` for a file of them (see `read_labels`)."""
    return read_labels(text[1:]) if text.startswith("@") else unique_labels(text.split(","))


def read_labels(path: str | Path) -> list[str]:
    """Labels of a text file, one a line, in order, each once.

    A number before a label is left out, as in UCF101's `1 ApplyEyeMakeup` and Kinetics' `0,abseiling`; so are
    a heading line such as `id,name`, empty lines, and lines that begin with `#`. Raises `OptionsError` where
    the file cannot be read or holds fewer than two labels.
    """
    try:
        lines = Path(path).expanduser().read_text(encoding="utf-8-sig").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise OptionsError(
            f"the labels {str(path)!r} cannot be read ({error}); give a text file, a label a line"
        ) from error
    kept = [line.strip() for line in lines if line.strip() and not line.lstrip().startswith("#")]
    if kept and kept[0].lower().replace(" ", "") in _HEADERS:
        del kept[0]
    if kept and all(_NUMBERED.match(line) for line in kept):
        kept = [_NUMBERED.sub("", line, count=1) for line in kept]
    return unique_labels([line.strip("\"' ") for line in kept])


def unique_labels(labels: Sequence[str]) -> list[str]:
    """The labels in order, each once, without blanks around; raises `OptionsError` on fewer than two."""
    names = [] if isinstance(labels, str) else list(dict.fromkeys(s.strip() for s in labels if s.strip()))
    if len(names) < 2:
        raise OptionsError(f"labels are {labels!r}; give at least two different ones")
    return names


def label_words(labels: Sequence[str]) -> list[str]:
    """The words of each label: `ApplyEyeMakeup` → `apply eye makeup`, `brush_hair` → `brush hair`.

    Where any of them is in CamelCase all of that list's single words are, `Archery` too; a run of capitals
    (`TV`) stays. Two labels that come to the same words keep their own spelling.
    """
    camel = any(re.fullmatch(r"[A-Z][A-Za-z0-9]*[a-z0-9][A-Z][A-Za-z0-9]*", label) for label in labels)
    words = [_words(label, camel) for label in labels]
    return [label if words.count(word) > 1 else word for label, word in zip(labels, words, strict=True)]


def _words(label: str, camel: bool) -> str:
    spaced = " ".join(label.replace("_", " ").split())
    if not camel or not re.fullmatch(r"[A-Za-z0-9]+", label):
        return spaced
    parts = _CAMEL.split(spaced)
    return " ".join(part if len(part) > 1 and part.isupper() else part.lower() for part in parts)
