from __future__ import annotations

import asyncio
import json
from datetime import timedelta
from typing import Any, cast
from uuid import UUID

import asyncpg
import pytest

from tandem.errors import LeaseLost
from tandem.outcomes import given_back
from tandem_processor import crashes, members, reports, steps
from tandem_processor.claims import DeclaredDead
from tandem_processor.crashes import Burial, Outlook
from tests.factories import create_many, create_task
from tests.support.processors import (
    cancel,
    claim,
    failure,
    fall_silent,
    hold,
    join,
    outcome,
    run_task,
    status,
)
from tests.support.until import until

LIMIT = timedelta(seconds=15)


async def bury(pool: asyncpg.Pool, judge: UUID, **limits: Any) -> Burial | None:
    types, most = list(limits), list(limits.values())
    return await crashes.bury_one(
        pool, judge, dead_after=LIMIT, types=types, max_attempts=most
    )


async def test_p8_the_tasks_of_a_dead_processor_are_due_again(
    creator_pool: asyncpg.Pool, processor_pool: asyncpg.Pool
) -> None:
    dead, judge = await join(processor_pool), await join(processor_pool)
    claimed = await run_task(creator_pool, processor_pool, dead)
    await fall_silent(processor_pool, dead)

    burial = await bury(processor_pool, judge)

    assert burial == Burial(dead, {claimed.task_id: "PENDING"})
    row = await status(processor_pool, claimed.task_id)
    assert (row["state"], row["attempt"], row["crashes"]) == ("PENDING", 1, 1)
    assert row["due_time"] == row["update_time"]
    assert json.loads(row["errors"])[0]["reason"] == "CRASHED"
    assert (
        await processor_pool.fetchval("SELECT count(*) FROM tandem.claim_batches") == 0
    )
    (again,) = await claim(processor_pool, judge, claimed.task_id)
    assert (again.claim, again.is_suspect) == (2, False)


async def test_nobody_is_dead_whose_heart_beats(
    creator_pool: asyncpg.Pool, processor_pool: asyncpg.Pool
) -> None:
    living, judge = await join(processor_pool), await join(processor_pool)
    await run_task(creator_pool, processor_pool, living)

    assert await bury(processor_pool, judge) is None


async def test_a_judge_never_judges_itself(processor_pool: asyncpg.Pool) -> None:
    judge = await join(processor_pool)
    await fall_silent(processor_pool, judge)

    assert await bury(processor_pool, judge) is None


async def test_p8_several_reconcilers_bury_a_processor_once(
    creator_pool: asyncpg.Pool, processor_pool: asyncpg.Pool
) -> None:
    judges = [await join(processor_pool) for _ in range(6)]
    dead = await join(processor_pool)
    task_ids = await create_many(creator_pool, 50)
    await claim(processor_pool, dead, *task_ids)
    await fall_silent(processor_pool, dead)
    gate = asyncio.Barrier(len(judges))

    async def reconcile(judge: UUID) -> Burial | None:
        await gate.wait()
        return await bury(processor_pool, judge)

    async with asyncio.timeout(30), asyncio.TaskGroup() as group:
        calls = [group.create_task(reconcile(judge)) for judge in judges]

    burials = [call.result() for call in calls if call.result() is not None]
    assert len(burials) == 1
    rows = await processor_pool.fetch("SELECT crashes FROM tandem.task_status")
    assert {row["crashes"] for row in rows} == {1}


@pytest.mark.parametrize(
    ("wanted", "limits"),
    [({"max_attempts": 1}, {}), ({}, {"echo": 1})],
    ids=["by the spec", "by the handler"],
)
async def test_a_crash_that_spends_the_last_attempt_fails_the_task(
    creator_pool: asyncpg.Pool,
    processor_pool: asyncpg.Pool,
    wanted: dict[str, Any],
    limits: dict[str, int],
) -> None:
    dead, judge = await join(processor_pool), await join(processor_pool)
    claimed = await run_task(creator_pool, processor_pool, dead, **wanted)
    await fall_silent(processor_pool, dead)

    await bury(processor_pool, judge, **limits)

    row = await status(processor_pool, claimed.task_id)
    assert row["state"] == "FAILED"
    (error,) = json.loads(row["errors"])
    assert error["reason"] == "CRASHED"
    assert error["message"].endswith("and no attempt is left")


async def die_running(pool: asyncpg.Pool, judge: UUID, task_id: UUID) -> asyncpg.Record:
    """A processor that claims the task, and dies. Answers how the task stands then."""
    dead = await join(pool)
    assert await claim(pool, dead, task_id) or await claim(
        pool, dead, task_id, suspects=True
    )
    await fall_silent(pool, dead)
    await bury(pool, judge)
    return await status(pool, task_id)


async def test_p8_the_third_crash_in_a_row_fails_the_task_and_says_so(
    creator_pool: asyncpg.Pool, processor_pool: asyncpg.Pool
) -> None:
    judge = await join(processor_pool)
    task_id = await create_task(creator_pool, max_attempts=100)
    rows = [await die_running(processor_pool, judge, task_id) for _ in range(3)]

    assert [(row["state"], row["crashes"]) for row in rows] == [
        ("PENDING", 1),
        ("PENDING", 2),
        ("FAILED", 3),
    ]
    last, before, _ = json.loads(rows[-1]["errors"])
    assert last["reason"] == before["reason"] == "CRASHED"
    assert last["message"].endswith("3 times in a row: it is taken for the cause")
    assert before["message"] == "its processor died while it ran"


@pytest.mark.parametrize("ending", ["failed", "given back"])
async def test_a_suspect_that_survives_an_attempt_is_cleared(
    creator_pool: asyncpg.Pool, processor_pool: asyncpg.Pool, ending: str
) -> None:
    """It was a neighbour of what crashed. A drain proves nothing of the kind."""
    judge = await join(processor_pool)
    task_id = await create_task(creator_pool, max_attempts=100)
    await die_running(processor_pool, judge, task_id)
    await die_running(processor_pool, judge, task_id)
    (again,) = await claim(processor_pool, judge, task_id, suspects=True)
    assert again.is_suspect
    survived = (
        failure(again) if ending == "failed" else given_back(task_id, again.claim)
    )

    await reports.report(processor_pool, judge, [survived])

    row = await status(processor_pool, task_id)
    assert (row["state"], row["crashes"]) == ("PENDING", 0 if ending == "failed" else 2)


async def test_p8_a_task_asked_to_cancel_leaves_a_dead_processor_cancelled(
    creator_pool: asyncpg.Pool, processor_pool: asyncpg.Pool
) -> None:
    dead, judge = await join(processor_pool), await join(processor_pool)
    claimed = await run_task(creator_pool, processor_pool, dead)
    await cancel(processor_pool, claimed.task_id, comment="stuck")
    await fall_silent(processor_pool, dead)

    await bury(processor_pool, judge)

    row = await status(processor_pool, claimed.task_id)
    assert (row["state"], row["cancel_comment"]) == ("CANCELLED", "stuck")
    assert json.loads(row["errors"])[0]["reason"] == "CRASHED"


async def test_a_stage_that_a_dead_processor_was_in_is_run_again_by_the_next(
    creator_pool: asyncpg.Pool, processor_pool: asyncpg.Pool
) -> None:
    dead, judge = await join(processor_pool), await join(processor_pool)
    claimed = await run_task(creator_pool, processor_pool, dead)
    await steps.begin_stage(processor_pool, hold(claimed, dead), "draft")
    await steps.end_stage(processor_pool, hold(claimed, dead), "draft", result="1")
    await steps.begin_stage(processor_pool, hold(claimed, dead), "format")
    await fall_silent(processor_pool, dead)
    await bury(processor_pool, judge)
    (again,) = await claim(processor_pool, judge, claimed.task_id)

    kept = await steps.begin_stage(processor_pool, hold(again, judge), "draft")
    cut_off = await steps.begin_stage(processor_pool, hold(again, judge), "format")
    with pytest.raises(LeaseLost):
        await steps.end_stage(processor_pool, hold(claimed, dead), "format", result="2")
    await steps.end_stage(processor_pool, hold(again, judge), "format", result="3")

    assert (kept.result, cut_off.result) == ("1", None)
    stages = await processor_pool.fetch(
        "SELECT name, attempt, result::text FROM tandem.task_stages ORDER BY name"
    )
    assert [tuple(stage) for stage in stages] == [("draft", 1, "1"), ("format", 2, "3")]


async def test_p7_a_processor_declared_dead_is_told_at_its_next_beat_and_report(
    creator_pool: asyncpg.Pool, processor_pool: asyncpg.Pool
) -> None:
    dead, judge = await join(processor_pool), await join(processor_pool)
    claimed = await run_task(creator_pool, processor_pool, dead)
    await fall_silent(processor_pool, dead)
    await bury(processor_pool, judge)

    with pytest.raises(DeclaredDead):
        await members.beat(processor_pool, dead)
    verdicts = await reports.report(
        processor_pool, dead, [outcome(claimed, result="{}")]
    )
    assert isinstance(verdicts[claimed.task_id], LeaseLost)


async def test_a_finished_task_of_a_dead_processor_stays_as_it_is(
    creator_pool: asyncpg.Pool, processor_pool: asyncpg.Pool
) -> None:
    dead, judge = await join(processor_pool), await join(processor_pool)
    claimed = await run_task(creator_pool, processor_pool, dead)
    await reports.report(processor_pool, dead, [outcome(claimed, result="{}")])
    await fall_silent(processor_pool, dead)

    burial = await bury(processor_pool, judge)

    assert burial == Burial(dead, {})
    assert (await status(processor_pool, claimed.task_id))["state"] == "SUCCEEDED"


async def test_a_processor_leaves_only_when_nothing_runs_under_it(
    creator_pool: asyncpg.Pool, processor_pool: asyncpg.Pool
) -> None:
    me = await join(processor_pool)
    claimed = await run_task(creator_pool, processor_pool, me)

    assert not await members.leave(processor_pool, me)
    await reports.report(processor_pool, me, [outcome(claimed)])
    assert await members.leave(processor_pool, me)

    assert await processor_pool.fetchval("SELECT count(*) FROM tandem.processors") == 0


@pytest.mark.parametrize(
    ("silent", "dead", "outlook"),
    [
        (timedelta(0), False, Outlook(any_late=False, any_forgotten=False)),
        (LIMIT * 2, False, Outlook(any_late=True, any_forgotten=False)),
        (timedelta(minutes=59), True, Outlook(any_late=False, any_forgotten=False)),
        (timedelta(minutes=61), True, Outlook(any_late=False, any_forgotten=True)),
    ],
)
async def test_a_look_says_who_is_late_and_who_died_long_ago(
    processor_pool: asyncpg.Pool, silent: timedelta, outlook: Outlook, *, dead: bool
) -> None:
    judge, other = await join(processor_pool), await join(processor_pool)
    await processor_pool.execute(
        "UPDATE tandem.processors SET heartbeat_time = now() - $2::interval,"
        " state = CASE WHEN $3 THEN 'DEAD' ELSE state END WHERE processor_id = $1",
        other,
        silent,
        dead,
    )

    assert await crashes.look(processor_pool, judge, dead_after=LIMIT) == outlook


async def test_a_look_overlooks_its_judge(processor_pool: asyncpg.Pool) -> None:
    judge = await join(processor_pool)
    await fall_silent(processor_pool, judge)

    outlook = await crashes.look(processor_pool, judge, dead_after=LIMIT)

    assert outlook == Outlook(any_late=False, any_forgotten=False)


async def test_p8_a_claim_under_way_keeps_the_row_of_a_processor_that_leaves(
    creator_pool: asyncpg.Pool, processor_pool: asyncpg.Pool
) -> None:
    """Without the row no reconciler would ever find the task."""
    me = await join(processor_pool)
    task_id = await create_task(creator_pool)

    async with processor_pool.acquire() as claiming:
        async with claiming.transaction():
            assert await claim(cast("asyncpg.Pool", claiming), me, task_id)
            leaving = asyncio.create_task(members.leave(processor_pool, me))
            await until(lambda: _somebody_waits(processor_pool))
        assert not await leaving

    assert await processor_pool.fetchval("SELECT count(*) FROM tandem.processors") == 1


async def _somebody_waits(pool: asyncpg.Pool) -> bool:
    waits = "SELECT EXISTS (SELECT FROM pg_locks WHERE NOT granted)"
    return bool(await pool.fetchval(waits))
