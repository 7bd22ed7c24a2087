"""The outbox of a caller with a database of its own, and a real creator."""

from __future__ import annotations

import sqlite3
from collections.abc import AsyncIterator
from contextlib import closing
from pathlib import Path
from uuid import uuid4

import asyncpg
import psycopg
import pytest

from tandem.client import Outcome
from tandem.outbox import Relayed, statements
from tests.support.cluster import Database
from tests.support.creator import served
from tests.support.proxy import Proxy, running_proxy
from tests.support.shops import (
    AsyncpgShop,
    Shop,
    a_spec,
    postgres_shop,
    sqlite_shop,
    tasks,
)

STATEMENTS = {
    *("RECORD", "READ", "READ_UNLOCKED"),
    *("STRIKE_OFF", "COUNT_ATTEMPT", "SET_ASIDE"),
}
LIMIT = 30.0
COUNT = "SELECT count(*) FROM tandem.tasks"


@pytest.fixture
async def path(database: Database) -> AsyncIterator[Proxy]:
    """The way to a creator in this process."""
    async with running_proxy() as path, served(database.creator_url, proxy=path):
        yield path


@pytest.fixture(params=["sqlite3", "psycopg", "asyncpg"])
async def shop(
    request: pytest.FixtureRequest, database: Database, tmp_path: Path
) -> AsyncIterator[Shop]:
    if request.param == "sqlite3":
        yield sqlite_shop(tmp_path)
        return
    async with postgres_shop(database, request.param) as shop:
        yield shop


async def test_p1_what_was_committed_is_created_under_its_own_id_and_no_more(
    shop: Shop, path: Proxy, owner_pool: asyncpg.Pool
) -> None:
    chosen = uuid4()
    ids = [await shop.save(1), await shop.save(2, request_id=chosen)]
    await shop.save(3, undo=True)

    relayed = await shop.relay(path.address)
    again = await shop.relay(path.address)

    assert [each.outcome for each in relayed.created] == [Outcome.CREATED] * 2
    assert ids[1] == str(chosen)
    assert await tasks(owner_pool) == dict(zip(ids, ({"n": 1}, {"n": 2}), strict=True))
    assert await shop.ask("SELECT n FROM shop.orders ORDER BY n") == [(1,), (2,)]
    assert (again, await shop.rows()) == (Relayed(), [])


async def test_an_id_is_recorded_once(tmp_path: Path) -> None:
    shop = sqlite_shop(tmp_path)
    await shop.save(1, request_id="order 7")

    with pytest.raises(sqlite3.IntegrityError, match="UNIQUE"):
        await shop.save(2, request_id="order 7")

    assert await shop.ask("SELECT n FROM shop.orders") == [(1,)]


async def test_p10_a_row_that_is_refused_is_set_aside_and_its_neighbours_pass(
    shop: Shop, path: Proxy, owner_pool: asyncpg.Pool
) -> None:
    spent = await shop.save(1, request_id="order 7")
    await shop.relay(path.address)
    ids = [await shop.save(n) for n in (2, 3)]
    await shop.save(4, request_id="order 7")
    ids += [await shop.save(n) for n in (5, 6)]

    relayed = await shop.relay(path.address)
    again = await shop.relay(path.address)

    (aside,) = relayed.set_aside
    assert (again, aside.request_id) == (Relayed(), spent)
    assert aside.error.startswith("REQUEST_ID_REUSED: ")
    ((request_id, attempts, error),) = await shop.rows()
    assert (str(request_id), attempts, error) == (spent, 1, aside.error)
    assert list(await tasks(owner_pool)) == [spent, *ids]


async def test_a_row_that_cannot_be_read_is_set_aside(
    tmp_path: Path, path: Proxy
) -> None:
    shop = sqlite_shop(tmp_path)
    await shop.save(1)
    await shop.save(2)
    await shop.change(
        """UPDATE shop.tandem_outbox SET request = '{"speck": 1}' WHERE place = 1"""
    )

    relayed = await shop.relay(path.address)

    assert len(relayed.created) == 1
    ((_, _, error),) = await shop.rows()
    assert 'no field named "speck"' in error


async def test_p1_a_row_that_was_not_struck_off_is_replayed(
    shop: Shop, path: Proxy, owner_pool: asyncpg.Pool
) -> None:
    """As after a crash between the creator's answer and the relay's commit."""
    await shop.save(1)
    ((_, text),) = await shop.ask("SELECT place, request FROM shop.tandem_outbox")
    first = await shop.relay(path.address)
    request_id = first.created[0].request_id
    insert = "INSERT INTO shop.tandem_outbox (request_id, request)"
    await shop.change(f"{insert} VALUES ('{request_id}', '{text}')")

    (again,) = (await shop.relay(path.address)).created

    assert again.outcome is Outcome.REPLAYED
    assert again.task.task_id == first.created[0].task.task_id
    assert (await owner_pool.fetchval(COUNT), await shop.rows()) == (1, [])


async def test_a_round_takes_the_oldest_rows_and_no_more_than_it_may(
    tmp_path: Path, path: Proxy
) -> None:
    shop = sqlite_shop(tmp_path)
    ids = [await shop.save(n) for n in range(5)]

    rounds = [await shop.relay(path.address, batch=2) for _ in range(3)]

    assert [[c.request_id for c in r.created] for r in rounds] == [
        ids[:2],
        ids[2:4],
        ids[4:],
    ]
    assert [r.is_full for r in rounds] == [True, True, False]


async def test_large_rows_go_in_calls_that_the_creator_takes(
    tmp_path: Path, path: Proxy, owner_pool: asyncpg.Pool
) -> None:
    shop = sqlite_shop(tmp_path)
    for n in range(70):
        await shop.save(n, a_spec(n, payload={"text": "x" * 65_000}))

    relayed = await shop.relay(path.address)

    assert len(relayed.created) == await owner_pool.fetchval(COUNT) == 70


async def test_every_statement_prepares(database: Database) -> None:
    statements_ = [v for k, v in vars(statements).items() if k in STATEMENTS]
    async with postgres_shop(database, "asyncpg") as shop:
        assert isinstance(shop, AsyncpgShop)
        async with shop.pool.acquire() as connection:
            for sql in statements_:
                await connection.prepare(statements.named(sql, "shop.tandem_outbox"))

    assert len(statements_) == len(STATEMENTS)


async def test_rows_that_failed_stand_behind_the_others(tmp_path: Path) -> None:
    shop = sqlite_shop(tmp_path)
    first, second = await shop.save(1), await shop.save(2)

    with closing(shop.connect()) as connection:
        shop.outbox.run(connection, statements.COUNT_ATTEMPT, [(first,)])
        rows = shop.outbox.read(connection, limit=2)

    assert [(row.key, row.attempts) for row in rows] == [(second, 0), (first, 1)]


async def test_rows_are_read_whatever_their_kind(
    path: Proxy, database: Database
) -> None:
    async with postgres_shop(database, "psycopg") as shop:
        await shop.save(1)
        rows = psycopg.rows.dict_row

        with closing(
            psycopg.connect(database.owner_url, row_factory=rows, autocommit=True)
        ) as connection:
            (row,) = shop.outbox.read(connection, limit=2)

    assert row.request().spec.payload["n"] == 1


async def test_asyncpg_records_in_a_transaction_only(database: Database) -> None:
    async with postgres_shop(database, "asyncpg") as shop:
        assert isinstance(shop, AsyncpgShop)
        async with shop.pool.acquire() as connection:
            with pytest.raises(ValueError, match="is in no transaction"):
                await shop.outbox.arecord(connection, a_spec(1))
