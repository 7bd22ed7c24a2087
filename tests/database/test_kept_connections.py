"""A connection goes from user to user without a round trip, and never in an unknown state."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import asyncpg
import pytest

from tandem.postgres.pool import create_pool
from tandem_creator.connections import MOST_KEPT, Kept
from tests.support.cluster import Database

LIMIT = 20.0

SIZE = 2 * MOST_KEPT + 1


@pytest.fixture
async def pool(database: Database) -> AsyncIterator[asyncpg.Pool]:
    pool = await create_pool(
        database.creator_url, size=SIZE, application_name="tandem-tests"
    )
    async with pool:
        yield pool


@pytest.fixture
async def kept(pool: asyncpg.Pool) -> AsyncIterator[Kept]:
    kept = Kept(pool)
    yield kept
    await kept.close()


async def session(kept: Kept) -> int:
    async with kept.connected() as connection:
        pid: int = await connection.fetchval("SELECT pg_backend_pid()")
        return pid


async def test_the_next_user_gets_the_same_session(kept: Kept) -> None:
    assert await session(kept) == await session(kept)


async def test_what_a_failed_user_left_is_cleaned(kept: Kept) -> None:
    with pytest.raises(asyncpg.DivisionByZeroError):
        await _fail(kept)

    async with kept.connected() as connection:
        assert await connection.fetchval("SHOW synchronous_commit") == "on"


async def _fail(kept: Kept) -> None:
    async with kept.connected() as connection:
        await connection.execute("SET synchronous_commit = off")
        await connection.execute("SELECT 1 / 0")


async def test_a_session_that_was_lost_is_not_handed_out(
    database: Database, kept: Kept
) -> None:
    lost = await session(kept)
    async with database.admin() as admin:
        await admin.fetchval("SELECT pg_terminate_backend($1, 5000)", lost)

    async with asyncio.timeout(LIMIT):
        while not await _serves(kept):
            pass
        assert await session(kept) != lost


async def _serves(kept: Kept) -> bool:
    """The first user after the loss may be the one who finds out."""
    try:
        await session(kept)
    except (asyncpg.PostgresError, asyncpg.InterfaceError, OSError):
        return False
    return True


async def test_a_session_that_can_write_no_more_is_not_kept(kept: Kept) -> None:
    async with kept.connected() as connection:
        await connection.execute("SET default_transaction_read_only = on")

    assert kept.idle == 0


async def test_most_of_a_pool_is_left_to_others(pool: asyncpg.Pool, kept: Kept) -> None:
    everybody = asyncio.Barrier(SIZE)

    async def use() -> None:
        async with kept.connected():
            await everybody.wait()

    async with asyncio.timeout(LIMIT):
        await asyncio.gather(*(use() for _ in range(SIZE)))
        others = [await pool.acquire() for _ in range(SIZE - MOST_KEPT)]

    for connection in others:
        await pool.release(connection)


async def test_none_is_kept_of_a_pool_that_closes(
    pool: asyncpg.Pool, kept: Kept
) -> None:
    async with asyncio.timeout(LIMIT), kept.connected():
        await kept.close()

    async with asyncio.timeout(LIMIT):
        everything = [await pool.acquire() for _ in range(SIZE)]
    for connection in everything:
        await pool.release(connection)
