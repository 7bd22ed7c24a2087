"""P5: a reader is sent every created id, in an order that never changes."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from random import Random
from uuid import UUID

import asyncpg

from tandem_creator.connections import Kept
from tandem_creator.horizon import Horizon
from tandem_creator.store.creates import create_tasks
from tandem_creator.store.lanes import Lanes
from tandem_creator.store.positions import read_floor, read_last, read_settled
from tandem_creator.store.stream import read_stream
from tests.support.batching import LIMIT, a_draft, race, several, task_id_of
from tests.support.cluster import Database


async def read_all(pool: asyncpg.Pool, *, after: int = 0) -> list[UUID]:
    settled = await read_settled(pool)
    page = await read_stream(pool, after, settled=settled, queues=None, limit=10_000)
    return list(page.ids)


@asynccontextmanager
async def open_create(pool: asyncpg.Pool) -> AsyncIterator[UUID]:
    """A create that commits, late, when the block ends."""
    draft, lanes = a_draft(), Lanes()
    # A new lane is committed by itself, before anything is created in it.
    await lanes.ids(pool, [(draft.queue, draft.priority)])
    async with pool.acquire() as connection, connection.transaction():
        created = await create_tasks(connection, [draft], lanes=lanes)
        yield next(iter(created))


async def create_one(pool: asyncpg.Pool) -> UUID:
    return next(iter(await create_tasks(pool, [a_draft()], lanes=Lanes())))


async def test_p5_a_late_commit_is_never_skipped(creator_pool: asyncpg.Pool) -> None:
    async with open_create(creator_pool) as late:
        early = await create_one(creator_pool)
        assert await read_all(creator_pool) == []

    assert await read_all(creator_pool) == [late, early]


async def test_p5_a_readers_place_stays_before_a_create_that_is_open(
    creator_pool: asyncpg.Pool,
) -> None:
    async with open_create(creator_pool) as late:
        settled = await read_settled(creator_pool)
        page = await read_stream(
            creator_pool, 0, settled=settled, queues=None, limit=10
        )
        early = await create_one(creator_pool)

    assert page.ids == []
    assert await read_all(creator_pool, after=page.end) == [late, early]


async def test_p5_what_was_settled_before_a_late_commit_is_sent_meanwhile(
    creator_pool: asyncpg.Pool,
) -> None:
    before = await create_one(creator_pool)
    async with open_create(creator_pool):
        assert await read_all(creator_pool) == [before]


async def test_p5_a_create_that_is_rolled_back_leaves_no_gap_behind(
    creator_pool: asyncpg.Pool,
) -> None:
    async with creator_pool.acquire() as connection:
        undone = connection.transaction()
        await undone.start()
        await create_tasks(connection, [a_draft()], lanes=Lanes())
        await undone.rollback()
    after = await create_one(creator_pool)

    assert await read_all(creator_pool) == [after]


async def test_p5_an_unrelated_open_transaction_does_not_stall_the_stream(
    creator_pool: asyncpg.Pool, owner_pool: asyncpg.Pool
) -> None:
    async with owner_pool.acquire() as stranger, stranger.transaction():
        await stranger.execute(
            "INSERT INTO tandem.queues (queue) VALUES ('a-transaction-id')"
        )
        created = await create_one(creator_pool)

        assert await read_all(creator_pool) == [created]


async def test_p5_a_strangers_advisory_lock_does_not_stall_the_stream(
    creator_pool: asyncpg.Pool, owner_pool: asyncpg.Pool
) -> None:
    async with owner_pool.acquire() as stranger, stranger.transaction():
        await stranger.execute("SELECT pg_advisory_xact_lock(1)")
        await stranger.execute("SELECT pg_advisory_xact_lock(84, 1)")
        created = await create_one(creator_pool)

        assert await read_all(creator_pool) == [created]


async def test_p5_a_reader_among_many_writers_misses_nothing(
    database: Database, creator_pool: asyncpg.Pool
) -> None:
    """Read while ten creators commit in whatever order they like."""
    seen: list[UUID] = []
    place = await read_floor(creator_pool)
    done = asyncio.Event()

    async def follow() -> None:
        nonlocal place
        settled = place
        while True:
            was_done = done.is_set()
            # What was settled stays so: a creator's marker may be older than this.
            settled = max(settled, await read_settled(creator_pool))
            page = await read_stream(
                creator_pool, place, settled=settled, queues=None, limit=50
            )
            place = page.end
            seen.extend(page.ids)
            if was_done and not page.ids:
                return

    async with asyncio.timeout(3 * LIMIT), asyncio.TaskGroup() as following:
        following.create_task(follow())
        async with several(10, database.creator_url) as creators:
            answers = await race(creators, [a_draft() for _ in range(1500)])
        done.set()

    assert len(seen) == len(set(seen))
    assert set(seen) == {task_id_of(answer) for answer in answers}


async def test_p5_pages_of_any_size_give_one_order(
    database: Database, creator_pool: asyncpg.Pool
) -> None:
    drafts = [a_draft(queue=f"q{n % 5}", priority=n % 4 + 1) for n in range(200)]
    async with several(3, database.creator_url) as creators:
        await race(creators, drafts)
    whole = await read_all(creator_pool)
    settled = await read_settled(creator_pool)
    pieces: list[UUID] = []
    place, chance = 0, Random(4)
    while place < settled:
        page = await read_stream(
            creator_pool,
            place,
            settled=settled,
            queues=None,
            limit=chance.randint(1, 30),
        )
        pieces += page.ids
        place = page.end

    assert len(whole) == len(drafts)
    assert pieces == whole


async def test_the_horizon_tells_its_followers_when_it_moves(
    creator_pool: asyncpg.Pool,
) -> None:
    kept = Kept(creator_pool)
    horizon = Horizon(kept, poll=60.0)
    place = await horizon.refresh()
    running = asyncio.create_task(horizon.run(_ignore))
    try:
        waiting = asyncio.create_task(horizon.past(place, within=LIMIT))
        await create_one(creator_pool)
        horizon.ring()
        async with asyncio.timeout(LIMIT):
            assert await waiting == await read_last(creator_pool)
    finally:
        running.cancel()
        await asyncio.wait([running])
        await kept.close()


async def _ignore(*, serving: bool) -> None:
    """Health is of no concern here."""
