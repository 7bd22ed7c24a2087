"""A TCP path that a test can cut, or make deaf to answers."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

CHUNK = 65_536


class Proxy:
    """Forwards connections to `target`, for as long as the path is whole."""

    def __init__(self) -> None:
        self.target = ""
        self.address = ""
        self._whole = True
        self._answers = True
        self._open: set[asyncio.StreamWriter] = set()
        self._deaf: set[asyncio.StreamWriter] = set()
        self._dead: set[asyncio.StreamWriter] = set()

    async def listen(self) -> asyncio.Server:
        server = await asyncio.start_server(self._accept, "127.0.0.1", 0)
        host, port = server.sockets[0].getsockname()
        self.address = f"{host}:{port}"
        return server

    def swallow_answers(self) -> None:
        """From here on requests pass, and nothing comes back."""
        self._answers = False

    def deafen(self) -> None:
        """Nothing more comes back on what is open, not even its end; the rest is whole."""
        self._deaf |= self._open

    def die(self) -> None:
        """Nothing more passes on what is open, either way, not even its end."""
        self._dead |= self._open

    def cut(self) -> None:
        """Break what is open; what is opened later is broken at once."""
        self._whole = False
        for writer in self._open | self._deaf | self._dead:
            writer.transport.abort()

    def heal(self) -> None:
        self._whole = self._answers = True

    async def _accept(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        if not self._whole:
            writer.transport.abort()
            return
        try:
            there_reader, there_writer = await self._connect()
        except OSError:
            writer.transport.abort()
            return
        ends = {writer, there_writer}
        self._open |= ends
        try:
            await asyncio.gather(
                self._forward(reader, there_writer, answers=False),
                self._forward(there_reader, writer, answers=True),
            )
        finally:
            self._open -= ends

    async def _connect(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        host, _, port = self.target.rpartition(":")
        return await asyncio.open_connection(host, int(port))

    async def _passes(
        self, data: bytes, to: asyncio.StreamWriter, *, answers: bool
    ) -> bool:
        """Whether these bytes arrive; it may take its time to say so."""
        is_unheard = answers and (not self._answers or to in self._deaf)
        return not (to in self._dead or is_unheard)

    async def _forward(
        self,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        *,
        answers: bool,
    ) -> None:
        with suppress(ConnectionError):
            while data := await reader.read(CHUNK):
                passes = await self._passes(data, writer, answers=answers)
                if passes and not writer.is_closing():
                    writer.write(data)
                    await writer.drain()
        if not (writer in self._dead or (answers and writer in self._deaf)):
            writer.close()


@asynccontextmanager
async def running_proxy(target: str = "") -> AsyncIterator[Proxy]:
    """A proxy on a free port. Its target may be set later."""
    proxy = Proxy()
    proxy.target = target
    server = await proxy.listen()
    try:
        yield proxy
    finally:
        server.close()
        proxy.cut()
