"""HTTP/2 by hand: frames as no client library would send them."""

from __future__ import annotations

import asyncio
import struct
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager, suppress
from enum import IntEnum
from typing import Final, Self

PREFACE: Final = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"

END_STREAM: Final = 0x1
ACK: Final = 0x1
END_HEADERS: Final = 0x4
PADDED: Final = 0x8

INITIAL_WINDOW: Final = 0x4
MAX_CONCURRENT_STREAMS: Final = 0x3

HEAD: Final = 9
"""Bytes of a frame before its payload."""

LIMIT: Final = 30.0
"""Seconds within which a service must have ended a connection that breaks the rules."""


class Kind(IntEnum):
    DATA = 0
    HEADERS = 1
    PRIORITY = 2
    RST_STREAM = 3
    SETTINGS = 4
    PUSH_PROMISE = 5
    PING = 6
    GOAWAY = 7
    WINDOW_UPDATE = 8
    CONTINUATION = 9


def frame(kind: int, payload: bytes = b"", *, flags: int = 0, stream: int = 0) -> bytes:
    length = struct.pack(">I", len(payload))[1:]
    return length + struct.pack(">BBI", kind, flags, stream) + payload


def settings(**values: int) -> bytes:
    """A SETTINGS frame. Names are those of this module, in small letters."""
    numbers = {
        "initial_window": INITIAL_WINDOW,
        "max_concurrent_streams": MAX_CONCURRENT_STREAMS,
    }
    pairs = (struct.pack(">HI", numbers[name], value) for name, value in values.items())
    return frame(Kind.SETTINGS, b"".join(pairs))


def literal(name: str, value: str | bytes) -> bytes:
    """One header in HPACK, never indexed, not compressed."""
    raw = value.encode() if isinstance(value, str) else value
    return b"\x10" + _text(name.encode()) + _text(raw)


def indexed_once(name: str, value: str) -> bytes:
    """One header in HPACK that the reader is to keep in its table."""
    return b"\x40" + _text(name.encode()) + _text(value.encode())


def _text(raw: bytes) -> bytes:
    if len(raw) < 127:
        return bytes([len(raw)]) + raw
    rest, length = len(raw) - 127, bytearray([127])
    while rest >= 128:
        length.append(rest % 128 + 128)
        rest //= 128
    length.append(rest)
    return bytes(length) + raw


def call_block(path: str, *more: bytes) -> bytes:
    """The headers of a gRPC call."""
    plain = {
        ":method": "POST",
        ":scheme": "http",
        ":path": path,
        ":authority": "attacker",
        "te": "trailers",
        "content-type": "application/grpc",
    }
    return b"".join([*(literal(*each) for each in plain.items()), *more])


def call(path: str, stream: int, *more: bytes, flags: int = END_HEADERS) -> bytes:
    """The HEADERS frame that begins a gRPC call."""
    return frame(Kind.HEADERS, call_block(path, *more), flags=flags, stream=stream)


def message(content: bytes, *, length: int | None = None, compressed: int = 0) -> bytes:
    """A gRPC message, with a prefix that may lie about it."""
    told = len(content) if length is None else length
    return struct.pack(">BI", compressed, told) + content


class Raw:
    """One connection, on which anything can be sent."""

    def __init__(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        self._reader = reader
        self._writer = writer
        self.heard = bytearray()
        """What the service has sent, as far as it was read."""

    async def send(self, *parts: bytes) -> bool:
        """False where the service no longer takes it."""
        try:
            self._writer.write(b"".join(parts))
            await self._writer.drain()
        except (ConnectionError, RuntimeError):
            return False
        return not self._writer.is_closing()

    async def greet(self, **values: int) -> Self:
        """What an honest client begins with."""
        await self.send(PREFACE, settings(**values), frame(Kind.SETTINGS, flags=ACK))
        return self

    async def flood(self, parts: Iterable[bytes], *, limit: float = LIMIT) -> bool:
        """Send all of it, or as much as the service takes. True where it took all."""
        with suppress(TimeoutError):
            async with asyncio.timeout(limit):
                for part in parts:
                    if not await self.send(part):
                        return False
                return True
        return False

    async def listen(self, limit: float = LIMIT) -> bool:
        """Read until the service ends the connection. False where it does not."""
        with suppress(TimeoutError, ConnectionError):
            async with asyncio.timeout(limit):
                while part := await self._reader.read(65_536):
                    self.heard += part
                return True
        return self._reader.at_eof() or self._reader.exception() is not None

    async def hear_next(self, kind: Kind) -> bytes | None:
        """The payload of the next frame of this kind; None at the end. The rest is dropped."""
        while True:
            for found, payload in self.frames():
                del self.heard[: HEAD + len(payload)]
                if found == kind:
                    return payload
            try:
                part = await self._reader.read(65_536)
            except ConnectionError:
                return None
            if not part:
                return None
            self.heard += part

    async def settled(self, ping: bytes) -> None:
        """Wait until all that was sent is taken: the last of it, this ping, is answered.

        Or until the connection has ended.
        """
        async with asyncio.timeout(LIMIT):
            while (Kind.PING, ping) not in self.frames():
                try:
                    part = await self._reader.read(65_536)
                except ConnectionError:
                    return
                if not part:
                    return
                self.heard += part

    def frames(self) -> list[tuple[int, bytes]]:
        """The whole frames that were read: kind and payload."""
        found, at = [], 0
        while at + HEAD <= len(self.heard):
            length = int.from_bytes(self.heard[at : at + 3])
            end = at + HEAD + length
            if end > len(self.heard):
                break
            found.append((self.heard[at + 3], bytes(self.heard[at + HEAD : end])))
            at = end
        return found

    def abort(self) -> None:
        self._writer.transport.abort()


@asynccontextmanager
async def raw(address: str) -> AsyncIterator[Raw]:
    """A connection to this address, cut at the end of the block."""
    host, _, port = address.rpartition(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    connection = Raw(reader, writer)
    try:
        yield connection
    finally:
        connection.abort()


@asynccontextmanager
async def kept(address: str) -> AsyncIterator[Raw]:
    """As `raw`, of a client that has greeted, and whose pings are answered."""
    async with raw(address) as connection:
        await connection.greet()
        answering = asyncio.create_task(_answer_pings(connection))
        try:
            yield connection
        finally:
            answering.cancel()


async def _answer_pings(connection: Raw) -> None:
    while (content := await connection.hear_next(Kind.PING)) is not None:
        await connection.send(frame(Kind.PING, content, flags=ACK))
