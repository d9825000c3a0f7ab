"""Counts the work done on one file, and bounds it."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["Work"]


@dataclass(slots=True)
class Work:
    """What all readers of one file have done together."""

    packets: int = 0
    """How many packets were decoded."""
    budget: int | None = None
    """After so many, no more seeks are tried, and the file is read forwards; None: it is not known yet."""

    @property
    def exhausted(self) -> bool:
        """Whether the budget is spent."""
        return self.budget is not None and self.packets > self.budget
