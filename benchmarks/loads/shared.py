"""What every load has: its orders, channels, a window of time, and figures."""

from __future__ import annotations

import asyncio
import json
import statistics
import time
from collections import Counter
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import asdict, dataclass, field
from typing import Any

import grpc

from benchmarks.cpu import Clock
from tandem.v1 import creator_pb2_grpc

CALL_LIMIT = 30.0
"""Seconds for one call: whoever takes longer is broken, not slow."""


REFUSED = frozenset(code.name for code in grpc.StatusCode)


@dataclass(frozen=True, slots=True, kw_only=True)
class Orders:
    """One load, as the run orders it from the process that makes it."""

    kind: str
    address: str
    seed: int = 1
    seconds: float = 3.0
    warmup: float = 0.5
    concurrency: int = 1
    connections: int = 4
    """Callers share so many, as the callers of a service do."""
    count: int = 0
    """Stop after so many calls; 0: when the time is over."""
    cycle: int = 0
    """Begin again after so many ids: from then on it replays."""
    rate: float = 0.0
    size: int = 0
    """Requests of a batch."""
    socket: str = ""
    """Where handlers tell that they were picked up."""
    watched: dict[str, list[int]] = field(default_factory=dict)

    def to_json(self) -> str:
        return json.dumps(asdict(self))


@dataclass(frozen=True, slots=True, kw_only=True)
class Figures:
    """What one load measured. Times in milliseconds."""

    rate: float
    """Calls, tasks or ids per second."""
    p50: float = 0.0
    p99: float = 0.0
    outcomes: dict[str, float] = field(default_factory=dict)
    cores: dict[str, float] = field(default_factory=dict)
    is_apart: bool = True
    """Whether the cores were busy with this alone."""


@dataclass(slots=True)
class Tally:
    """Calls as they end."""

    ends: list[float] = field(default_factory=list)
    latencies: list[float] = field(default_factory=list)
    outcomes: Counter[str] = field(default_factory=Counter)

    def note(self, start: float, outcome: str) -> None:
        """A call that was refused counts among the outcomes, and nowhere else."""
        end = time.perf_counter()
        self.outcomes[outcome] += 1
        if outcome not in REFUSED:
            self.ends.append(end)
            self.latencies.append(end - start)

    def figures(self, first: Clock, last: Clock, *, each: int = 1) -> Figures:
        """Over the calls that ended well between the two clocks."""
        inside = [
            latency
            for end, latency in zip(self.ends, self.latencies, strict=True)
            if first.at <= end < last.at
        ]
        return Figures(
            rate=each * len(inside) / (last.at - first.at),
            p50=percentile(inside, 50),
            p99=percentile(inside, 99),
            outcomes=dict(self.outcomes),
            cores=last.cores_since(first),
        )


def percentile(values: Sequence[float], percent: int) -> float:
    """In milliseconds, of seconds."""
    if len(values) < 2:
        return values[0] * 1000 if values else 0.0
    return statistics.quantiles(values, n=100)[percent - 1] * 1000


@asynccontextmanager
async def stubs(address: str, channels: int) -> AsyncIterator[list[Any]]:
    """One stub for each connection."""
    async with AsyncExitStack() as stack:
        yield [
            creator_pb2_grpc.CreatorServiceStub(
                await stack.enter_async_context(
                    grpc.aio.insecure_channel(
                        address,
                        options=(("grpc.use_local_subchannel_pool", 1),),
                    )
                )
            )
            for _ in range(channels)
        ]


async def timed(orders: Orders, stop: asyncio.Event) -> tuple[Clock, Clock]:
    """Let the warm-up pass, then the time; `stop` is set at its end."""
    await asyncio.sleep(orders.warmup)
    first = Clock.read(orders.watched)
    await asyncio.sleep(orders.seconds)
    last = Clock.read(orders.watched)
    stop.set()
    return first, last
