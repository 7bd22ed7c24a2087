"""The micro-batch: shared commits, and neighbours that never harm one another."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from uuid import uuid4

import asyncpg
import pytest
from google.protobuf.duration_pb2 import Duration

from tandem.errors import Overloaded
from tandem_creator.batcher import Batcher
from tandem_creator.store.creates import Created, create_tasks
from tandem_creator.store.lanes import Lanes
from tandem_creator.store.winners import Match, Winner
from tests.support.batching import LIMIT, a_draft, batching, count_created, race
from tests.support.cluster import Database
from tests.support.creator import a_new_id
from tests.support.until import until

COUNT_TASKS = "SELECT count(*) FROM tandem.tasks"

# What every create has to insert into: holding it holds every batch.
HOLD = "LOCK TABLE tandem.tasks IN SHARE MODE"

WAITS_FOR_TASKS = """
SELECT EXISTS (
    SELECT
    FROM pg_locks AS l
    WHERE l.relation = 'tandem.tasks'::regclass
      AND NOT l.granted
)
"""


async def held_up(batcher: Batcher, pool: asyncpg.Pool) -> asyncio.Task[object]:
    """A create that waits in the database, so that others gather behind it."""
    first = asyncio.create_task(batcher.create(a_draft()))
    await until(lambda: pool.fetchval(WAITS_FOR_TASKS))
    return first


async def test_p10_a_row_that_postgres_refuses_fails_alone(database: Database) -> None:
    good = [a_draft() for _ in range(20)]
    # Past every check of ours: a defect, as a new check of the table would be.
    bad = replace(a_draft(), priority=3, max_attempts=0)

    async with batching(database.creator_url) as batcher:
        answers = await race([batcher], [*good, bad])

    assert count_created(answers[:-1]) == 20
    assert isinstance(answers[-1], asyncpg.CheckViolationError)


async def test_p10_a_row_behind_an_open_transaction_fails_alone(
    database: Database, creator_pool: asyncpg.Pool
) -> None:
    good = [a_draft() for _ in range(20)]
    unlucky = a_draft(request_id=a_new_id())

    async with batching(database.creator_url, lock_timeout=0.5) as batcher:
        # The lanes are there before the transaction that stays open.
        await batcher.create(a_draft())
        async with creator_pool.acquire() as stranger, stranger.transaction():
            await create_tasks(stranger, [unlucky], lanes=Lanes())
            same = replace(unlucky, task_id=uuid4())
            answers = await race([batcher], [*good, same])

    assert count_created(answers[:-1]) == 20
    assert isinstance(answers[-1], asyncpg.LockNotAvailableError)


async def test_creates_that_wait_share_one_commit(
    database: Database, owner_pool: asyncpg.Pool
) -> None:
    async with batching(database.creator_url) as batcher:
        async with owner_pool.acquire() as holder, holder.transaction():
            await holder.execute(HOLD)
            first = await held_up(batcher, owner_pool)
            rest = [asyncio.create_task(batcher.create(a_draft())) for _ in range(50)]
            await asyncio.sleep(0)
        async with asyncio.timeout(LIMIT):
            await asyncio.gather(first, *rest)

    times = await owner_pool.fetchval(
        "SELECT count(DISTINCT create_time) FROM tandem.tasks"
    )
    assert times == 2


async def test_a_batch_has_a_bound(
    database: Database, owner_pool: asyncpg.Pool
) -> None:
    async with batching(database.creator_url, largest=10) as batcher:
        answers = await race([batcher], [a_draft() for _ in range(100)])

    most = await owner_pool.fetchval(
        "SELECT count(*) FROM tandem.tasks GROUP BY create_time ORDER BY 1 DESC LIMIT 1"
    )
    assert count_created(answers) == 100
    assert most <= 10


async def test_more_than_may_wait_is_refused_at_once(
    database: Database, owner_pool: asyncpg.Pool
) -> None:
    async with batching(database.creator_url, most_waiting=3) as batcher:
        async with owner_pool.acquire() as holder, holder.transaction():
            await holder.execute(HOLD)
            first = await held_up(batcher, owner_pool)
            rest = [asyncio.create_task(batcher.create(a_draft())) for _ in range(3)]
            await asyncio.sleep(0)
            with pytest.raises(Overloaded):
                await batcher.create(a_draft())
        async with asyncio.timeout(LIMIT):
            await asyncio.gather(first, *rest)


async def test_a_caller_that_goes_after_the_statement_is_sent_changes_nothing(
    database: Database, owner_pool: asyncpg.Pool
) -> None:
    async with batching(database.creator_url) as batcher:
        async with owner_pool.acquire() as holder, holder.transaction():
            await holder.execute(HOLD)
            first = await held_up(batcher, owner_pool)
            first.cancel()
            with pytest.raises(asyncio.CancelledError):
                await first
        async with asyncio.timeout(LIMIT):
            await batcher.create(a_draft())

    assert await owner_pool.fetchval(COUNT_TASKS) == 2


async def test_a_caller_that_goes_before_its_draft_is_sent_leaves_nothing(
    database: Database, owner_pool: asyncpg.Pool
) -> None:
    async with batching(database.creator_url) as batcher:
        async with owner_pool.acquire() as holder, holder.transaction():
            await holder.execute(HOLD)
            first = await held_up(batcher, owner_pool)
            gone = asyncio.create_task(batcher.create(a_draft()))
            await asyncio.sleep(0)
            gone.cancel()
            with pytest.raises(asyncio.CancelledError):
                await gone
        async with asyncio.timeout(LIMIT):
            await first
            await batcher.create(a_draft())

    assert await owner_pool.fetchval(COUNT_TASKS) == 2


async def test_a_draft_past_its_deadline_is_never_sent(
    database: Database, owner_pool: asyncpg.Pool
) -> None:
    past = asyncio.get_running_loop().time() - 1
    async with batching(database.creator_url) as batcher:
        with pytest.raises(asyncio.CancelledError):
            await batcher.create(a_draft(), deadline=past)

    assert await owner_pool.fetchval(COUNT_TASKS) == 0


async def test_p2_a_created_task_is_seen_by_every_other_session(
    database: Database, processor_pool: asyncpg.Pool
) -> None:
    async with batching(database.creator_url) as batcher:
        answer = await batcher.create(a_draft())

        state = await processor_pool.fetchval(
            "SELECT v.state::text FROM tandem.task_view AS v WHERE v.task_id = $1",
            answer.task_id if isinstance(answer, Created) else None,
        )
    assert state == "PENDING"


async def test_the_request_id_decides_where_two_ids_name_two_tasks(
    database: Database,
) -> None:
    request_id = a_new_id()
    async with batching(database.creator_url) as batcher:
        by_request = await batcher.create(a_draft(request_id=request_id))
        await batcher.create(a_draft(request_id=a_new_id(), external_id="taken"))

        answer = await batcher.create(
            a_draft(request_id=request_id, external_id="taken")
        )

    assert isinstance(by_request, Created)
    assert isinstance(answer, Winner)
    assert (answer.row.task_id, answer.match) == (by_request.task_id, Match.REQUEST_ID)


async def test_a_delayed_task_is_due_when_its_delay_has_passed(
    database: Database,
) -> None:
    async with batching(database.creator_url) as batcher:
        answer = await batcher.create(a_draft(start_delay=Duration(seconds=60)))

    assert isinstance(answer, Created)
    assert answer.due_time is not None
    assert (answer.due_time - answer.create_time).total_seconds() == 60
