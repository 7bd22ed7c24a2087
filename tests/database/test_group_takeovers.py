"""What was taken and not confirmed: to whom it goes, and what is left to others."""

from __future__ import annotations

from datetime import timedelta
from uuid import UUID, uuid4

import asyncpg

from tandem_creator.holdings import Holdings
from tandem_creator.ledger import Ledger
from tandem_creator.members import Join, Member
from tandem_creator.store import takes
from tests import factories
from tests.support.taking import (
    OTHER,
    RESEND,
    WATCHERS,
    WORKERS,
    ids,
    lane_of,
    retake_some,
    take_all,
    take_some,
)


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
    take_id = await take_all(creator_pool)
    await takes.release(creator_pool, WORKERS, [take_id])

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
    take_id = await take_all(creator_pool, WATCHERS)
    await takes.release(creator_pool, WATCHERS, [take_id])

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
    await take_all(creator_pool)
    await owner_pool.execute(
        "UPDATE tandem.takes SET task_projects = NULL, member_id = NULL"
    )

    nothing = await retake_some(creator_pool, OTHER, projects=["zoo"])
    bank = await retake_some(creator_pool, OTHER, projects=["bank"])
    rest = await retake_some(creator_pool, OTHER)

    assert nothing is None
    assert ids(bank) == [made["email", "bank"], made["sms", "bank"]]
    assert ids(rest) == [made["email", "shop"], made["sms", "shop"]]


async def test_a_released_take_is_taken_over_at_once(
    creator_pool: asyncpg.Pool,
) -> None:
    made = await factories.create_many(creator_pool, 3)
    take_id = await take_all(creator_pool)

    held = await retake_some(creator_pool, OTHER)
    await takes.release(creator_pool, WORKERS, [take_id])
    over = await retake_some(creator_pool, OTHER)

    assert (held, ids(over)) == (None, made)


async def test_a_take_whose_creator_is_silent_is_taken_over(
    creator_pool: asyncpg.Pool, owner_pool: asyncpg.Pool
) -> None:
    made = await factories.create_many(creator_pool, 3)
    take_id = await take_all(creator_pool)
    await owner_pool.execute(
        "UPDATE tandem.takes SET take_time = take_time - $1::interval",
        timedelta(seconds=RESEND + 1),
    )

    over = await retake_some(creator_pool, OTHER)

    assert ids(over) == made
    assert await takes.refresh(creator_pool, WORKERS, [take_id]) == set()


async def test_only_what_may_still_run_is_announced_again_to_the_workers(
    creator_pool: asyncpg.Pool, owner_pool: asyncpg.Pool
) -> None:
    made = await factories.create_many(creator_pool, 3)
    take_id = await take_all(creator_pool)
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
    await takes.release(creator_pool, WORKERS, [take_id])

    assert ids(await retake_some(creator_pool, OTHER)) == made[1:]


async def test_what_only_members_without_credit_run_is_left_where_it_is(
    creator_pool: asyncpg.Pool,
) -> None:
    """Taken over it would wait, be released and be read again for as long as it is there."""
    slow = await factories.create_task(creator_pool, type="slow")
    lane = await lane_of(creator_pool)
    await take_some(creator_pool, WORKERS, lane, types=["quick"])
    holdings = Holdings()
    ledger = Ledger(creator_pool, WORKERS, holdings=holdings, resend=RESEND)
    full, idle = _member("slow"), _member("quick")
    idle.grant(1)

    assert not await ledger.retake([full, idle], now=0.0)
    full.grant(1)
    assert await ledger.retake([full, idle], now=0.0)

    assert holdings.hand_out(lane, members=[full, idle], now=0.0) == 1
    assert full.take_back() == [slow]


def _member(type_: str) -> Member:
    queues, types = frozenset({"default"}), frozenset({type_})
    return Member(
        Join(group=WORKERS.group, processor_id=uuid4(), queues=queues, types=types)
    )
