"""Frames without end, each of them allowed."""

from __future__ import annotations

import asyncio
import struct
from collections.abc import Iterator

import grpc
import pytest

from tests.support.attacked import Attack, leaks
from tests.support.creator import a_request
from tests.support.http2 import (
    END_HEADERS,
    END_STREAM,
    Kind,
    Raw,
    call,
    frame,
    indexed_once,
    literal,
    message,
    raw,
    settings,
)

HEALTH = "/grpc.health.v1.Health/Check"
CREATE = "/tandem.v1.CreatorService/CreateTask"

FLOOD_LIMIT = 3.0
"""Seconds that a flood lasts, if the service takes it for so long."""

KIB = 1024


def packed(part: bytes, count: int) -> Iterator[bytes]:
    """So many of them, in writes of some size."""
    at_once = max(1, 64 * KIB // len(part))
    for _ in range(count // at_once):
        yield part * at_once


def continuations() -> Iterator[bytes]:
    """Headers that never end: 256 MiB of them."""
    yield call(HEALTH, 1, flags=0)
    more = frame(Kind.CONTINUATION, literal("x-a", "a" * 16_000), stream=1)
    yield from packed(more, 16_384)


def empty_continuations() -> Iterator[bytes]:
    yield call(HEALTH, 1, flags=0)
    yield from packed(frame(Kind.CONTINUATION, stream=1), 5_000_000)


def resets() -> Iterator[bytes]:
    """Rapid reset: calls that are begun and dropped at once."""
    content = frame(Kind.DATA, message(b""), flags=END_STREAM)
    cancel = struct.pack(">I", 8)
    for first in range(1, 400_000, 200):
        yield b"".join(
            call(HEALTH, stream)
            + content[:5]
            + struct.pack(">I", stream)
            + content[9:]
            + frame(Kind.RST_STREAM, cancel, stream=stream)
            for stream in range(first, first + 200, 2)
        )


def resets_of_creates() -> Iterator[bytes]:
    """As `resets`, of calls that reach the database."""
    told = message(a_request().SerializeToString())
    for first in range(1, 200_000, 200):
        yield b"".join(
            call(CREATE, stream)
            + frame(Kind.DATA, told, flags=END_STREAM, stream=stream)
            + frame(Kind.RST_STREAM, struct.pack(">I", 8), stream=stream)
            for stream in range(first, first + 200, 2)
        )


def settings_without_end() -> Iterator[bytes]:
    yield from packed(settings(initial_window=65_535), 2_000_000)


def pings() -> Iterator[bytes]:
    yield from packed(frame(Kind.PING, b"12345678"), 5_000_000)


def window_updates() -> Iterator[bytes]:
    yield from packed(frame(Kind.WINDOW_UPDATE, b"\0\0\0\1"), 5_000_000)


def priorities() -> Iterator[bytes]:
    yield from packed(frame(Kind.PRIORITY, b"\0\0\0\0\x10", stream=9), 5_000_000)


def empty_data() -> Iterator[bytes]:
    """A message that never begins."""
    yield call(HEALTH, 1)
    yield from packed(frame(Kind.DATA, stream=1), 5_000_000)


def repeated_headers() -> Iterator[bytes]:
    """One header of 3 KiB in the service's table, named 16,000 times in each call."""
    yield call(HEALTH, 1, indexed_once("x-a", "a" * 3 * KIB))
    for stream in range(3, 4_000, 2):
        yield call(HEALTH, stream, b"\xbe" * 16_000)


def table_sizes() -> Iterator[bytes]:
    """The size of the table, changed again and again."""
    for stream in range(1, 200_000, 2):
        yield call(HEALTH, stream, flags=END_HEADERS | END_STREAM) + frame(
            Kind.HEADERS, b"\x20\x3f\xe1\x1f" * 100, flags=END_HEADERS, stream=stream
        )


FLOODS = [
    continuations,
    empty_continuations,
    resets,
    resets_of_creates,
    settings_without_end,
    pings,
    window_updates,
    priorities,
    empty_data,
    repeated_headers,
    table_sizes,
]


@pytest.mark.parametrize("flood", FLOODS, ids=lambda flood: flood.__name__)
async def test_a_flood_of(attack: Attack, flood: object) -> None:
    if flood in (resets, resets_of_creates):
        attack.growth_limit = 256

    async def poured(connection: Raw) -> None:
        await connection.flood(flood(), limit=FLOOD_LIMIT)  # type: ignore[operator]

    async with raw(attack.creator) as one, raw(attack.processor) as two:
        await one.greet()
        await two.greet()
        await asyncio.gather(poured(one), poured(two))
        heard = [bytes(each.heard).decode("latin1") for each in (one, two)]

    assert leaks(heard) == []
    async with grpc.aio.insecure_channel(attack.creator) as channel:
        await asyncio.wait_for(channel.channel_ready(), 20)
