"""Relays of an outbox: several at once, without a creator, and for as long as the program."""

from __future__ import annotations

import asyncio
import sqlite3
import threading
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

import asyncpg
import pytest

from tandem.client import AsyncClient, Client, Created, Outcome, TimedOut, Unreachable
from tandem.outbox import AsyncRelay, Relay, Relayed
from tests.support.cluster import Database
from tests.support.creator import served
from tests.support.proxy import Proxy, running_proxy
from tests.support.shops import (
    AsyncpgShop,
    BlockingShop,
    Shop,
    a_spec,
    postgres_shop,
    sqlite_shop,
    tasks,
)
from tests.support.until import until

LIMIT = 30.0
HOUR = 3600.0
COUNT = "SELECT count(*) FROM tandem.tasks"


@pytest.fixture
async def path(database: Database) -> AsyncIterator[Proxy]:
    """The way to a creator in this process."""
    async with running_proxy() as path, served(database.creator_url, proxy=path):
        yield path


class Cutting(AsyncClient):
    """Its way breaks before the second batch."""

    def __init__(self, path: Proxy) -> None:
        super().__init__(path.address)
        self._path = path
        self._batches = 0

    async def create_batch(self, *args: Any, **options: Any) -> Sequence[Created]:
        self._batches += 1
        if self._batches == 2:
            self._path.cut()
        return await super().create_batch(*args, **options)


async def test_what_was_made_before_the_creator_went_is_struck_off_the_rest_stays(
    path: Proxy, owner_pool: asyncpg.Pool, database: Database
) -> None:
    async with postgres_shop(database, "asyncpg") as shop, Cutting(path) as client:
        assert isinstance(shop, AsyncpgShop)
        await shop.save(0, request_id="order 7")
        await shop.relay(path.address)
        ids = [await shop.save(1), await shop.save(2)]
        ids.append(await shop.save(3, request_id="order 7"))
        relay = AsyncRelay(shop.outbox, shop.pool.acquire, client, within=1.0)

        with pytest.raises((Unreachable, TimedOut)):
            await relay.run_once()

        left = [
            (str(key), attempts, error) for key, attempts, error in await shop.rows()
        ]
        assert left == [(each, 0, None) for each in ids[1:]]
        path.heal()
        assert len((await shop.relay(path.address)).created) == 1
    assert await owner_pool.fetchval(COUNT) == 3


LONGEST = 64 * 1024


async def test_p1_rows_that_are_too_long_together_are_all_created(
    owner_pool: asyncpg.Pool, database: Database, tmp_path: Path
) -> None:
    shop = sqlite_shop(tmp_path)
    short = [a_spec(n, payload={"text": "x" * 2_000}) for n in range(60)]
    ids = [await shop.save(n, spec) for n, spec in enumerate(short)]
    too_long = await shop.save(99, a_spec(99, payload={"text": "x" * (LONGEST - 20)}))

    async with running_proxy() as path:
        access = {"caller_message_bytes": LONGEST}
        async with served(database.creator_url, proxy=path, access=access):
            relayed = await shop.relay(path.address)

    assert list(await tasks(owner_pool)) == ids
    assert [each.request_id for each in relayed.set_aside] == [too_long]
    [(left, _, error)] = await shop.rows()
    assert left == too_long
    assert "larger than max" in error


class Meeting(Client):
    """It sends a batch only when so many others are about to send theirs."""

    def __init__(self, address: str, meet: threading.Barrier) -> None:
        super().__init__(address)
        self._meet = meet

    def create_batch(self, *args: Any, **options: Any) -> Sequence[Created]:
        self._meet.wait(LIMIT)
        return super().create_batch(*args, **options)


async def test_p1_relays_that_send_the_same_rows_at_once_make_one_task_of_each(
    path: Proxy, owner_pool: asyncpg.Pool, tmp_path: Path
) -> None:
    """SQLite has no row locks: all of them hold the same rows."""
    shop, count = sqlite_shop(tmp_path), 4
    ids = [await shop.save(n) for n in range(10)]
    meet = threading.Barrier(count)

    def relay() -> Relayed:
        with Meeting(path.address, meet) as client:
            return Relay(shop.outbox, shop.connect, client, within=LIMIT).run_once()

    rounds = await asyncio.gather(*[asyncio.to_thread(relay) for _ in range(count)])

    assert [[c.request_id for c in each.created] for each in rounds] == [ids] * count
    outcomes = [c.outcome for each in rounds for c in each.created]
    assert outcomes.count(Outcome.CREATED) == len(ids)
    assert (sorted(await tasks(owner_pool)), await shop.rows()) == (sorted(ids), [])


async def test_p1_many_relays_on_postgres_make_one_task_of_each_row(
    path: Proxy, owner_pool: asyncpg.Pool, database: Database
) -> None:
    async with postgres_shop(database, "asyncpg") as shop:
        ids = [await shop.save(n) for n in range(60)]
        gate = asyncio.Barrier(6)

        async def relay() -> list[Created]:
            await gate.wait()
            created: list[Created] = []
            while await shop.rows():
                created += (await shop.relay(path.address, batch=5)).created
            return created

        async with asyncio.timeout(LIMIT):
            made = await asyncio.gather(*[relay() for _ in range(6)])

    outcomes = [created.outcome for each in made for created in each]
    assert outcomes.count(Outcome.CREATED) == len(ids)
    assert sorted(await tasks(owner_pool)) == sorted(ids)


async def test_a_relay_passes_over_the_rows_that_another_one_holds(
    path: Proxy, database: Database
) -> None:
    async with postgres_shop(database, "psycopg") as shop:
        ids = [await shop.save(n) for n in range(4)]
        assert isinstance(shop, BlockingShop)
        with closing(shop.connect()) as held:
            holding = shop.outbox.read(held, limit=2)
            relayed = await shop.relay(path.address)

    assert [row.request_id for row in holding] == ids[:2]
    assert [created.request_id for created in relayed.created] == ids[2:]


class Writing(Client):
    """While it creates, an order is saved."""

    def __init__(self, address: str, save: Callable[[], None]) -> None:
        super().__init__(address)
        self._save = save

    def create(self, *args: Any, **options: Any) -> Created:
        self._save()
        return super().create(*args, **options)


async def test_the_caller_writes_while_a_relay_waits_for_the_creator(
    path: Proxy, tmp_path: Path
) -> None:
    """As SQLite refuses to one that reads in a transaction, and writes after others did."""
    shop = sqlite_shop(tmp_path)
    await shop.save(1)

    def begun() -> sqlite3.Connection:
        connection = sqlite3.connect(tmp_path / "shop.db", isolation_level=None)
        connection.executescript("PRAGMA journal_mode = WAL; BEGIN")
        return connection

    def save() -> None:
        with closing(shop.connect()) as connection, connection:
            shop.outbox.record(connection, a_spec(2))

    def relay() -> Relayed:
        with Writing(path.address, save) as client:
            return Relay(shop.outbox, begun, client, within=LIMIT).run_once()

    assert len((await asyncio.to_thread(relay)).created) == 1
    assert len(await shop.rows()) == 1


async def test_a_standing_relay_is_woken_survives_an_outage_and_stops(
    path: Proxy, owner_pool: asyncpg.Pool, tmp_path: Path
) -> None:
    shop = sqlite_shop(tmp_path)
    with Client(path.address) as client:
        relay = Relay(shop.outbox, shop.connect, client, poll=HOUR, within=0.5)
        running = asyncio.create_task(asyncio.to_thread(relay.run))
        await woken_over_an_outage(relay, shop, path, owner_pool)
        async with asyncio.timeout(LIMIT):
            await running


async def test_a_standing_relay_on_asyncio_does_the_same(
    path: Proxy, owner_pool: asyncpg.Pool, database: Database
) -> None:
    async with (
        postgres_shop(database, "asyncpg") as shop,
        AsyncClient(path.address) as client,
    ):
        assert isinstance(shop, AsyncpgShop)
        relay = AsyncRelay(
            shop.outbox, shop.pool.acquire, client, poll=HOUR, within=0.5
        )
        running = asyncio.create_task(relay.run())
        await woken_over_an_outage(relay, shop, path, owner_pool)
        async with asyncio.timeout(LIMIT):
            await running


async def woken_over_an_outage(
    relay: Relay | AsyncRelay, shop: Shop, path: Proxy, pool: asyncpg.Pool
) -> None:
    """Two orders are saved and relayed, the second while the creator is away."""

    async def is_relayed(count: int) -> bool:
        return await pool.fetchval(COUNT) == count and not await shop.rows()

    await shop.save(1)
    relay.wake()
    await until(lambda: is_relayed(1), seconds=LIMIT)
    path.cut()
    await shop.save(2)
    relay.wake()
    path.heal()
    await until(lambda: is_relayed(2), seconds=LIMIT)
    relay.stop()
