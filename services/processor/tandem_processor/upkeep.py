"""What the database has yet to clean up, and what keeps it from that."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Final

import asyncpg

READ_DEAD_ROWS: Final = """
SELECT u.relname AS name, u.n_dead_tup AS dead_rows
FROM pg_stat_user_tables AS u
WHERE u.schemaname = 'tandem'
"""

# Of other logins' sessions a login without pg_read_all_stats sees no times.
READ_OLDEST_TRANSACTION: Final = """
SELECT coalesce(max(clock_timestamp() - a.xact_start), interval '0') AS age
FROM pg_stat_activity AS a
WHERE a.datname = current_database()
  AND a.pid <> pg_backend_pid()
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Upkeep:
    """As the database's own statistics have it: estimates, and a little late."""

    dead_rows: Mapping[str, int]
    """By table."""

    oldest_transaction: timedelta


async def read_upkeep(pool: asyncpg.Pool) -> Upkeep:
    """What the login may see of it."""
    async with pool.acquire() as connection:
        rows = await connection.fetch(READ_DEAD_ROWS)
        oldest = await connection.fetchval(READ_OLDEST_TRANSACTION)
    return Upkeep(
        dead_rows={row["name"]: row["dead_rows"] for row in rows},
        oldest_transaction=oldest,
    )
