"""Connections of batches that die before they are given back."""

from __future__ import annotations

import asyncio
import threading

import asyncpg

from tandem_creator.connections import Kept, Pooled, connected
from tests.support.cluster import Database

END = "SELECT pg_terminate_backend($1, 10000)"


def die(connection: Pooled, database: Database) -> None:
    """Its session is ended, and this loop has not heard of it."""
    pid = connection.get_server_pid()

    async def end() -> None:
        async with database.admin() as admin:
            await admin.fetchval(END, pid)

    # While it is waited for, nothing is read here.
    ending = threading.Thread(target=lambda: asyncio.run(end()))
    ending.start()
    ending.join()


async def test_what_was_done_stands_although_the_connection_is_lost_afterwards(
    creator_pool: asyncpg.Pool, database: Database
) -> None:
    async with connected(creator_pool) as connection:
        answer = await connection.fetchval("SELECT 7")
        die(connection, database)

    assert answer == 7
    assert await creator_pool.fetchval("SELECT 8") == 8


async def test_a_lost_connection_is_let_go_without_a_word(
    creator_pool: asyncpg.Pool, database: Database
) -> None:
    """At a graceful stop while the database is away it looked like a defect."""
    kept = Kept(creator_pool)
    async with kept.connected() as connection:
        await connection.fetchval("SELECT 7")
    die(connection, database)

    await kept.close()

    assert await creator_pool.fetchval("SELECT 8") == 8
