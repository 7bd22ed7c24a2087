"""Creates by the client that users have, which repeats what found nobody."""

from __future__ import annotations

import asyncio
import itertools
import time

from benchmarks.cpu import Clock
from benchmarks.loads.shared import Figures, Orders, Tally
from benchmarks.messages import PROJECT
from benchmarks.payload import PAYLOAD
from tandem.client import AsyncClient, Spec
from tandem.errors import TandemError

SPEC = Spec(project=PROJECT, type="blog_post", payload=dict(PAYLOAD))


async def creates(orders: Orders) -> Figures:
    """A closed loop. `p99` hides the worst: it is among the outcomes, in ms."""
    tally, names = Tally(), itertools.count()
    end = time.perf_counter() + orders.seconds
    first = Clock.read(orders.watched)

    async def caller(client: AsyncClient) -> None:
        while time.perf_counter() < end:
            start, name = time.perf_counter(), f"{orders.seed}/{next(names)}"
            try:
                created = await client.create(SPEC, request_id=name)
            except TandemError as error:
                tally.note(start, f"FAILED {error.reason}")
            else:
                tally.note(start, created.outcome.name)

    async with AsyncClient(orders.address) as client, asyncio.TaskGroup() as group:
        for _ in range(orders.concurrency):
            group.create_task(caller(client))
    figures = tally.figures(first, Clock.read(orders.watched))
    figures.outcomes["longest ms"] = round(max(tally.latencies) * 1000)
    return figures
