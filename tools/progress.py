"""How far a call is, in percent and in words."""

from __future__ import annotations

from keyframe_llm.data import STAGES

__all__ = ["stage_percent", "stage_words"]

_PERCENT = {
    "decode": (1, 60),
    "propose": (60, 62),
    "caption": (62, 75),
    "embed": (75, 90),
    "score": (90, 92),
    "answer": (92, 98),
    "classify": (92, 98),
}
"""The share of a call, in percent, that each stage takes: where it begins and ends."""


def stage_percent(stage: str, share: float) -> float:
    """How much of a call is done, in percent, when this share, 0–1, of a stage is."""
    begin, end = _PERCENT.get(stage, (0, 1))
    return begin + share * (end - begin)


def stage_words(stage: str, share: float) -> str:
    """What is done now; of the reading also how much of it is done."""
    return STAGES.get(stage, stage) + (f", {int(share * 10) * 10} %" if stage == "decode" else "")
