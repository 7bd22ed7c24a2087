"""Progress as it is kept: the latest word, some times a second at most."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Final

from tandem.contexts import AttemptStopped

PACE_SECONDS: Final = 0.25
"""Between two writes of one attempt. Each wakes everybody who watches the task."""


class PacedProgress:
    """The first word is written at once; quick ones after it merge into the last."""

    def __init__(
        self, write: Callable[[float], Awaitable[None]], *, pace: float
    ) -> None:
        self._write = write
        self._pace = pace
        self._unsaid: float | None = None
        self._next = 0.0
        self._later: asyncio.Task[None] | None = None
        self._writing = asyncio.Lock()

    async def say(self, fraction: float) -> None:
        """Write it, or have it written soon."""
        self._unsaid = fraction
        if self._later is None:
            wait = self._next - asyncio.get_running_loop().time()
            if wait <= 0:
                await self.flush()
            else:
                self._later = asyncio.create_task(self._flush_after(wait))

    async def flush(self) -> None:
        """Write what is not written yet."""
        # One after the other, so that an older word never overtakes the latest.
        async with self._writing:
            if (fraction := self._unsaid) is not None:
                self._unsaid = None
                self._next = asyncio.get_running_loop().time() + self._pace
                await self._write(fraction)

    def rest(self) -> None:
        """Write nothing more, but for a flush."""
        if self._later is not None:
            self._later.cancel()

    async def _flush_after(self, seconds: float) -> None:
        await asyncio.sleep(seconds)
        self._later = None
        # The next word that the handler says meets it as well.
        with suppress(AttemptStopped):
            await self.flush()
