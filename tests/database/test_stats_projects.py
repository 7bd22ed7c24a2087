"""Counts of one project, and of what a caller may read."""

from __future__ import annotations

from uuid import UUID

import asyncpg
import pytest

from tandem.access import Caller, Scope
from tandem_processor import counts, reports
from tests.factories import create_task
from tests.support.counting import (
    AGE,
    SIX_MINUTES,
    Counting,
    by_state,
    counting_in,
    lags,
)
from tests.support.processors import join, outcome, run_task


@pytest.fixture
def counting(processor_pool: asyncpg.Pool) -> Counting:
    return counting_in(processor_pool)


@pytest.fixture
async def two_projects(
    creator_pool: asyncpg.Pool, processor_pool: asyncpg.Pool, owner_pool: asyncpg.Pool
) -> UUID:
    """One has a task of each kind, and the other as many again."""
    me = await join(processor_pool)
    for project in ("acme", "other", "other"):
        first = await create_task(creator_pool, project=project)
        await owner_pool.execute(AGE, first, SIX_MINUTES)
        await run_task(creator_pool, processor_pool, me, project=project)
        done = await run_task(creator_pool, processor_pool, me, project=project)
        await reports.report(processor_pool, me, [outcome(done)])
    await owner_pool.execute(
        "INSERT INTO tandem.group_places SELECT 'audit', lane_id, 0 FROM tandem.lanes"
    )
    return me


@pytest.mark.usefixtures("two_projects")
@pytest.mark.parametrize(("project", "each"), [("acme", 1), ("other", 2), ("", 3)])
async def test_a_project_counts_alone_everywhere(
    counting: Counting, project: str, each: int
) -> None:
    # What was created six minutes ago may have been created yesterday.
    stats = await counting(project, days=2)

    states = set(by_state(stats).values())
    assert (len(stats.queues), states) == (3, {each})
    assert stats.queues[0].waiting_over_five_minutes == each
    assert lags(stats) == {"audit": 3 * each, "processors": each}
    assert sum(day.created for day in stats.days) == 3 * each
    assert sum(day.succeeded for day in stats.days) == each
    assert [p.running for p in stats.processors] == [each]


@pytest.mark.usefixtures("two_projects")
async def test_what_may_not_be_read_is_not_there(counting: Counting) -> None:
    caller = Caller("limited", frozenset({Scope("read", "acme")}))

    unread, absent = [
        await counting(project, days=1, caller=caller)
        for project in ("other", "no-such-project")
    ]
    everything, allowed = [
        await counting(project, days=1, caller=caller) for project in ("", "acme")
    ]

    for pair in ((unread, absent), (everything, allowed)):
        for stats in pair:
            stats.ClearField("read_time")
            for each in stats.queues:
                each.ClearField("oldest_age")
        assert pair[0] == pair[1]
    assert list(unread.queues) == []
    assert by_state(allowed)["default", "PENDING"] == 1


async def test_projects_are_found_without_reading_every_task(
    creator_pool: asyncpg.Pool, processor_pool: asyncpg.Pool
) -> None:
    assert await counts.read_projects(processor_pool) == []
    for project in ("b", "a", "c", "b"):
        await create_task(creator_pool, project=project)

    assert await counts.read_projects(processor_pool) == ["a", "b", "c"]
