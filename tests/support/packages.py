"""Marks of tests that need a package which may be missing."""

from __future__ import annotations

from importlib.util import find_spec

import pytest

__all__ = ["needs"]


def needs(package: str, of: str) -> pytest.MarkDecorator:
    """Skip where the package is missing, without importing it: every worker collects every file."""
    return pytest.mark.skipif(find_spec(package) is None, reason=f"{package} is not installed ({of})")
