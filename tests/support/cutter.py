"""A path to Postgres that loses the acknowledgement of a commit, and nothing else."""

from __future__ import annotations

import asyncio
import struct
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from urllib.parse import parse_qs, unquote, urlsplit

from tandem.postgres.roles import CREATOR
from tandem.postgres.urls import login_url
from tests.support.cluster import Database

SSL_REQUEST = 80877103
NO_SSL = b"N"

PARSE, BIND, QUERY = b"P", b"B", b"Q"
READY = b"Z"

ERROR = b"E"
SHUTDOWN = b"SFATAL\0VFATAL\0C57P01\0Mterminating connection\0\0"

CREATES = (b"tandem.create_tasks_v1(", b"tandem.create_in_windows_v1(")


class Cutter:
    """Forwards a creator's connections, and cuts one of them when it is told to.

    It reads the protocol: of the create that it was armed for, and of the COMMIT
    of a batch, the answer is dropped when the server says that all is done.
    """

    def __init__(self, login: str) -> None:
        """`login` is the creator's URL without the detour; it holds the password."""
        self._login = login
        self._armed: bytes | None = None
        self._open: set[asyncio.StreamWriter] = set()
        self.cuts = 0
        self.url = ""

    def cut_next_create(self) -> None:
        """The next single create is committed, and its caller never hears of it."""
        self._armed = BIND

    def cut_next_commit(self) -> None:
        """The same for the next COMMIT, which ends a batch."""
        self._armed = QUERY

    def announce_shutdown(self) -> None:
        """Every session hears of its end, and its connection is not closed yet."""
        for writer in self._open:
            writer.write(_framed(ERROR, SHUTDOWN))

    async def listen(self) -> asyncio.Server:
        server = await asyncio.start_server(self._accept, "127.0.0.1", 0)
        host, port = server.sockets[0].getsockname()
        parts = urlsplit(self._login)
        self.url = login_url(
            f"postgresql://{host}:{port}",
            CREATOR,
            password=unquote(parts.password or ""),
            database=unquote(parts.path.removeprefix("/")),
        )
        return server

    async def _accept(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        there_reader, there_writer = await connect_to(self._login)
        line = _Line(self)
        self._open.add(writer)
        try:
            with suppress(asyncio.IncompleteReadError, ConnectionError):
                async with asyncio.TaskGroup() as both:
                    both.create_task(line.requests(reader, writer, there_writer))
                    both.create_task(line.answers(there_reader, writer))
        except* (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            self._open.remove(writer)
            writer.transport.abort()
            there_writer.transport.abort()

    def takes(self, kind: bytes) -> bool:
        """Whether this is what it was armed for; then it is armed no more."""
        if self._armed != kind:
            return False
        self._armed = None
        self.cuts += 1
        return True


class _Line:
    """One connection, both ways."""

    def __init__(self, cutter: Cutter) -> None:
        self._cutter = cutter
        self._creates: set[bytes] = set()
        self._is_doomed = False

    async def requests(
        self,
        reader: asyncio.StreamReader,
        back: asyncio.StreamWriter,
        there: asyncio.StreamWriter,
    ) -> None:
        there.write(await _startup(reader, back))
        while True:
            kind, body = await _message(reader)
            self._look(kind, body)
            there.write(_framed(kind, body))
            await there.drain()

    async def answers(
        self, reader: asyncio.StreamReader, back: asyncio.StreamWriter
    ) -> None:
        while True:
            kind, body = await _message(reader)
            if self._is_doomed and kind == READY:
                raise ConnectionAbortedError
            if not self._is_doomed:
                back.write(_framed(kind, body))
                await back.drain()

    def _look(self, kind: bytes, body: bytes) -> None:
        if kind == PARSE:
            name, _, rest = body.partition(b"\0")
            if any(create in rest for create in CREATES):
                self._creates.add(name)
        elif kind == BIND:
            statement = body.split(b"\0", 2)[1]
            if statement in self._creates:
                self._is_doomed = self._cutter.takes(BIND)
        elif kind == QUERY and body.startswith(b"COMMIT"):
            self._is_doomed = self._cutter.takes(QUERY)


async def _startup(reader: asyncio.StreamReader, back: asyncio.StreamWriter) -> bytes:
    """The first message, which has no kind. TLS is declined before it."""
    while True:
        head = await reader.readexactly(8)
        length, code = struct.unpack("!ii", head)
        if code != SSL_REQUEST:
            return head + await reader.readexactly(length - 8)
        back.write(NO_SSL)


async def _message(reader: asyncio.StreamReader) -> tuple[bytes, bytes]:
    kind = await reader.readexactly(1)
    (length,) = struct.unpack("!i", await reader.readexactly(4))
    return kind, await reader.readexactly(length - 4)


def _framed(kind: bytes, body: bytes) -> bytes:
    return kind + struct.pack("!i", len(body) + 4) + body


async def connect_to(
    url: str,
) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    """A bare connection to the server of this URL, over its socket or TCP."""
    parts = urlsplit(url)
    host = parts.hostname or parse_qs(parts.query)["host"][0]
    port = parts.port or int(parse_qs(parts.query).get("port", ["5432"])[0])
    if host.startswith("/"):
        return await asyncio.open_unix_connection(f"{host}/.s.PGSQL.{port}")
    return await asyncio.open_connection(host, port)


@asynccontextmanager
async def running_cutter(database: Database) -> AsyncIterator[Cutter]:
    cutter = Cutter(database.creator_url)
    server = await cutter.listen()
    try:
        yield cutter
    finally:
        server.close()
