"""Where the stream stands, and under which epoch."""

from __future__ import annotations

from typing import Final
from uuid import UUID

from tandem.errors import StoreUnavailable
from tandem.postgres.logins import Connection

IS_STANDBY: Final = "SELECT pg_is_in_recovery()"

ENTER_EPOCH: Final = "SELECT tandem.enter_epoch_v1()"

READ_SETTLED: Final = "SELECT tandem.settled_position_v1()"

READ_LAST: Final = "SELECT p.last_value FROM tandem.positions AS p"

READ_FLOOR: Final = "SELECT f.position FROM tandem.stream_floor AS f"


async def enter_epoch(connection: Connection) -> UUID:
    """The present epoch; after a failover the sequence has moved on when this returns.

    Raises:
        StoreUnavailable: this server is a standby.
    """
    if await connection.fetchval(IS_STANDBY):
        raise StoreUnavailable("the database is a standby")
    epoch_id: UUID = await connection.fetchval(ENTER_EPOCH)
    return epoch_id


async def read_settled(connection: Connection) -> int:
    """The position at or under which nothing is open any more."""
    return int(await connection.fetchval(READ_SETTLED))


async def read_last(connection: Connection) -> int:
    """The highest position given out, settled or not."""
    return int(await connection.fetchval(READ_LAST))


async def read_floor(connection: Connection) -> int:
    """The position under which the stream is no longer kept."""
    return int(await connection.fetchval(READ_FLOOR))
