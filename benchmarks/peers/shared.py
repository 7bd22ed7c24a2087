"""How every peer is measured: single creates by 16 producers, then bulk."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Awaitable, Callable
from importlib.metadata import version

from benchmarks.payload import PAYLOAD

PRODUCERS = 16

BULK = 500
"""Tasks in one call of the peer's bulk interface, as in a batch of Tandem's."""

WARMUP = 0.3

Single = Callable[[], Awaitable[object]]
Bulk = Callable[[int], Awaitable[object]]

payload = dict(PAYLOAD)
payload_bytes = json.dumps(payload).encode()


async def measure(name: str, single: Single, bulk: Bulk, *, seconds: float) -> None:
    """Print the figures of one peer as JSON."""
    await rate(single, producers=PRODUCERS, seconds=WARMUP)
    singles = await rate(single, producers=PRODUCERS, seconds=seconds)
    bulks = await rate(lambda: bulk(BULK), producers=2, seconds=seconds)
    figures = {"single": singles, "bulk": bulks * BULK, "version": version(name)}
    print(json.dumps(figures))


async def rate(call: Single, *, producers: int, seconds: float) -> float:
    """Calls per second by so many producers, each waiting for its answer."""
    done = 0
    end = time.perf_counter() + seconds

    async def produce() -> None:
        nonlocal done
        while time.perf_counter() < end:
            await call()
            done += 1

    start = time.perf_counter()
    async with asyncio.TaskGroup() as group:
        for _ in range(producers):
            group.create_task(produce())
    return done / (time.perf_counter() - start)
