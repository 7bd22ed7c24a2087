"""The bell: heard in other processes, soon, and again after its connection broke."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import asyncpg

from tandem_creator.bell import Bell, Listener
from tandem_creator.daemons import Daemons
from tests.support.batching import LIMIT
from tests.support.cluster import Database
from tests.support.until import until

APPLICATION = "tandem-tests-listener"


class Ear:
    """Counts what it hears."""

    def __init__(self) -> None:
        self.heard: asyncio.Queue[str] = asyncio.Queue()

    def hear(self, name: str) -> None:
        self.heard.put_nowait(name)

    async def next(self) -> str:
        async with asyncio.timeout(LIMIT):
            return await self.heard.get()


@asynccontextmanager
async def listening(database: Database) -> AsyncIterator[Ear]:
    ear = Ear()
    listener = Listener(
        database.creator_url, heard=ear.hear, application_name=APPLICATION
    )
    async with Daemons() as daemons:
        daemons.start(listener.run())
        # Said once, when it began to listen: what rang before is not known.
        assert await ear.next() == ""
        yield ear


async def test_another_process_hears_the_bell(
    database: Database, creator_pool: asyncpg.Pool
) -> None:
    bell = Bell(creator_pool, here=lambda: None)
    async with listening(database) as ear, Daemons() as daemons:
        daemons.start(bell.run())
        bell.ring()

        assert await ear.next() == bell.name


async def test_many_rings_are_few_notifications(
    database: Database, creator_pool: asyncpg.Pool
) -> None:
    bell = Bell(creator_pool, here=lambda: None)
    async with listening(database) as ear, Daemons() as daemons:
        for _ in range(1000):
            bell.ring()
        daemons.start(bell.run())
        await ear.next()
        # Rings after whatever the thousand made.
        await creator_pool.execute("SELECT pg_notify('tandem_created', 'last')")
        others = 0
        while await ear.next() != "last":
            others += 1

    assert others == 0


async def test_a_bell_does_not_wake_its_own_process_twice(
    creator_pool: asyncpg.Pool,
) -> None:
    rung: list[None] = []
    bell = Bell(creator_pool, here=lambda: rung.append(None))

    bell.ring()
    bell.heard(bell.name)
    bell.heard("another")

    assert len(rung) == 2


async def test_a_listener_whose_connection_broke_listens_again(
    database: Database, creator_pool: asyncpg.Pool
) -> None:
    async with listening(database) as ear, database.admin() as admin:
        await until(lambda: admin.fetchval(_TERMINATE, APPLICATION))

        assert await ear.next() == ""
        await creator_pool.execute("SELECT pg_notify('tandem_created', 'again')")
        assert await ear.next() == "again"


_TERMINATE = """
SELECT count(pg_terminate_backend(a.pid))
FROM pg_stat_activity AS a
WHERE a.application_name = $1
  AND a.datname = current_database()
"""
