"""What the README says is not built answers UNIMPLEMENTED, and nothing else does."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import grpc
from google.protobuf.descriptor import MethodDescriptor

from tandem.v1 import creator_pb2, processor_pb2
from tests.support.running_pair import RunningPair

README = Path(__file__).parents[2] / "README.md"

METHODS = [
    method
    for file, service in (
        (creator_pb2.DESCRIPTOR, "CreatorService"),
        (processor_pb2.DESCRIPTOR, "ProcessorService"),
    )
    for method in file.services_by_name[service].methods
]


def listed_as_not_built() -> set[str]:
    section = README.read_text().split("## Not built yet")[1].split("\n## ")[0]
    return set(re.findall(r"^- `(\w+/\w+)`$", section, re.MULTILINE))


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


async def test_the_readme_lists_what_is_not_built(pair: RunningPair) -> None:
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

    not_built = {name for name, code in answers.items() if code == "UNIMPLEMENTED"}
    assert not_built == listed_as_not_built()
    # An empty request lacks what is required, but for the stream of everything.
    assert {code for name, code in answers.items() if name not in not_built} <= {
        "INVALID_ARGUMENT",
        "DEADLINE_EXCEEDED",
        "OK",
    }


def test_the_readme_lists_only_methods_that_exist() -> None:
    every = {f"{m.containing_service.name}/{m.name}" for m in METHODS}

    assert listed_as_not_built() <= every
