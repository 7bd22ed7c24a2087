"""Headers that are too long, too many, or both."""

from __future__ import annotations

import asyncio

import grpc
import pytest

from tandem.v1 import creator_pb2_grpc
from tests.support.attacked import Attack, leaks
from tests.support.creator import a_request

LIMIT = 30.0

FLOODS = {
    "one of 64 KiB": (("x-a", "a" * 65_536),),
    "2,000 small ones": tuple((f"x-{number}", "a") for number in range(2_000)),
    "1,000 of one name": (("x-a", "a" * 100),) * 1_000,
    "a long trace": (("traceparent", "0" * 40_000),),
    "a long binary one": (("x-a-bin", bytes(100_000)),),
}


@pytest.mark.parametrize("metadata", FLOODS.values(), ids=FLOODS.keys())
async def test_a_flood_of_headers_is_refused(
    attack: Attack, metadata: tuple[tuple[str, str | bytes], ...]
) -> None:
    async def told(channel: grpc.aio.Channel) -> tuple[str, str]:
        stub = creator_pb2_grpc.CreatorServiceStub(channel)
        try:
            await stub.CreateTask(a_request(), metadata=metadata, timeout=LIMIT)
        except grpc.aio.AioRpcError as error:
            return error.code().name, error.details() or ""
        return "OK", ""

    async with grpc.aio.insecure_channel(attack.creator) as channel:
        found = await asyncio.gather(*(told(channel) for _ in range(50)))

    assert {code for code, _ in found} == {"RESOURCE_EXHAUSTED"}
    assert leaks([words for _, words in found]) == []
