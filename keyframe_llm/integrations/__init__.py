"""Key frames inside programs that serve and judge Video-LLMs."""

from __future__ import annotations

__all__: list[str] = []
