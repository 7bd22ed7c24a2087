"""Urgent ids first, over a backlog of any size; and no lane starves."""

from __future__ import annotations

import asyncpg

from tandem.v1 import task_pb2
from tests.support.cluster import Database
from tests.support.creator import served
from tests.support.group_members import Member, Request, create, joined
from tests.support.until import until

BACKLOG = 20_000

# Loaded as the owner, in one go: the creators are not what is tried here.
LOAD = """
WITH lanes AS (
    INSERT INTO tandem.lanes (queue, priority)
    SELECT 'default', n
    FROM generate_series(1, 4) AS s (n)
    RETURNING lane_id, priority
),
lane AS (
    SELECT l.lane_id FROM lanes AS l WHERE l.priority = $1
),
made AS (
    INSERT INTO tandem.tasks
        (task_id, request_id, project, type, queue, priority, defaulted, payload)
    SELECT gen_random_uuid(), gen_random_uuid(), 'shop', 'email', 'default', $1, 0, '{}'
    FROM generate_series(1, $2)
    RETURNING task_id
)
INSERT INTO tandem.task_status (task_id, lane_id, position)
SELECT m.task_id, lane.lane_id, nextval('tandem.positions')
FROM made AS m
CROSS JOIN lane
"""


async def load(pool: asyncpg.Pool, count: int = BACKLOG) -> None:
    """A backlog in the lowest lane."""
    await pool.execute(LOAD, task_pb2.PRIORITY_LOW, count)
    await pool.execute("ANALYZE tandem.tasks, tandem.task_status")


async def test_an_urgent_id_comes_first_whatever_waits_below_it(
    database: Database, owner_pool: asyncpg.Pool
) -> None:
    async with served(database.creator_url) as creator:
        await load(owner_pool)
        urgent = await create(creator, 1, priority=task_pb2.PRIORITY_URGENT)
        async with joined(creator, credit=1) as member:
            assert await member.hear(1) == urgent


async def test_an_urgent_id_passes_a_backlog_that_is_being_worked(
    database: Database, owner_pool: asyncpg.Pool
) -> None:
    """What passes it is what was sent before it was seen, and a turn in four."""
    async with served(database.creator_url) as creator:
        await load(owner_pool)
        async with joined(creator, credit=1) as member:
            await work(member, range(8))
            urgent = await create(creator, 1, priority=task_pb2.PRIORITY_URGENT)
            await work(member, range(8, 108))

    assert set(urgent) < set(member.seen)


LONG_BACKLOG = 150_000
"""Passed over in a few tenths of a second, in which a create has to come."""

FIRST_PASSED = "SELECT min(k.take_id) FROM tandem.takes AS k"

LAST_PASSED = """
SELECT max(k.take_id)
FROM tandem.takes AS k
JOIN tandem.lanes AS l ON l.lane_id = k.lane_id
WHERE l.priority = $1
"""


async def test_an_urgent_id_does_not_wait_until_a_backlog_of_others_is_passed(
    database: Database, owner_pool: asyncpg.Pool
) -> None:
    """The backlog is of a type that no member runs: all of it is passed over."""
    async with served(database.creator_url) as creator:
        await load(owner_pool, LONG_BACKLOG)
        async with joined(creator, credit=1, types=["sms"]) as member:
            await until(lambda: owner_pool.fetchval(FIRST_PASSED))
            urgent = await create(
                creator, 1, type="sms", priority=task_pb2.PRIORITY_URGENT
            )
            assert await member.hear(1) == urgent
            await member.say(grant=Request.Grant(credits=1))
            taken = await owner_pool.fetchval(LAST_PASSED, task_pb2.PRIORITY_URGENT)

            async def passed() -> bool:
                last = await owner_pool.fetchval(LAST_PASSED, task_pb2.PRIORITY_LOW)
                return bool(last > taken)

            await until(passed)


async def test_a_lane_that_is_always_busy_starves_no_other(
    database: Database, owner_pool: asyncpg.Pool
) -> None:
    """Once the pace of takes is made up for, a turn in four is the lower lane's."""
    async with served(database.creator_url) as creator:
        await load(owner_pool, 300)
        urgent = set(await create(creator, 250, priority=task_pb2.PRIORITY_URGENT))
        async with joined(creator, credit=1) as member:
            await work(member, range(240))
            low = [task_id for task_id in member.seen[200:240] if task_id not in urgent]

    assert 1 <= len(low) <= 20


async def work(member: Member, places: range) -> None:
    """Be done with the ids that come at these places, one after the other."""
    for place in places:
        await member.hear(place + 1)
        await member.confirm(member.seen[place : place + 1])
        await member.say(grant=Request.Grant(credits=1))
