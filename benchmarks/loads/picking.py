"""One task at a time, from the answer of its create to the handler's first line."""

from __future__ import annotations

import asyncio
import json
import random
import socket
import time
from pathlib import Path

from benchmarks import messages
from benchmarks.cpu import Clock
from benchmarks.loads.shared import CALL_LIMIT, Figures, Orders, percentile, stubs

PAUSE = (0.08, 0.12)
"""Seconds between two tasks: both services are idle again, and no beat is met."""

WARM_UP = 10
"""Tasks before those that count: a pair's first ones wait until statements are planned."""

MOST_HEARD = 1024


class Heard:
    """What handlers tell: when the first line ran, by the clock of the whole machine."""

    def __init__(self, path: str) -> None:
        Path(path).unlink(missing_ok=True)
        self._at: dict[str, float] = {}
        self._more = asyncio.Event()
        self._ear = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._ear.bind(path)
        self._ear.setblocking(False)
        asyncio.get_running_loop().add_reader(self._ear, self._hear)

    def _hear(self) -> None:
        task_id, moment = json.loads(self._ear.recv(MOST_HEARD))
        self._at[task_id] = moment
        self._more.set()

    async def of(self, task_id: str) -> float:
        async with asyncio.timeout(CALL_LIMIT):
            while task_id not in self._at:
                self._more.clear()
                await self._more.wait()
        return self._at[task_id]

    def close(self) -> None:
        asyncio.get_running_loop().remove_reader(self._ear)
        self._ear.close()


async def pickup(orders: Orders) -> Figures:
    """So many tasks as are ordered. A handler may be sooner than the answer: below 0."""
    heard = Heard(orders.socket)
    source, pauses = messages.requests(orders.seed), random.Random(orders.seed)
    async with stubs(orders.address, 1) as (stub,):

        async def one() -> float:
            await asyncio.sleep(pauses.uniform(*PAUSE))
            request = next(source)
            request.spec.type = "pickup"
            answer = await stub.CreateTask(request, timeout=CALL_LIMIT)
            answered = time.monotonic()
            return await heard.of(answer.task.task_id) - answered

        for _ in range(WARM_UP):
            await one()
        first = Clock.read(orders.watched)
        waits = [await one() for _ in range(orders.count)]
        last = Clock.read(orders.watched)
    heard.close()
    return Figures(
        rate=orders.count / (last.at - first.at),
        p50=percentile(waits, 50),
        p99=percentile(waits, 99),
        cores=last.cores_since(first),
    )
