"""The history of the database that this process creates in."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import suppress
from typing import Final
from uuid import UUID

import structlog

from tandem import calls
from tandem.errors import StoreUnavailable
from tandem.postgres.logins import Connection
from tandem_creator.store.positions import enter_epoch

log = structlog.get_logger()

WATCH_SECONDS: Final = 1.0
"""Between two looks for another history, where no connection tells of one."""


class Epoch:
    """Entered by every new connection, before anything is created over it."""

    def __init__(self) -> None:
        self._current: UUID | None = None
        self._changed: list[Callable[[], None]] = []

    @property
    def current(self) -> UUID:
        assert self._current is not None, "a pool proves its first connection"
        return self._current

    def on_change(self, forget: Callable[[], None]) -> None:
        """Call this when another history begins: what was read before is void."""
        self._changed.append(forget)

    async def enter(self, connection: Connection) -> None:
        """Learn the epoch of the server behind this connection."""
        found = await enter_epoch(connection)
        if found == self._current:
            return
        log.info("epoch entered", epoch_id=str(found))
        self._current = found
        for forget in self._changed:
            forget()

    async def watch(self, connection: Connection) -> None:
        """Enter it again and again, until cancelled: a pooler outlives a failover."""
        while True:
            await asyncio.sleep(WATCH_SECONDS)
            # Whoever looks for the settled position says that the database is away.
            with suppress(*calls.STORE_AWAY, StoreUnavailable):
                await self.enter(connection)
