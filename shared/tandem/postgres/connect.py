"""One connection, outside any pool: for administration and migrations."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Final

import asyncpg

from tandem.postgres.binaries import OLDEST_MAJOR
from tandem.postgres.urls import is_url

CONNECT_LIMIT: Final = 10.0
"""Seconds for one connection to be made."""

COMMAND_LIMIT: Final = 600.0
"""Seconds for one command. A migration may rewrite a large table."""


class PostgresUnfit(RuntimeError):
    """A server, or the session it gave us, on which Tandem must not run."""


@asynccontextmanager
async def connected(
    url: str,
    *,
    application_name: str,
    database: str | None = None,
    lock_timeout: float = 60.0,
) -> AsyncIterator[asyncpg.Connection]:
    """A connection for the length of a block.

    Args:
        url: of the server, with the login.
        application_name: what `pg_stat_activity` shows.
        database: in place of the one in the URL.
        lock_timeout: seconds that a statement waits for any lock.

    Raises:
        PostgresUnfit: the URL cannot be understood, or the server is too old.
    """
    require_url(url)
    connection = await asyncpg.connect(
        url,
        database=database,
        timeout=CONNECT_LIMIT,
        command_timeout=COMMAND_LIMIT,
        server_settings={
            "application_name": application_name,
            "search_path": "pg_catalog",
            "lock_timeout": milliseconds(lock_timeout),
        },
    )
    try:
        require_version(connection)
        yield connection
    finally:
        await connection.close(timeout=CONNECT_LIMIT)


def require_url(url: str) -> None:
    """Refuse a URL that cannot be understood, without repeating any of it.

    Raises:
        PostgresUnfit: it cannot.
    """
    if not is_url(url):
        raise PostgresUnfit(
            "the database URL cannot be understood: write it as"
            " postgresql://LOGIN:***@HOST:PORT/DATABASE, and percent-encode"
            " what is special in the password"
        )


def require_version(connection: asyncpg.Connection) -> None:
    """Refuse a server that is too old.

    Raises:
        PostgresUnfit: it is older than `OLDEST_MAJOR`.
    """
    major = connection.get_server_version().major
    if major < OLDEST_MAJOR:
        raise PostgresUnfit(
            f"this is PostgreSQL {major}; Tandem needs {OLDEST_MAJOR} or newer"
        )


def milliseconds(seconds: float) -> str:
    return str(round(seconds * 1000))
