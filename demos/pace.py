"""How much of a job is done, measured in time: a stage has the share of the bar that it has of the wait."""

from __future__ import annotations

from collections.abc import MutableMapping

from keyframe_llm.data import STAGES

__all__ = ["USUAL_SECONDS", "Pace"]

USUAL_SECONDS = {"decode": 6.0, "propose": 1.0, "caption": 3.0, "embed": 4.0, "score": 0.1, "classify": 2.0}
"""What stages take before any was measured."""
_LEAST_SHARE = 0.03
"""Of a stage: with less done, its speed says nothing yet."""
_NEVER_FULL = 0.97
"""A job that is not done is never shown as if it were."""


class Pace:
    """The progress of one job. `usual` holds the seconds of each stage; later jobs learn from it."""

    def __init__(self, usual: MutableMapping[str, float]) -> None:
        self._usual = usual
        self._spent: dict[str, float] = {}
        self._stage, self._since, self._now = "", 0.0, 0.0
        self.done = 0.0
        """How much of the job's time has passed, 0–1."""
        self.stage_end = 0.0
        """How much will have passed at the end of the present stage, 0–1, as far as can be said."""
        self.stage_seconds = 0.0
        """How long that will be."""

    def reached(self, stage: str, share: float, now: float) -> None:
        """Note that a stage is done to a share, 0–1; `now` is a clock's time in seconds."""
        if stage != self._stage:
            self._close(now)
            self._stage, self._since = stage, now
        self._now = now
        taken = now - self._since
        whole = taken / share if share > _LEAST_SHARE else max(self._usual.get(stage, 0.0), 1.5 * taken)
        passed = sum(self._spent.values()) + taken
        self.stage_seconds = max(0.0, whole - taken)
        total = passed + self.stage_seconds + self._later(stage)
        self.done = max(self.done, min(_NEVER_FULL, passed / total if total else 0.0))
        end = (passed + self.stage_seconds) / total if total else 0.0
        self.stage_end = max(self.done, min(_NEVER_FULL, end))

    def learn(self, now: float) -> None:
        """Have later jobs expect what this one took; called at its end."""
        self._close(now)
        for stage, seconds in self._spent.items():
            self._usual[stage] = (self._usual.get(stage, seconds) + seconds) / 2

    def _close(self, now: float) -> None:
        if self._stage:
            self._spent[self._stage] = self._spent.get(self._stage, 0.0) + now - self._since
        self._since = now

    def _later(self, stage: str) -> float:
        """Seconds of the stages that a job comes to after this one, less those that it has been through."""
        order = [name for name in STAGES if name != "classify"]
        after = order[order.index(stage) + 1 :] if stage in order else []
        return sum(self._usual.get(name, 0.0) for name in after if name not in self._spent)
