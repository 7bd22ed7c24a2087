"""A place where a handler, in its process, waits for the test."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

LIMIT = 30.0
"""Seconds: longer than any wait that is not a fault."""


class Gate:
    """A loopback listener; whoever connects waits until the test lets it pass."""

    def __init__(self) -> None:
        self.address = ""
        self._arrived: asyncio.Queue[asyncio.StreamWriter] = asyncio.Queue()
        self._writers: list[asyncio.StreamWriter] = []
        self._has_fallen = False

    async def listen(self) -> asyncio.Server:
        server = await asyncio.start_server(self._accept, "127.0.0.1", 0)
        host, port = server.sockets[0].getsockname()
        self.address = f"{host}:{port}"
        return server

    async def reached(self) -> asyncio.StreamWriter:
        """The next handler that stands before the gate."""
        async with asyncio.timeout(LIMIT):
            return await self._arrived.get()

    async def _accept(
        self, _: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        if self._has_fallen:
            writer.close()
            return
        self._writers.append(writer)
        await self._arrived.put(writer)

    def fall(self) -> None:
        """Let everybody pass, from now on."""
        self._has_fallen = True
        for writer in self._writers:
            writer.close()


@asynccontextmanager
async def standing_gate() -> AsyncIterator[Gate]:
    gate = Gate()
    server = await gate.listen()
    try:
        yield gate
    finally:
        server.close()
        gate.fall()


def let_pass(writer: asyncio.StreamWriter) -> None:
    writer.close()


async def wait_at(address: str) -> None:
    """For handlers: return once the test lets this attempt pass."""
    host, _, port = address.rpartition(":")
    async with asyncio.timeout(LIMIT):
        reader, writer = await asyncio.open_connection(host, int(port))
        await reader.read()
    writer.close()
