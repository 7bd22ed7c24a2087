"""Counts under the processor's login, of rows that were made as the services make them."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import asyncpg
import pytest

from tandem.states import TaskState
from tandem.v1 import processor_pb2 as pb
from tandem_processor import counts, reports
from tests.factories import create_many, create_task
from tests.support.counting import (
    AGE,
    FINISH,
    SIX_MINUTES,
    Counting,
    by_state,
    counting_in,
    lags,
)
from tests.support.processors import failure, join, outcome, run_task

DUE = "UPDATE tandem.task_status SET due_time = now() + $2::interval WHERE task_id = $1"

PLACE = """
INSERT INTO tandem.group_places (group_name, lane_id, position)
SELECT $1, s.lane_id, s.position
FROM tandem.task_status AS s
WHERE s.task_id = $2
"""


@pytest.fixture
def counting(processor_pool: asyncpg.Pool) -> Counting:
    return counting_in(processor_pool)


def pending(stats: pb.GetStatsResponse) -> pb.QueueStats:
    [found] = stats.queues
    return found


async def test_tasks_are_counted_by_queue_and_state(
    counting: Counting, creator_pool: asyncpg.Pool, processor_pool: asyncpg.Pool
) -> None:
    me = await join(processor_pool)
    await create_many(creator_pool, 3)
    await create_task(creator_pool, priority=1)
    await create_many(creator_pool, 2, queue="mail")
    await run_task(creator_pool, processor_pool, me)
    for state in (TaskState.SUCCEEDED, TaskState.FAILED):
        done = outcome(await run_task(creator_pool, processor_pool, me), state)
        await reports.report(processor_pool, me, [done])

    stats = await counting()

    assert by_state(stats) == {
        ("default", "PENDING"): 4,
        ("default", "RUNNING"): 1,
        ("default", "SUCCEEDED"): 1,
        ("default", "FAILED"): 1,
        ("mail", "PENDING"): 2,
    }
    keys = [(each.queue, each.state) for each in stats.queues]
    assert keys == sorted(keys)


async def test_a_database_without_tasks_has_no_counts(counting: Counting) -> None:
    stats = await counting(days=2)

    assert list(stats.queues) == []
    assert lags(stats) == {"processors": 0}
    assert [(day.created, day.succeeded, day.failed) for day in stats.days] == [
        (0, 0, 0)
    ] * 2


async def test_a_paused_queue_says_so(
    counting: Counting, creator_pool: asyncpg.Pool, processor_pool: asyncpg.Pool
) -> None:
    await create_task(creator_pool, queue="mail")
    await create_task(creator_pool)
    await processor_pool.execute(
        "INSERT INTO tandem.queues (queue, paused) VALUES ('mail', true)"
    )

    stats = await counting()

    assert {each.queue: each.paused for each in stats.queues} == {
        "default": False,
        "mail": True,
    }


async def test_a_task_waits_since_its_creation_where_the_stream_leads_to_it(
    counting: Counting, creator_pool: asyncpg.Pool, owner_pool: asyncpg.Pool
) -> None:
    tasks = await create_many(creator_pool, 5)
    for task_id in tasks[1:4]:
        await owner_pool.execute(AGE, task_id, SIX_MINUTES)
    await owner_pool.execute(AGE, tasks[2], timedelta(hours=2))

    stats = pending(await counting())

    assert (stats.count, stats.waiting_over_five_minutes) == (5, 3)
    assert timedelta(hours=2) <= stats.oldest_age.ToTimedelta() < timedelta(hours=3)


async def test_a_task_waits_since_its_due_time_where_it_has_one(
    counting: Counting, creator_pool: asyncpg.Pool, owner_pool: asyncpg.Pool
) -> None:
    for due in (timedelta(hours=1), -timedelta(minutes=4), -timedelta(minutes=20)):
        task_id = await create_task(creator_pool)
        await owner_pool.execute(AGE, task_id, timedelta(days=3))
        await owner_pool.execute(DUE, task_id, due)

    stats = pending(await counting())

    assert (stats.count, stats.waiting_over_five_minutes) == (3, 1)
    age = stats.oldest_age.ToTimedelta()
    assert timedelta(minutes=20) <= age < timedelta(minutes=50)


async def test_what_is_not_due_or_not_pending_has_no_age(
    counting: Counting,
    creator_pool: asyncpg.Pool,
    processor_pool: asyncpg.Pool,
    owner_pool: asyncpg.Pool,
) -> None:
    await create_task(creator_pool, start_delay=timedelta(hours=1))
    me = await join(processor_pool)
    running = await run_task(creator_pool, processor_pool, me, queue="mail")
    await owner_pool.execute(AGE, running.task_id, timedelta(days=1))

    for stats in (await counting()).queues:
        assert not stats.HasField("oldest_age")
        assert stats.waiting_over_five_minutes == 0


async def test_the_lag_of_a_group_is_what_lies_after_its_places(
    counting: Counting, creator_pool: asyncpg.Pool, owner_pool: asyncpg.Pool
) -> None:
    tasks = await create_many(creator_pool, 10)
    mails = await create_many(creator_pool, 4, queue="mail")
    for group, place in (("audit", 2), ("index", 7), ("twin", 7), ("done", 9)):
        await owner_pool.execute(PLACE, group, tasks[place])
    await owner_pool.execute(PLACE, "audit", mails[0])

    found = lags(await counting())

    # Nobody has worked yet, so everything is still to be sent to the processors.
    assert found == {"audit": 10, "index": 2, "twin": 2, "done": 0, "processors": 14}


async def test_the_lag_of_the_processors_is_what_is_still_to_be_sent_to_them(
    counting: Counting,
    creator_pool: asyncpg.Pool,
    processor_pool: asyncpg.Pool,
    owner_pool: asyncpg.Pool,
) -> None:
    tasks = await create_many(creator_pool, 6)
    await owner_pool.execute(PLACE, "processors", tasks[1])
    await owner_pool.execute(DUE, tasks[3], timedelta(hours=1))
    await owner_pool.execute(FINISH, tasks[4], "CANCELLED", datetime.now(UTC))
    await create_many(creator_pool, 2, queue="mail")

    stats = await counting()

    assert lags(stats) == {"processors": 2 + 2}


TELL = """
INSERT INTO tandem.group_members (group_name, creator_name, members, deaf, update_time)
VALUES ($1, $2, $3, $4, now() - $5::interval)
"""


async def test_members_are_those_of_all_creators_that_told_lately(
    counting: Counting, owner_pool: asyncpg.Pool
) -> None:
    lately, long_ago = timedelta(seconds=15), timedelta(seconds=31)
    await owner_pool.execute(TELL, "processors", "one", 3, 1, lately)
    await owner_pool.execute(TELL, "processors", "two", 2, 1, timedelta(0))
    await owner_pool.execute(TELL, "processors", "gone", 5, 5, long_ago)
    await owner_pool.execute(TELL, "audit", "one", 1, 0, lately)
    await owner_pool.execute(TELL, "nobody", "gone", 1, 0, long_ago)

    groups = (await counting()).groups

    assert [(each.group, each.members, each.deaf_members) for each in groups] == [
        ("audit", 1, 0),
        ("processors", 5, 2),
    ]


async def test_counting_everything_reads_no_spec(
    processor_pool: asyncpg.Pool, owner_pool: asyncpg.Pool
) -> None:
    async with processor_pool.acquire() as connection:
        await connection.execute("SET plan_cache_mode = force_custom_plan")
        await connection.execute(f"PREPARE tried AS {counts.COUNT_STATUSES}")
        plan = await connection.fetchval(
            "EXPLAIN (FORMAT json) EXECUTE tried (NULL, '{}')"
        )

    assert '"tasks"' not in plan


async def test_processors_are_shown_with_what_they_run(
    counting: Counting,
    creator_pool: asyncpg.Pool,
    processor_pool: asyncpg.Pool,
    owner_pool: asyncpg.Pool,
) -> None:
    busy, dead, forgotten = [await join(processor_pool) for _ in range(3)]
    for _ in range(2):
        await run_task(creator_pool, processor_pool, busy)
    late = failure(await run_task(creator_pool, processor_pool, busy))
    await reports.report(processor_pool, busy, [late])
    for processor_id, age in ((dead, 59), (forgotten, 61)):
        await owner_pool.execute(
            "UPDATE tandem.processors SET state = 'DEAD', heartbeat_time = $2"
            " WHERE processor_id = $1",
            processor_id,
            datetime.now(UTC) - timedelta(minutes=age),
        )

    found = {p.processor_id: p for p in (await counting()).processors}

    assert found.keys() == {str(busy), str(dead)}
    assert (found[str(busy)].running, found[str(busy)].dead) == (2, False)
    assert (found[str(dead)].running, found[str(dead)].dead) == (0, True)
    assert list(found[str(busy)].types) == ["echo", "email"]
