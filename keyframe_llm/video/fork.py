"""Decoders and forked processes: a child neither uses nor frees a decoder that its parent opened.

A decoder has threads of its own, and they do not exist in a forked child. Both decoding and freeing would
wait for them for ever.
"""

from __future__ import annotations

import ctypes
import os
from typing import Any
from weakref import WeakSet

__all__ = ["Forkable", "keep_for_ever"]


class Forkable:
    """An object with native threads. `inherited` is True in a child process forked since it was made."""

    inherited = False

    def __init__(self) -> None:
        _live.add(self)

    def native_objects(self) -> list[Any]:
        """The objects that must not be freed in a child."""
        raise NotImplementedError


_live: WeakSet[Forkable] = WeakSet()


def keep_for_ever(native: Any) -> None:
    """Take a reference to an object that is never given back, so that the object is never freed."""
    ctypes.pythonapi.Py_IncRef(ctypes.py_object(native))


def _disown() -> None:
    for each in list(_live):
        each.inherited = True
        for native in each.native_objects():
            keep_for_ever(native)
    _live.clear()


if hasattr(os, "register_at_fork"):  # missing on Windows
    os.register_at_fork(after_in_child=_disown)
