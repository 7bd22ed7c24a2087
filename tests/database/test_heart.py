from __future__ import annotations

from uuid import UUID, uuid4

import asyncpg
import pytest

from tandem.handlers import Handlers
from tandem.postgres.pool import create_pool
from tandem_processor.claims import DeclaredDead
from tandem_processor.heart import Heart
from tandem_processor.reconciler import Reconciler
from tests.support.cluster import Database
from tests.support.processors import join, run_task, status


class Health:
    """Keeps what is said about health."""

    def __init__(self) -> None:
        self.said: list[bool] = []

    async def note(self, alive: bool) -> None:
        self.said.append(alive)


def heart_of(
    pool: asyncpg.Pool, processor_id: UUID, health: Health | None = None
) -> Heart:
    note = (health or Health()).note
    return Heart(pool, processor_id, interval=1.0, on_health=note)


async def test_a_beat_is_by_the_databases_clock(processor_pool: asyncpg.Pool) -> None:
    me = await join(processor_pool)
    before = await processor_pool.fetchval("SELECT now()")

    assert await heart_of(processor_pool, me).run_once()

    beat = await processor_pool.fetchval(
        "SELECT heartbeat_time FROM tandem.processors WHERE processor_id = $1", me
    )
    assert beat > before


async def test_a_processor_that_is_not_live_is_told(
    processor_pool: asyncpg.Pool,
) -> None:
    with pytest.raises(DeclaredDead):
        await heart_of(processor_pool, uuid4()).run_once()


async def test_a_heart_is_steady_only_while_each_beat_is_in_time(
    processor_pool: asyncpg.Pool,
) -> None:
    heart = heart_of(processor_pool, uuid4())
    assert heart.steady_for == 0

    for moment in (100.0, 101.0, 102.0):
        heart._note_beat(moment)
    assert heart._steady_since == 100.0

    heart._note_beat(160.0)
    assert heart._steady_since == 160.0


async def test_a_database_that_is_away_ends_the_steadiness_and_the_health(
    database: Database, processor_pool: asyncpg.Pool
) -> None:
    me = await join(processor_pool)
    pool = await create_pool(database.processor_url, size=1, application_name="heart")
    health = Health()
    heart = heart_of(pool, me, health)
    await heart.run_once()
    await pool.close()

    assert not await heart.run_once()
    assert heart.steady_for == 0
    assert health.said == [True, False]


async def test_p8_whose_own_heart_was_not_steady_for_the_limit_judges_nobody(
    creator_pool: asyncpg.Pool, processor_pool: asyncpg.Pool
) -> None:
    """As after an outage of the database, when every heartbeat is old."""
    me, other = await join(processor_pool), await join(processor_pool)
    claimed = await run_task(creator_pool, processor_pool, other)
    await processor_pool.execute(
        "UPDATE tandem.processors SET heartbeat_time = now() - interval '1 hour'"
    )
    heart = heart_of(processor_pool, me)
    await heart.run_once()
    reconciler = Reconciler(
        processor_pool,
        me,
        heart=heart,
        handlers=Handlers(),
        dead_after=15.0,
        interval=1.0,
    )

    assert not await reconciler.run_once()
    assert (await status(processor_pool, claimed.task_id))["state"] == "RUNNING"

    assert heart._steady_since is not None
    heart._steady_since -= 16.0
    assert await reconciler.run_once()
    assert (await status(processor_pool, claimed.task_id))["state"] == "PENDING"
