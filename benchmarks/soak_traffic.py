"""The traffic of a soak, beside the load of batches: creates, cancels and prunes."""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

import grpc

from benchmarks import messages
from benchmarks.loads.shared import CALL_LIMIT
from tandem.pruning.retention import Retention
from tandem.pruning.running import Plan, prune
from tandem.v1 import creator_pb2_grpc, processor_pb2, processor_pb2_grpc

PROBE_EVERY = 0.2
CANCEL_EVERY = 0.25

HELD_FOR = 0.5
"""The longest time from a create to the cancel of its task: it may run by then."""


@dataclass(slots=True)
class Traffic:
    """What it came to since it was last asked."""

    seed: int
    creates: list[float] = field(default_factory=list)
    """Seconds that each single create took."""

    cancelled: int = 0
    pruned: int = 0

    def taken(self) -> list[float]:
        """The creates since this was asked before."""
        creates, self.creates = self.creates, []
        return creates

    async def run(
        self, creator: str, processor: str, *, janitor_url: str, retention: Retention
    ) -> None:
        """Go on until cancelled."""
        async with (
            grpc.aio.insecure_channel(creator) as creating,
            grpc.aio.insecure_channel(processor) as working,
            asyncio.TaskGroup() as group,
        ):
            creators = creator_pb2_grpc.CreatorServiceStub(creating)
            processors = processor_pb2_grpc.ProcessorServiceStub(working)
            source = messages.requests(self.seed)
            pauses = random.Random(self.seed)

            async def cancel() -> None:
                request = next(source)
                request.spec.type = "held"
                answer = await creators.CreateTask(request, timeout=CALL_LIMIT)
                await asyncio.sleep(pauses.uniform(0, HELD_FOR))
                await self._cancel(processors, answer.task.task_id)

            async def probe() -> None:
                start = time.perf_counter()
                await creators.CreateTask(next(source), timeout=CALL_LIMIT)
                self.creates.append(time.perf_counter() - start)

            async def strip() -> None:
                done = await prune(Plan(url=janitor_url, retention=retention))
                self.pruned += done.stripped + done.deleted

            group.create_task(_every(PROBE_EVERY, probe))
            group.create_task(_every(CANCEL_EVERY, cancel))
            group.create_task(_every(_half(retention.strip_after), strip))

    async def _cancel(self, processors: Any, task_id: str) -> None:
        request = processor_pb2.CancelTaskRequest(task_id=task_id)
        await processors.CancelTask(request, timeout=CALL_LIMIT)
        self.cancelled += 1


def _half(span: timedelta) -> float:
    return span.total_seconds() / 2


async def _every(seconds: float, do: Callable[[], Awaitable[None]]) -> None:
    while True:
        start = time.monotonic()
        await do()
        await asyncio.sleep(max(start + seconds - time.monotonic(), 0))
