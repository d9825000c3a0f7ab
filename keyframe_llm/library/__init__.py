"""Many videos: indexed once, searched, and worked through in batches."""

from __future__ import annotations

__all__: list[str] = []
