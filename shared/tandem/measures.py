"""What a process counts of itself, cheaply: plain numbers, put into words when asked for.

One thread writes and reads them, that of the event loop.
"""

from __future__ import annotations

from bisect import bisect_left
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final

CALL_BOUNDS: Final = (
    *(0.001, 0.002, 0.005, 0.01, 0.02, 0.05),
    *(0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0),
)
"""Seconds."""

BATCH_BOUNDS: Final = (1.0, 2.0, 5.0, 10.0, 20.0, 50.0, 100.0, 200.0, 500.0, 1000.0)
"""Members of a batch."""

ATTEMPT_BOUNDS: Final = (
    *(0.01, 0.05, 0.1, 0.5, 1.0, 5.0, 10.0),
    *(30.0, 60.0, 300.0, 900.0, 3600.0),
)
"""Seconds. A handler may take its time."""


class Spread:
    """Values by size: how many are in each bucket, and their sum."""

    __slots__ = ("bounds", "counts", "total")

    def __init__(self, bounds: Sequence[float]) -> None:
        """Nothing yet.

        Args:
            bounds: the largest value of each bucket, ascending. One more takes the rest.
        """
        self.bounds = bounds
        self.counts = [0] * (len(bounds) + 1)
        self.total = 0.0

    @property
    def count(self) -> int:
        return sum(self.counts)

    def add(self, value: float) -> None:
        self.counts[bisect_left(self.bounds, value)] += 1
        self.total += value


@dataclass(slots=True)
class MethodCounts:
    """The calls of one method."""

    seconds: Spread | None
    """None for streams: they take as long as their caller likes."""

    ended: Counter[str] = field(default_factory=Counter)
    """By outcome: OK, CANCELLED, or the error's reason."""

    open: int = 0
    """Streams that have begun and not ended. Calls that are no streams never count."""

    def end(self, outcome: str, seconds: float) -> None:
        self.ended[outcome] += 1
        if self.seconds is not None:
            self.seconds.add(seconds)


@dataclass(slots=True)
class CallCounts:
    """The calls of one service, by method."""

    methods: dict[str, MethodCounts] = field(default_factory=dict)

    def add_method(self, name: str, *, is_stream: bool) -> MethodCounts:
        """The counts of this method, all of them 0."""
        seconds = None if is_stream else Spread(CALL_BOUNDS)
        self.methods[name] = MethodCounts(seconds)
        return self.methods[name]
