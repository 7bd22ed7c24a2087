"""A group's place and takes: every id to somebody, whoever takes it."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from uuid import UUID

import asyncpg
import pytest

from tandem_creator.store import takes
from tandem_creator.store.places import Reader, read_news
from tandem_creator.store.positions import read_settled
from tests import factories
from tests.support.batching import LIMIT
from tests.support.taking import OTHER, WATCHERS, WORKERS, ids, lane_of, take_some


async def test_takes_go_through_the_lane_in_order(creator_pool: asyncpg.Pool) -> None:
    made = await factories.create_many(creator_pool, 10)
    lane = await lane_of(creator_pool)

    first = await take_some(creator_pool, WORKERS, lane, most=4)
    second = await take_some(creator_pool, OTHER, lane)

    assert ids(first) + ids(second) == made
    assert first
    assert second
    assert (first.is_exhausted, second.is_exhausted) == (False, True)


async def test_creators_that_take_at_once_take_each_id_once(
    creator_pool: asyncpg.Pool,
) -> None:
    made = await factories.create_many(creator_pool, 600)
    lane = await lane_of(creator_pool)
    gate = asyncio.Barrier(6)

    async def work(name: str) -> list[UUID]:
        reader, mine = Reader("processors", name), list[UUID]()
        await gate.wait()
        while True:
            taken = await take_some(creator_pool, reader, lane, most=7)
            mine += ids(taken)
            if taken and taken.is_exhausted:
                return mine

    async with asyncio.timeout(LIMIT):
        shares = await asyncio.gather(*(work(f"creator-{n}") for n in range(6)))

    assert sorted(each for share in shares for each in share) == sorted(made)
    assert sum(1 for share in shares if share) > 1


async def test_a_take_that_has_no_more_writes_nothing(
    creator_pool: asyncpg.Pool,
) -> None:
    await factories.create_many(creator_pool, 3)
    lane = await lane_of(creator_pool)
    await take_some(creator_pool, WORKERS, lane)
    before = await creator_pool.fetchval("SELECT p.xmin FROM tandem.group_places AS p")

    again = await take_some(creator_pool, WORKERS, lane)

    assert ids(again) == []
    assert before == await creator_pool.fetchval(
        "SELECT p.xmin FROM tandem.group_places AS p"
    )


async def test_what_is_not_settled_is_not_taken(creator_pool: asyncpg.Pool) -> None:
    made = await factories.create_many(creator_pool, 1)
    lane = await lane_of(creator_pool)
    async with creator_pool.acquire() as late, late.transaction():
        await late.execute(
            "SELECT pg_advisory_xact_lock_shared(tandem.marker_key_v1(p.last_value))"
            " FROM tandem.positions AS p"
        )
        await factories.create_many(creator_pool, 1)
        taken = await take_some(creator_pool, WORKERS, lane)

    assert ids(taken) == made


async def test_passing_over_other_types_finds_those_wanted(
    creator_pool: asyncpg.Pool,
) -> None:
    await factories.create_many(creator_pool, 30, type="sms")
    wanted = await factories.create_task(creator_pool, type="email")
    lane = await lane_of(creator_pool)

    taken = await take_some(creator_pool, WORKERS, lane, most=1, types=["email"])

    assert ids(taken) == [wanted]


async def test_a_group_that_only_reads_is_sent_everything(
    creator_pool: asyncpg.Pool, owner_pool: asyncpg.Pool
) -> None:
    done = await factories.create_task(creator_pool)
    delayed = await factories.create_task(creator_pool, start_delay=timedelta(hours=1))
    await owner_pool.execute(
        "UPDATE tandem.task_status SET state = 'CANCELLED', finish_time = now()"
        " WHERE task_id = $1",
        done,
    )
    lane = await lane_of(creator_pool, WATCHERS)

    taken = await take_some(creator_pool, WATCHERS, lane)

    assert ids(taken) == [done, delayed]


async def test_tasks_with_a_due_time_are_not_announced_to_the_workers(
    creator_pool: asyncpg.Pool,
) -> None:
    await factories.create_task(creator_pool, start_delay=timedelta(hours=1))
    ready = await factories.create_task(creator_pool)

    taken = await take_some(creator_pool, WORKERS, await lane_of(creator_pool))

    assert ids(taken) == [ready]


@pytest.mark.parametrize(("reader", "count"), [(WORKERS, 0), (WATCHERS, 1)])
async def test_a_paused_queue_is_paused_for_the_workers(
    creator_pool: asyncpg.Pool,
    processor_pool: asyncpg.Pool,
    reader: Reader,
    count: int,
) -> None:
    await factories.create_task(creator_pool)
    lane = await lane_of(creator_pool, reader)
    await processor_pool.execute(
        "INSERT INTO tandem.queues (queue, paused) VALUES ('default', true)"
    )
    settled = await read_settled(creator_pool)

    news = await read_news(creator_pool, reader, ["default"], settled=settled)
    taken = await take_some(creator_pool, reader, lane)

    assert (len(news.lanes), len(ids(taken))) == (count, count)


@pytest.mark.parametrize(
    ("then", "silent_for", "lost"),
    [
        ("held", 3600.0, False),
        ("held", 0.0, True),
        ("released", 3600.0, True),
        ("released", None, False),
        ("struck", 0.0, False),
    ],
)
async def test_a_look_for_news_tells_whether_takes_are_lost(
    creator_pool: asyncpg.Pool, then: str, silent_for: float | None, *, lost: bool
) -> None:
    await factories.create_task(creator_pool)
    taken = await take_some(creator_pool, WORKERS, await lane_of(creator_pool, WORKERS))
    assert taken is not None
    assert taken.take_id is not None
    if then == "released":
        await takes.release(creator_pool, WORKERS, [taken.take_id])
    if then == "struck":
        await takes.strike(creator_pool, WORKERS, [taken.take_id])

    news = await read_news(
        creator_pool, WORKERS, ["default"], settled=0, silent_for=silent_for
    )

    assert (news.lanes, news.any_lost) == ([], lost)


async def test_a_confirmed_take_is_struck_off_by_its_holder_only(
    creator_pool: asyncpg.Pool,
) -> None:
    await factories.create_task(creator_pool)
    taken = await take_some(creator_pool, WORKERS, await lane_of(creator_pool))
    assert taken
    count = "SELECT count(*) FROM tandem.takes"

    await takes.strike(creator_pool, OTHER, [taken.take_id or 0])
    assert await creator_pool.fetchval(count) == 1

    await takes.strike(creator_pool, WORKERS, [taken.take_id or 0])
    assert await creator_pool.fetchval(count) == 0


async def test_a_take_is_committed_without_waiting_for_the_disk(
    creator_pool: asyncpg.Pool,
) -> None:
    """The setting lasts for the statement, and is there again afterwards."""
    await factories.create_task(creator_pool)
    lane = await lane_of(creator_pool)
    async with creator_pool.acquire() as connection, connection.transaction():
        await take_some(connection, WORKERS, lane)  # type: ignore[arg-type]  # one session, to look into it
        during = await connection.fetchval("SHOW synchronous_commit")
    after = await creator_pool.fetchval("SHOW synchronous_commit")

    assert (during, after) == ("off", "on")
