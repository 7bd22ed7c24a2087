"""How fast slots are freed."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

SPAN: Final = 0.1
"""Seconds that are looked back at."""


class Turnover:
    """Counts ends of tasks that took no longer than a span, and forgets them soon."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._begun = clock()
        self._count = 0
        self._before = 0

    def note(self, seconds: float) -> None:
        """One more task has ended, which took so long."""
        # The slots of others will not be free when what is asked for now is here.
        if seconds <= SPAN:
            self._turn()
            self._count += 1

    @property
    def lately(self) -> int:
        """How many ended within a span that was over at most a span ago, or is not over."""
        self._turn()
        return max(self._before, self._count)

    def _turn(self) -> None:
        now = self._clock()
        passed = now - self._begun
        if passed >= SPAN:
            self._before = self._count if passed < 2 * SPAN else 0
            self._begun, self._count = now, 0
