"""What the outbox needs of a caller's connection: any driver's that keeps to the standard."""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import AbstractAsyncContextManager
from typing import Any, Protocol


class Recording(Protocol):
    """A DB-API connection, as far as recording goes: the caller commits."""

    def cursor(self) -> Any:
        """A new cursor."""


class Connection(Recording, Protocol):
    """A DB-API connection (PEP 249) of a relay's own, such as sqlite3's or psycopg's."""

    def commit(self) -> Any:
        """End the transaction, and keep what it wrote."""

    def close(self) -> Any:
        """Let go of it. What is not committed is undone."""


class AsyncConnection(Protocol):
    """A connection of asyncpg, or of its pool."""

    def is_in_transaction(self) -> bool:
        """Whether a transaction is open."""

    def transaction(self) -> AbstractAsyncContextManager[Any]:
        """A transaction for the length of a block."""

    async def execute(self, query: str, /, *args: Any) -> Any:
        """Run one statement."""

    async def executemany(self, command: str, args: Iterable[Any], /) -> Any:
        """Run one statement for each of these."""

    async def fetch(self, query: str, /, *args: Any) -> Any:
        """Run one statement, and answer its rows."""
