"""The heartbeat: renews the lease on every claimed task at once."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import Final, TypeAlias
from uuid import UUID

import asyncpg
import structlog

from tandem.calls import STORE_AWAY
from tandem_processor import members

log = structlog.get_logger()

OnHealth: TypeAlias = Callable[[bool], Awaitable[None]]

LATE: Final = 2.0
"""Intervals between two beats from which on the heart did not beat steadily."""


class Heart:
    """Renews the lease; knows for how long it did so without a gap."""

    def __init__(
        self,
        pool: asyncpg.Pool,
        processor_id: UUID,
        *,
        interval: float,
        on_health: OnHealth,
    ) -> None:
        self._pool = pool
        self._processor_id = processor_id
        self._interval = interval
        self._on_health = on_health
        self._steady_since: float | None = None
        self._last_beat = 0.0

    @property
    def steady_for(self) -> float:
        """Seconds for which every beat was kept in time."""
        if self._steady_since is None:
            return 0.0
        return time.monotonic() - self._steady_since

    async def run(self) -> None:
        """Beat for ever.

        Raises:
            DeclaredDead: others took this processor for dead.
        """
        while True:
            start = time.monotonic()
            await self.run_once()
            await asyncio.sleep(max(0.0, start + self._interval - time.monotonic()))

    async def run_once(self) -> bool:
        """One beat. Answers whether the database took it."""
        try:
            async with asyncio.timeout(max(self._interval, 1.0)):
                await members.beat(self._pool, self._processor_id)
        except STORE_AWAY as error:
            log.warning("heartbeat failed", error=type(error).__name__)
            self._steady_since = None
            await self._on_health(False)
            return False
        self._note_beat(time.monotonic())
        await self._on_health(True)
        return True

    def _note_beat(self, now: float) -> None:
        # A process that was stopped and goes on has seen nobody else's beats.
        late = now - self._last_beat > LATE * self._interval
        if self._steady_since is None or late:
            self._steady_since = now
        self._last_beat = now
