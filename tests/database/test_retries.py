from __future__ import annotations

import asyncio
import json
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from uuid import UUID

import asyncpg
import pytest

from tandem.judging import MAX_CRASHES
from tandem.outcomes import Claimed
from tandem.states import TaskState
from tandem_processor import crashes, reports, steps
from tandem_processor.cancels import read_requests
from tandem_processor.claims import read_due
from tests.factories import create_many, create_task
from tests.support.janitor import Janitor
from tests.support.processors import (
    TYPES,
    cancel,
    claim,
    everything,
    failure,
    fall_silent,
    hold,
    join,
    outcome,
    retry,
    run_task,
    status,
)

LIMIT = 30
A_DAY = timedelta(days=1)


@dataclass(frozen=True, slots=True)
class Ended:
    """A task that failed at its first attempt, and who ran it."""

    processor_id: UUID
    claimed: Claimed

    @property
    def task_id(self) -> UUID:
        return self.claimed.task_id


@pytest.fixture
async def failed(creator_pool: asyncpg.Pool, processor_pool: asyncpg.Pool) -> Ended:
    me = await join(processor_pool)
    claimed = await run_task(creator_pool, processor_pool, me)
    mine = hold(claimed, me)
    await steps.begin_stage(processor_pool, mine, "draft")
    await steps.end_stage(processor_pool, mine, "draft", result='"text"')
    told = failure(claimed, state=TaskState.FAILED)
    await reports.report(processor_pool, me, [told])
    return Ended(me, claimed)


async def test_a_failed_task_is_due_again_with_all_that_it_kept(
    processor_pool: asyncpg.Pool, failed: Ended
) -> None:
    assert await retry(processor_pool, failed.task_id, attempt=1)

    row = await status(processor_pool, failed.task_id)
    assert (row["state"], row["attempt"], row["claim"]) == ("PENDING", 1, 1)
    assert row["due_time"] == row["update_time"]
    assert row["finish_time"] is None
    due = await read_due(
        processor_pool, queues=["default"], types=TYPES, suspects=False, limit=9
    )
    assert [each.task_id for each in due] == [failed.task_id]
    (again,) = await claim(processor_pool, failed.processor_id, failed.task_id)
    draft = await steps.begin_stage(
        processor_pool, hold(again, failed.processor_id), "draft"
    )
    assert (again.attempt, again.claim, draft.result) == (2, 2, '"text"')
    kept = await status(processor_pool, failed.task_id)
    assert json.loads(kept["errors"])[0]["message"] == "boom"


async def test_p9_a_repeated_retry_puts_a_task_back_once(
    processor_pool: asyncpg.Pool, failed: Ended
) -> None:
    me = failed.processor_id
    assert await retry(processor_pool, failed.task_id, attempt=1)
    assert not await retry(processor_pool, failed.task_id, attempt=1)
    (again,) = await claim(processor_pool, me, failed.task_id)
    assert not await retry(processor_pool, failed.task_id, attempt=1)
    await reports.report(processor_pool, me, [failure(again, state=TaskState.FAILED)])

    assert not await retry(processor_pool, failed.task_id, attempt=1)

    assert (await status(processor_pool, failed.task_id))["state"] == "FAILED"


@pytest.mark.parametrize("attempt", [0, 2, 2**31 - 1])
async def test_p9_a_retry_of_another_attempt_changes_nothing(
    processor_pool: asyncpg.Pool, failed: Ended, attempt: int
) -> None:
    before = await everything(processor_pool, failed.task_id)

    assert not await retry(processor_pool, failed.task_id, attempt=attempt)

    assert await everything(processor_pool, failed.task_id) == before


async def test_p9_a_retry_forgets_the_cancel_that_it_undoes(
    creator_pool: asyncpg.Pool, processor_pool: asyncpg.Pool
) -> None:
    """A later attempt is not stopped by the old request, nor CANCELLED by its report."""
    me = await join(processor_pool)
    claimed = await run_task(creator_pool, processor_pool, me)
    task_id = claimed.task_id
    await cancel(processor_pool, task_id, comment="ordered twice")
    await reports.report(processor_pool, me, [outcome(claimed, TaskState.CANCELLED)])

    assert await retry(processor_pool, task_id, attempt=1)

    row = await status(processor_pool, task_id)
    assert (row["cancel_request_time"], row["cancel_comment"]) == (None, None)
    (again,) = await claim(processor_pool, me, task_id)
    assert await read_requests(processor_pool, me, [task_id]) == {}
    await reports.report(processor_pool, me, [failure(again)])
    assert (await status(processor_pool, task_id))["state"] == "PENDING"


async def test_a_task_cancelled_before_any_attempt_is_retried_at_none(
    creator_pool: asyncpg.Pool, processor_pool: asyncpg.Pool
) -> None:
    """It has nothing to say, so it gets a row of outputs for its comment alone."""
    task_id = await create_task(creator_pool)
    await cancel(processor_pool, task_id, comment="ordered twice")

    assert await retry(processor_pool, task_id, attempt=0)

    row = await status(processor_pool, task_id)
    assert (row["state"], row["cancel_comment"]) == ("PENDING", None)
    (claimed,) = await claim(processor_pool, await join(processor_pool), task_id)
    assert (claimed.attempt, claimed.claim) == (1, 1)


@pytest.mark.parametrize(
    "wanted",
    [
        {"start_delay": A_DAY},
        {"not_before_time": datetime.now(UTC) + A_DAY},
    ],
    ids=["delay", "not before"],
)
async def test_a_start_that_the_spec_delays_still_holds(
    creator_pool: asyncpg.Pool,
    processor_pool: asyncpg.Pool,
    wanted: dict[str, timedelta | datetime],
) -> None:
    task_id = await create_task(creator_pool, **wanted)
    due_time = (await status(processor_pool, task_id))["due_time"]
    await cancel(processor_pool, task_id)

    await retry(processor_pool, task_id, attempt=0)

    assert (await status(processor_pool, task_id))["due_time"] == due_time


async def test_crashes_are_counted_anew_after_a_retry(
    creator_pool: asyncpg.Pool, processor_pool: asyncpg.Pool
) -> None:
    judge = await join(processor_pool)
    task_id = await create_task(creator_pool, max_attempts=100)
    for _ in range(MAX_CRASHES):
        await _crash(processor_pool, judge, task_id)
    ended = await status(processor_pool, task_id)
    await retry(processor_pool, task_id, attempt=ended["attempt"])

    await _crash(processor_pool, judge, task_id)

    row = await status(processor_pool, task_id)
    assert (ended["state"], ended["crashes"]) == ("FAILED", MAX_CRASHES)
    assert (row["state"], row["crashes"]) == ("PENDING", 1)


async def test_p9_of_many_retries_at_once_one_puts_the_task_back(
    processor_pool: asyncpg.Pool, failed: Ended
) -> None:
    gate = asyncio.Barrier(8)

    async def begin() -> bool:
        await gate.wait()
        return await retry(processor_pool, failed.task_id, attempt=1)

    async with asyncio.timeout(LIMIT):
        told = await asyncio.gather(*(begin() for _ in range(8)))

    assert sorted(told) == [False] * 7 + [True]


async def test_p8_of_a_retry_and_a_strip_at_once_one_wins(
    creator_pool: asyncpg.Pool,
    processor_pool: asyncpg.Pool,
    janitor_pool: asyncpg.Pool,
) -> None:
    """Put back with its payload, or stripped and left: never runnable without one."""
    task_ids = await create_many(creator_pool, 60, payload={"n": 1})
    for task_id in task_ids:
        await cancel(processor_pool, task_id)
    janitor = Janitor(janitor_pool)

    async with asyncio.timeout(LIMIT):
        *answers, _ = await asyncio.gather(
            *(retry(processor_pool, task_id, attempt=0) for task_id in task_ids),
            asyncio.gather(*(janitor.strip(task_id) for task_id in task_ids[::-1])),
        )

    me = await join(processor_pool)
    claimed = {
        each.task_id: each for each in await claim(processor_pool, me, *task_ids)
    }
    stripped = await processor_pool.fetch(
        "SELECT task_id FROM tandem.tasks WHERE prune_time IS NOT NULL"
    )
    assert claimed.keys() == {t for t, a in zip(task_ids, answers, strict=True) if a}
    assert {each.payload for each in claimed.values()} <= {'{"n": 1}'}
    assert {row["task_id"] for row in stripped} == set(task_ids) - claimed.keys()


async def _crash(pool: asyncpg.Pool, judge: UUID, task_id: UUID) -> None:
    """A processor claims the task, and dies of it."""
    dead = await join(pool)
    assert await claim(pool, dead, task_id) or await claim(
        pool, dead, task_id, suspects=True
    )
    await fall_silent(pool, dead)
    await crashes.bury_one(
        pool, judge, dead_after=timedelta(seconds=15), types=[], max_attempts=[]
    )
