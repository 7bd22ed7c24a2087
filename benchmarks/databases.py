"""A PostgreSQL of its own for one run, as durable as it comes."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import asyncpg

from benchmarks.sql import READ_FACTS, READ_WAL, READ_WRITES
from tandem.postgres.bootstrap import DATABASE, prepare, restrict_database
from tandem.postgres.embedded import EmbeddedPostgres
from tandem.postgres.migrate import migrate
from tandem.postgres.passwords import Passwords
from tandem.postgres.roles import OWNER
from tandem.postgres.urls import login_url

TANDEM_COPIES = ("replays", "copies")
"""Databases with Tandem's tables for measures that must not meet the others' rows."""

PLAIN = ("floor", "peers")


class Databases:
    """The server of a run. URLs hold passwords."""

    def __init__(self, postgres: EmbeddedPostgres, passwords: Passwords) -> None:
        self._postgres = postgres
        self._passwords = passwords
        self.pid = postgres.pid()

    def kill(self) -> None:
        """End it as a crash does; `start` recovers it."""
        os.kill(self.pid, signal.SIGKILL)

    def start(self) -> None:
        """Run it again."""
        self._postgres.start()
        self.pid = self._postgres.pid()

    def url(self, database: str = "postgres") -> str:
        """For the superuser."""
        return self._postgres.admin_url(database)

    def login(self, role: str, database: str = DATABASE) -> str:
        return login_url(
            self.url(), role, password=self._passwords.of(role), database=database
        )

    def facts(self) -> dict[str, str]:
        """Its version, and the settings that durability depends on."""
        return {row["name"]: row["setting"] for row in self.fetch(READ_FACTS)}

    def writes(self, database: str) -> int:
        """Rows ever inserted, updated or deleted, and dead ones, as pg_stat counts."""
        return int(self.fetch(READ_WRITES, database)[0][0])

    def wal(self) -> int:
        """Bytes of write-ahead log since the server was made."""
        return int(self.fetch(READ_WAL)[0][0])

    def fetch(self, query: str, database: str = "postgres") -> list[asyncpg.Record]:
        return asyncio.run(_fetch(self.url(database), query))


@contextmanager
def databases(
    folder: Path, copies: Sequence[str] = TANDEM_COPIES
) -> Iterator[Databases]:
    """A new server with every database that a run needs, durability untouched."""
    postgres = EmbeddedPostgres(folder)
    with postgres.used():
        made = Databases(postgres, Passwords.generate())
        asyncio.run(_fill(made, copies))
        yield made


async def _fill(made: Databases, copies: Sequence[str]) -> None:
    await prepare(made.url(), made._passwords)  # noqa: SLF001 - its own maker
    await migrate(made.login(OWNER))
    admin = await asyncpg.connect(made.url())
    try:
        for name in copies:
            await admin.execute(f"CREATE DATABASE {name} TEMPLATE {DATABASE}")
            await restrict_database(admin, name)
        for name in PLAIN:
            await admin.execute(f"CREATE DATABASE {name}")
    finally:
        await admin.close()


async def _fetch(url: str, query: str) -> list[asyncpg.Record]:
    connection = await asyncpg.connect(url)
    try:
        rows: list[asyncpg.Record] = await connection.fetch(query)
        return rows
    finally:
        await connection.close()
