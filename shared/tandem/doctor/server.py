"""The server under everything: its settings, its room, its clock, its transactions."""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import timedelta
from typing import Final

import asyncpg

from tandem.doctor.findings import Finding

SAFE_SETTINGS: Final = {
    "fsync": "a crash of the machine may corrupt what was answered with OK",
    "full_page_writes": "a crash of the machine may corrupt what was answered with OK",
    "autovacuum": "tables grow, and every look at them takes longer",
    "track_counts": "autovacuum does not know where it is needed, and tables grow",
}
"""Those that must be on, and what happens where they are not."""

FULLEST: Final = 0.9
"""Of connections or locks, so many of the whole is too little room."""

LONGEST: Final = timedelta(minutes=5)
"""An open transaction that is older keeps what was deleted since in the tables."""

LATEST: Final = 1.0
"""Seconds by which the clocks may differ."""

READ_SETTINGS: Final = """
SELECT s.name
FROM pg_settings AS s
WHERE s.name = ANY ($1::text[])
  AND s.setting = 'off'
ORDER BY s.name
"""

IS_STANDBY: Final = "SELECT pg_is_in_recovery()"

# Everybody may see these, where pg_stat_activity hides what others do.
READ_ROOM: Final = """
SELECT
    (SELECT sum(d.numbackends) FROM pg_stat_database AS d)::bigint AS connections,
    current_setting('max_connections')::integer
        - current_setting('superuser_reserved_connections')::integer AS most_connections,
    (SELECT count(*) FROM pg_locks) AS locks,
    current_setting('max_locks_per_transaction')::bigint
        * (current_setting('max_connections')::integer
            + current_setting('max_prepared_transactions')::integer) AS most_locks
"""

SEES_ALL: Final = "SELECT pg_has_role('pg_read_all_stats', 'USAGE')"

READ_TRANSACTIONS: Final = """
SELECT
    a.pid, a.usename AS login, a.application_name AS application, a.state,
    date_trunc('second', now() - a.xact_start)::text AS age
FROM pg_stat_activity AS a
WHERE a.datname = current_database()
  AND a.pid <> pg_backend_pid()
  AND a.backend_type = 'client backend'
  AND a.xact_start <= now() - $1::interval
ORDER BY a.xact_start
"""

READ_PREPARED: Final = """
SELECT p.gid, p.owner, date_trunc('second', now() - p.prepared)::text AS age
FROM pg_prepared_xacts AS p
WHERE p.database = current_database()
  AND p.prepared <= now() - $1::interval
ORDER BY p.prepared
"""

READ_CLOCK: Final = "SELECT extract(epoch FROM clock_timestamp())::double precision"


async def settings(connection: asyncpg.Connection) -> list[Finding]:
    """Settings of the server without which promises do not hold."""
    found = []
    if await connection.fetchval(IS_STANDBY):
        text = "this server is a standby: nothing can be created or claimed here"
        found.append(Finding(text, "name the primary in the services' URLs"))
    rows = await connection.fetch(READ_SETTINGS, list(SAFE_SETTINGS))
    return found + [
        Finding(
            f"{row['name']} is off: {SAFE_SETTINGS[row['name']]}",
            f"ALTER SYSTEM SET {row['name']} = on, and reload or restart the server",
        )
        for row in rows
    ]


async def room(
    connection: asyncpg.Connection, *, fullest: float = FULLEST
) -> list[Finding]:
    """Whether the next connection and the next lock will be had."""
    row = await connection.fetchrow(READ_ROOM)
    assert row is not None
    kinds = {
        "connections": "raise max_connections, or lower TANDEM_POOL_SIZE",
        "locks": "raise max_locks_per_transaction",
    }
    return [
        Finding(f"{row[kind]:,} of {row[f'most_{kind}']:,} {kind} are in use", remedy)
        for kind, remedy in kinds.items()
        if row[kind] > fullest * row[f"most_{kind}"]
    ]


async def transactions(
    connection: asyncpg.Connection, *, older_than: timedelta = LONGEST
) -> list[Finding]:
    """Transactions that are open for long: nothing deleted since can be cleaned up."""
    if not await connection.fetchval(SEES_ALL):
        text = "this login is not shown what others do"
        return [Finding(text, "give that of an administrator or of a pg_monitor")]
    active = await connection.fetch(READ_TRANSACTIONS, older_than)
    prepared = await connection.fetch(READ_PREPARED, older_than)
    return [
        *[
            Finding(
                f"process {row['pid']} of {row['login']} ({row['application']}) has had"
                f" a transaction open for {row['age']}, and is {row['state']}",
                f"end it there, or by SELECT pg_terminate_backend({row['pid']})",
            )
            for row in active
        ],
        *[
            Finding(
                f"transaction {row['gid']!r} of {row['owner']} was prepared"
                f" {row['age']} ago",
                "COMMIT PREPARED or ROLLBACK PREPARED it",
            )
            for row in prepared
        ],
    ]


async def clock(
    connection: asyncpg.Connection, *, here: Callable[[], float] = time.time
) -> list[Finding]:
    """Whether this machine and the database agree on the time."""
    before = here()
    there: float = await connection.fetchval(READ_CLOCK)
    after = here()
    ahead = max(before - there, there - after)
    if ahead <= LATEST:
        return []
    side = "ahead of" if before > there else "behind"
    return [
        Finding(
            f"the clock of this machine is {ahead:.1f} s {side} the database's",
            "keep both by NTP; Tandem goes by the database's, people by theirs",
        )
    ]
