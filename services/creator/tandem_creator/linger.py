"""How long a micro-batch waits for more: not at all when idle, a moment under load."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Final

LONGEST_WAIT: Final = 0.004
"""Seconds. Longer ones no longer pay: the batch does not grow, its callers wait."""

LOAD: Final = 8
"""Creates in the last batch from which there is load. Below, waiting only costs."""

FRESH: Final = 0.05
"""Seconds after which the last batch says nothing about the load any more."""


class Linger:
    """Callers that were just answered are about to send again: wait for them.

    Without it the first of them would take a commit for itself alone, while the
    others wait for that commit.
    """

    def __init__(
        self, clock: Callable[[], float], *, longest: float = LONGEST_WAIT
    ) -> None:
        self._clock = clock
        self._longest = longest
        self._last_size = 0
        self._last_end = 0.0
        self._enough = asyncio.Event()

    def flushed(self, size: int) -> None:
        """A batch of this size was answered just now."""
        self._last_size, self._last_end = size, self._clock()

    def arrived(self, waiting: int) -> None:
        """So many creates are waiting now."""
        if waiting >= self._last_size:
            self._enough.set()

    async def wait(self, waiting: int) -> None:
        """Return once as many wait as were just answered, or it has taken too long."""
        if self._last_size < LOAD or waiting >= self._last_size:
            return
        if self._clock() - self._last_end > FRESH:
            return
        self._enough.clear()
        try:
            async with asyncio.timeout(self._longest):
                await self._enough.wait()
        except TimeoutError:
            return
