"""Words of English that name nothing a frame could show."""

from __future__ import annotations

import re
from collections.abc import Collection, Sequence

__all__ = ["names_something"]

_ABOUT_NOTHING = frozenset(
    re.findall(
        r"\w+",
        """
    a an the this that these those it its is are was were be been do does did doing what which who whom
    where when why how and or of in on at to for with from about into here there you i we they he she
    his her their can could would please me us tell say describe summarize summarise explain give show
    shows shown showing see seen happen happens happened happening going on off video videos clip clips
    film movie footage scene scenes frame frames picture pictures image images content main brief
    briefly detail details short sentence one story whole all any some something somebody someone
    anything
    """,
    )
)


def names_something(texts: Sequence[str], but: Collection[str] = ()) -> bool:
    """Whether some text names a thing, a person or an action; "What happens in the video?" does not.

    Only general words of English are known: a text in another language names something. The words of `but`
    are taken for general ones, too.
    """
    words = {word for text in texts for word in re.findall(r"\w+", text.casefold())}
    return not words - _ABOUT_NOTHING <= set(but)
