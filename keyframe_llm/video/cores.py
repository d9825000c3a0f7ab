"""How many processor cores there are to decode with."""

from __future__ import annotations

import os

__all__ = ["CORES_VARIABLE", "available_cores"]

CORES_VARIABLE = "PYTHON_CPU_COUNT"
"""As from Python 3.13 on: how many cores a process is to use. Set by a program that starts several."""


def available_cores() -> int:
    """How many processor cores this process may use."""
    if (named := os.environ.get(CORES_VARIABLE, "")).isdecimal():
        return max(1, int(named))
    affinity = getattr(os, "sched_getaffinity", None)  # missing on macOS and Windows
    return len(affinity(0)) if affinity else os.cpu_count() or 1
