"""Edges of creation that other systems were seen to fall over."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING
from uuid import UUID, uuid4, uuid5

import asyncpg
import grpc
import pytest

from tandem.v1 import creator_pb2 as pb
from tandem.v1 import task_pb2
from tests.support.cluster import Database
from tests.support.creator import a_new_id, a_request, reason_of, served
from tests.support.janitor import Janitor, finish
from tests.support.postgres_log import PostgresLog
from tests.support.until import until

if TYPE_CHECKING:
    from tandem.v1.creator_pb2_grpc import CreatorServiceAsyncStub

COUNT_TASKS = "SELECT count(*) FROM tandem.tasks"

END = """
UPDATE tandem.task_status
SET state = $2, finish_time = now()
WHERE task_id = $1
"""

# What another creator has in flight: its own transaction ends it.
HOLD_ID = """
INSERT INTO tandem.tasks (task_id, project, request_id, type, queue, priority, defaulted)
VALUES ($1, 'shop', $2, 'email', 'default', 3, 3)
"""

GIVE_POSITION = """
INSERT INTO tandem.task_status (task_id, lane_id, position)
VALUES ($1, 1, nextval('tandem.positions'))
"""

WAITS_FOR_THE_HOLDER = """
SELECT EXISTS (
    SELECT
    FROM pg_locks AS l
    WHERE l.locktype = 'transactionid'
      AND NOT l.granted
)
"""

LIMIT = 30.0

Outcome = pb.CreateTaskResponse


@pytest.fixture
async def creator(database: Database) -> AsyncIterator[CreatorServiceAsyncStub]:
    async with served(database.creator_url) as stub:
        yield stub


@asynccontextmanager
async def held(
    pool: asyncpg.Pool, request_id: str, *, is_undone: bool = False
) -> AsyncIterator[UUID]:
    """The task that an open transaction inserted under this id, until the block ends."""
    task_id = uuid4()
    async with pool.acquire() as connection:
        transaction = connection.transaction()
        await transaction.start()
        await connection.execute(HOLD_ID, task_id, UUID(request_id))
        await connection.execute(GIVE_POSITION, task_id)
        yield task_id
        await (transaction.rollback() if is_undone else transaction.commit())


@pytest.mark.parametrize("state", ["SUCCEEDED", "FAILED", "CANCELLED"])
async def test_p1_a_repeat_after_the_end_never_creates_again(
    creator: CreatorServiceAsyncStub, owner_pool: asyncpg.Pool, state: str
) -> None:
    request = a_request(request_id=a_new_id(), external_id="order-1")
    made = await creator.CreateTask(request)
    await owner_pool.execute(END, UUID(made.task.task_id), state)

    again = await creator.CreateTask(request)
    other = await creator.CreateTask(a_request(external_id="order-1"))

    assert again.outcome == Outcome.OUTCOME_REPLAYED
    assert other.outcome == Outcome.OUTCOME_EXISTING
    for answer in (again, other):
        assert answer.task.task_id == made.task.task_id
        assert task_pb2.TaskStatus.State.Name(answer.task.status.state).endswith(state)
    assert await owner_pool.fetchval(COUNT_TASKS) == 1


async def test_p1_both_ids_of_a_stripped_task_still_name_it(
    creator: CreatorServiceAsyncStub,
    owner_pool: asyncpg.Pool,
    janitor_pool: asyncpg.Pool,
) -> None:
    request = a_request(request_id=a_new_id(), external_id="order-1", payload={"a": 1})
    made = await creator.CreateTask(request)
    await finish(owner_pool, UUID(made.task.task_id))
    await Janitor(janitor_pool).strip(UUID(made.task.task_id))

    again = await creator.CreateTask(request)
    other = await creator.CreateTask(a_request(external_id="order-1"))

    assert again.outcome == Outcome.OUTCOME_REPLAYED
    assert other.outcome == Outcome.OUTCOME_EXISTING
    for answer in (again, other):
        assert answer.task.task_id == made.task.task_id
        assert answer.task.status.state == task_pb2.TaskStatus.STATE_SUCCEEDED
        assert answer.task.HasField("prune_time")


async def test_a_create_behind_one_that_commits_is_its_replay(
    creator: CreatorServiceAsyncStub,
    creator_pool: asyncpg.Pool,
    owner_pool: asyncpg.Pool,
) -> None:
    request = a_request(request_id=a_new_id())

    async with held(creator_pool, request.request_id) as task_id:
        call = creator.CreateTask(request, timeout=LIMIT)
        await until(lambda: owner_pool.fetchval(WAITS_FOR_THE_HOLDER))
    answer = await call

    assert answer.outcome == Outcome.OUTCOME_REPLAYED
    assert answer.task.task_id == str(task_id)


async def test_a_create_behind_one_that_is_undone_takes_its_place(
    creator: CreatorServiceAsyncStub,
    creator_pool: asyncpg.Pool,
    owner_pool: asyncpg.Pool,
) -> None:
    request = a_request(request_id=a_new_id())

    async with held(creator_pool, request.request_id, is_undone=True):
        call = creator.CreateTask(request, timeout=LIMIT)
        await until(lambda: owner_pool.fetchval(WAITS_FOR_THE_HOLDER))
    answer = await call

    assert answer.outcome == Outcome.OUTCOME_CREATED
    assert await owner_pool.fetchval(COUNT_TASKS) == 1


async def test_a_create_behind_one_that_hangs_is_told_to_come_again(
    creator: CreatorServiceAsyncStub, creator_pool: asyncpg.Pool
) -> None:
    request = a_request(request_id=a_new_id())

    async with held(creator_pool, request.request_id):
        with pytest.raises(grpc.aio.AioRpcError) as refused:
            await creator.CreateTask(request, timeout=LIMIT)
    again = await creator.CreateTask(request, timeout=LIMIT)

    assert refused.value.code() is grpc.StatusCode.UNAVAILABLE
    assert reason_of(refused.value).reason == "STORE_UNAVAILABLE"
    assert again.outcome == Outcome.OUTCOME_REPLAYED


async def test_p1_an_item_of_a_batch_and_a_single_create_share_their_ids(
    creator: CreatorServiceAsyncStub, owner_pool: asyncpg.Pool
) -> None:
    batch_id = uuid4()
    single = a_request(request_id=a_new_id(), title="single")
    made = await creator.CreateTask(single)

    batch = await creator.BatchCreateTasks(
        pb.BatchCreateTasksRequest(
            request_id=str(batch_id), requests=[single, a_request(title="item")]
        )
    )
    item = await creator.CreateTask(
        a_request(request_id=str(uuid5(batch_id, "1")), title="item")
    )

    assert batch.results[0].outcome == Outcome.OUTCOME_REPLAYED
    assert batch.results[0].task.task_id == made.task.task_id
    assert item.outcome == Outcome.OUTCOME_REPLAYED
    assert item.task.task_id == batch.results[1].task.task_id
    assert await owner_pool.fetchval(COUNT_TASKS) == 2


async def test_p3_a_batch_repeated_in_another_order_is_refused_and_writes_nothing(
    creator: CreatorServiceAsyncStub, owner_pool: asyncpg.Pool
) -> None:
    first, second = a_request(title="first"), a_request(title="second")
    batch_id = a_new_id()
    await creator.BatchCreateTasks(
        pb.BatchCreateTasksRequest(request_id=batch_id, requests=[first, second])
    )

    with pytest.raises(grpc.aio.AioRpcError) as refused:
        await creator.BatchCreateTasks(
            pb.BatchCreateTasksRequest(request_id=batch_id, requests=[second, first])
        )

    refusal = reason_of(refused.value)
    assert refusal.reason == "REQUEST_ID_REUSED"
    assert refusal.fields == ["requests[0].spec.title", "requests[1].spec.title"]
    assert await owner_pool.fetchval(COUNT_TASKS) == 2


async def test_crossed_batches_of_two_creators_do_not_deadlock(
    database: Database, owner_pool: asyncpg.Pool, postgres_log: PostgresLog
) -> None:
    names = [f"order-{n}" for n in range(100)]
    orders = [names, names[::-1], names[50:] + names[:50], names[::2] + names[1::2]]

    async with (
        served(database.creator_url) as left,
        served(database.creator_url) as right,
    ):
        answers = await asyncio.gather(
            *(
                creator.BatchCreateTasks(
                    pb.BatchCreateTasksRequest(
                        request_id=a_new_id(),
                        requests=[a_request(external_id=name) for name in order],
                    ),
                    timeout=LIMIT,
                )
                for order in orders
                for creator in (left, right)
            )
        )

    assert sum(answer.summary.created for answer in answers) == len(names)
    assert await owner_pool.fetchval(COUNT_TASKS) == len(names)
    assert postgres_log.errors() == []


async def test_a_message_over_four_megabytes_is_refused_and_harms_nothing(
    creator: CreatorServiceAsyncStub, owner_pool: asyncpg.Pool
) -> None:
    large = pb.BatchCreateTasksRequest(
        requests=[a_request(payload={"a": "x" * 60_000}) for _ in range(75)]
    )

    with pytest.raises(grpc.aio.AioRpcError) as refused:
        await creator.BatchCreateTasks(large)
    await creator.CreateTask(a_request())

    assert refused.value.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
    assert await owner_pool.fetchval(COUNT_TASKS) == 1


async def test_p3_defaults_and_their_explicit_values_are_the_same_content(
    creator: CreatorServiceAsyncStub,
) -> None:
    request = a_request(request_id=a_new_id())
    await creator.CreateTask(request)
    request.spec.queue = "default"
    request.spec.priority = task_pb2.PRIORITY_NORMAL
    request.spec.retry_policy.max_attempts = 5
    request.spec.payload.SetInParent()

    again = await creator.CreateTask(request)

    assert again.outcome == Outcome.OUTCOME_REPLAYED


async def test_p3_a_delay_is_compared_as_it_was_given(
    creator: CreatorServiceAsyncStub,
) -> None:
    """Its moment differs with each repeat; the delay does not."""
    request = a_request(request_id=a_new_id())
    request.spec.start_delay.FromSeconds(30)
    first = await creator.CreateTask(request)

    again = await creator.CreateTask(request)

    assert again.outcome == Outcome.OUTCOME_REPLAYED
    assert again.task.status.due_time == first.task.status.due_time
