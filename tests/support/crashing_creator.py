"""Callers that create as fast as they can, from a creator that is killed under them."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import grpc

from tandem.pair import ANY_PORT, Logins, Pair
from tandem.processes import ServiceProcess
from tandem.v1 import creator_pb2, creator_pb2_grpc
from tests.support.cluster import Database
from tests.support.creator import a_new_id, a_request

if TYPE_CHECKING:
    from tandem.v1.creator_pb2_grpc import CreatorServiceAsyncStub

CALLERS = 16
HANDLERS = "none:none"


@dataclass(slots=True)
class Record:
    """What callers asked for, and what they were told."""

    sent: dict[str, creator_pb2.CreateTaskRequest] = field(default_factory=dict)
    answered: dict[str, str] = field(default_factory=dict)
    """Task ids by request id."""


@asynccontextmanager
async def creators_of(database: Database) -> AsyncIterator[Pair]:
    """A pair to which creators may be added, and no processor."""
    logins = Logins(
        creator_url=database.creator_url, processor_url=database.processor_url
    )
    async with Pair(logins, handlers=HANDLERS, on_line=lambda *_: None) as pair:
        yield pair


async def one_more(pair: Pair) -> ServiceProcess:
    await pair.start_creators([ANY_PORT])
    return pair.creators[-1]


@asynccontextmanager
async def calling(process: ServiceProcess) -> AsyncIterator[CreatorServiceAsyncStub]:
    """A client that repeats nothing by itself."""
    options = [("grpc.enable_retries", 0)]
    async with grpc.aio.insecure_channel(process.address, options=options) as channel:
        yield creator_pb2_grpc.CreatorServiceStub(channel)


async def create_until_killed(
    process: ServiceProcess, record: Record, *, project: str, answers: int
) -> None:
    """Kill the creator once it gave this many answers, with others on their way."""
    enough = asyncio.Semaphore(0)
    async with calling(process) as stub, asyncio.TaskGroup() as callers:
        for _ in range(CALLERS):
            callers.create_task(_call_on(stub, record, project=project, tick=enough))
        for _ in range(answers):
            await enough.acquire()
        await process.kill()


async def _call_on(
    stub: CreatorServiceAsyncStub,
    record: Record,
    *,
    project: str,
    tick: asyncio.Semaphore,
) -> None:
    while True:
        request = a_request(project=project, type="build", request_id=a_new_id())
        record.sent[request.request_id] = request
        try:
            created = await stub.CreateTask(request, timeout=10)
        except grpc.aio.AioRpcError:
            return
        record.answered[request.request_id] = created.task.task_id
        tick.release()
