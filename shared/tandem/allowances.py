"""How much each caller may ask for: calls a second, and streams at once."""

from __future__ import annotations

import time
from collections import Counter, OrderedDict
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Final

from tandem.access import Caller
from tandem.errors import RateLimited

MOST_KEPT: Final = 10_000
"""Callers whose rate is kept. One that was not heard of for longest begins anew."""

MOST_STREAMS: Final = 1_000
"""Of one caller, unless the settings say otherwise."""

LEAST_PAUSE: Final = 0.01
"""Seconds. A pause that rounds to none would be no pause."""


@dataclass(slots=True)
class _Budget:
    """The calls that a caller may still begin, and when that was so."""

    calls: float
    at: float


class Allowances:
    """Counts for each caller, in this process alone.

    Where authentication is off, everybody is one caller.
    """

    def __init__(self, *, rate: int = 0, streams: int = MOST_STREAMS) -> None:
        """Nobody has asked for anything yet.

        Args:
            rate: calls a second, and at once after a second without any; 0: no limit.
            streams: open at once.
        """
        self._rate = rate
        self._most_streams = streams
        self._budgets: OrderedDict[str, _Budget] = OrderedDict()
        self._streams: Counter[str] = Counter()

    def spend(self, caller: Caller) -> None:
        """Let the caller begin a call.

        Raises:
            RateLimited: with the time until one more is allowed.
        """
        if not self._rate:
            return
        budget = self._budget(caller.name)
        if budget.calls < 1:
            refusal = RateLimited(
                f"more than {self._rate} calls a second; send the same request later"
            )
            refusal.retry_after = max((1 - budget.calls) / self._rate, LEAST_PAUSE)
            raise refusal
        budget.calls -= 1

    def _budget(self, name: str) -> _Budget:
        """What there is now: it grows with time, up to what one second allows."""
        now = time.monotonic()
        budget = self._budgets.setdefault(name, _Budget(self._rate, now))
        self._budgets.move_to_end(name)
        if len(self._budgets) > MOST_KEPT:
            self._budgets.popitem(last=False)
        grown = budget.calls + (now - budget.at) * self._rate
        budget.calls, budget.at = min(grown, self._rate), now
        return budget

    @contextmanager
    def streaming(self, caller: Caller) -> Iterator[None]:
        """One stream of the caller, for the length of a block.

        Raises:
            RateLimited: it has as many open as it may.
        """
        if self._streams[caller.name] >= self._most_streams:
            raise RateLimited(
                f"{self._most_streams} streams are open, which is the most for a caller;"
                " end one of them first"
            )
        self._streams[caller.name] += 1
        try:
            yield
        finally:
            self._streams[caller.name] -= 1
            if not self._streams[caller.name]:
                del self._streams[caller.name]
