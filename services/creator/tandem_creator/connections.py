"""Connections: from the pool, or kept from the last user."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import Final, TypeAlias

import asyncpg

from tandem import calls
from tandem.errors import StoreUnavailable
from tandem.postgres.pool import is_read_only

Pooled: TypeAlias = asyncpg.pool.PoolConnectionProxy

ACQUIRE_LIMIT: Final = 10.0
"""Seconds to wait for a connection of the pool."""

MOST_KEPT: Final = 3
"""One for the micro-batch, one for what is read meanwhile, one for the stream."""


@asynccontextmanager
async def connected(pool: asyncpg.Pool) -> AsyncIterator[Pooled]:
    """A connection, or StoreUnavailable: nothing was sent yet."""
    connection = await _acquire(pool)
    try:
        yield connection
    finally:
        await _give_back(pool, connection)


class Kept:
    """Connections that go from one user to the next without passing the pool.

    The pool cleans what is given back, which takes a round trip that its user waits
    for. Whoever takes one here leaves nothing to clean unless it fails.
    """

    def __init__(self, pool: asyncpg.Pool) -> None:
        self._pool = pool
        # Whoever takes from the pool itself must find some there: of one, none is kept.
        self._most = min(MOST_KEPT, pool.get_max_size() // 2)
        self._idle: list[Pooled] = []

    @property
    def idle(self) -> int:
        """Connections that are kept for the next user."""
        return len(self._idle)

    @asynccontextmanager
    async def connected(self) -> AsyncIterator[Pooled]:
        """A kept connection, or another one, or StoreUnavailable: nothing was sent."""
        connection = self._take() or await _acquire(self._pool)
        try:
            yield connection
        except BaseException:
            await _give_back(self._pool, connection)
            raise
        if len(self._idle) < self._most and not is_read_only(connection):
            self._idle.append(connection)
        else:
            await _give_back(self._pool, connection)

    async def close(self) -> None:
        """Give them back, and keep no more: a pool that closes waits for all of them."""
        self._most = 0
        while self._idle:
            await _give_back(self._pool, self._idle.pop())

    def _take(self) -> Pooled | None:
        while self._idle:
            if _is_alive(connection := self._idle.pop()):
                return connection
        return None


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
