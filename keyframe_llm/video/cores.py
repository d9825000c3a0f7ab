"""How many processor cores there are to decode with."""

from __future__ import annotations

import os

__all__ = ["available_cores"]


def available_cores() -> int:
    """How many processor cores this process may use."""
    affinity = getattr(os, "sched_getaffinity", None)  # missing on macOS and Windows
    return len(affinity(0)) if affinity else os.cpu_count() or 1
