"""What was created and done on each day, as midnight in UTC divides them."""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import asyncpg
import pytest

from tandem_processor import counts
from tests.factories import create_many, create_task
from tests.support.counting import FINISH, Counting, by_state, counting_in
from tests.support.janitor import Janitor


@pytest.fixture
def counting(processor_pool: asyncpg.Pool) -> Counting:
    return counting_in(processor_pool)


@dataclass(frozen=True, slots=True)
class Days:
    """Tasks that end at times of the test's choice."""

    creator: asyncpg.Pool
    owner: asyncpg.Pool

    async def end(self, state: str, moment: datetime, **wanted: Any) -> UUID:
        task_id = await create_task(self.creator, **wanted)
        await self.owner.execute(FINISH, task_id, state, moment)
        return task_id


async def test_c8_days_begin_and_end_at_midnight_in_utc(
    counting: Counting, creator_pool: asyncpg.Pool, owner_pool: asyncpg.Pool
) -> None:
    days = Days(creator_pool, owner_pool)
    now = await owner_pool.fetchval("SELECT now()")
    midnight = now.replace(hour=0, minute=0, second=0, microsecond=0)
    a_day, a_moment = timedelta(days=1), timedelta(microseconds=1)
    for moment in (midnight, midnight - a_moment, midnight - a_day):
        await days.end("SUCCEEDED", moment)
    await days.end("SUCCEEDED", midnight - a_day - a_moment)
    await days.end("FAILED", midnight - a_moment)
    await days.end("CANCELLED", midnight)
    early = await days.end("FAILED", midnight)
    await owner_pool.execute(
        "UPDATE tandem.tasks SET create_time = $2 WHERE task_id = $1",
        early,
        midnight - a_moment,
    )

    stats = await counting(days=2)

    found = [(d.date, d.created, d.succeeded, d.failed) for d in stats.days]
    assert found == [
        (f"{midnight:%Y-%m-%d}", 6, 1, 1),
        (f"{midnight - a_day:%Y-%m-%d}", 1, 2, 1),
    ]


async def test_c8_a_stripped_task_still_counts_on_its_day(
    counting: Counting,
    creator_pool: asyncpg.Pool,
    owner_pool: asyncpg.Pool,
    janitor_pool: asyncpg.Pool,
) -> None:
    days = Days(creator_pool, owner_pool)
    now = await owner_pool.fetchval("SELECT now()")
    for state in ("SUCCEEDED", "FAILED", "CANCELLED"):
        await Janitor(janitor_pool).strip(await days.end(state, now))
    await days.end("SUCCEEDED", now)

    stats = await counting(days=1)

    [day] = stats.days
    assert (day.created, day.succeeded, day.failed) == (4, 2, 1)
    assert by_state(stats) == {("default", "SUCCEEDED"): 1}


async def test_stripped_tasks_are_found_by_their_index(
    processor_pool: asyncpg.Pool, owner_pool: asyncpg.Pool, creator_pool: asyncpg.Pool
) -> None:
    await create_many(creator_pool, 1000)
    await owner_pool.execute("ANALYZE tandem.tasks")
    midnights = [datetime.now(UTC)]

    async with processor_pool.acquire() as connection:
        await connection.execute(f"PREPARE tried AS {counts.COUNT_STRIPPED}")
        plan = await connection.fetchval(
            f"EXPLAIN (FORMAT json) EXECUTE tried (NULL, '{{{midnights[0]}}}')"
        )

    assert '"tasks_stripped"' in json.dumps(json.loads(plan))
