"""Retention: what is past it goes, in batches, and nothing else does."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from datetime import timedelta
from typing import Any
from uuid import UUID, uuid4

import asyncpg
import pytest

from tandem.pruning.expiry import delete_tasks
from tandem.pruning.retention import Retention, keep_retention
from tandem.pruning.strips import strip
from tandem.pruning.walk import WALK, Ripe, read_lanes, ripe_in
from tests.factories import create_many, create_task
from tests.support.past import KEPT, MONTH, WEEK, age, age_tombstones, prune
from tests.support.until import until

ROW = """
SELECT
    t.payload::text AS payload, t.title, t.labels::text AS labels,
    t.final_state::text AS final_state, t.finish_time, t.prune_time,
    EXISTS (SELECT FROM tandem.task_status AS s WHERE s.task_id = t.task_id) AS has_status,
    EXISTS (SELECT FROM tandem.task_stages AS g WHERE g.task_id = t.task_id) AS has_stages,
    EXISTS (SELECT FROM tandem.task_outputs AS o WHERE o.task_id = t.task_id) AS has_outputs
FROM tandem.tasks AS t
WHERE t.task_id = $1
"""

LEAVE_BEHIND = """
WITH stage AS (
    INSERT INTO tandem.task_stages (task_id, name, state, attempt, claim, start_time)
    VALUES ($1, 'draft', 'SUCCEEDED', 1, 1, now())
)
INSERT INTO tandem.task_outputs (task_id, claim, result)
VALUES ($1, 1, '{}')
"""

RETRY = """
UPDATE tandem.task_status
SET state = 'PENDING', finish_time = NULL, due_time = now()
WHERE task_id = $1
  AND state IN ('SUCCEEDED', 'FAILED', 'CANCELLED')
"""

POSITIONS = (
    "SELECT s.position FROM tandem.task_status AS s WHERE s.task_id = ANY ($1::uuid[])"
)

FLOOR = "SELECT f.position FROM tandem.stream_floor AS f"

WAITS_FOR_A_ROW = """
SELECT count(*) > 0
FROM pg_locks AS l
WHERE l.locktype = 'transactionid'
  AND NOT l.granted
"""


async def row_of(owner: asyncpg.Pool, task_id: UUID) -> asyncpg.Record:
    [row] = await owner.fetch(ROW, task_id)
    return row


async def ripe(owner: asyncpg.Pool, task_ids: Sequence[UUID]) -> Ripe:
    rows = await owner.fetch(POSITIONS, task_ids)
    return Ripe(task_ids, max(row["position"] for row in rows))


async def remaining(owner: asyncpg.Pool) -> set[UUID]:
    rows = await owner.fetch("SELECT t.task_id FROM tandem.tasks AS t")
    return {row["task_id"] for row in rows}


async def stripped(owner: asyncpg.Pool) -> set[UUID]:
    rows = await owner.fetch(
        "SELECT t.task_id FROM tandem.tasks AS t WHERE t.prune_time IS NOT NULL"
    )
    return {row["task_id"] for row in rows}


@pytest.mark.parametrize("state", ["SUCCEEDED", "FAILED", "CANCELLED"])
async def test_a_finished_task_is_stripped_to_its_ids_state_and_times(
    creator_pool: asyncpg.Pool,
    owner_pool: asyncpg.Pool,
    janitor_pool: asyncpg.Pool,
    state: str,
) -> None:
    task_id = await create_task(
        creator_pool, payload={"a": 1}, title="Tea", labels={"user": "7"}
    )
    await owner_pool.execute(LEAVE_BEHIND, task_id)
    await age(owner_pool, [task_id], days=8, state=state)

    pruned = await prune(janitor_pool)

    row = await row_of(owner_pool, task_id)
    assert (pruned.stripped, pruned.deleted) == (1, 0)
    assert row["final_state"] == state
    assert row["prune_time"] - row["finish_time"] > timedelta(days=7)
    assert (row["payload"], row["title"], row["labels"]) == (None, None, None)
    assert not any((row["has_status"], row["has_stages"], row["has_outputs"]))


@pytest.mark.parametrize("state", ["PENDING", "RUNNING", "SUSPENDED"])
async def test_p9_what_is_not_final_stays_however_old_it_is(
    creator_pool: asyncpg.Pool,
    owner_pool: asyncpg.Pool,
    janitor_pool: asyncpg.Pool,
    state: str,
) -> None:
    task_id = await create_task(creator_pool)
    await age(owner_pool, [task_id], days=400, state=state)
    await owner_pool.execute(LEAVE_BEHIND, task_id)

    pruned = await prune(janitor_pool)

    row = await row_of(owner_pool, task_id)
    assert pruned.stripped == 0
    assert row["prune_time"] is None
    assert all((row["has_status"], row["has_stages"], row["has_outputs"]))


async def test_what_finished_within_the_retention_stays(
    creator_pool: asyncpg.Pool, owner_pool: asyncpg.Pool, janitor_pool: asyncpg.Pool
) -> None:
    old, young = await create_many(creator_pool, 2)
    await age(owner_pool, [old], days=7.1)
    await age(owner_pool, [young], days=6.9)

    await prune(janitor_pool)

    assert await stripped(owner_pool) == {old}


async def test_p9_a_task_that_is_retried_before_its_strip_keeps_everything(
    creator_pool: asyncpg.Pool, owner_pool: asyncpg.Pool, janitor_pool: asyncpg.Pool
) -> None:
    retried, other = await create_many(creator_pool, 2, payload={"a": 1})
    await age(owner_pool, [retried, other], days=8, state="FAILED")
    found = await ripe(owner_pool, [retried, other])
    await owner_pool.execute(RETRY, retried)

    assert await strip(janitor_pool, found, strip_after=WEEK) == 1

    row = await row_of(owner_pool, retried)
    assert (row["payload"], row["has_status"]) == ('{"a": 1}', True)
    assert await stripped(owner_pool) == {other}


async def test_p9_a_retry_that_commits_while_the_strip_waits_wins(
    creator_pool: asyncpg.Pool, owner_pool: asyncpg.Pool, janitor_pool: asyncpg.Pool
) -> None:
    task_id = await create_task(creator_pool)
    await owner_pool.execute(LEAVE_BEHIND, task_id)
    await age(owner_pool, [task_id], days=8, state="FAILED")
    found = await ripe(owner_pool, [task_id])
    async with owner_pool.acquire() as retrier:
        retry = retrier.transaction()
        await retry.start()
        await retrier.execute(RETRY, task_id)
        stripping = asyncio.create_task(strip(janitor_pool, found, strip_after=WEEK))
        await until(lambda: owner_pool.fetchval(WAITS_FOR_A_ROW))
        await retry.commit()

    assert await stripping == 0

    row = await row_of(owner_pool, task_id)
    assert row["prune_time"] is None
    assert all((row["has_status"], row["has_stages"], row["has_outputs"]))


async def test_several_janitors_at_once_strip_and_delete_each_task_once(
    creator_pool: asyncpg.Pool, owner_pool: asyncpg.Pool, janitor_pool: asyncpg.Pool
) -> None:
    task_ids = await create_many(creator_pool, 600)
    await age(owner_pool, task_ids, days=31)

    rounds = await asyncio.gather(*(prune(janitor_pool, batch=40) for _ in range(4)))
    late = await prune(janitor_pool)

    assert sum(one.stripped for one in rounds) == len(task_ids)
    assert sum(one.deleted for one in rounds) + late.deleted == len(task_ids)
    assert await remaining(owner_pool) == set()


async def test_a_round_strips_no_more_than_a_batch_at_a_time(
    creator_pool: asyncpg.Pool, owner_pool: asyncpg.Pool, janitor_pool: asyncpg.Pool
) -> None:
    task_ids = await create_many(creator_pool, 25)
    await age(owner_pool, task_ids, days=8)

    [lane] = await read_lanes(janitor_pool, strip_after=WEEK)
    sizes = [
        len(found.task_ids)
        async for found in ripe_in(janitor_pool, lane, strip_after=WEEK, batch=10)
    ]

    assert sizes == [10, 10, 5]


async def test_a_walk_ends_where_the_tasks_are_younger_than_the_retention(
    creator_pool: asyncpg.Pool, owner_pool: asyncpg.Pool, janitor_pool: asyncpg.Pool
) -> None:
    """However many came later: a thousand tasks of today cost one batch."""
    old = await create_many(creator_pool, 15)
    await create_many(creator_pool, 1000)
    await age(owner_pool, old, days=8)
    [lane] = await read_lanes(janitor_pool, strip_after=WEEK)
    sent: list[str] = []
    async with janitor_pool.acquire() as connection:
        connection.add_query_logger(lambda record: sent.append(record.query))
        walk: Any = ripe_in(connection, lane, strip_after=WEEK, batch=10)  # type: ignore[arg-type]
        found = [task_id async for one in walk for task_id in one.task_ids]

    assert set(found) == set(old)
    assert sent.count(WALK) == 2


async def test_only_what_is_stripped_is_deleted(
    creator_pool: asyncpg.Pool, owner_pool: asyncpg.Pool, janitor_pool: asyncpg.Pool
) -> None:
    whole = await create_task(creator_pool)
    await age(owner_pool, [whole], days=400)

    assert await delete_tasks(janitor_pool, [whole], delete_after=MONTH) == 0
    assert await remaining(owner_pool) == {whole}


async def test_p1_ids_are_kept_until_their_time_is_over(
    creator_pool: asyncpg.Pool, owner_pool: asyncpg.Pool, janitor_pool: asyncpg.Pool
) -> None:
    old, young = await create_many(creator_pool, 2)
    await age(owner_pool, [old, young], days=8)
    await prune(janitor_pool)
    await age_tombstones(owner_pool, [old], days=30.1)
    await age_tombstones(owner_pool, [young], days=29.9)

    pruned = await prune(janitor_pool)

    assert pruned.deleted == 1
    assert await remaining(owner_pool) == {young}


async def test_a_dry_run_counts_the_same_and_changes_nothing(
    creator_pool: asyncpg.Pool, owner_pool: asyncpg.Pool, janitor_pool: asyncpg.Pool
) -> None:
    gone, ripe_ones = (
        await create_task(creator_pool),
        await create_many(creator_pool, 3),
    )
    await age(owner_pool, [gone], days=8)
    await prune(janitor_pool)
    await age_tombstones(owner_pool, [gone], days=31)
    await age(owner_pool, ripe_ones, days=8)
    await owner_pool.execute(WINDOW, timedelta(hours=25))
    before = await owner_pool.fetchval(FLOOR)

    dry = await prune(janitor_pool, dry_run=True)

    assert await owner_pool.fetchval(FLOOR) == before
    assert await stripped(owner_pool) == {gone}
    assert dry == await prune(janitor_pool)
    assert (dry.stripped, dry.deleted, dry.windows) == (3, 1, 1)


WINDOW = """
INSERT INTO tandem.content_windows (content_key, task_id, create_time, window_length)
VALUES (sha256($1::interval::text::bytea), gen_random_uuid(), now() - $1, interval '1 s')
"""


async def test_content_windows_are_deleted_once_the_longest_window_is_over(
    owner_pool: asyncpg.Pool, janitor_pool: asyncpg.Pool
) -> None:
    for hours in (1, 23.9, 24.1, 48):
        await owner_pool.execute(WINDOW, timedelta(hours=hours))

    pruned = await prune(janitor_pool, batch=1)

    assert pruned.windows == 2
    left = "SELECT count(*) FROM tandem.content_windows AS w WHERE w.create_time > now() - interval '1 day'"
    assert await owner_pool.fetchval(left) == 2


TAKE = """
INSERT INTO tandem.takes
    (group_name, lane_id, from_position, to_position, types, member_id, take_time)
SELECT $2, s.lane_id, s.position - 1, s.position, ARRAY[$3], 'a creator', now() - $4::interval
FROM tandem.task_status AS s
WHERE s.task_id = $1
RETURNING take_id
"""


async def test_p8_only_takes_of_which_nothing_is_open_are_struck(
    creator_pool: asyncpg.Pool, owner_pool: asyncpg.Pool, janitor_pool: asyncpg.Pool
) -> None:
    done, open_ = await create_many(creator_pool, 2)
    await age(owner_pool, [done], days=8)
    long, short = timedelta(hours=2), timedelta(minutes=1)

    async def take(task_id: UUID, group: str, type_: str, ago: timedelta) -> int:
        take_id: int = await owner_pool.fetchval(TAKE, task_id, group, type_, ago)
        return take_id

    struck = {
        await take(done, "processors", "echo", long),
        await take(open_, "processors", "of another type", long),
    }
    kept = {
        await take(open_, "processors", "echo", long),
        await take(done, "processors", "echo", short),
        await take(done, "audit", "echo", long),
    }

    pruned = await prune(janitor_pool, batch=1)

    left = await owner_pool.fetch("SELECT k.take_id FROM tandem.takes AS k")
    assert pruned.takes == len(struck)
    assert {row["take_id"] for row in left} == kept


async def test_the_retention_is_said_before_anything_is_pruned_by_it(
    creator_pool: asyncpg.Pool, janitor_pool: asyncpg.Pool
) -> None:
    hour, day = timedelta(hours=1), timedelta(days=1)

    async def said() -> list[timedelta]:
        [row] = await creator_pool.fetch("SELECT * FROM tandem.retention")
        return [row["strip_after"], row["delete_after"]]

    assert await said() == [WEEK, MONTH]
    await keep_retention(janitor_pool, Retention(hour, day))
    assert await said() == [hour, day]
    await prune(janitor_pool)
    assert await said() == [KEPT.strip_after, KEPT.delete_after]


REFUSED = [
    "INSERT INTO tandem.tasks (task_id) VALUES (gen_random_uuid())",
    "INSERT INTO tandem.task_status (task_id, lane_id, position) VALUES (gen_random_uuid(), 1, 1)",
    "UPDATE tandem.task_status SET state = 'PENDING'",
    "UPDATE tandem.tasks SET request_id = gen_random_uuid()",
    "UPDATE tandem.group_places SET position = 0",
    "UPDATE tandem.takes SET member_id = NULL",
    "DELETE FROM tandem.retention",
    "DELETE FROM tandem.stream_floor",
    "DELETE FROM tandem.lanes",
    "SELECT nextval('tandem.positions')",
    "TRUNCATE tandem.tasks",
    "SET ROLE tandem_owner",
]


async def test_p4_the_janitor_is_refused(janitor_pool: asyncpg.Pool) -> None:
    for statement in REFUSED:
        with pytest.raises(asyncpg.InsufficientPrivilegeError):
            await janitor_pool.execute(statement)


def test_ids_that_would_go_before_the_rest_are_refused() -> None:
    with pytest.raises(ValueError, match="delete-after"):
        Retention(MONTH, WEEK)


async def test_a_task_that_is_gone_is_stripped_by_nobody(
    janitor_pool: asyncpg.Pool,
) -> None:
    assert await strip(janitor_pool, Ripe([uuid4()], 1), strip_after=WEEK) == 0
