"""Every method of the contract is built."""

from __future__ import annotations

from typing import Any

import grpc
from google.protobuf.descriptor import MethodDescriptor

from tandem.v1 import creator_pb2, processor_pb2
from tests.support.running_pair import RunningPair

METHODS = [
    method
    for file, service in (
        (creator_pb2.DESCRIPTOR, "CreatorService"),
        (processor_pb2.DESCRIPTOR, "ProcessorService"),
    )
    for method in file.services_by_name[service].methods
]


async def code_of(address: str, method: MethodDescriptor) -> str:
    """The status of an empty call; OK for a stream that begins."""
    path = f"/{method.containing_service.full_name}/{method.name}"
    try:
        async with grpc.aio.insecure_channel(address) as channel:
            await call(channel, path, method)
    except grpc.aio.AioRpcError as error:
        return error.code().name
    return "OK"


async def call(channel: Any, path: str, method: MethodDescriptor) -> None:
    if method.client_streaming:
        await channel.stream_stream(path)(iter([b""]), timeout=5).read()
    elif method.server_streaming:
        await channel.unary_stream(path)(b"", timeout=5).read()
    else:
        await channel.unary_unary(path)(b"", timeout=5)


async def test_no_method_is_unimplemented(pair: RunningPair) -> None:
    addresses = {
        "CreatorService": pair.pair.creators[0].address,
        "ProcessorService": pair.pair.processors[0].address,
    }
    answers = {
        f"{method.containing_service.name}/{method.name}": await code_of(
            addresses[method.containing_service.name], method
        )
        for method in METHODS
    }

    # An empty request lacks what is required, but for statistics and the stream of
    # everything.
    built = {"INVALID_ARGUMENT", "DEADLINE_EXCEEDED", "OK"}
    assert {name: code for name, code in answers.items() if code not in built} == {}
