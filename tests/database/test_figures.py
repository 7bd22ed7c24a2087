"""What a scrape has counted in the database, and how often."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import asyncpg

from tandem.access import ANONYMOUS
from tandem_processor.figures import Figures
from tandem_processor.requests import StatsQuery
from tandem_processor.stats import Stats
from tests.factories import create_many, create_task
from tests.support.cluster import Database
from tests.support.scrapes import Scrape

ALL = StatsQuery(project="", days=0)


async def figures_of(pool: asyncpg.Pool, stats: Stats) -> Scrape:
    found = await Figures(pool, stats).read()
    return Scrape({family.name: family for family in found})


async def test_a_scrape_and_get_stats_share_one_count(
    creator_pool: asyncpg.Pool, processor_pool: asyncpg.Pool
) -> None:
    await create_many(creator_pool, 3, queue="mail")
    stats = Stats(processor_pool)
    asked = await stats.get(ALL, ANONYMOUS)
    await create_task(creator_pool, queue="mail")

    scraped = await figures_of(processor_pool, stats)

    assert (await stats.get(ALL, ANONYMOUS)).read_time == asked.read_time
    pending = {"queue": "mail", "state": "PENDING"}
    assert scraped.total("tandem_tasks", **pending) == 3
    assert scraped.total("tandem_counted") == 1
    later = await figures_of(processor_pool, Stats(processor_pool, keep_seconds=0))
    assert later.total("tandem_tasks", **pending) == 4


@asynccontextmanager
async def open_transaction(url: str) -> AsyncIterator[float]:
    """Whose age is at least the answered seconds, from the block's first line on."""
    connection = await asyncpg.connect(url)
    try:
        async with connection.transaction():
            age: float = await connection.fetchval(
                "SELECT extract(epoch FROM clock_timestamp() - now())"
                " FROM pg_sleep(0.1)"
            )
            yield float(age)
    finally:
        await connection.close()


async def test_the_oldest_transaction_of_its_own_login_is_seen(
    database: Database, processor_pool: asyncpg.Pool
) -> None:
    async with open_transaction(database.processor_url) as age:
        scraped = await figures_of(processor_pool, Stats(processor_pool))

    assert scraped.total("tandem_oldest_transaction_age_seconds") >= age > 0
    assert scraped.has("tandem_table_dead_rows", table="task_status")


async def test_without_the_database_a_scrape_says_that_nothing_was_counted(
    database: Database,
) -> None:
    pool = await asyncpg.create_pool(database.processor_url, min_size=1, max_size=2)
    await pool.close()

    scraped = await figures_of(pool, Stats(pool))

    assert set(scraped.families) == {"tandem_counted"}
    assert scraped.total("tandem_counted") == 0
