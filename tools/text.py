"""Text from files, videos, models and agents, made safe to show: printable, and not too long."""

from __future__ import annotations

from keyframe_llm.errors import as_one_line

__all__ = ["printable", "printable_lines"]

_CUT = "…"


def printable(text: str, most: int | None = 300) -> str:
    r"""The text on one line of at most `most` letters (None: any number); a longer one loses its middle.

    Letters that cannot be printed become escapes: new lines (`\n`), escape codes of terminals (`\x1b`), marks
    that change the direction of text (`\u202e`), invisible letters, and bytes that are no UTF-8 (`\udcff`).
    """
    line = as_one_line(text)
    if most is None or len(line) <= most:
        return line
    end = (most - len(_CUT)) // 2
    return line[: most - len(_CUT) - end] + _CUT + line[len(line) - end :]


def printable_lines(text: str) -> str:
    """The text with every line printable, of any length."""
    return "\n".join(printable(line, None) for line in text.split("\n"))
