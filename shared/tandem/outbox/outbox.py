"""The table in a caller's own database that holds what is to be created."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import closing
from typing import Any, TypedDict
from uuid import UUID

from tandem.client import Spec
from tandem.outbox import paramstyles, statements
from tandem.outbox.connections import AsyncConnection, Recording
from tandem.outbox.paramstyles import Paramstyle
from tandem.outbox.recorded import Recorded, request_text, row_id
from tandem.outbox.statements import DEFAULT_TABLE, Dialect
from tandem.v1 import task_pb2


class Row(TypedDict):
    """What to insert for one intended create; every other column has a default."""

    request_id: str
    request: str


class Outbox:
    """Records intended creates inside the caller's transactions, for a relay to send.

    It holds no connection; threads and event loops may share it.
    """

    def __init__(
        self,
        dialect: Dialect,
        *,
        table: str = DEFAULT_TABLE,
        paramstyle: Paramstyle | None = None,
    ) -> None:
        """`paramstyle` is for connections whose module does not tell it.

        Raises:
            ValueError: there is no such dialect or style, or no table can be called so.
        """
        if dialect not in statements.SCHEMAS:
            known = ", ".join(statements.SCHEMAS)
            raise ValueError(f"no dialect {dialect!r}; use one of {known}")
        self._dialect = dialect
        self._table = statements.checked_table(table)
        self._style = paramstyle and paramstyles.checked_style(paramstyle)

    def schema(self) -> str:
        """The CREATE statements, each ended by a semicolon, for your own migrations."""
        return self._named(statements.SCHEMAS[self._dialect])

    def row(
        self,
        spec: Spec | task_pb2.TaskSpec,
        *,
        request_id: str | UUID | None = None,
        reject_existing: bool = False,
    ) -> Row:
        """What `record` inserts, for those whose ORM does the inserting.

        Raises:
            InvalidRequest: names every field at fault.
        """
        text = request_text(spec, reject_existing=reject_existing)
        return Row(request_id=row_id(request_id), request=text)

    def record(
        self,
        connection: Recording,
        spec: Spec | task_pb2.TaskSpec,
        *,
        request_id: str | UUID | None = None,
        reject_existing: bool = False,
    ) -> str:
        """Record an intended create in the connection's transaction; answer its request id.

        `request_id` is as in `Client.create`; without one it is a new UUID. The
        commit is yours: once it is done the task will be there, without it never.

        Raises:
            InvalidRequest: names every field at fault; nothing was written.
            Exception: the driver's, for a request id that is recorded already.
        """
        row = self.row(spec, request_id=request_id, reject_existing=reject_existing)
        self.run(connection, statements.RECORD, [tuple(row.values())])
        return row["request_id"]

    async def arecord(
        self,
        connection: AsyncConnection,
        spec: Spec | task_pb2.TaskSpec,
        *,
        request_id: str | UUID | None = None,
        reject_existing: bool = False,
    ) -> str:
        """As `record`, on a connection of asyncpg.

        Raises:
            ValueError: the connection is in no transaction.
        """
        if not connection.is_in_transaction():
            raise ValueError(
                "the connection is in no transaction: record inside the one"
                " that writes what the task is about"
            )
        row = self.row(spec, request_id=request_id, reject_existing=reject_existing)
        await connection.execute(self._named(statements.RECORD), *row.values())
        return row["request_id"]

    @property
    def holds_rows(self) -> bool:
        """Whether what a transaction has read is kept from other relays."""
        return self._dialect == "postgres"

    def read(self, connection: Recording, *, limit: int) -> Sequence[Recorded]:
        """The next rows to relay, those that failed before last."""
        style = self._style_on(connection)
        with closing(connection.cursor()) as cursor:
            sql = self._named(statements.READS[self._dialect])
            cursor.execute(
                paramstyles.written(sql, style), paramstyles.given([limit], style)
            )
            return [Recorded.of(row) for row in cursor.fetchall()]

    async def aread(
        self, connection: AsyncConnection, *, limit: int
    ) -> Sequence[Recorded]:
        """As `read`, on a connection of asyncpg."""
        sql = self._named(statements.READS[self._dialect])
        return [Recorded.of(row) for row in await connection.fetch(sql, limit)]

    def run(
        self, connection: Recording, sql: str, rows: Sequence[Sequence[Any]]
    ) -> None:
        """Run a statement of this package's once for each of these."""
        if not rows:
            return
        style = self._style_on(connection)
        with closing(connection.cursor()) as cursor:
            cursor.executemany(
                paramstyles.written(self._named(sql), style),
                [paramstyles.given(row, style) for row in rows],
            )

    async def arun(
        self, connection: AsyncConnection, sql: str, rows: Sequence[Sequence[Any]]
    ) -> None:
        """As `run`, on a connection of asyncpg."""
        await connection.executemany(self._named(sql), rows)

    def _named(self, sql: str) -> str:
        return statements.named(sql, self._table)

    def _style_on(self, connection: Recording) -> Paramstyle:
        return self._style or paramstyles.style_of(connection)
