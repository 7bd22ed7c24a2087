from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import Any
from uuid import UUID, uuid4

import asyncpg
import pytest

from tandem_processor import claims, crashes
from tandem_processor.claims import DeclaredDead, Due
from tests.factories import create_many, create_task
from tests.support.postgres_log import PostgresLog
from tests.support.processors import TYPES, claim, join, run_task, status
from tests.support.until import until

SECOND = timedelta(seconds=1)

# In the order given, each due a millisecond after the one before, all in the past.
MAKE_DUE = """
UPDATE tandem.task_status AS s
SET due_time = now() - interval '1 minute' + n.ordinal * interval '1 millisecond'
FROM unnest($1::uuid[]) WITH ORDINALITY AS n (task_id, ordinal)
WHERE s.task_id = n.task_id
"""


async def test_a_claim_answers_all_that_the_handler_needs(
    creator_pool: asyncpg.Pool, processor_pool: asyncpg.Pool
) -> None:
    me = await join(processor_pool)

    claimed = await run_task(
        creator_pool,
        processor_pool,
        me,
        payload={"n": 1},
        labels={"user": "7"},
        title="a title",
        external_id="x-1",
        max_attempts=3,
        attempt_timeout=timedelta(seconds=9),
    )

    assert claimed.payload == '{"n": 1}'
    assert claimed.labels == '{"user": "7"}'
    assert (claimed.title, claimed.external_id) == ("a title", "x-1")
    assert (claimed.project, claimed.type) == ("acme", "echo")
    assert (claimed.attempt, claimed.claim) == (1, 1)
    assert claimed.max_attempts == 3
    assert claimed.attempt_timeout == timedelta(seconds=9)


async def test_a_claimed_task_is_running_and_in_a_claim_batch(
    creator_pool: asyncpg.Pool, processor_pool: asyncpg.Pool
) -> None:
    me = await join(processor_pool)
    first, second = await create_many(creator_pool, 2)

    await claim(processor_pool, me, first, second)

    row = await status(processor_pool, first)
    assert (row["state"], row["processor_id"]) == ("RUNNING", me)
    assert row["start_time"] is not None
    batches = await processor_pool.fetch(
        "SELECT processor_id, task_ids FROM tandem.claim_batches"
    )
    assert [(b["processor_id"], set(b["task_ids"])) for b in batches] == [
        (me, {first, second})
    ]


async def test_p6_of_many_claimants_one_wins(
    creator_pool: asyncpg.Pool,
    processor_pool: asyncpg.Pool,
    postgres_log: PostgresLog,
) -> None:
    """However many claim the same ids at once, in any order, each is claimed once."""
    claimants = 8
    task_ids = await create_many(creator_pool, 300)
    members = [await join(processor_pool) for _ in range(claimants)]
    gate = asyncio.Barrier(claimants)

    async def compete(number: int) -> list[Any]:
        ids = task_ids if number % 2 else task_ids[::-1]
        await gate.wait()
        return await claim(processor_pool, members[number], *ids)

    async with asyncio.timeout(30), asyncio.TaskGroup() as group:
        calls = [group.create_task(compete(n)) for n in range(claimants)]

    won = [claimed.task_id for call in calls for claimed in call.result()]
    assert sorted(won) == sorted(task_ids)
    rows = await processor_pool.fetch("SELECT claim FROM tandem.task_status")
    assert {row["claim"] for row in rows} == {1}
    assert postgres_log.errors() == []


async def test_a_claim_takes_no_more_than_its_limit(
    creator_pool: asyncpg.Pool, processor_pool: asyncpg.Pool
) -> None:
    me = await join(processor_pool)
    task_ids = await create_many(creator_pool, 5)

    taken = await claims.claim(
        processor_pool, me, task_ids=task_ids, types=TYPES, limit=2
    )

    assert len(taken) == 2


@pytest.mark.parametrize(
    "wanted",
    [{"type": "unknown"}, {"start_delay": timedelta(hours=1)}],
    ids=["another type", "not due"],
)
async def test_what_may_not_run_here_or_now_is_not_claimed(
    creator_pool: asyncpg.Pool, processor_pool: asyncpg.Pool, wanted: dict[str, Any]
) -> None:
    me = await join(processor_pool)
    task_id = await create_task(creator_pool, **wanted)

    assert await claim(processor_pool, me, task_id) == []
    assert (await status(processor_pool, task_id))["state"] == "PENDING"


async def test_a_paused_queue_is_not_claimed_from(
    creator_pool: asyncpg.Pool, processor_pool: asyncpg.Pool
) -> None:
    me = await join(processor_pool)
    task_id = await create_task(creator_pool)
    await processor_pool.execute(
        "INSERT INTO tandem.queues (queue, paused) VALUES ('default', true)"
    )

    assert await claim(processor_pool, me, task_id) == []

    await processor_pool.execute("UPDATE tandem.queues SET paused = false")
    assert len(await claim(processor_pool, me, task_id)) == 1


@pytest.mark.parametrize("row", ["absent", "dead"])
async def test_a_processor_that_is_not_live_claims_nothing_and_is_told(
    creator_pool: asyncpg.Pool, processor_pool: asyncpg.Pool, row: str
) -> None:
    me = uuid4() if row == "absent" else await join(processor_pool)
    await processor_pool.execute("UPDATE tandem.processors SET state = 'DEAD'")
    task_id = await create_task(creator_pool)

    with pytest.raises(DeclaredDead):
        await claim(processor_pool, me, task_id)

    assert (await status(processor_pool, task_id))["state"] == "PENDING"


async def test_p8_a_claim_cannot_commit_behind_the_sweep(
    creator_pool: asyncpg.Pool, processor_pool: asyncpg.Pool
) -> None:
    """A claim waits for a reconciler that has the row, and then finds it dead."""
    me = await join(processor_pool)
    task_id = await create_task(creator_pool)
    async with processor_pool.acquire() as reconciler, reconciler.transaction():
        await reconciler.fetchval(
            "SELECT 1 FROM tandem.processors WHERE processor_id = $1 FOR UPDATE", me
        )
        late = asyncio.create_task(claim(processor_pool, me, task_id))
        await _until_somebody_waits(processor_pool)
        await reconciler.fetchval(crashes.MARK_DEAD, me)

    with pytest.raises(DeclaredDead):
        async with asyncio.timeout(10):
            await late
    assert (await status(processor_pool, task_id))["state"] == "PENDING"


async def _until_somebody_waits(pool: asyncpg.Pool) -> None:
    waiting = """
    SELECT count(*) FROM pg_locks AS l
    JOIN pg_stat_activity AS a USING (pid)
    WHERE NOT l.granted AND a.datname = current_database()
    """
    await until(lambda: pool.fetchval(waiting))


async def test_what_a_claim_left_is_told_apart(
    creator_pool: asyncpg.Pool, processor_pool: asyncpg.Pool
) -> None:
    me = await join(processor_pool)
    running = await run_task(creator_pool, processor_pool, me)
    still_open = await create_task(creator_pool, type="unknown")
    due_later = await create_task(creator_pool, start_delay=timedelta(hours=1))
    nobody = uuid4()

    left = await claims.read_unclaimed(
        processor_pool, [running.task_id, still_open, due_later, nobody]
    )

    assert left.still_open == {still_open}
    assert left.unknown == {nobody}


async def test_due_work_leaves_out_what_this_processor_may_not_run(
    creator_pool: asyncpg.Pool, processor_pool: asyncpg.Pool
) -> None:
    soon = timedelta(milliseconds=1)
    await create_task(creator_pool, start_delay=soon, type="unknown")
    await create_task(creator_pool, start_delay=soon, queue="elsewhere")
    due = await create_task(creator_pool, start_delay=soon)
    await create_task(creator_pool, start_delay=timedelta(hours=1))
    await create_task(creator_pool)

    found = await until(lambda: _due(processor_pool))

    assert [each.task_id for each in found] == [due]


async def test_what_will_soon_be_due_is_found_ahead_with_its_wait(
    creator_pool: asyncpg.Pool, processor_pool: asyncpg.Pool
) -> None:
    soon = await create_task(creator_pool, start_delay=timedelta(minutes=10))
    await create_task(creator_pool, start_delay=timedelta(hours=1))

    (found,) = await claims.read_due(
        processor_pool,
        queues=["default"],
        types=["echo"],
        suspects=True,
        limit=10,
        ahead=1800,
    )

    assert found.task_id == soon
    assert 500 < found.wait <= 600


async def _due(
    pool: asyncpg.Pool, *, suspects: bool = True, urgent_first: bool = False
) -> list[Due]:
    return await claims.read_due(
        pool,
        queues=["default"],
        types=["echo"],
        suspects=suspects,
        limit=10,
        urgent_first=urgent_first,
    )


async def test_p8_what_is_urgent_does_not_wait_behind_what_is_longer_due(
    creator_pool: asyncpg.Pool, processor_pool: asyncpg.Pool
) -> None:
    """Nor does the longest due wait for ever: every few scans look for it."""
    low = await create_many(creator_pool, 20, priority=4)
    urgent = await create_many(creator_pool, 2, priority=1)
    await processor_pool.execute(MAKE_DUE, [*low, *urgent])

    first = [each.task_id for each in await _due(processor_pool, urgent_first=True)]
    oldest = [each.task_id for each in await _due(processor_pool)]

    assert first == [*urgent, *low[:8]]
    assert oldest == low[:10]


async def test_suspects_are_claimed_by_themselves_and_at_most_as_many_as_wanted(
    creator_pool: asyncpg.Pool, processor_pool: asyncpg.Pool
) -> None:
    """However their ids come: an old announcement may name one."""
    me = await join(processor_pool)
    task_ids = await create_many(creator_pool, 5)
    suspects = set(task_ids[:3])
    await _suspect(processor_pool, *suspects)

    others = await claim(processor_pool, me, *task_ids)
    (suspect,) = await claims.claim(
        processor_pool, me, task_ids=task_ids, types=TYPES, limit=1, suspects=True
    )

    assert {each.task_id for each in others} == set(task_ids) - suspects
    assert not any(each.is_suspect for each in others)
    assert suspect.task_id in suspects
    assert suspect.is_suspect


async def test_suspects_that_may_not_run_now_hide_no_due_work(
    creator_pool: asyncpg.Pool, processor_pool: asyncpg.Pool
) -> None:
    task_ids = await create_many(creator_pool, 12)
    await _suspect(processor_pool, *task_ids)
    await processor_pool.execute("UPDATE tandem.task_status SET due_time = now()")
    other = await create_task(creator_pool, start_delay=timedelta(milliseconds=1))

    found = await until(lambda: _due(processor_pool, suspects=False))

    assert [(each.task_id, each.is_suspect) for each in found] == [(other, False)]
    assert {each.is_suspect for each in await _due(processor_pool)} == {True}


async def _suspect(pool: asyncpg.Pool, *task_ids: UUID) -> None:
    await pool.execute(
        "UPDATE tandem.task_status SET crashes = 2 WHERE task_id = ANY ($1)", task_ids
    )


async def test_a_claim_goes_by_the_primary_key(
    creator_pool: asyncpg.Pool, processor_pool: asyncpg.Pool, owner_pool: asyncpg.Pool
) -> None:
    me = await join(processor_pool)
    task_ids = await create_many(creator_pool, 3000)
    await owner_pool.execute("ANALYZE tandem.task_status; ANALYZE tandem.tasks")

    plan = await processor_pool.fetch(
        f"EXPLAIN {claims.CLAIM}", me, task_ids[:20], TYPES, 20, False
    )

    text = "\n".join(row[0] for row in plan)
    assert "Index Scan using task_status_pkey" in text
    assert "Seq Scan on task_status" not in text


async def test_the_due_scan_goes_by_the_due_index(
    creator_pool: asyncpg.Pool, processor_pool: asyncpg.Pool, owner_pool: asyncpg.Pool
) -> None:
    await create_many(creator_pool, 3000)
    await create_many(creator_pool, 20, start_delay=timedelta(hours=1))
    await owner_pool.execute("ANALYZE tandem.task_status; ANALYZE tandem.tasks")

    plan = await processor_pool.fetch(
        f"EXPLAIN {claims.READ_DUE}", ["default"], TYPES, True, 20, SECOND, True
    )

    text = "\n".join(row[0] for row in plan)
    assert "task_status_due" in text
    assert "Seq Scan on task_status" not in text
