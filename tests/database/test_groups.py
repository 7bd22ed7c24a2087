"""A group's place and takes: every id to somebody, whoever takes it."""

from __future__ import annotations

import asyncio
from collections.abc import Collection
from datetime import timedelta
from uuid import UUID, uuid4

import asyncpg
import pytest

from tandem_creator.store import takes
from tandem_creator.store.places import Lane, Reader, Taken, read_news, take
from tandem_creator.store.positions import read_settled
from tests import factories
from tests.support.batching import LIMIT

WORKERS = Reader("processors", "creator-1")
OTHER = Reader("processors", "creator-2")
WATCHERS = Reader("watchers", "creator-1")

RESEND = 10.0


async def lane_of(
    pool: asyncpg.Pool, reader: Reader = WORKERS, queue: str = "default"
) -> Lane:
    settled = await read_settled(pool)
    return (await read_news(pool, reader, [queue], settled=settled)).lanes[0]


async def take_some(
    pool: asyncpg.Pool,
    reader: Reader,
    lane: Lane,
    *,
    most: int = 1000,
    types: Collection[str] | None = None,
    projects: Collection[str] | None = None,
) -> Taken | None:
    settled = await read_settled(pool)
    return await take(
        pool,
        reader,
        lane,
        settled=settled,
        most=most,
        types=types,
        projects=projects,
    )


async def retake_some(
    pool: asyncpg.Pool,
    reader: Reader,
    *,
    types: Collection[str] | None = None,
    projects: Collection[str] | None = None,
    silent_for: float = RESEND,
) -> takes.Retaken | None:
    return await takes.retake(
        pool,
        reader,
        ["default"],
        types=types,
        silent_for=silent_for,
        but_not=(),
        projects=projects,
    )


def ids(taken: Taken | takes.Retaken | None) -> list[UUID]:
    return [task_id for task_id, _ in taken.ids] if taken else []


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


async def test_types_that_no_member_here_runs_are_left_to_other_creators(
    creator_pool: asyncpg.Pool,
) -> None:
    mine = await factories.create_task(creator_pool, type="email")
    theirs = await factories.create_task(creator_pool, type="sms")
    lane = await lane_of(creator_pool)

    taken = await take_some(creator_pool, WORKERS, lane, types=["email"])
    nothing = await retake_some(creator_pool, OTHER, types=["fax"])
    rest = await retake_some(creator_pool, OTHER, types=["sms", "fax"])

    assert (ids(taken), nothing, ids(rest)) == ([mine], None, [theirs])


async def test_a_take_of_several_types_is_shared_by_type(
    creator_pool: asyncpg.Pool,
) -> None:
    made = {
        name: await factories.create_task(creator_pool, type=name)
        for name in ("email", "sms", "fax")
    }
    lane = await lane_of(creator_pool)
    taken = await take_some(creator_pool, WORKERS, lane)
    assert taken
    assert taken.take_id
    await takes.release(creator_pool, WORKERS, [taken.take_id])

    sms = await retake_some(creator_pool, OTHER, types=["sms"])
    rest = await retake_some(creator_pool, OTHER)

    assert ids(sms) == [made["sms"]]
    assert ids(rest) == [made["email"], made["fax"]]


async def a_square(pool: asyncpg.Pool) -> dict[tuple[str, str], UUID]:
    """A task for each pair of two types and two projects."""
    return {
        (type_, project): await factories.create_task(pool, type=type_, project=project)
        for type_ in ("email", "sms")
        for project in ("shop", "bank")
    }


async def test_projects_that_no_member_here_may_read_are_left_to_other_creators(
    creator_pool: asyncpg.Pool,
) -> None:
    made = await a_square(creator_pool)
    lane = await lane_of(creator_pool)

    taken = await take_some(
        creator_pool, WORKERS, lane, types=["email"], projects=["shop"]
    )
    nothing = await retake_some(creator_pool, OTHER, projects=["zoo"])
    shop = await retake_some(creator_pool, OTHER, projects=["shop"])
    bank = await retake_some(creator_pool, OTHER, types=["sms"])
    rest = await retake_some(creator_pool, OTHER)

    assert ids(taken) == [made["email", "shop"]]
    assert nothing is None
    assert ids(shop) == [made["sms", "shop"]]
    assert ids(bank) == [made["sms", "bank"]]
    assert ids(rest) == [made["email", "bank"]]
    assert await retake_some(creator_pool, OTHER) is None


async def test_a_take_is_shared_by_type_and_project_without_telling_an_id_twice(
    creator_pool: asyncpg.Pool,
) -> None:
    made = await a_square(creator_pool)
    taken = await take_some(
        creator_pool, WATCHERS, await lane_of(creator_pool, WATCHERS)
    )
    assert taken
    await takes.release(creator_pool, WATCHERS, [taken.take_id or 0])

    mine = await retake_some(creator_pool, WATCHERS, types=["sms"], projects=["bank"])
    projects = await takes.read_lost_projects(creator_pool, WATCHERS, silent_for=RESEND)
    rest: list[UUID] = []
    while found := await retake_some(creator_pool, WATCHERS):
        rest += ids(found)

    assert ids(mine) == [made["sms", "bank"]]
    assert sorted(projects) == ["bank", "shop"]
    assert sorted(ids(mine) + rest) == sorted(made.values())


async def test_a_take_of_the_release_before_is_about_every_project_in_it(
    creator_pool: asyncpg.Pool, owner_pool: asyncpg.Pool
) -> None:
    made = await a_square(creator_pool)
    taken = await take_some(creator_pool, WORKERS, await lane_of(creator_pool))
    assert taken
    await owner_pool.execute(
        "UPDATE tandem.takes SET task_projects = NULL, member_id = NULL"
    )

    nothing = await retake_some(creator_pool, OTHER, projects=["zoo"])
    bank = await retake_some(creator_pool, OTHER, projects=["bank"])
    rest = await retake_some(creator_pool, OTHER)

    assert nothing is None
    assert ids(bank) == [made["email", "bank"], made["sms", "bank"]]
    assert ids(rest) == [made["email", "shop"], made["sms", "shop"]]


async def test_passing_over_other_types_finds_those_wanted(
    creator_pool: asyncpg.Pool,
) -> None:
    await factories.create_many(creator_pool, 30, type="sms")
    wanted = await factories.create_task(creator_pool, type="email")
    lane = await lane_of(creator_pool)

    taken = await take_some(creator_pool, WORKERS, lane, most=1, types=["email"])

    assert ids(taken) == [wanted]


async def test_a_released_take_is_taken_over_at_once(
    creator_pool: asyncpg.Pool,
) -> None:
    made = await factories.create_many(creator_pool, 3)
    taken = await take_some(creator_pool, WORKERS, await lane_of(creator_pool))
    assert taken
    assert taken.take_id

    held = await retake_some(creator_pool, OTHER)
    await takes.release(creator_pool, WORKERS, [taken.take_id])
    over = await retake_some(creator_pool, OTHER)

    assert (held, ids(over)) == (None, made)


async def test_a_take_whose_creator_is_silent_is_taken_over(
    creator_pool: asyncpg.Pool, owner_pool: asyncpg.Pool
) -> None:
    made = await factories.create_many(creator_pool, 3)
    taken = await take_some(creator_pool, WORKERS, await lane_of(creator_pool))
    assert taken
    await owner_pool.execute(
        "UPDATE tandem.takes SET take_time = take_time - $1::interval",
        timedelta(seconds=RESEND + 1),
    )

    over = await retake_some(creator_pool, OTHER)

    assert ids(over) == made
    assert await takes.refresh(creator_pool, WORKERS, [taken.take_id or 0]) == set()


async def test_only_what_may_still_run_is_announced_again_to_the_workers(
    creator_pool: asyncpg.Pool, owner_pool: asyncpg.Pool
) -> None:
    made = await factories.create_many(creator_pool, 3)
    taken = await take_some(creator_pool, WORKERS, await lane_of(creator_pool))
    assert taken
    await owner_pool.execute(
        """
        UPDATE tandem.task_status
        SET state = 'RUNNING', claim = 1, attempt = 1, processor_id = $2,
            start_time = now()
        WHERE task_id = $1
          AND state = 'PENDING'
        """,
        made[0],
        uuid4(),
    )
    await takes.release(creator_pool, WORKERS, [taken.take_id or 0])

    assert ids(await retake_some(creator_pool, OTHER)) == made[1:]


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
