"""A duplicate is answered without a single row version, dead or alive."""

from __future__ import annotations

import asyncio
from random import Random
from typing import TYPE_CHECKING

import asyncpg

from tandem.v1 import creator_pb2 as pb
from tests.support.cluster import Database
from tests.support.creator import a_new_id, a_request, served
from tests.support.until import until

if TYPE_CHECKING:
    from tandem.v1.creator_pb2_grpc import CreatorServiceAsyncStub

TASKS = 50
REPLAYS = 10_000
BATCH = 100
AT_ONCE = 100

WRITTEN = """
SELECT t.relname, t.n_tup_ins, t.n_tup_upd, t.n_tup_del, t.n_dead_tup
FROM pg_stat_user_tables AS t
WHERE t.relname IN ('tasks', 'task_status', 'content_windows', 'lanes')
ORDER BY t.relname
"""

LAST_POSITION = "SELECT p.last_value FROM tandem.positions AS p"

# A session hands in its counts before it is gone from the list.
IS_ALONE = """
SELECT NOT EXISTS (
    SELECT
    FROM pg_stat_activity AS a
    WHERE a.datname = current_database()
      AND a.usename = 'tandem_creator'
)
"""

ANSWERED = (
    pb.CreateTaskResponse.OUTCOME_REPLAYED,
    pb.CreateTaskResponse.OUTCOME_EXISTING,
)


def duplicates_of(number: int) -> list[pb.CreateTaskRequest]:
    """One task, and how it is asked for again."""
    if number % 3 == 0:
        windowed = a_request(payload={"n": number})
        windowed.content_window.window.FromSeconds(3600)
        return [windowed]
    named = a_request(request_id=a_new_id(), external_id=f"order-{number}")
    other = a_request(request_id=a_new_id(), external_id=f"order-{number}")
    return [named, other]


class Replayer:
    """Sends what was created already, and counts the answers."""

    def __init__(self, creator: CreatorServiceAsyncStub) -> None:
        self._creator = creator
        self._room = asyncio.Semaphore(AT_ONCE)
        self.answered = 0

    async def single(self, request: pb.CreateTaskRequest) -> None:
        async with self._room:
            answer = await self._creator.CreateTask(request, timeout=60)
            assert answer.outcome in ANSWERED
            self.answered += 1

    async def batch(self, requests: list[pb.CreateTaskRequest]) -> None:
        async with self._room:
            whole = pb.BatchCreateTasksRequest(request_id=a_new_id(), requests=requests)
            answer = await self._creator.BatchCreateTasks(whole, timeout=60)
            assert answer.summary.created == 0
            self.answered += answer.summary.requested


async def written(owner: asyncpg.Pool) -> tuple[list[asyncpg.Record], int]:
    """All that was ever written here, once nobody writes any more."""
    await until(lambda: owner.fetchval(IS_ALONE))
    return await owner.fetch(WRITTEN), await owner.fetchval(LAST_POSITION)


async def test_10_000_duplicates_write_nothing(
    database: Database, owner_pool: asyncpg.Pool
) -> None:
    random = Random(1)
    asked = [duplicates_of(number) for number in range(TASKS)]
    async with served(database.creator_url) as creator:
        for first, *_ in asked:
            await creator.CreateTask(first)
    before = await written(owner_pool)

    async with served(database.creator_url) as creator, asyncio.timeout(100):
        replayer = Replayer(creator)
        async with asyncio.TaskGroup() as group:
            for _ in range(REPLAYS - 10 * BATCH):
                again = random.choice(random.choice(asked))
                group.create_task(replayer.single(again))
            for _ in range(10):
                many = [random.choice(random.choice(asked)) for _ in range(BATCH)]
                group.create_task(replayer.batch(many))

    assert replayer.answered == REPLAYS
    assert await written(owner_pool) == before
    assert {row["relname"]: row["n_tup_ins"] for row in before[0]}["tasks"] == TASKS
