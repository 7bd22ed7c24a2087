"""Tasks by the thousand, put there by the owner, as if they had been created."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

import asyncpg

from benchmarks import process_sql as sql
from benchmarks.payload import PAYLOAD
from tandem import wire

TYPE = "blog_post"

JSON = wire.canonical_json(dict(PAYLOAD))

SLICE = 100_000
"""Rows in one transaction."""


@dataclass(frozen=True, slots=True)
class Span:
    """Tasks with positions one after the other in one lane."""

    lane_id: int
    first: int
    last: int

    @property
    def place(self) -> tuple[int, int, int]:
        return self.lane_id, self.first, self.last

    @property
    def count(self) -> int:
        return self.last - self.first + 1


@asynccontextmanager
async def connected(url: str) -> AsyncIterator[asyncpg.Connection]:
    """One connection for the length of a block."""
    connection = await asyncpg.connect(url)
    try:
        yield connection
    finally:
        await connection.close()


async def fill(
    connection: asyncpg.Connection,
    count: int,
    *,
    type: str = TYPE,  # noqa: A002 - the contract's word
) -> Span:
    """So many pending tasks. The queue is paused: nobody may pass over them."""
    return await _fill(connection, count, sql.FILL_PENDING, type_=type)


async def fill_finished(connection: asyncpg.Connection, count: int) -> Span:
    """So many that have succeeded, and that the processors' group has behind it."""
    span = await _fill(connection, count, sql.FILL_FINISHED, type_=TYPE)
    await connection.execute(sql.MOVE_PLACE, span.lane_id, span.last)
    return span


async def pause(connection: asyncpg.Connection, *, paused: bool = True) -> None:
    """Stop claims from the queue, or let them go on."""
    await connection.execute(sql.SET_PAUSED, paused)


async def resume(url: str) -> None:
    """Let claims from the queue go on."""
    async with connected(url) as connection:
        await pause(connection, paused=False)


async def _fill(
    connection: asyncpg.Connection, count: int, statuses: str, *, type_: str
) -> Span:
    lane_id: int = await connection.fetchval(sql.ADD_LANE)
    first = 1 + await connection.fetchval(sql.READ_LAST_POSITION)
    for done in range(0, count, SLICE):
        async with connection.transaction():
            await connection.execute("SET LOCAL synchronous_commit = off")
            await connection.execute(
                sql.NAME_FILLED.replace("$1", str(min(SLICE, count - done)))
            )
            await connection.execute(sql.FILL_TASKS, type_, JSON)
            await connection.execute(statuses, lane_id)
    last = await connection.fetchval(sql.READ_LAST_POSITION)
    await connection.execute("VACUUM (ANALYZE)")
    await connection.execute("CHECKPOINT")
    return Span(lane_id, first, last)
