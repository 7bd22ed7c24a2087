"""How long tasks take while something breaks: the one that took longest is told."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterator

import grpc

from benchmarks import messages
from benchmarks import process_sql as sql
from benchmarks.drains import Unfinished
from benchmarks.filling import connected
from tandem.v1 import creator_pb2 as pb
from tandem.v1 import creator_pb2_grpc

RATE = 50.0
"""Tasks a second, whose handler does nothing."""

BEFORE = 1.0
"""Seconds of traffic before anything breaks."""

LIMIT = 60.0

LOOK_AGAIN = 0.02


def longest(
    url: str, address: str, disturb: Callable[[], object], *, seconds: float
) -> float:
    """Seconds from the create of a task to its end, of the one that took longest.

    Args:
        url: the database, for the superuser.
        address: a creator that lives on.
        disturb: breaks something.
        seconds: of traffic after that.

    Raises:
        Unfinished: tasks were left.
    """
    return asyncio.run(_longest(url, address, disturb, seconds=seconds))


async def _longest(
    url: str, address: str, disturb: Callable[[], object], *, seconds: float
) -> float:
    project = f"bench-{time.time_ns()}"
    async with grpc.aio.insecure_channel(address) as channel:
        stub = creator_pb2_grpc.CreatorServiceStub(channel)
        async with asyncio.TaskGroup() as group:

            async def create(request: pb.CreateTaskRequest) -> None:
                await stub.CreateTask(request, timeout=LIMIT)

            async def create_for(seconds: float) -> None:
                for request in _requests(project, round(seconds * RATE)):
                    group.create_task(create(request))
                    await asyncio.sleep(1 / RATE)

            await create_for(BEFORE)
            await asyncio.to_thread(disturb)
            await create_for(seconds)
    return await _all_ended(url, project)


def _requests(project: str, count: int) -> Iterator[pb.CreateTaskRequest]:
    source = messages.requests(time.time_ns())
    for _ in range(count):
        request = next(source)
        request.spec.project = project
        yield request


async def _all_ended(url: str, project: str) -> float:
    end = time.monotonic() + LIMIT
    async with connected(url) as connection:
        while True:
            [(unfinished, found)] = await connection.fetch(sql.READ_LONGEST, project)
            if not unfinished:
                seconds: float = found
                return seconds
            if time.monotonic() > end:
                raise Unfinished(f"{unfinished} tasks are left after {LIMIT:g} s")
            await asyncio.sleep(LOOK_AGAIN)
