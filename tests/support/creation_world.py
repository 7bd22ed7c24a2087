"""Two creators that lose commits on demand, driven from a thread without a loop."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Coroutine, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeVar
from uuid import UUID

import asyncpg
import grpc

from tandem.v1 import creator_pb2 as pb
from tandem.v1 import task_pb2
from tests.support.cluster import Database
from tests.support.creation_model import DONE, Delete, Step, Strip, Told, Want
from tests.support.creator import a_request, reason_of, served
from tests.support.cutter import Cutter, running_cutter
from tests.support.janitor import Janitor, finish

if TYPE_CHECKING:
    from tandem.v1.creator_pb2_grpc import CreatorServiceAsyncStub

LIMIT = 60.0

HOUR = 3600

AGE_CLAIMS = """
UPDATE tandem.content_windows
SET create_time = create_time - $1 * interval '1 hour'
"""

HELD = """
SELECT t.task_id::text, t.request_id::text, t.external_id, t.payload::text,
       t.prune_time IS NOT NULL AS is_stripped, s.task_id IS NOT NULL AS has_status
FROM tandem.tasks AS t
LEFT JOIN tandem.task_status AS s ON s.task_id = t.task_id
WHERE t.project = $1
"""

Answer = TypeVar("Answer")


@dataclass(frozen=True, slots=True)
class Creator:
    """One of the two, and its path to the database."""

    stub: CreatorServiceAsyncStub
    cutter: Cutter


@dataclass(frozen=True, slots=True)
class World:
    """What a state machine acts upon. Its methods run on the loop."""

    loop: asyncio.AbstractEventLoop
    creators: Sequence[Creator]
    owner: asyncpg.Pool
    janitor: Janitor

    def run(self, doing: Coroutine[Any, Any, Answer]) -> Answer:
        """From another thread: do it on the loop."""
        return asyncio.run_coroutine_threadsafe(doing, self.loop).result(LIMIT)

    async def create(
        self, at: int, want: Want, *, project: str, validate_only: bool = False
    ) -> Told:
        request = to_request(want, project=project)
        request.validate_only = validate_only
        return await self._told(self.creators[at].stub.CreateTask(request))

    async def create_and_lose_the_answer(
        self, at: int, want: Want, *, project: str
    ) -> Told:
        """The commit happens; whoever asked for it is told that nobody knows."""
        self.creators[at].cutter.cut_next_create()
        return await self.create(at, want, project=project)

    async def create_and_leave(self, at: int, want: Want, *, project: str) -> None:
        """The caller is gone before it is answered."""
        call = self.creators[at].stub.CreateTask(to_request(want, project=project))
        await asyncio.sleep(0)
        call.cancel()
        await call.code()

    async def create_batch(
        self, at: int, wants: Sequence[Want], *, batch_id: UUID, project: str
    ) -> list[Told]:
        batch = pb.BatchCreateTasksRequest(
            request_id=str(batch_id),
            requests=[to_request(want, project=project) for want in wants],
        )
        try:
            answer = await self.creators[at].stub.BatchCreateTasks(batch, timeout=LIMIT)
        except grpc.aio.AioRpcError as error:
            return [Told(reason_of(error).reason)]
        return [told_by(result) for result in answer.results]

    async def race(
        self, steps: Sequence[tuple[int, Step]], *, project: str
    ) -> list[Told]:
        gate = asyncio.Barrier(len(steps))

        async def begin(at: int, step: Step) -> Told:
            await gate.wait()
            return await self.do(at, step, project=project)

        return await asyncio.gather(*(begin(at, step) for at, step in steps))

    async def do(self, at: int, step: Step, *, project: str) -> Told:
        if isinstance(step, Want):
            return await self.create(at, step, project=project)
        if isinstance(step, Strip):
            await finish(self.owner, UUID(step.task_id))
            await self.janitor.strip(UUID(step.task_id))
        if isinstance(step, Delete):
            await self.janitor.delete(UUID(step.task_id))
        return Told(DONE)

    async def look_up(
        self, at: int, *, project: str, request_id: str = "", external_id: str = ""
    ) -> task_pb2.Task | None:
        request = pb.LookupTaskRequest(
            project=project, request_id=request_id, external_id=external_id
        )
        call = self.creators[at].stub.LookupTask(request, timeout=LIMIT)
        if await call.code() is grpc.StatusCode.NOT_FOUND:
            return None
        return (await call).task

    async def age_claims(self, hours: int) -> None:
        await self.owner.execute(AGE_CLAIMS, hours)

    async def held(self, project: str) -> list[asyncpg.Record]:
        return await self.owner.fetch(HELD, project)

    async def _told(self, call: Any) -> Told:
        try:
            return told_by(await call)
        except grpc.aio.AioRpcError as error:
            refusal = reason_of(error)
            metadata = refusal.metadata
            return Told(
                refusal.reason,
                metadata.get("task_id", ""),
                metadata.get("request_id", ""),
            )


def told_by(result: pb.CreateTaskResponse) -> Told:
    name = pb.CreateTaskResponse.Outcome.Name(result.outcome)
    outcome = name.removeprefix("OUTCOME_")
    return Told(outcome, result.task.task_id, result.request_id)


def to_request(want: Want, *, project: str) -> pb.CreateTaskRequest:
    request = a_request(
        project=project,
        request_id=want.request_id,
        external_id=want.external_id,
        payload={"content": want.content, "project": project},
    )
    if want.rejects:
        request.external_id_policy = pb.CreateTaskRequest.EXTERNAL_ID_POLICY_REJECT
    if want.window_hours:
        request.content_window.window.FromSeconds(want.window_hours * HOUR)
    return request


@asynccontextmanager
async def running_world(
    database: Database, *, owner: asyncpg.Pool, janitor: asyncpg.Pool
) -> AsyncIterator[World]:
    async with (
        running_cutter(database) as left,
        running_cutter(database) as right,
        served(left.url) as at_left,
        served(right.url) as at_right,
    ):
        yield World(
            asyncio.get_running_loop(),
            [Creator(at_left, left), Creator(at_right, right)],
            owner,
            Janitor(janitor),
        )
