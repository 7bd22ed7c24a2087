"""Those who come in great numbers, and then do nothing, or very little."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterable
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any, Final

import grpc
import pytest

from tandem.client import channel
from tandem.v1 import creator_pb2, creator_pb2_grpc, processor_pb2, processor_pb2_grpc
from tests.support.attacked import Attack, many_files
from tests.support.creator import a_new_id, a_request
from tests.support.http2 import Kind, Raw, call, frame, message, raw

CONNECTIONS: Final = 2_000
"""To each service."""

STREAMS: Final = 2_000
"""To each service, over a few connections."""

CARRIERS: Final = 4
"""Connections that carry those streams."""

FILES: Final = 3 * CONNECTIONS

CREATE: Final = "/tandem.v1.CreatorService/CreateTask"
GET: Final = "/tandem.v1.ProcessorService/GetTask"

LIMIT: Final = 60.0

SLOW_READERS: Final = 20

BATCHES: Final = 20
"""Of a thousand tasks each."""


@asynccontextmanager
async def connections(attack: Attack, count: int) -> AsyncIterator[list[Raw]]:
    """So many to each service, that have greeted it."""
    async with AsyncExitStack() as stack:
        with many_files(FILES):
            opened = [
                await stack.enter_async_context(raw(address))
                for address in attack.addresses
                for _ in range(count)
            ]
            for each in opened:
                await each.greet()
            yield opened


async def test_thousands_of_idle_connections_keep_nobody_out(attack: Attack) -> None:
    async with connections(attack, CONNECTIONS) as opened:
        for _ in range(20):
            await attack.others.call()
        assert len(opened) == 2 * CONNECTIONS


async def test_thousands_of_idle_streams_keep_nobody_out(attack: Attack) -> None:
    attack.growth_limit = 256
    async with AsyncExitStack() as stack:
        task_id = await a_waiting_task(attack)
        streams: list[Any] = []
        for _ in range(CARRIERS):
            creators, processors = [
                await stack.enter_async_context(channel(address))
                for address in attack.addresses
            ]
            streams += followed(creators, STREAMS // CARRIERS)
            streams += watched(processors, task_id, STREAMS // CARRIERS)
        async with asyncio.timeout(LIMIT):
            for stream in streams:
                assert await stream.read() is not grpc.aio.EOF
        for _ in range(20):
            await attack.others.call()
        for stream in streams:
            stream.cancel()


async def a_waiting_task(attack: Attack) -> str:
    async with channel(attack.creator) as creators:
        stub: Any = creator_pb2_grpc.CreatorServiceStub(creators)
        made = await stub.CreateTask(a_request(queue="unserved"), timeout=LIMIT)
        task_id: str = made.task.task_id
        return task_id


def followed(creators: grpc.aio.Channel, count: int) -> Iterable[Any]:
    stub: Any = creator_pb2_grpc.CreatorServiceStub(creators)
    now = creator_pb2.StreamCreatedTasksRequest.START_NOW
    request = creator_pb2.StreamCreatedTasksRequest(start=now)
    return [stub.StreamCreatedTasks(request) for _ in range(count)]


def watched(processors: grpc.aio.Channel, task_id: str, count: int) -> Iterable[Any]:
    stub: Any = processor_pb2_grpc.ProcessorServiceStub(processors)
    request = processor_pb2.WatchTaskRequest(task_id=task_id)
    return [stub.WatchTask(request) for _ in range(count)]


async def test_readers_that_never_read_cost_no_memory(attack: Attack) -> None:
    async with AsyncExitStack() as stack:
        creators = [
            await stack.enter_async_context(channel(attack.creator))
            for _ in range(SLOW_READERS)
        ]
        streams = [stream for each in creators for stream in followed(each, 1)]
        for stream in streams:
            assert await stream.read() is not grpc.aio.EOF
        stub: Any = creator_pb2_grpc.CreatorServiceStub(creators[0])
        for _ in range(BATCHES):
            requests = [a_request(queue="unserved") for _ in range(1_000)]
            batch = creator_pb2.BatchCreateTasksRequest(
                request_id=a_new_id(), requests=requests
            )
            await stub.BatchCreateTasks(batch, timeout=LIMIT)
        await attack.others.call()
        for stream in streams:
            stream.cancel()


@pytest.mark.parametrize("share", [0.0, 0.5], ids=["no message", "half a message"])
async def test_messages_that_never_end_keep_nobody_out(
    attack: Attack, share: float
) -> None:
    whole = message(a_request().SerializeToString())
    part = whole[: int(len(whole) * share)]
    async with connections(attack, CONNECTIONS // 2) as opened:
        for number, each in enumerate(opened):
            path = CREATE if number < CONNECTIONS // 2 else GET
            await each.send(call(path, 1), frame(Kind.DATA, part, stream=1))
        for _ in range(20):
            await attack.others.call()
