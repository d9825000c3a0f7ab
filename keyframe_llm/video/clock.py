"""Timestamps that go on where those of the file start again or jump.

Recordings that were joined byte by byte, and transmissions that were interrupted, have several clocks. Their
first packets are key frames: all pictures before a key frame in the file are shown before it, so a key frame
with an earlier timestamp begins a clock of its own.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from av.packet import Packet

__all__ = ["Clock", "ClockRules"]


@dataclass(frozen=True, slots=True)
class ClockRules:
    """When a clock is taken for a new one. Times are in ticks of the stream's time base."""

    step: int
    """From one frame to the next."""
    slack: int
    """Timestamps may go back by this much, e.g. by rounding."""
    longest_gap: int
    """After a longer gap between frames, the clock has jumped."""
    decoding_times: bool
    """The file keeps decoding times alone."""


class Clock:
    """Corrects the timestamps of packets; it must see all those of a stream, in file order."""

    def __init__(self, rules: ClockRules) -> None:
        self._rules = rules
        self._shift = 0
        self._latest: int | None = None
        self._latest_dts: int | None = None
        self.breaks: list[int] = []
        """The corrected timestamps at which a new clock begins."""
        self.outliers = 0
        """How many impossible timestamps were removed."""

    def correct(self, packet: Packet[Any]) -> None:
        """Make the timestamps of a packet go on from those before it; remove those that are impossible."""
        stamp = packet.dts if packet.pts is None or self._rules.decoding_times else packet.pts
        if stamp is None:
            return
        stamp += self._shift
        if self._latest is not None and self._is_off(packet, stamp, self._latest):
            if not packet.is_keyframe:
                self.outliers += 1
                packet.pts = packet.dts = None
                return
            next_stamp = self._continued(packet, self._latest)
            self._shift += next_stamp - stamp
            stamp = next_stamp
            self.breaks.append(stamp)
        self._latest = stamp if self._latest is None else max(self._latest, stamp)
        packet.pts = None if packet.pts is None else packet.pts + self._shift
        packet.dts = None if packet.dts is None else packet.dts + self._shift
        self._latest_dts = packet.dts

    def _continued(self, packet: Packet[Any], latest: int) -> int:
        """The timestamp of the first packet of a new clock: both clocks, of decoding and display, go on."""
        by_display = latest + self._rules.step
        if self._latest_dts is None or packet.dts is None or packet.pts is None or self._rules.decoding_times:
            return by_display
        return max(by_display, self._latest_dts + self._rules.step + packet.pts - packet.dts)

    def _is_off(self, packet: Packet[Any], stamp: int, latest: int) -> bool:
        rules = self._rules
        if stamp > latest + rules.longest_gap:
            return True
        if packet.is_keyframe:
            return stamp < latest - rules.slack
        if packet.dts is None or self._latest_dts is None:
            return False
        return packet.dts + self._shift < self._latest_dts - rules.slack
