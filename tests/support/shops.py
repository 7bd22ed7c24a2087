"""Callers with a database of their own: each saves orders and records their tasks."""

from __future__ import annotations

import asyncio
import json
import sqlite3
from abc import ABC, abstractmethod
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, closing
from pathlib import Path
from typing import Any, Final

import asyncpg
import psycopg

from tandem.client import AsyncClient, Client, Spec
from tandem.outbox import AsyncRelay, Outbox, Relay, Relayed
from tests.support.cluster import Database

ORDERS: Final = "CREATE TABLE {schema}orders (n integer PRIMARY KEY)"
SCHEMA: Final = "shop."
TASKS: Final = (
    "SELECT request_id, payload::text FROM tandem.tasks ORDER BY create_time, task_id"
)
LIMITS: Final[dict[str, Any]] = {"within": 30.0}


def a_spec(n: int, **fields: Any) -> Spec:
    return Spec(**{"project": "shop", "type": "email", "payload": {"n": n}, **fields})


class Shop(ABC):
    """One caller's program and database."""

    outbox: Outbox

    @abstractmethod
    async def save(
        self, n: int, spec: Spec | None = None, *, undo: bool = False, **options: Any
    ) -> str:
        """An order and its task, in one transaction; the request id."""

    @abstractmethod
    async def relay(self, address: str, **options: Any) -> Relayed:
        """One round, by a relay of its own."""

    @abstractmethod
    async def ask(self, sql: str) -> list[tuple[Any, ...]]:
        """Rows of a table called `shop.…`."""

    @abstractmethod
    async def change(self, sql: str) -> None:
        """Write, and commit."""

    async def rows(self) -> list[tuple[Any, ...]]:
        return await self.ask(
            "SELECT request_id, attempts, error FROM shop.tandem_outbox ORDER BY place"
        )


class BlockingShop(Shop):
    """On a DB-API connection."""

    schema = SCHEMA

    def __init__(self, connect: Callable[[], Any], outbox: Outbox) -> None:
        self.connect = connect
        self.outbox = outbox

    async def save(
        self, n: int, spec: Spec | None = None, *, undo: bool = False, **options: Any
    ) -> str:
        return await asyncio.to_thread(self._save, n, spec or a_spec(n), undo, options)

    def _save(self, n: int, spec: Spec, undo: bool, options: Any) -> str:
        with closing(self.connect()) as connection:
            connection.execute(f"INSERT INTO {self.schema}orders VALUES ({n})")
            request_id = self.outbox.record(connection, spec, **options)
            if not undo:
                connection.commit()
        return request_id

    async def relay(self, address: str, **options: Any) -> Relayed:
        def run() -> Relayed:
            with Client(address) as client:
                relay = Relay(self.outbox, self.connect, client, **LIMITS | options)
                return relay.run_once()

        return await asyncio.to_thread(run)

    async def ask(self, sql: str) -> list[tuple[Any, ...]]:
        return await asyncio.to_thread(self._run, sql, lambda cursor: cursor.fetchall())

    async def change(self, sql: str) -> None:
        await asyncio.to_thread(self._run, sql, lambda _: None)

    def _run(self, sql: str, read: Callable[[Any], Any]) -> Any:
        with closing(self.connect()) as connection:
            found = read(connection.execute(sql.replace(SCHEMA, self.schema)))
            connection.commit()
            return found


class SqliteShop(BlockingShop):
    """On SQLite, which has no schemas."""

    schema = ""


class AsyncpgShop(Shop):
    """On asyncpg's pool."""

    def __init__(self, pool: asyncpg.Pool, outbox: Outbox) -> None:
        self.pool = pool
        self.outbox = outbox

    async def save(
        self, n: int, spec: Spec | None = None, *, undo: bool = False, **options: Any
    ) -> str:
        async with self.pool.acquire() as connection:
            transaction = connection.transaction()
            await transaction.start()
            await connection.execute("INSERT INTO shop.orders VALUES ($1)", n)
            request_id = await self.outbox.arecord(
                connection, spec or a_spec(n), **options
            )
            await (transaction.rollback() if undo else transaction.commit())
        return request_id

    async def relay(self, address: str, **options: Any) -> Relayed:
        async with AsyncClient(address) as client:
            relay = AsyncRelay(
                self.outbox, self.pool.acquire, client, **LIMITS | options
            )
            return await relay.run_once()

    async def ask(self, sql: str) -> list[tuple[Any, ...]]:
        return [tuple(row) for row in await self.pool.fetch(sql)]

    async def change(self, sql: str) -> None:
        await self.pool.execute(sql)


def sqlite_shop(folder: Path) -> BlockingShop:
    shop = SqliteShop(lambda: sqlite3.connect(folder / "shop.db"), Outbox("sqlite"))
    with closing(shop.connect()) as connection:
        connection.executescript(ORDERS.format(schema="") + ";" + shop.outbox.schema())
    return shop


@asynccontextmanager
async def postgres_shop(database: Database, kind: str) -> AsyncIterator[Shop]:
    outbox = Outbox("postgres", table="shop.tandem_outbox")
    async with database.admin() as admin:
        await admin.execute(
            "CREATE SCHEMA shop; GRANT ALL ON SCHEMA shop TO tandem_owner"
        )
    async with asyncpg.create_pool(database.owner_url, min_size=1) as pool:
        await pool.execute(ORDERS.format(schema=SCHEMA) + ";" + outbox.schema())
        if kind == "asyncpg":
            yield AsyncpgShop(pool, outbox)
        else:
            yield BlockingShop(lambda: psycopg.connect(database.owner_url), outbox)


async def tasks(pool: asyncpg.Pool) -> dict[str, Any]:
    """Payloads by request id, in the order in which they were created."""
    return {
        str(row["request_id"]): json.loads(row["payload"])
        for row in await pool.fetch(TASKS)
    }
