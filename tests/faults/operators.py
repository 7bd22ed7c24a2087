"""Operators who look at tasks, cancel some, retry others, and pause queues."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from random import Random
from typing import TYPE_CHECKING, Any, Final

import grpc

from tandem.client.channels import channel
from tandem.v1 import processor_pb2 as pb
from tandem.v1 import processor_pb2_grpc, task_pb2
from tests.faults.records import Asked, Cancelled, Journal, Observed
from tests.faults.slots import Slot

if TYPE_CHECKING:
    from tandem.v1.processor_pb2_grpc import ProcessorServiceAsyncStub

SINGLE: Final = 3.0
"""Seconds for one try."""

PAUSE: Final = 0.3

FRESH: Final = 40
"""The latest tasks, of which many still wait or run."""

OUTAGES: Final = frozenset(
    {
        grpc.StatusCode.UNAVAILABLE,
        grpc.StatusCode.DEADLINE_EXCEEDED,
        # Of calls that reach a processor which is about to stop.
        grpc.StatusCode.CANCELLED,
    }
)

ENDED_BADLY: Final = frozenset({"FAILED", "CANCELLED"})


class Operators:
    """They meddle with what callers were told about, at whatever processor answers."""

    def __init__(
        self,
        journal: Journal,
        processors: Sequence[Slot],
        known: Sequence[str],
        *,
        seed: int,
    ) -> None:
        self.made: Counter[str] = Counter()
        self._journal = journal
        self._processors = processors
        self._known = known
        self._random = Random(f"operators {seed}")

    async def run(self, over: asyncio.Event, *, gap: float) -> None:
        """Do something every `gap` seconds, until it is over."""
        while not over.is_set():
            if self._known:
                await self._meddle(self._random.choice(self._those_of_interest()))
            await asyncio.sleep(gap)

    def _those_of_interest(self) -> Sequence[str]:
        """The latest; now and then all of them, of which some have ended badly."""
        return self._known[-FRESH:] if self._random.random() < 0.6 else self._known

    async def _meddle(self, task_id: str) -> None:
        """Look, and then maybe cancel or retry. An operator without an answer goes on."""
        try:
            seen = await self._observe(task_id)
            if seen.state in ENDED_BADLY and self._random.random() < 0.6:
                await self._retry(seen)
            elif self._random.random() < 0.25:
                await self._cancel(seen)
        except grpc.aio.AioRpcError as error:
            if error.code() not in OUTAGES:
                raise

    async def _observe(self, task_id: str) -> Observed:
        async with self._processor() as stub:
            request = pb.GetTaskRequest(task_id=task_id, view=task_pb2.TASK_VIEW_BASIC)
            try:
                task = (await stub.GetTask(request, timeout=SINGLE)).task
            except grpc.aio.AioRpcError as error:
                if error.code() is not grpc.StatusCode.NOT_FOUND:
                    raise
                seen = Observed(task_id=task_id, state="", attempt=0, claim=0)
            else:
                seen = observed(task)
        self._journal.add(seen)
        return seen

    async def _cancel(self, seen: Observed) -> None:
        self._journal.add(
            Asked(task_id=seen.task_id, operation="CANCEL", attempt=seen.attempt)
        )
        async with self._processor() as stub:
            request = pb.CancelTaskRequest(task_id=seen.task_id)
            task = (await stub.CancelTask(request, timeout=SINGLE)).task
        after = observed(task)
        self._journal.add(
            Cancelled(task_id=after.task_id, state=after.state, claim=after.claim)
        )
        self.made["task cancelled"] += 1

    async def _retry(self, seen: Observed) -> None:
        """Noted before it is sent: it may be done though its answer is lost."""
        self._journal.add(
            Asked(task_id=seen.task_id, operation="RETRY", attempt=seen.attempt)
        )
        async with self._processor() as stub:
            request = pb.RetryTaskRequest(
                task_id=seen.task_id, expected_attempt=seen.attempt
            )
            try:
                await stub.RetryTask(request, timeout=SINGLE)
            except grpc.aio.AioRpcError as error:
                # Somebody else has retried it already, and it runs.
                if error.code() is not grpc.StatusCode.FAILED_PRECONDITION:
                    raise
        self.made["task retried"] += 1

    async def pause_queue(self, queue: str, seconds: float) -> None:
        """Pause it for so long; it is resumed however this ends."""
        try:
            await self._insist(
                lambda stub: stub.PauseQueue(
                    pb.PauseQueueRequest(queue=queue), timeout=SINGLE
                )
            )
            await asyncio.sleep(seconds)
        finally:
            await self._insist(
                lambda stub: stub.ResumeQueue(
                    pb.ResumeQueueRequest(queue=queue), timeout=SINGLE
                )
            )

    async def _insist(
        self, call: Callable[[ProcessorServiceAsyncStub], Awaitable[Any]]
    ) -> None:
        while True:
            try:
                async with self._processor() as stub:
                    await call(stub)
                    return
            except grpc.aio.AioRpcError as error:
                if error.code() not in OUTAGES:
                    raise
            await asyncio.sleep(PAUSE)

    @asynccontextmanager
    async def _processor(self) -> AsyncIterator[ProcessorServiceAsyncStub]:
        """Any of those that serve; the processes change, and with them the addresses."""
        serving = [slot for slot in self._processors if slot.serving.is_set()]
        while not serving:
            await asyncio.sleep(PAUSE)
            serving = [slot for slot in self._processors if slot.serving.is_set()]
        async with channel(self._random.choice(serving).address) as open_channel:
            yield processor_pb2_grpc.ProcessorServiceStub(open_channel)


def observed(task: task_pb2.Task) -> Observed:
    status = task.status
    state = task_pb2.TaskStatus.State.Name(status.state).removeprefix("STATE_")
    return Observed(
        task_id=task.task_id, state=state, attempt=status.attempt, claim=status.claim
    )
