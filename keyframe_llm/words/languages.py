"""Language tags as files state them (`eng`, `ger`, `pt_BR`), made comparable."""

from __future__ import annotations

__all__ = ["distance", "known_tag"]

FAR = 1000
"""The distance of two languages that have nothing to do with each other."""
_CLOSE = 10  # of dialects, scripts and spellings that a reader of the one understands
_UNDETERMINED = "und"


def known_tag(text: str | None) -> str | None:
    """The shortest tag for a language (`eng` → `en`); None where the text names none that is registered."""
    if not text:
        return None
    from langcodes import standardize_tag, tag_is_valid
    from langcodes.tag_parser import LanguageTagError

    try:
        tag = standardize_tag(text)
    except LanguageTagError:
        return None
    return tag if tag_is_valid(tag) and tag != _UNDETERMINED else None


def distance(asked: str, found: str | None) -> int:
    """How far a language is from the one asked for: 0 the same, 1000 another; one that is not stated between.

    Raises `langcodes.tag_parser.LanguageTagError` where `asked` is no tag.
    """
    if found is None:
        return FAR // 2
    from langcodes import tag_distance

    far = tag_distance(asked, found)
    return far if far <= _CLOSE else FAR
