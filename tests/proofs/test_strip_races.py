"""Replays beside the janitor: an id names one task while it is stripped and deleted."""

from __future__ import annotations

import asyncio
from random import Random
from typing import TYPE_CHECKING
from uuid import UUID

import asyncpg

from tandem.v1 import creator_pb2 as pb
from tandem.v1 import task_pb2
from tests.support.cluster import Database
from tests.support.creator import a_new_id, a_request, served
from tests.support.janitor import Janitor, finish

if TYPE_CHECKING:
    from tandem.v1.creator_pb2_grpc import CreatorServiceAsyncStub

RACES = 1_000
AT_ONCE = 8

Outcome = pb.CreateTaskResponse

HELD = """
SELECT t.task_id::text
FROM tandem.tasks AS t
WHERE t.project = $1
  AND t.request_id = $2
"""

WITHOUT_STATUS = """
SELECT count(*)
FROM tandem.tasks AS t
WHERE t.prune_time IS NULL
  AND NOT EXISTS (SELECT FROM tandem.task_status AS s WHERE s.task_id = t.task_id)
"""


class Races:
    """Each race is over one request id, between two replays and the janitor."""

    def __init__(
        self,
        creators: list[CreatorServiceAsyncStub],
        owner: asyncpg.Pool,
        janitor: Janitor,
    ) -> None:
        self._creators = creators
        self._owner = owner
        self._janitor = janitor
        self._room = asyncio.Semaphore(AT_ONCE)
        self._random = Random(1)
        self.created_anew = 0

    async def run(self, number: int, *, deletes: bool) -> None:
        async with self._room:
            request = a_request(
                request_id=a_new_id(), external_id=f"order-{number}", payload={"a": 1}
            )
            made = (await self._creators[0].CreateTask(request)).task.task_id
            await finish(self._owner, UUID(made))
            gate = asyncio.Barrier(3)
            first, second, _ = await asyncio.gather(
                self._replay(self._creators[0], request, gate),
                self._replay(self._creators[1], request, gate),
                self._prune(UUID(made), gate, deletes=deletes),
            )
            await self._check(request, made, [first, second], deletes=deletes)

    async def _replay(
        self,
        creator: CreatorServiceAsyncStub,
        request: pb.CreateTaskRequest,
        gate: asyncio.Barrier,
    ) -> pb.CreateTaskResponse:
        await gate.wait()
        await self._stagger()
        return await creator.CreateTask(request, timeout=30)

    async def _prune(
        self, task_id: UUID, gate: asyncio.Barrier, *, deletes: bool
    ) -> None:
        await gate.wait()
        await self._stagger()
        await self._janitor.strip(task_id)
        if deletes:
            await self._janitor.delete(task_id)

    async def _stagger(self) -> None:
        """Who comes first differs from race to race."""
        for _ in range(self._random.randrange(6)):
            await asyncio.sleep(0)

    async def _check(
        self,
        request: pb.CreateTaskRequest,
        made: str,
        answers: list[pb.CreateTaskResponse],
        *,
        deletes: bool,
    ) -> None:
        rows = await self._owner.fetch(HELD, "shop", UUID(request.request_id))
        held = {row["task_id"] for row in rows}
        anew = {a.task.task_id for a in answers} - {made}
        created = [a for a in answers if a.outcome == Outcome.OUTCOME_CREATED]

        assert held == (anew if deletes else {made})
        assert len(anew) == len(created) <= int(deletes)
        for answer in answers:
            is_old = answer.task.task_id == made
            assert (answer.task.status.state == DONE) == is_old
        self.created_anew += len(created)


DONE = task_pb2.TaskStatus.STATE_SUCCEEDED


async def test_p1_a_replay_beside_a_strip_and_a_deletion_names_one_task(
    database: Database, owner_pool: asyncpg.Pool, janitor_pool: asyncpg.Pool
) -> None:
    async with (
        served(database.creator_url) as left,
        served(database.creator_url) as right,
        asyncio.timeout(100),
    ):
        races = Races([left, right], owner_pool, Janitor(janitor_pool))
        async with asyncio.TaskGroup() as group:
            for number in range(RACES):
                group.create_task(races.run(number, deletes=number % 2 == 1))

    assert await owner_pool.fetchval(WITHOUT_STATUS) == 0
    # Both orders were met: a deletion before a replay, and after it.
    assert 0 < races.created_anew < RACES // 2
