"""How much a creator takes from a lane, and how often."""

from __future__ import annotations

import math
from types import SimpleNamespace
from typing import cast
from uuid import uuid4

import asyncpg

from tandem_creator.horizon import Horizon
from tandem_creator.members import Join, Member
from tandem_creator.store.places import WINDOW, Lane
from tandem_creator.store.positions import read_settled
from tandem_creator.supply import BURST, Supply
from tests import factories
from tests.support.taking import OTHER, RESEND, WORKERS, ids, lane_of, take_some

CREDIT = 10

NOW = 100.0
"""The clock stands still."""


async def test_a_take_of_more_than_a_window_has_them_all(
    creator_pool: asyncpg.Pool,
) -> None:
    made = await factories.create_many(creator_pool, WINDOW + 500)
    lane = await lane_of(creator_pool)

    taken = await take_some(creator_pool, WORKERS, lane, most=WINDOW + 100)
    rest = await take_some(creator_pool, WORKERS, lane, most=WINDOW + 100)

    assert ids(taken) == made[: WINDOW + 100]
    assert ids(rest) == made[WINDOW + 100 :]


async def test_what_is_soon_used_up_is_taken_ahead_and_then_the_pace_is_kept(
    creator_pool: asyncpg.Pool,
) -> None:
    await factories.create_many(creator_pool, 500)
    lane = await lane_of(creator_pool)
    supply = await _supply(creator_pool, lane)
    member = _member()

    sizes = []
    while (taken := await supply.take(lane, [member])) is not None:
        sizes.append(len(taken.ids))

    # Each takes as many again: it came sooner after the last one than the pace.
    assert sizes == [CREDIT * 2**n for n in range(BURST)]


async def test_a_lane_that_was_passed_over_is_waited_for_until_the_next_turn(
    creator_pool: asyncpg.Pool,
) -> None:
    """Later somebody else may have the credit: its time would be over for ever."""
    await factories.create_many(creator_pool, 500)
    lane = await lane_of(creator_pool)
    supply = await _supply(creator_pool, lane)
    while await supply.take(lane, [_member()]) is not None:
        pass

    passed_over = supply.next_take()
    supply.forget_pace()

    assert NOW < passed_over < math.inf
    assert supply.next_take() == math.inf


async def test_a_lane_that_another_creator_takes_from_is_waited_for_until_the_next_turn(
    creator_pool: asyncpg.Pool,
) -> None:
    """What that one leaves is not for the next round."""
    await factories.create_many(creator_pool, 5)
    lane = await lane_of(creator_pool)
    supply = await _supply(creator_pool, lane)

    async with creator_pool.acquire() as other, other.transaction():
        await take_some(cast("asyncpg.Pool", other), OTHER, lane, most=1)
        taken = await supply.take(lane, [_member()])

    assert taken is None
    assert NOW < supply.next_take() < math.inf


async def _supply(pool: asyncpg.Pool, lane: Lane) -> Supply:
    horizon = cast("Horizon", SimpleNamespace(settled=await read_settled(pool)))
    supply = Supply(pool, WORKERS, horizon=horizon, resend=RESEND, clock=lambda: NOW)
    await supply.look([_member()], anew=True)
    assert lane.lane_id in supply.lanes
    return supply


def _member() -> Member:
    queues = frozenset({"default"})
    member = Member(
        Join(group=WORKERS.group, processor_id=uuid4(), queues=queues, types=None)
    )
    member.grant(CREDIT)
    return member
