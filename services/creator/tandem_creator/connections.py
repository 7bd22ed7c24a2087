"""Connections for batches: from the pool, or kept from the batch before."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import Final, TypeAlias

import asyncpg

from tandem import calls
from tandem.errors import StoreUnavailable

Pooled: TypeAlias = asyncpg.pool.PoolConnectionProxy

ACQUIRE_LIMIT: Final = 10.0
"""Seconds to wait for a connection of the pool."""


@asynccontextmanager
async def connected(pool: asyncpg.Pool) -> AsyncIterator[Pooled]:
    """A connection, or StoreUnavailable: nothing was sent yet."""
    connection = await _acquire(pool)
    try:
        yield connection
    finally:
        await _give_back(pool, connection)


class Kept:
    """One connection that goes from batch to batch without passing the pool.

    The pool cleans what is given back, which takes a round trip that the next batch
    would wait for. A batch leaves nothing to clean unless it fails.
    """

    def __init__(self, pool: asyncpg.Pool) -> None:
        self._pool = pool
        # Of a pool of one, keeping one would leave none for anybody else.
        self._keeps = pool.get_max_size() > 1
        self._idle: Pooled | None = None

    @asynccontextmanager
    async def connected(self) -> AsyncIterator[Pooled]:
        """The kept connection, or another one, or StoreUnavailable: nothing was sent."""
        connection = self._take() or await _acquire(self._pool)
        try:
            yield connection
        except BaseException:
            await _give_back(self._pool, connection)
            raise
        if self._keeps and self._idle is None:
            self._idle = connection
        else:
            await _give_back(self._pool, connection)

    async def let_go(self) -> None:
        """Give the connection back: a pool that closes waits for all of them."""
        idle, self._idle = self._idle, None
        if idle is not None:
            await _give_back(self._pool, idle)

    def _take(self) -> Pooled | None:
        idle, self._idle = self._idle, None
        return idle if idle is not None and _is_alive(idle) else None


def _is_alive(connection: Pooled) -> bool:
    try:
        return not connection.is_closed()
    except asyncpg.InterfaceError:
        return False  # it was lost, and the pool has taken it back


async def _give_back(pool: asyncpg.Pool, connection: Pooled) -> None:
    """The pool ends a connection that it cannot clean, and what was done with it stands."""
    with suppress(*calls.STORE_AWAY):
        await pool.release(connection)


async def _acquire(pool: asyncpg.Pool) -> Pooled:
    try:
        return await pool.acquire(timeout=ACQUIRE_LIMIT)
    except calls.STORE_AWAY as error:
        raise StoreUnavailable(
            "no connection to the database; send the same request again"
        ) from error
