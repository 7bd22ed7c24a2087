"""Claims that are under way for as long as a test wants."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Final

import asyncpg

from tests.support.cluster import Database
from tests.support.until import until

PATIENT: Final = {"heartbeat": 5.0, "dead_after": 30.0}
"""Of a processor whose heartbeats wait, too."""


@dataclass(frozen=True, slots=True)
class Held:
    """Says what waits for the row of the processor."""

    _looking: asyncpg.Connection

    async def a_claim_waits(self) -> None:
        await until(lambda: _waits(self._looking, "%FOR KEY SHARE%"))

    async def a_leave_waits(self) -> None:
        await until(lambda: _waits(self._looking, "%processors AS p%FOR UPDATE%"))


@asynccontextmanager
async def held_claims(database: Database) -> AsyncIterator[Held]:
    """The processor joins; none of its claims is answered before the block ends."""
    async with (
        database.admin() as looking,
        database.admin() as locking,
        locking.transaction(),
    ):
        await until(lambda: _lock_the_processor(locking))
        yield Held(looking)


async def _lock_the_processor(admin: asyncpg.Connection) -> bool:
    return bool(
        await admin.fetch("SELECT processor_id FROM tandem.processors FOR UPDATE")
    )


async def _waits(admin: asyncpg.Connection, query: str) -> bool:
    return bool(
        await admin.fetchval(
            """
            SELECT count(*)
            FROM pg_stat_activity AS a
            WHERE a.wait_event_type = 'Lock' AND a.query LIKE $1
            """,
            query,
        )
    )
