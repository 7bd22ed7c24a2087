"""What is no HTTP/2, or breaks its rules: it ends its own connection, and nothing else."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Mapping

from tests.support.attacked import Attack, leaks
from tests.support.http2 import (
    END_HEADERS,
    END_STREAM,
    PADDED,
    PREFACE,
    Kind,
    call,
    frame,
    literal,
    message,
    raw,
    settings,
)

GET = "/tandem.v1.ProcessorService/GetTask"

# A fixed seed: the same rubbish in every run.
RUBBISH = random.Random(1).randbytes(4096)

NOT_HTTP2 = {
    "rubbish": RUBBISH,
    "HTTP/1.1": b"GET / HTTP/1.1\r\nHost: tandem\r\n\r\n",
    "TLS": bytes.fromhex("16030100c8010000c40303") + RUBBISH[:193],
    "a preface that goes wrong": PREFACE[:-4] + b"XX\r\n\r\n",
    "a call before the settings": PREFACE + call(GET, 1),
    "a frame of 16 MiB at once": PREFACE + b"\xff\xff\xff\x04\0\0\0\0\0" + RUBBISH,
}

BROKEN = {
    "a WINDOW_UPDATE of nothing": frame(Kind.WINDOW_UPDATE, bytes(4)),
    "a SETTINGS of five bytes": frame(Kind.SETTINGS, b"12345"),
    "a SETTINGS on a stream": frame(Kind.SETTINGS, stream=1),
    "a window beyond its limit": settings(initial_window=2**31),
    "a PING of seven bytes": frame(Kind.PING, b"1234567"),
    "a CONTINUATION of nothing": frame(Kind.CONTINUATION, flags=END_HEADERS, stream=1),
    "a HEADERS inside another": call(GET, 1, flags=0) + call(GET, 3),
    "padding longer than its frame": frame(
        Kind.HEADERS, b"\xff" + b"x" * 9, flags=END_HEADERS | PADDED, stream=1
    ),
    "a header of no index": frame(Kind.HEADERS, b"\x80", flags=END_HEADERS, stream=1),
    "an index without an end": frame(
        Kind.HEADERS, b"\xff" * 40, flags=END_HEADERS, stream=1
    ),
    "a header that ends too soon": frame(
        Kind.HEADERS, b"\x00\x7f\xff\xff\xff\x7fabc", flags=END_HEADERS, stream=1
    ),
    "a table beyond its limit": frame(
        Kind.HEADERS, b"\x3f\xe1\xff\xff\x7f", flags=END_HEADERS, stream=1
    ),
    "a WINDOW_UPDATE of three bytes": frame(Kind.WINDOW_UPDATE, b"\0\0\1"),
    "a RST_STREAM of five bytes": frame(Kind.RST_STREAM, b"12345", stream=1),
}

TOLERATED = {
    "a PING on a stream": frame(Kind.PING, b"12345678", stream=1),
    "a call on stream 0": call(GET, 0),
    "a call on an even stream": call(GET, 2),
    "a promise from a client": frame(
        Kind.PUSH_PROMISE, b"\0\0\0\2", flags=END_HEADERS, stream=1
    ),
    "a stream that waits for itself": frame(Kind.PRIORITY, b"\0\0\0\1\x10", stream=1),
    "a frame of no kind": frame(0x42, RUBBISH, stream=7),
    "data for no stream": frame(Kind.DATA, RUBBISH, stream=0),
    "a window that grows beyond its limit": frame(
        Kind.WINDOW_UPDATE, b"\x7f\xff\xff\xff"
    )
    * 2,
    "a method of no service": call("/x", 1, flags=END_HEADERS | END_STREAM),
    "a path of 4,000 dots": call("/" + "../" * 1_300, 1),
    "headers with a NUL": call(GET, 1, literal("x-a", b"a\0b")),
    "a header with no name": call(GET, 1, literal("", "x")),
    "names in capitals": call(GET, 1, literal("X-A", "x")),
    "a deadline of words": call(GET, 1, literal("grpc-timeout", "soon")),
    "a deadline past all numbers": call(
        GET, 1, literal("grpc-timeout", "9" * 40 + "H")
    ),
    "metadata that is no base64": call(GET, 1, literal("x-a-bin", "%%%")),
    "a body of rubbish": call(GET, 1)
    + frame(Kind.DATA, RUBBISH, flags=END_STREAM, stream=1),
    "a message of 4 GiB": call(GET, 1)
    + frame(Kind.DATA, message(b"", length=2**32 - 1), stream=1),
    "a message compressed by nothing": call(GET, 1)
    + frame(Kind.DATA, message(b"x", compressed=1), flags=END_STREAM, stream=1),
}


async def test_what_is_no_http2_is_shown_out(attack: Attack) -> None:
    assert await _tolerated(attack, NOT_HTTP2, greeted=False) == []


async def test_rules_that_are_broken_end_the_connection(attack: Attack) -> None:
    assert await _tolerated(attack, BROKEN, greeted=True) == []


async def _tolerated(
    attack: Attack, attempts: Mapping[str, bytes], *, greeted: bool
) -> list[str]:
    """Those of the attempts that did not end their connection."""

    async def ended(address: str, sent: bytes) -> bool:
        async with raw(address) as connection:
            if greeted:
                await connection.greet()
            await connection.send(sent)
            ended = await connection.listen()
            assert leaks([connection.heard.decode("latin1")]) == []
            # Whoever only falls silent is cut off too, a little later.
            return ended and b"ping_timeout" not in connection.heard

    return [
        f"{name} at {address}"
        for name, sent in attempts.items()
        for address in attack.addresses
        if not await ended(address, sent)
    ]


async def test_oddities_harm_nobody(attack: Attack) -> None:
    async def answered(address: str, sent: bytes) -> str:
        async with raw(address) as connection:
            await connection.greet()
            await connection.send(sent, frame(Kind.PING, b"the last"))
            await connection.settled(b"the last")
            return connection.heard.decode("latin1")

    found = await asyncio.gather(
        *(
            answered(address, sent)
            for address in attack.addresses
            for sent in TOLERATED.values()
        )
    )

    assert leaks(found) == []


async def test_a_client_that_says_nothing_is_cut_off(attack: Attack) -> None:
    async def cut_off(address: str, sent: bytes) -> bool:
        async with raw(address) as connection:
            await connection.send(sent)
            return await connection.listen()

    half = (b"", PREFACE[:10], PREFACE, PREFACE + settings(), PREFACE + call(GET, 1))
    found = await asyncio.gather(
        *(cut_off(address, sent) for address in attack.addresses for sent in half)
    )

    assert all(found)
