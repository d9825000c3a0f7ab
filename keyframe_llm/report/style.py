"""Colours, lettering and headings that the pictures of a selection share."""

from __future__ import annotations

import textwrap
from pathlib import Path
from typing import TYPE_CHECKING

from PIL import ImageFont

if TYPE_CHECKING:
    from keyframe_llm.selection import Selection

__all__ = ["GREY", "INK", "PAPER", "PARTS", "PICK", "WORDS", "drawable", "font", "title_lines"]

# Okabe and Ito's colours, different to every kind of colour vision; line styles repeat the difference.
INK, GREY, PAPER, PICK = "#1b1f24", "#6b7280", "#ffffff", "#d55e00"
PARTS = (("semantic", "#0072b2", "-"), ("temporal", "#009e73", "--"), ("drop", "#cc79a7", "-."))
WORDS = ("words", "#e69f00", ":")
_MOST_TITLE_LINES = 3


def title_lines(selection: Selection, characters: int) -> list[str]:
    """The question or the caption in at most three lines; without either, the name of the video."""
    text = drawable(selection.question or selection.caption or Path(selection.video.path).name)
    wrap = textwrap.TextWrapper(characters, max_lines=_MOST_TITLE_LINES, placeholder=" …")
    return wrap.wrap(" ".join(text.split())) or ["(no text)"]


def drawable(text: str) -> str:
    """The text with what is no Unicode, such as the bytes of an old file name, in escapes."""
    return text.encode("utf-8", "backslashreplace").decode("utf-8")


def font(size: int, *, bold: bool = False) -> ImageFont.FreeTypeFont:
    """The font that comes with matplotlib, at a size in pixels."""
    import matplotlib

    name = "DejaVuSans-Bold.ttf" if bold else "DejaVuSans.ttf"
    return ImageFont.truetype(str(Path(matplotlib.get_data_path()) / "fonts" / "ttf" / name), size)
