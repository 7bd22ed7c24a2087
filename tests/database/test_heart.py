from __future__ import annotations

from datetime import UTC, datetime, timedelta
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
    return Heart(pool, processor_id, interval=1.0, dead_after=15.0, on_health=note)


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
    """A machine that slept wakes up with a clock that has jumped."""
    heart = heart_of(processor_pool, uuid4())
    start = datetime.now(UTC)
    assert heart.steady_for == timedelta(0)

    for seconds in (0, 1, 3, 9):
        heart._note_beat(start + timedelta(seconds=seconds))
    assert heart.steady_for == timedelta(seconds=9)

    heart._note_beat(start + timedelta(seconds=60))
    assert heart.steady_for == timedelta(0)


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
    assert heart.steady_for == timedelta(0)
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
    heart._steady_since -= timedelta(seconds=16)
    assert await reconciler.run_once()
    assert (await status(processor_pool, claimed.task_id))["state"] == "PENDING"
