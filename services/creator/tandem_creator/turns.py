"""Whose turn it is among lanes: the most urgent one's, and sometimes another's."""

from __future__ import annotations

from collections.abc import Collection
from typing import Final

from tandem_creator.store.places import Lane

FAIR_TURN: Final = 4
"""Every so many turns the lane that has waited longest is served, however urgent."""


class Turns:
    """Turns given so far."""

    def __init__(self) -> None:
        self._count = 0
        self._served: dict[int, int] = {}

    def next(self, lanes: Collection[Lane]) -> Lane:
        """One of the lanes. Between equals it goes round."""
        self._count += 1
        if self._count % FAIR_TURN == 0:
            lane = min(lanes, key=self._last_served)
        else:
            lane = min(lanes, key=lambda each: (each.priority, self._last_served(each)))
        self._served[lane.lane_id] = self._count
        return lane

    def _last_served(self, lane: Lane) -> int:
        return self._served.get(lane.lane_id, 0)
