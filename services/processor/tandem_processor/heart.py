"""The heartbeat: renews the lease on every claimed task at once."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from datetime import datetime, timedelta
from typing import TypeAlias
from uuid import UUID

import asyncpg
import structlog

from tandem.calls import STORE_AWAY
from tandem_processor import members

log = structlog.get_logger()

OnHealth: TypeAlias = Callable[[bool], Awaitable[None]]


class Heart:
    """Renews the lease; knows for how long it did so without a gap."""

    def __init__(
        self,
        pool: asyncpg.Pool,
        processor_id: UUID,
        *,
        interval: float,
        dead_after: float,
        on_health: OnHealth,
    ) -> None:
        self._pool = pool
        self._processor_id = processor_id
        self._interval = interval
        self._longest_gap = timedelta(seconds=dead_after) / 2
        self._on_health = on_health
        self._steady_since: datetime | None = None
        self._last_beat: datetime | None = None

    @property
    def steady_for(self) -> timedelta:
        """For how long every beat was kept in time, by the database's clock."""
        if self._steady_since is None or self._last_beat is None:
            return timedelta(0)
        return self._last_beat - self._steady_since

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
                moment = await members.beat(self._pool, self._processor_id)
        except STORE_AWAY as error:
            log.warning("heartbeat failed", error=type(error).__name__)
            self._steady_since = None
            await self._on_health(False)
            return False
        self._note_beat(moment)
        await self._on_health(True)
        return True

    def _note_beat(self, moment: datetime) -> None:
        # After a pause of this process, or of the whole machine, the others may
        # not have had the time for a beat. Under half the limit they had.
        last = self._last_beat
        late = last is not None and moment - last > self._longest_gap
        if self._steady_since is None or late:
            self._steady_since = moment
        self._last_beat = moment
