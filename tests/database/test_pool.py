"""Every session is as the promises need it, whatever the roles' defaults say."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import suppress

import asyncpg
import pytest

from tandem.postgres.connect import PostgresUnfit
from tandem.postgres.pool import create_pool, require_settings
from tests.support.cluster import Database


@pytest.fixture
async def single(database: Database) -> AsyncIterator[asyncpg.Pool]:
    """A pool of one connection, so that the next user gets what the last one left."""
    pool = await create_pool(
        database.creator_url, size=1, application_name="tandem-tests"
    )
    async with pool:
        yield pool


SETTINGS = {
    "synchronous_commit": "on",
    "default_transaction_isolation": "read committed",
    "search_path": "pg_catalog",
    "TimeZone": "UTC",
    "lock_timeout": "5s",
    "statement_timeout": "15s",
    "idle_in_transaction_session_timeout": "10s",
}


async def test_a_session_has_the_settings_that_the_promises_need(
    single: asyncpg.Pool,
) -> None:
    found = {name: await single.fetchval(f"SHOW {name}") for name in SETTINGS}

    assert found == SETTINGS


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("synchronous_commit", "off"),
        ("default_transaction_isolation", "'repeatable read'"),
        ("search_path", "public"),
        ("lock_timeout", "0"),
    ],
)
async def test_a_default_of_the_database_changes_nothing(
    database: Database, name: str, value: str
) -> None:
    async with database.admin() as admin:
        await admin.execute(f"ALTER DATABASE {database.name} SET {name} = {value}")

    pool = await create_pool(
        database.creator_url, size=1, application_name="tandem-tests"
    )
    async with pool:
        assert await pool.fetchval(f"SHOW {name}") == SETTINGS[name]


async def test_what_a_user_of_the_session_sets_is_gone_with_it(
    single: asyncpg.Pool,
) -> None:
    async with single.acquire() as connection:
        await connection.execute("SET synchronous_commit = off")

    assert await single.fetchval("SHOW synchronous_commit") == "on"


async def test_a_session_whose_settings_did_not_take_is_refused(
    database: Database,
) -> None:
    """As behind a pooler that swallows what a client asks for at connect."""
    connection = await asyncpg.connect(
        database.creator_url, server_settings={"synchronous_commit": "off"}
    )
    try:
        with pytest.raises(PostgresUnfit, match="synchronous_commit is 'off'"):
            await require_settings(connection, {"synchronous_commit": "on"})
    finally:
        await connection.close()


@pytest.mark.parametrize("cleans", [True, False])
async def test_a_cancelled_statement_leaves_no_open_transaction(
    database: Database, cleans: bool
) -> None:
    """The next user of the connection gets a session in a known state."""
    async with await create_pool(
        database.creator_url, size=1, application_name="tandem-tests", cleans=cleans
    ) as single:
        await _assert_closed_when_cancelled(single)


async def _assert_closed_when_cancelled(single: asyncpg.Pool) -> None:
    started = asyncio.Event()

    async def hang() -> None:
        async with single.acquire() as connection, connection.transaction():
            await connection.execute("SET LOCAL search_path = public")
            started.set()
            await connection.execute("SELECT pg_sleep(60)")

    hanging = asyncio.create_task(hang())
    async with asyncio.timeout(10):
        await started.wait()
        hanging.cancel()
        with pytest.raises(asyncio.CancelledError):
            await hanging
        async with single.acquire() as connection:
            assert not connection.is_in_transaction()
            assert await connection.fetchval("SHOW search_path") == "pg_catalog"
            assert await connection.fetchval("SELECT 1") == 1


async def test_a_pool_that_does_not_clean_rolls_back_what_was_left_open(
    database: Database,
) -> None:
    async with await create_pool(
        database.creator_url, size=1, application_name="tandem-tests", cleans=False
    ) as single:
        async with single.acquire() as connection:
            await connection.execute("BEGIN; SET LOCAL search_path = public")
        async with single.acquire() as connection:
            assert not connection.is_in_transaction()
            assert await connection.fetchval("SHOW search_path") == "pg_catalog"


async def test_a_killed_session_is_replaced(
    database: Database, single: asyncpg.Pool
) -> None:
    killed = await single.fetchval("SELECT pg_backend_pid()")
    async with database.admin() as admin:
        await admin.fetchval("SELECT pg_terminate_backend($1, 5000)", killed)

    # Its next user may be the one who finds out.
    with suppress(asyncpg.PostgresError, asyncpg.InterfaceError, OSError):
        await single.fetchval("SELECT 1")
    async with asyncio.timeout(10):
        assert await single.fetchval("SELECT pg_backend_pid()") != killed


async def test_each_new_connection_is_handed_to_the_service(
    database: Database,
) -> None:
    met: list[int] = []

    async def meet(connection: asyncpg.Connection) -> None:
        met.append(connection.get_server_pid())

    pool = await create_pool(
        database.creator_url,
        size=2,
        application_name="tandem-tests",
        on_connect=meet,
    )
    async with pool, pool.acquire(), pool.acquire():
        assert len(set(met)) == 2


async def test_a_statement_past_its_time_is_cancelled(database: Database) -> None:
    pool = await create_pool(
        database.creator_url,
        size=1,
        application_name="tandem-tests",
        statement_timeout=0.1,
    )
    async with pool, asyncio.timeout(10):
        with pytest.raises(asyncpg.QueryCanceledError):
            await pool.fetchval("SELECT pg_sleep(60)")


async def test_json_stays_text(single: asyncpg.Pool) -> None:
    assert await single.fetchval("SELECT '{\"a\":1.0}'::json") == '{"a":1.0}'


async def test_a_session_that_can_write_no_more_is_not_handed_out_again(
    database: Database,
) -> None:
    """Where a primary was told to be one no more, another server may be it by now."""
    pool = await create_pool(
        database.creator_url, size=1, application_name="tandem-tests", cleans=False
    )
    async with pool:
        first = await pool.fetchval("SELECT pg_backend_pid()")
        kept = await pool.fetchval("SELECT pg_backend_pid()")
        await pool.execute("SET default_transaction_read_only = on")
        another = await pool.fetchval("SELECT pg_backend_pid()")

    assert first == kept != another
