"""Callers that send each create until it is answered, and note what they were told."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from random import Random
from typing import TYPE_CHECKING, Final

import grpc

from tandem.client.channels import channel
from tandem.client.reasons import reason_of
from tandem.v1 import creator_pb2 as pb
from tandem.v1 import creator_pb2_grpc, task_pb2
from tests.faults.plans import Call, Planner, content_of
from tests.faults.records import Answered, GivenUp, Journal, Refused, Sent

if TYPE_CHECKING:
    from tandem.v1.creator_pb2_grpc import CreatorServiceAsyncStub

SINGLE: Final = 4.0
"""Seconds for one try."""

PAUSE: Final = 0.3
"""Seconds before the same call is sent again."""


class Callers:
    """All callers of a run, in this process. Some know one creator, some know both."""

    def __init__(
        self, journal: Journal, addresses: Sequence[str], *, seed: int
    ) -> None:
        self.known: list[str] = []
        """Ids of acknowledged tasks, for others to meddle with."""

        self.answered = 0
        self.longest_wait = 0.0
        """Seconds between two answers, at most."""

        self._journal = journal
        self._addresses = addresses
        self._seed = seed
        self._last_answer: float | None = None

    async def run(self, *, tasks: int, callers: int, seconds: float) -> None:
        """Create about so many tasks, spread over the time; longer where it takes that."""
        async with asyncio.TaskGroup() as group:
            for number in range(callers):
                share = tasks // callers + (number < tasks % callers)
                group.create_task(self._call_on(number, share, seconds))

    async def _call_on(self, number: int, tasks: int, seconds: float) -> None:
        random = Random(f"caller {number} of {self._seed}")
        now = asyncio.get_running_loop().time
        start, planned = now(), 0
        one = self._addresses[number % len(self._addresses)]
        async with channel(one if number % 2 else self._addresses) as open_channel:
            stub = creator_pb2_grpc.CreatorServiceStub(open_channel)
            for call in Planner(random).calls(tasks):
                due = start + seconds * planned / tasks
                await asyncio.sleep(max(0.0, due - now()))
                await self._make(stub, call)
                planned += len(call.requests)

    async def _make(self, stub: CreatorServiceAsyncStub, call: Call) -> None:
        for request in call.requests:
            self._journal.add(
                Sent(
                    request_id=request.request_id,
                    external_id=request.spec.external_id,
                    content=content_of(request),
                )
            )
        async with asyncio.TaskGroup() as group:
            for _ in range(1 + call.is_doubled):
                group.create_task(self._insist(stub, call))

    async def _insist(self, stub: CreatorServiceAsyncStub, call: Call) -> None:
        """Send the call until it is answered for good; whoever cancels this gave it up."""
        try:
            while not await self._try(stub, call):  # noqa: ASYNC110 - it asks, and waits in between
                await asyncio.sleep(PAUSE)
        except asyncio.CancelledError:
            for request in call.requests:
                self._journal.add(GivenUp(request_id=request.request_id))
            raise

    async def _try(self, stub: CreatorServiceAsyncStub, call: Call) -> bool:
        """Send it once. Answers whether that settled it."""
        try:
            results = await self._send(stub, call)
        except grpc.aio.AioRpcError as error:
            return self._note_refusal(call, error)
        for request, result in zip(call.requests, results, strict=True):
            self._note_answer(request, result)
        return True

    async def _send(
        self, stub: CreatorServiceAsyncStub, call: Call
    ) -> Sequence[pb.CreateTaskResponse]:
        if not call.is_batch:
            return [await stub.CreateTask(call.requests[0], timeout=SINGLE)]
        batch = pb.BatchCreateTasksRequest(
            requests=call.requests, view=task_pb2.TASK_VIEW_BASIC
        )
        return (await stub.BatchCreateTasks(batch, timeout=SINGLE)).results

    def _note_answer(
        self, request: pb.CreateTaskRequest, result: pb.CreateTaskResponse
    ) -> None:
        outcome = pb.CreateTaskResponse.Outcome.Name(result.outcome)
        self._journal.add(
            Answered(
                request_id=request.request_id,
                content=content_of(request),
                task_id=result.task.task_id,
                outcome=outcome.removeprefix("OUTCOME_"),
            )
        )
        self.known.append(result.task.task_id)
        self.answered += 1
        now = asyncio.get_running_loop().time()
        if self._last_answer is not None:
            self.longest_wait = max(self.longest_wait, now - self._last_answer)
        self._last_answer = now

    def _note_refusal(self, call: Call, error: grpc.aio.AioRpcError) -> bool:
        """Answers whether there is no sense in sending it again."""
        told = reason_of(error)
        for request in call.requests:
            self._journal.add(
                Refused(
                    request_id=request.request_id,
                    content=content_of(request),
                    code=error.code().name,
                    reason=told.reason if told else "",
                )
            )
        return error.code() is grpc.StatusCode.ALREADY_EXISTS
