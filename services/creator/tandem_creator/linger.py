"""How long a micro-batch waits for more: not at all when idle, a moment under load."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Final

from tandem.happening import happens

LONGEST_WAIT: Final = 0.010
"""Seconds: what a batch takes where there is load."""

LOAD: Final = 8
"""Creates on their way from which there is load. Below, waiting only costs."""

FRESH: Final = 0.05
"""Seconds after which the last batch says nothing about the load any more."""


class Linger:
    """Callers that were just answered are about to send again: wait for half of them.

    Without it the first of them would take a commit for itself alone, while the
    others wait for that commit. The other half comes while this one commits. Those
    that waited already count as well: a server without time to spare would stay with
    small batches, which leave it none.
    """

    def __init__(
        self, clock: Callable[[], float], *, longest: float = LONGEST_WAIT
    ) -> None:
        self._clock = clock
        self._longest = longest
        self._wanted = 0
        self._last_end = 0.0
        self._enough = asyncio.Event()

    def flushed(self, on_their_way: int) -> None:
        """A batch was answered just now; with all that wait, it is so many creates."""
        self._wanted = on_their_way // 2 if on_their_way >= LOAD else 0
        self._last_end = self._clock()

    def arrived(self, waiting: int) -> None:
        """So many creates are waiting now."""
        if waiting >= self._wanted:
            self._enough.set()

    async def wait(self, waiting: int) -> None:
        """Return once enough of them wait, or it has taken too long."""
        if waiting >= self._wanted or self._clock() - self._last_end > FRESH:
            return
        self._enough.clear()
        await happens(self._enough, self._longest)
