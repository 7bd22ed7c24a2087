"""Callers and readers of two creators, and a history of what they saw."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Sequence
from random import Random
from typing import TYPE_CHECKING, Final

import asyncpg
import grpc

from tandem.v1 import creator_pb2 as pb
from tandem.v1 import task_pb2
from tests.factories import create_many
from tests.support.creator import a_new_id, a_request
from tests.support.history import Answered, History, Looked, Placed, Stored, Streamed

if TYPE_CHECKING:
    from tandem.v1.creator_pb2_grpc import CreatorServiceAsyncStub

PLACED: Final = "SELECT s.task_id::text, s.position FROM tandem.task_status AS s"

HELD: Final = "SELECT t.project, t.request_id::text FROM tandem.tasks AS t"

HORIZON: Final = "SELECT tandem.settled_position_v1()"

VISIBLE: Final = """
SELECT s.position
FROM tandem.task_status AS s
WHERE s.position > $1
  AND s.position <= $2
ORDER BY s.position
"""

LIMIT: Final = 60.0


class Recorder:
    """One run. Callers end by themselves; readers go on until `stop` is set."""

    def __init__(
        self, creators: Sequence[CreatorServiceAsyncStub], *, seed: int
    ) -> None:
        self.history = History()
        self.stop = asyncio.Event()
        self._creators = creators
        self._random = Random(seed)
        self._asked = [
            a_request(request_id=a_new_id(), payload={"n": n}, external_id=f"order-{n}")
            for n in range(40)
        ]

    async def call(self, count: int) -> None:
        """Create this many times: new tasks, old ones, batches, calls that are left."""
        for _ in range(count):
            kind = self._random.randrange(10)
            creator = self._random.choice(self._creators)
            if kind < 5:
                await self._create(creator, self._random.choice(self._asked))
            elif kind < 8:
                await self._create(creator, a_request(request_id=a_new_id()))
            elif kind == 8:
                await self._batch(creator)
            else:
                await self._leave(creator, self._random.choice(self._asked))

    async def hold_open(self, pool: asyncpg.Pool, *, times: int) -> None:
        """Creates that commit long after they took their positions."""
        for _ in range(times):
            async with pool.acquire() as connection, connection.transaction():
                await create_many(connection, 2)
                await asyncio.sleep(self._random.random() / 10)

    async def look(self, pool: asyncpg.Pool) -> None:
        """Read as a stream does: a horizon, then what is visible under it."""
        since = 0
        while not self.stop.is_set():
            horizon = await pool.fetchval(HORIZON)
            rows = await pool.fetch(VISIBLE, since, horizon)
            positions = tuple(row["position"] for row in rows)
            self.history.add(Looked(since=since, horizon=horizon, positions=positions))
            since = horizon

    async def subscribe(self, creator: CreatorServiceAsyncStub, *, name: str) -> None:
        """Catch up again and again from the last token, and once more in the end."""
        request = pb.StreamCreatedTasksRequest(
            start=pb.StreamCreatedTasksRequest.START_BEGINNING, until_caught_up=True
        )
        sent: list[str] = []
        is_last = False
        while not is_last:
            is_last = self.stop.is_set()
            async for message in creator.StreamCreatedTasks(request, timeout=LIMIT):
                sent += message.task_ids
                request.resume_token = message.resume_token
        self.history.add(Streamed(subscriber=name, task_ids=tuple(sent)))

    async def take_stock(self, pool: asyncpg.Pool) -> None:
        """All that is there in the end."""
        for row in await pool.fetch(PLACED):
            self.history.add(Placed(task_id=row["task_id"], position=row["position"]))
        for row in await pool.fetch(HELD):
            await self._look_up(self._creators[0], *row.values())

    async def _create(
        self, creator: CreatorServiceAsyncStub, request: pb.CreateTaskRequest
    ) -> None:
        answer = await creator.CreateTask(request, timeout=LIMIT)
        self._answered(request, answer)
        if self._random.randrange(4) == 0:
            await self._look_up(creator, request.spec.project, request.request_id)

    async def _batch(self, creator: CreatorServiceAsyncStub) -> None:
        new = [a_request(request_id=a_new_id(), title="b") for _ in range(3)]
        requests = [self._random.choice(self._asked), *new]
        batch = pb.BatchCreateTasksRequest(
            requests=requests, view=task_pb2.TASK_VIEW_FULL
        )
        answer = await creator.BatchCreateTasks(batch, timeout=LIMIT)
        for request, result in zip(requests, answer.results, strict=True):
            self._answered(request, result)

    async def _leave(
        self, creator: CreatorServiceAsyncStub, request: pb.CreateTaskRequest
    ) -> None:
        call = creator.CreateTask(request, timeout=self._random.random() / 50)
        code = await call.code()
        if code is grpc.StatusCode.OK:
            self._answered(request, await call)
        elif code is not grpc.StatusCode.DEADLINE_EXCEEDED:
            raise AssertionError(f"a call that was left ended with {code}")

    async def _look_up(
        self, creator: CreatorServiceAsyncStub, project: str, request_id: str
    ) -> None:
        request = pb.LookupTaskRequest(project=project, request_id=request_id)
        task = (await creator.LookupTask(request, timeout=LIMIT)).task
        self.history.add(
            Stored(
                task_id=task.task_id, request_id=request_id, spec=spec_text(task.spec)
            )
        )

    def _answered(
        self, request: pb.CreateTaskRequest, answer: pb.CreateTaskResponse
    ) -> None:
        task = answer.task
        self.history.add(
            Answered(
                request_id=request.request_id,
                task_id=task.task_id,
                spec=spec_text(task.spec),
            )
        )


def spec_text(spec: task_pb2.TaskSpec) -> str:
    return hashlib.sha256(spec.SerializeToString(deterministic=True)).hexdigest()
