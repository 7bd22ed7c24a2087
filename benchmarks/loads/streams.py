"""Loads of the stream: how fast it catches up, and how soon it tells."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from benchmarks import messages
from benchmarks.cpu import Clock
from benchmarks.loads.shared import CALL_LIMIT, Figures, Orders, percentile, stubs
from tandem.v1 import creator_pb2 as pb


async def catch_up(orders: Orders) -> Figures:
    """Everything that was ever created, to one subscriber."""
    request = pb.StreamCreatedTasksRequest(until_caught_up=True)
    async with stubs(orders.address, 1) as (stub,):
        first, ids = Clock.read(orders.watched), 0
        async for message in stub.StreamCreatedTasks(request, timeout=60):
            ids += len(message.task_ids)
    last = Clock.read(orders.watched)
    return Figures(
        rate=ids / (last.at - first.at),
        outcomes={"ids": ids},
        cores=last.cores_since(first),
    )


async def live(orders: Orders) -> Figures:
    """From the database's time of a create to its id in a subscriber's hands.

    That time is taken before the insert, on the same machine: the commit is in it.
    """
    seen = Seen()
    async with stubs(orders.address, 2) as (following, creating):
        first = Clock.read(orders.watched)
        reader = asyncio.create_task(seen.follow(following))
        try:
            async with asyncio.timeout(CALL_LIMIT):
                await seen.joined.wait()
                created = await _create_at_rate(orders, creating)
                await seen.all_of(created)
        finally:
            reader.cancel()
    waits = [seen.at[task_id] - at for task_id, at in created.items()]
    return Figures(
        rate=orders.rate,
        p50=percentile(waits, 50),
        p99=percentile(waits, 99),
        cores=Clock.read(orders.watched).cores_since(first),
    )


class Seen:
    """What a subscriber has received, and when."""

    def __init__(self) -> None:
        self.at: dict[str, float] = {}
        self.joined = asyncio.Event()
        self._more = asyncio.Event()

    async def follow(self, stub: Any) -> None:
        request = pb.StreamCreatedTasksRequest(
            start=pb.StreamCreatedTasksRequest.START_NOW
        )
        async for message in stub.StreamCreatedTasks(request):
            self.at.update(dict.fromkeys(message.task_ids, time.time()))
            self.joined.set()
            self._more.set()

    async def all_of(self, created: Mapping[str, float]) -> None:
        while not created.keys() <= self.at.keys():
            self._more.clear()
            await self._more.wait()


async def _create_at_rate(orders: Orders, stub: Any) -> dict[str, float]:
    created: dict[str, float] = {}

    async def create(request: pb.CreateTaskRequest) -> None:
        answer = await stub.CreateTask(request, timeout=CALL_LIMIT)
        moment: datetime = answer.task.create_time.ToDatetime(tzinfo=UTC)
        created[answer.task.task_id] = moment.timestamp()

    source = messages.requests(orders.seed)
    start = time.perf_counter()
    async with asyncio.TaskGroup() as group:
        for number in range(int(orders.rate * orders.seconds)):
            early = start + number / orders.rate - time.perf_counter()
            await asyncio.sleep(max(early, 0))
            group.create_task(create(next(source)))
    return created
