"""Messages that are too long, are none, or become too long once they are unpacked."""

from __future__ import annotations

import asyncio
import random
from collections import Counter

import grpc
import pytest
from grpc_health.v1 import health_pb2

from tests.support.attacked import Attack, leaks

LIMIT = 60.0

CREATE = "/tandem.v1.CreatorService/CreateTask"
BATCH = "/tandem.v1.CreatorService/BatchCreateTasks"
STREAM = "/tandem.v1.CreatorService/StreamCreatedTasks"
CONSUME = "/tandem.v1.CreatorService/ConsumeCreatedTasks"
GET = "/tandem.v1.ProcessorService/GetTask"
WATCH = "/tandem.v1.ProcessorService/WatchTask"
HEALTH = "/grpc.health.v1.Health/Check"
HEALTH_WATCH = "/grpc.health.v1.Health/Watch"
REFLECTION = "/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo"

OF_CREATOR = (CREATE, BATCH, STREAM, CONSUME, HEALTH, HEALTH_WATCH, REFLECTION)
OF_PROCESSOR = (GET, WATCH, HEALTH, HEALTH_WATCH, REFLECTION)

MIB = 1024 * 1024

UNLIMITED = (("grpc.max_send_message_length", -1),)

RUBBISH = random.Random(2).randbytes(1024)


async def sent(
    channel: grpc.aio.Channel,
    path: str,
    content: bytes,
    *,
    compression: grpc.Compression | None = None,
) -> tuple[grpc.StatusCode, str]:
    """How the call ends that sends this as its one message."""
    method: grpc.aio.UnaryStreamMultiCallable[bytes, bytes] = channel.unary_stream(path)
    call = method(content, timeout=LIMIT, compression=compression)
    try:
        async for _ in call:
            pass
    except grpc.aio.AioRpcError as error:
        return error.code(), error.details() or ""
    return grpc.StatusCode.OK, ""


def paths(attack: Attack) -> list[tuple[str, str]]:
    return [(attack.creator, path) for path in OF_CREATOR] + [
        (attack.processor, path) for path in OF_PROCESSOR
    ]


@pytest.mark.parametrize(
    "content", [RUBBISH, b"\x0a\xff\xff\xff\xff\x0f", b"\x0a\x02\xc3\x28"]
)
async def test_bytes_that_are_no_message_are_refused_by_every_method(
    attack: Attack, content: bytes
) -> None:
    found: dict[tuple[str, str], tuple[grpc.StatusCode, str]] = {}
    for address, path in paths(attack):
        async with grpc.aio.insecure_channel(address) as channel:
            found[address, path] = await sent(channel, path, content)

    codes = {path: code.name for (_, path), (code, _) in found.items()}
    assert codes == dict.fromkeys(codes, "INVALID_ARGUMENT")
    assert leaks([told for _, told in found.values()]) == []


@pytest.mark.parametrize("length", [5 * MIB, 64 * MIB])
async def test_a_message_that_is_too_long_is_refused(
    attack: Attack, length: int
) -> None:
    found: Counter[str] = Counter()
    for address, path in paths(attack):
        async with grpc.aio.insecure_channel(address, options=UNLIMITED) as channel:
            code, _ = await sent(channel, path, bytes(length))
            found[code.name] += 1

    assert found == {"RESOURCE_EXHAUSTED": len(paths(attack))}


async def test_words_without_end_are_not_kept(attack: Attack) -> None:
    """The name that Health watches is kept for as long as it is watched."""
    request = health_pb2.HealthCheckRequest(service="x" * (3 * MIB)).SerializeToString()
    found: Counter[str] = Counter()
    for address in attack.addresses:
        async with grpc.aio.insecure_channel(address) as channel:
            for path in (HEALTH, HEALTH_WATCH):
                code, _ = await sent(channel, path, request)
                found[code.name] += 1

    assert found == {"INVALID_ARGUMENT": 4}


async def test_a_method_that_is_not_served_leaves_no_trace(attack: Attack) -> None:
    for address in attack.addresses:
        async with grpc.aio.insecure_channel(address) as channel:
            for path in ("/grpc.health.v1.Health/List", "/tandem.v1.X/Y", "/x"):
                code, told = await sent(channel, path, b"")
                assert code is grpc.StatusCode.UNIMPLEMENTED
                assert leaks([told]) == []


async def test_a_bomb_is_not_unpacked(attack: Attack) -> None:
    """100 MiB of zeros are 100 KB on the wire."""

    async def thrown(address: str, path: str) -> str:
        async with grpc.aio.insecure_channel(address, options=UNLIMITED) as channel:
            code, _ = await sent(
                channel, path, bytes(100 * MIB), compression=grpc.Compression.Gzip
            )
            return code.name

    found = await asyncio.gather(
        thrown(attack.creator, CREATE),
        thrown(attack.processor, GET),
        thrown(attack.creator, HEALTH),
    )

    assert set(found) == {"RESOURCE_EXHAUSTED"}
