"""P5 beside pruning: whoever has yet to be sent an id is sent it, or told that it is gone."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import Any
from uuid import UUID

import asyncpg
import pytest

from tandem.errors import ResumeTokenExpired
from tandem.pruning.janitor import Janitor
from tandem.pruning.retention import Retention
from tandem.pruning.takes import forget_group
from tandem.v1 import creator_pb2 as pb
from tandem_creator.connections import Kept
from tandem_creator.epoch import Epoch
from tandem_creator.horizon import Horizon
from tandem_creator.store.creates import create_tasks
from tandem_creator.store.lanes import Lanes
from tandem_creator.store.places import Lane, Reader, read_news, take
from tandem_creator.store.positions import read_floor, read_settled
from tandem_creator.store.stream import read_stream
from tandem_creator.store.takes import strike
from tandem_creator.stream import PAGE, Stream
from tests.factories import create_many, create_task
from tests.support.batching import a_draft
from tests.support.past import age, prune

pytestmark = pytest.mark.usefixtures("anybody")

AUDIT = Reader("audit", "a creator")
WORKERS = Reader("processors", "a creator")

POSITION = "SELECT s.position FROM tandem.task_status AS s WHERE s.task_id = $1"

LANE = """
SELECT l.lane_id, l.queue, l.priority
FROM tandem.lanes AS l
WHERE l.queue = 'default'
  AND l.priority = 3
"""


async def position(pool: asyncpg.Pool, task_id: UUID) -> int:
    found: int = await pool.fetchval(POSITION, task_id)
    return found


async def taken(pool: asyncpg.Pool, reader: Reader, *, most: int = 1000) -> Any:
    """The next ids of a group in the usual lane."""
    settled = await read_settled(pool)
    await read_news(pool, reader, ["default"], settled=settled)
    [row] = await pool.fetch(LANE)
    lane = Lane(*row.values())
    return await take(pool, reader, lane, settled=settled, most=most, types=None)


async def test_p5_the_floor_is_at_the_highest_position_that_was_stripped(
    creator_pool: asyncpg.Pool, owner_pool: asyncpg.Pool, janitor_pool: asyncpg.Pool
) -> None:
    first, pending, last = await create_many(creator_pool, 3)
    await age(owner_pool, [first, last], days=8)
    highest = await position(creator_pool, last)

    await prune(janitor_pool)

    assert await read_floor(creator_pool) == highest
    page = await read_stream(creator_pool, 0, settled=highest, queues=None, limit=10)
    assert (page.ids, page.floor) == ([pending], highest)


async def test_p5_the_floor_never_sinks(
    creator_pool: asyncpg.Pool, owner_pool: asyncpg.Pool, janitor_pool: asyncpg.Pool
) -> None:
    early, late = await create_many(creator_pool, 2)
    await age(owner_pool, [late], days=8)
    await prune(janitor_pool)
    before = await read_floor(creator_pool)
    await age(owner_pool, [early], days=8)

    assert (await prune(janitor_pool)).stripped == 1
    assert await read_floor(creator_pool) == before


async def test_p5_what_is_not_settled_yet_is_not_passed_by_the_floor(
    creator_pool: asyncpg.Pool, owner_pool: asyncpg.Pool, janitor_pool: asyncpg.Pool
) -> None:
    now = Retention(timedelta(0), timedelta(days=30))
    draft, lanes = a_draft(), Lanes()
    await lanes.ids(creator_pool, [(draft.queue, draft.priority)])
    async with creator_pool.acquire() as connection, connection.transaction():
        await create_tasks(connection, [draft], lanes=lanes)
        done = await create_task(creator_pool)
        await age(owner_pool, [done], days=8)
        held = await Janitor(janitor_pool, now).run_once()

    assert held.stripped == 0
    assert (await Janitor(janitor_pool, now).run_once()).stripped == 1


async def nothing() -> None:
    """Nobody waits for the place to be found."""


async def test_p5_a_reader_that_pruning_overtakes_is_told_so(
    creator_pool: asyncpg.Pool, owner_pool: asyncpg.Pool, janitor_pool: asyncpg.Pool
) -> None:
    """It took its first page, and went for coffee."""
    task_ids = await create_many(creator_pool, 3 * PAGE)
    kept = Kept(creator_pool)
    epoch, horizon = Epoch(), Horizon(kept)
    async with creator_pool.acquire() as connection:
        await epoch.enter(connection)
    await horizon.refresh()
    stream = Stream(kept, horizon=horizon, epoch=epoch)
    request = pb.StreamCreatedTasksRequest(until_caught_up=True)
    sent: list[str] = []
    messages = stream.follow(request, ready=nothing)

    async def read_on() -> None:
        async for message in messages:
            sent.extend(message.task_ids)

    try:
        async with asyncio.timeout(30):
            sent += (await anext(messages)).task_ids
            await age(owner_pool, task_ids, days=8)
            assert (await prune(janitor_pool)).stripped == len(task_ids)
            with pytest.raises(ResumeTokenExpired):
                await read_on()
    finally:
        # Or its pool would wait for the connection.
        await kept.close()

    assert sent == [str(task_id) for task_id in task_ids[: len(sent)]]
    assert PAGE <= len(sent) < len(task_ids)


async def test_p5_what_a_group_has_not_taken_or_confirmed_is_kept_for_it(
    creator_pool: asyncpg.Pool, owner_pool: asyncpg.Pool, janitor_pool: asyncpg.Pool
) -> None:
    task_ids = await create_many(creator_pool, 4)
    first = await taken(creator_pool, AUDIT, most=1)
    await age(owner_pool, task_ids, days=8)

    unconfirmed = await prune(janitor_pool)
    await strike(creator_pool, AUDIT, [first.take_id])
    confirmed = await prune(janitor_pool)
    rest = await taken(creator_pool, AUDIT)
    await strike(creator_pool, AUDIT, [rest.take_id])
    caught_up = await prune(janitor_pool)

    assert [task_id for task_id, _ in [*first.ids, *rest.ids]] == task_ids
    assert [p.stripped for p in (unconfirmed, confirmed, caught_up)] == [0, 1, 3]
    assert [p.held_by for p in (unconfirmed, confirmed, caught_up)] == [
        ("audit",),
        ("audit",),
        (),
    ]


async def test_p5_a_group_reads_every_lane_of_its_queues(
    creator_pool: asyncpg.Pool, owner_pool: asyncpg.Pool, janitor_pool: asyncpg.Pool
) -> None:
    """Nothing of a priority was ever there while it read, and now there is."""
    await create_task(creator_pool)
    ours = await taken(creator_pool, AUDIT)
    await strike(creator_pool, AUDIT, [ours.take_id])
    urgent = await create_task(creator_pool, priority=1)
    elsewhere = await create_task(creator_pool, queue="another")
    await age(owner_pool, [urgent, elsewhere], days=8)

    pruned = await prune(janitor_pool)

    assert (pruned.stripped, pruned.held_by) == (1, ("audit",))
    assert await position(creator_pool, urgent)


async def test_the_workers_are_not_waited_for(
    creator_pool: asyncpg.Pool, owner_pool: asyncpg.Pool, janitor_pool: asyncpg.Pool
) -> None:
    """They are announced pending tasks alone: what was cancelled is none of theirs."""
    task_ids = await create_many(creator_pool, 2)
    await taken(creator_pool, WORKERS, most=1)
    await age(owner_pool, task_ids, days=8, state="CANCELLED")

    assert (await prune(janitor_pool)).stripped == len(task_ids)


async def test_a_group_that_is_given_up_holds_nothing_and_the_workers_are_kept(
    creator_pool: asyncpg.Pool, owner_pool: asyncpg.Pool, janitor_pool: asyncpg.Pool
) -> None:
    task_ids = await create_many(creator_pool, 3)
    await taken(creator_pool, AUDIT, most=1)
    await taken(creator_pool, WORKERS)
    await age(owner_pool, task_ids, days=8)
    assert (await prune(janitor_pool)).held_by == ("audit",)

    assert await forget_group(janitor_pool, "audit") == 1
    assert await forget_group(janitor_pool, "processors") == 0

    assert (await prune(janitor_pool)).stripped == len(task_ids)
