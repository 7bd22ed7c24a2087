"""Claims and reports of many neighbours find room beside them, and touch no index."""

from __future__ import annotations

from typing import Final

import asyncpg

from tandem.postgres.pool import create_pool
from tandem_processor import reports
from tests.factories import create_many
from tests.support.cluster import Database
from tests.support.processors import claim, join, outcome
from tests.support.until import until

TASKS: Final = 1_024
AT_ONCE: Final = 128

LEAST: Final = 0.8

# A session hands in its counts before it ends.
HOT_SHARE: Final = """
SELECT t.n_tup_hot_upd::float8 / t.n_tup_upd
FROM pg_stat_user_tables AS t
WHERE t.schemaname = 'tandem'
  AND t.relname = 'task_status'
  AND t.n_tup_upd = $1
"""


async def work_all(url: str, creator_pool: asyncpg.Pool) -> None:
    """Each task claimed and reported once, as many in a statement as a busy processor has."""
    task_ids = await create_many(creator_pool, TASKS)
    async with await create_pool(url, size=1, application_name="tandem-tests") as pool:
        me = await join(pool)
        for first in range(0, TASKS, AT_ONCE):
            claimed = await claim(pool, me, *task_ids[first : first + AT_ONCE])
            ended = await reports.report(pool, me, [outcome(c) for c in claimed])
            assert list(ended.values()) == [None] * AT_ONCE


async def test_claims_and_reports_of_many_neighbours_are_hot_updates(
    database: Database, creator_pool: asyncpg.Pool, owner_pool: asyncpg.Pool
) -> None:
    await work_all(database.processor_url, creator_pool)

    share = await until(lambda: owner_pool.fetchval(HOT_SHARE, 2 * TASKS))

    assert share > LEAST
