"""Pools of connections whose every session is as Tandem's promises need it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Coroutine, Mapping
from types import MappingProxyType
from typing import Any, Final, TypeAlias

import asyncpg
from asyncpg.pool import PoolConnectionProxy

from tandem.postgres.connect import (
    CONNECT_LIMIT,
    PostgresUnfit,
    milliseconds,
    require_url,
    require_version,
)

OnConnect: TypeAlias = Callable[[asyncpg.Connection], Awaitable[None]]

# An answer of OK is a promise that the row is durable. `off` breaks it, whoever
# set it; so do `local` and `remote_write`, of which a standby may know nothing.
DURABLE: Final = frozenset({"on", "remote_apply"})

REPLY_SLACK: Final = 5.0
"""Seconds past `statement_timeout` after which the network is taken for dead."""

# Planning a read of a few tasks takes longer than the read. A plan that was kept
# from when a table was empty must not scan it when it is full.
PLANS_BY_KEYS: Final = MappingProxyType(
    {
        "plan_cache_mode": "force_generic_plan",
        "enable_seqscan": "off",
        "enable_hashjoin": "off",
        "enable_mergejoin": "off",
    }
)

AT_POOLER: Final = (
    "; behind a pooler a session has the settings of its login: make them with"
    " ALTER ROLE ... SET, as docs/operations.md shows, and let the pooler reconnect"
)

STATEMENTS: Final = 100
"""Kept prepared in each session."""

READ_SETTINGS: Final = """
SELECT lower(name) AS name, setting
FROM pg_settings
WHERE lower(name) = ANY ($1::text[])
"""


async def create_pool(
    url: str,
    *,
    size: int,
    application_name: str,
    on_connect: OnConnect | None = None,
    lock_timeout: float = 5.0,
    statement_timeout: float = 15.0,
    idle_in_transaction_timeout: float = 10.0,
    pooler: bool = False,
    by_keys: bool = False,
    cleans: bool = True,
) -> asyncpg.Pool:
    """Open a pool and prove its first session. The caller closes it.

    Every connection is checked when it is made. One that is released dirty is
    cleaned; one whose state cannot be known is closed. JSON stays text. Names
    outside pg_catalog must be qualified.

    Args:
        url: the service's own login.
        size: the most connections that are held.
        application_name: what `pg_stat_activity` shows.
        on_connect: called with each new connection, after the checks.
        lock_timeout: seconds that a statement waits for a lock.
        statement_timeout: seconds that a statement may take.
        idle_in_transaction_timeout: seconds that a transaction may do nothing.
        pooler: the URL leads to a pooler that gives each transaction another session.
            Settings are then those of the login, which are checked and not made, and
            no statement is kept prepared.
        by_keys: every statement finds its rows by keys, so that each is planned once.
        cleans: False spares a round trip after each statement, where all that users
            ever leave behind in a session is an open transaction: it is rolled back.

    Raises:
        PostgresUnfit: the URL cannot be understood, or the server is too old, or
            refuses a setting.
    """
    require_url(url)
    settings = _session_settings(
        lock_timeout=lock_timeout,
        statement_timeout=statement_timeout,
        idle_in_transaction_timeout=idle_in_transaction_timeout,
    )
    if by_keys:
        settings |= PLANS_BY_KEYS
    return await asyncpg.create_pool(
        url,
        min_size=1,
        max_size=size,
        init=_proof(settings, on_connect, hint=AT_POOLER if pooler else ""),
        timeout=CONNECT_LIMIT,
        command_timeout=statement_timeout + REPLY_SLACK,
        # What is asked for at connect would reach none of the pooler's sessions.
        server_settings={
            "application_name": application_name,
            **({} if pooler else settings),
        },
        statement_cache_size=0 if pooler else STATEMENTS,
        # The next session behind a pooler is another one: there is nothing to clean.
        reset=None if cleans and not pooler else _leave,
    )


def _proof(
    settings: Mapping[str, str], then: OnConnect | None, *, hint: str
) -> Callable[[asyncpg.Connection], Coroutine[Any, Any, None]]:
    """What is done with each connection as it is made."""

    async def prove(connection: asyncpg.Connection) -> None:
        require_version(connection)
        await require_settings(connection, settings, hint=hint)
        if then is not None:
            await then(connection)

    return prove


def is_read_only(connection: asyncpg.Connection | PoolConnectionProxy) -> bool:
    """Whether nothing can be written in the next transaction of this session.

    As of its last statement: a server says so by itself when that changes.
    """
    told = connection.get_settings()
    names = ("default_transaction_read_only", "in_hot_standby")
    return any(getattr(told, name, "off") == "on" for name in names)


async def _leave(connection: asyncpg.Connection) -> None:
    """The session as it is, but for one that can write no more.

    Whoever is the primary now is found by connecting anew.
    """
    if is_read_only(connection):
        connection.terminate()


def _session_settings(
    *,
    lock_timeout: float,
    statement_timeout: float,
    idle_in_transaction_timeout: float,
) -> dict[str, str]:
    return {
        "synchronous_commit": "on",
        "default_transaction_isolation": "read committed",
        "search_path": "pg_catalog",
        "timezone": "UTC",
        "lock_timeout": milliseconds(lock_timeout),
        "statement_timeout": milliseconds(statement_timeout),
        "idle_in_transaction_session_timeout": milliseconds(
            idle_in_transaction_timeout
        ),
    }


async def require_settings(
    connection: asyncpg.Connection, wanted: Mapping[str, str], *, hint: str = ""
) -> None:
    """Refuse a session in which a setting did not take.

    A pooler may drop what a client asks for at connect, without a word.
    The hint says what to do about it.

    Raises:
        PostgresUnfit: with every setting that is not as wanted.
    """
    rows = await connection.fetch(READ_SETTINGS, list(wanted))
    found = {row["name"]: row["setting"] for row in rows}
    wrong = [
        f"{name} is {found.get(name)!r}, not {value!r}"
        for name, value in wanted.items()
        if not _is_as_wanted(name, found.get(name), value)
    ]
    if wrong:
        raise PostgresUnfit(
            f"this session is not safe to use: {'; '.join(wrong)}{hint}"
        )


def _is_as_wanted(name: str, found: Any, wanted: str) -> bool:
    if name == "synchronous_commit":
        return found in DURABLE
    return bool(found == wanted)
