"""However many callers send one intended call at once, it makes one task."""

from __future__ import annotations

import asyncio

from tandem.v1 import creator_pb2
from tests.support.creator import a_new_id, a_request
from tests.support.postgres_log import PostgresLog
from tests.support.running_pair import RunningPair

CALLS = 64
Outcome = creator_pb2.CreateTaskResponse

COUNT = "SELECT count(*) FROM tandem.tasks"


async def test_p1_64_creates_of_one_id_over_two_creators_make_one_task(
    pair: RunningPair, postgres_log: PostgresLog
) -> None:
    request = a_request(request_id=a_new_id(), payload={"topic": "Tea"}, type="idle")
    gate = asyncio.Barrier(CALLS)

    async def create(number: int) -> creator_pb2.CreateTaskResponse:
        await gate.wait()
        return await pair.creators[number % 2].CreateTask(request)

    async with asyncio.timeout(30):
        answers = await asyncio.gather(*(create(number) for number in range(CALLS)))

    outcomes = [answer.outcome for answer in answers]
    assert len({answer.task.task_id for answer in answers}) == 1
    assert outcomes.count(Outcome.OUTCOME_CREATED) == 1
    assert outcomes.count(Outcome.OUTCOME_REPLAYED) == CALLS - 1
    async with pair.database.admin() as admin:
        assert await admin.fetchval(COUNT) == 1
    assert postgres_log.errors() == []
