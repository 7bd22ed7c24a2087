from __future__ import annotations

import asyncpg

from tests.support.postgres_log import PostgresLog


async def test_the_template_is_migrated(
    creator_pool: asyncpg.Pool, postgres_log: PostgresLog
) -> None:
    assert await creator_pool.fetchval("SELECT count(*) FROM tandem.tasks") == 0
    assert postgres_log.errors() == []
