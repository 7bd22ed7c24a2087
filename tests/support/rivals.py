"""Processors that are nothing but their statements, over real sessions."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any
from uuid import UUID, uuid4

import asyncpg

from tandem.errors import TandemError
from tandem.outcomes import Claimed, Outcome
from tandem.postgres.pool import create_pool
from tandem.states import TaskState
from tandem_processor import claims, crashes, members
from tandem_processor.reports import report
from tests.support.cluster import Database

AN_HOUR_AGO = """
UPDATE tandem.processors AS p
SET heartbeat_time = now() - interval '1 hour'
WHERE p.processor_id = $1
"""


@dataclass(frozen=True, slots=True)
class Rival:
    """A processor that claims and reports when the test says so."""

    pool: asyncpg.Pool
    type: str
    processor_id: UUID = field(default_factory=uuid4)

    async def join(self) -> None:
        await members.join(
            self.pool, self.processor_id, queues=["rivals"], types=[self.type]
        )

    async def claim(self, task_id: UUID) -> Claimed | None:
        """Whether it is a suspect or not."""
        for suspects in (False, True):
            claimed = await claims.claim(
                self.pool,
                self.processor_id,
                task_ids=[task_id],
                types=[self.type],
                limit=1,
                suspects=suspects,
            )
            if claimed:
                return claimed[0]
        return None

    async def succeed(
        self, task_id: UUID, *, claim: int, result: Mapping[str, Any]
    ) -> TandemError | None:
        """None where the result is kept."""
        outcome = Outcome(
            task_id=task_id,
            claim=claim,
            state=TaskState.SUCCEEDED,
            result=json.dumps(result),
        )
        return (await report(self.pool, self.processor_id, [outcome]))[task_id]

    async def die(self, database: Database) -> None:
        """Its heartbeat stops long ago, and whoever notices first returns its tasks."""
        async with database.admin() as admin:
            await admin.execute(AN_HOUR_AGO, self.processor_id)
        await crashes.bury_one(
            self.pool,
            uuid4(),
            dead_after=timedelta(minutes=30),
            types=[],
            max_attempts=[],
        )


@asynccontextmanager
async def rivals(
    database: Database, count: int, *, type_: str
) -> AsyncIterator[list[Rival]]:
    async with await create_pool(
        database.processor_url, size=2 * count, application_name="tandem-tests"
    ) as pool:
        joined = [Rival(pool, type_) for _ in range(count)]
        for rival in joined:
            await rival.join()
        yield joined
