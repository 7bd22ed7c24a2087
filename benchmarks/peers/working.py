"""How every peer works what is pending: a drain, then pickups one at a time.

Everything is in one process, as the peers offer it: no network lies between the one
who creates and the handler.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from importlib.metadata import version
from typing import Any

from benchmarks.cpu import Clock
from benchmarks.loads.shared import Figures, percentile
from benchmarks.peers.shared import BULK

LIMIT = 180.0

LOOK_AGAIN = 0.005

PAUSE = 0.1
"""Seconds between two pickups: the worker is idle again."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Orders:
    """What is asked of a peer."""

    url: str
    tasks: int
    pickups: int
    concurrency: int
    postgres: int


@dataclass(slots=True)
class Seen:
    """What handlers tell: that their first line runs."""

    count: int = 0
    first: float = 0.0
    latest: float = 0.0
    _wanted: int = 0
    _reached: asyncio.Event = field(default_factory=asyncio.Event)

    def note(self) -> None:
        self.latest = time.perf_counter()
        self.first = self.first or self.latest
        self.count += 1
        if self.count >= self._wanted:
            self._reached.set()

    async def reach(self, count: int) -> None:
        self._wanted = count
        self._reached.clear()
        if self.count < count:
            async with asyncio.timeout(LIMIT):
                await self._reached.wait()


@dataclass(frozen=True, slots=True, kw_only=True)
class Worker:
    """A peer, set up."""

    name: str
    single: Callable[[], Awaitable[object]]
    bulk: Callable[[int], Awaitable[object]]
    working: Callable[[], AbstractAsyncContextManager[Any]]
    left: Callable[[], Awaitable[int]]
    """How many the peer's own table still has as unfinished."""

    seen: Seen


async def work(worker: Worker, orders: Orders) -> dict[str, Any]:
    """The figures of one peer."""
    for _ in range(0, orders.tasks, BULK):
        await worker.bulk(BULK)
    async with worker.working():
        drain = await _drain(worker, orders)
        await asyncio.sleep(1)
        waits = [await _pickup(worker) for _ in range(orders.pickups)]
    pickup = Figures(
        rate=1 / max(sum(waits) / len(waits), 1e-9),
        p50=percentile(waits, 50),
        p99=percentile(waits, 99),
    )
    return {"drain": drain, "pickup": pickup, "version": version(worker.name)}


async def _drain(worker: Worker, orders: Orders) -> Figures:
    seen, watched = worker.seen, {"postgres": [orders.postgres]}
    first = Clock.read(watched)
    await seen.reach(orders.tasks)
    while await worker.left():  # noqa: ASYNC110 - a table rings no bell
        await asyncio.sleep(LOOK_AGAIN)
    last = Clock.read(watched)
    span = last.at - seen.first
    return Figures(rate=seen.count / span, cores=last.cores_since(first, span=span))


async def _pickup(worker: Worker) -> float:
    await asyncio.sleep(PAUSE)
    before = worker.seen.count
    await worker.single()
    answered = time.perf_counter()
    await worker.seen.reach(before + 1)
    return worker.seen.latest - answered
