"""Waiting for what only a query can tell."""

from __future__ import annotations

import asyncio
from typing import Any

import asyncpg

LIMIT = 10.0
LOOK_AGAIN = 0.02

WAITING_FOR_LOCK = """
SELECT a.pid
FROM pg_stat_activity AS a
WHERE a.datname = current_database()
  AND a.usename = $1
  AND a.wait_event_type = 'Lock'
"""

SESSION_IS_GONE = """
SELECT NOT EXISTS (
    SELECT FROM pg_stat_activity AS a WHERE a.pid = $1
)
"""


async def until(connection: asyncpg.Connection, query: str, *args: Any) -> Any:
    """The query's value, once it is true."""
    async with asyncio.timeout(LIMIT):
        while not (value := await connection.fetchval(query, *args)):  # noqa: ASYNC110 - the server tells nobody
            await asyncio.sleep(LOOK_AGAIN)
    return value
