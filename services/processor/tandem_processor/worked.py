"""What this process has claimed, run and reported, over all its lives."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field

from tandem.errors import LeaseLost
from tandem.measures import ATTEMPT_BOUNDS, BATCH_BOUNDS, Spread


@dataclass(slots=True)
class Worked:
    """Counted since the process started."""

    claimed: int = 0
    refused: int = 0
    """Ids that were to be claimed, and were not: another processor has the task, say."""

    running: int = 0
    """Attempts whose handler has not ended."""

    attempts: Counter[tuple[str, str]] = field(default_factory=Counter)
    """By the task's type and the word that the log has for the outcome."""

    seconds: dict[str, Spread] = field(default_factory=dict)
    """How long attempts took, by type."""

    leases_lost: int = 0
    """Attempts whose claim was another's before their end was kept."""

    reports: Spread = field(default_factory=lambda: Spread(BATCH_BOUNDS))
    """Outcomes in each micro-batch."""

    buried: int = 0
    """Processors that this one declared dead."""

    returned: Counter[str] = field(default_factory=Counter)
    """Their tasks, by the state that each was left in."""

    def claim(self, *, tried: int, claimed: int) -> None:
        """A claim statement has answered."""
        self.claimed += claimed
        self.refused += tried - claimed

    def end(self, type_: str, outcome: str, seconds: float) -> None:
        """An attempt is over, whatever it came to."""
        self.attempts[type_, outcome] += 1
        self.leases_lost += outcome == LeaseLost.reason
        if type_ not in self.seconds:
            self.seconds[type_] = Spread(ATTEMPT_BOUNDS)
        self.seconds[type_].add(seconds)

    def bury(self, states: Iterable[str]) -> None:
        """A processor was declared dead, and its tasks left in these states."""
        self.buried += 1
        self.returned.update(states)
