from __future__ import annotations

import asyncio
import json
from collections.abc import Coroutine, Sequence
from datetime import timedelta
from random import Random
from typing import Any

import asyncpg
import pytest

from tandem.outcomes import given_back
from tandem.states import TaskState
from tandem_processor import reports
from tandem_processor.cancels import Cancelled, read_requests
from tests.factories import create_many, create_task
from tests.support.processors import (
    cancel,
    claim,
    everything,
    failure,
    join,
    outcome,
    run_task,
    status,
)

LIMIT = 30
A_DAY = timedelta(days=1)

Calls = Sequence[Coroutine[Any, Any, Any]]


@pytest.mark.parametrize("delay", [None, A_DAY], ids=["waiting", "delayed"])
async def test_a_pending_task_is_cancelled_at_once(
    creator_pool: asyncpg.Pool, processor_pool: asyncpg.Pool, delay: timedelta | None
) -> None:
    task_id = await create_task(creator_pool, start_delay=delay)

    told = await cancel(processor_pool, task_id, comment="ordered twice")

    row = await status(processor_pool, task_id)
    assert told == Cancelled(0, "CANCELLED")
    assert (row["state"], row["due_time"]) == ("CANCELLED", None)
    assert row["finish_time"] == row["update_time"]
    assert row["cancel_request_time"] is None
    assert row["cancel_comment"] == "ordered twice"
    assert await claim(processor_pool, await join(processor_pool), task_id) == []


async def test_a_suspended_task_is_cancelled_at_once(
    creator_pool: asyncpg.Pool, processor_pool: asyncpg.Pool
) -> None:
    me = await join(processor_pool)
    claimed = await run_task(creator_pool, processor_pool, me)
    await reports.report(processor_pool, me, [outcome(claimed, TaskState.SUSPENDED)])

    await cancel(processor_pool, claimed.task_id)

    row = await status(processor_pool, claimed.task_id)
    assert (row["state"], row["cancel_comment"]) == ("CANCELLED", None)


async def test_a_running_task_is_asked_once_and_the_first_comment_stays(
    creator_pool: asyncpg.Pool, processor_pool: asyncpg.Pool
) -> None:
    me = await join(processor_pool)
    claimed = await run_task(creator_pool, processor_pool, me)

    first = await cancel(processor_pool, claimed.task_id, comment="too late")
    before = await everything(processor_pool, claimed.task_id)
    second = await cancel(processor_pool, claimed.task_id, comment="another word")

    assert (first, second) == (Cancelled(1, "RUNNING"), None)
    assert await everything(processor_pool, claimed.task_id) == before
    row = await status(processor_pool, claimed.task_id)
    assert (row["state"], row["finish_time"]) == ("RUNNING", None)
    assert row["cancel_request_time"] is not None
    assert row["cancel_comment"] == "too late"


async def test_a_comment_stays_whatever_the_attempt_leaves_behind(
    creator_pool: asyncpg.Pool, processor_pool: asyncpg.Pool
) -> None:
    """Nor does it pass for the claim's result, which decides what is a repeat."""
    me = await join(processor_pool)
    first = await run_task(creator_pool, processor_pool, me)
    await reports.report(processor_pool, me, [failure(first)])
    (second,) = await claim(processor_pool, me, first.task_id)
    await cancel(processor_pool, second.task_id, comment="too late")
    kept = await processor_pool.fetchval("SELECT claim FROM tandem.task_outputs")
    done = outcome(second, result='{"n":1}')

    for _ in range(2):
        verdicts = await reports.report(processor_pool, me, [done])
        assert verdicts == {second.task_id: None}

    row = await status(processor_pool, second.task_id)
    assert kept == first.claim
    assert (row["state"], row["result"]) == ("SUCCEEDED", '{"n":1}')
    assert row["cancel_comment"] == "too late"
    assert json.loads(row["errors"])[0]["message"] == "boom"


async def test_a_task_given_back_after_a_cancel_is_cancelled_and_not_pending(
    creator_pool: asyncpg.Pool, processor_pool: asyncpg.Pool
) -> None:
    me = await join(processor_pool)
    claimed = await run_task(creator_pool, processor_pool, me)
    await cancel(processor_pool, claimed.task_id)

    told = given_back(claimed.task_id, claimed.claim)
    assert await reports.report(processor_pool, me, [told]) == {claimed.task_id: None}

    row = await status(processor_pool, claimed.task_id)
    assert (row["state"], row["attempt"], row["due_time"]) == ("CANCELLED", 0, None)


@pytest.mark.parametrize("expected", [0, 2])
async def test_a_cancel_that_names_another_attempt_changes_nothing(
    creator_pool: asyncpg.Pool, processor_pool: asyncpg.Pool, expected: int
) -> None:
    me = await join(processor_pool)
    claimed = await run_task(creator_pool, processor_pool, me)
    before = await everything(processor_pool, claimed.task_id)

    told = await cancel(
        processor_pool, claimed.task_id, attempt=expected, comment="late"
    )

    assert told is None
    assert await everything(processor_pool, claimed.task_id) == before
    assert await cancel(processor_pool, claimed.task_id, attempt=1) is not None


@pytest.mark.parametrize(
    "state", [TaskState.SUCCEEDED, TaskState.FAILED, TaskState.CANCELLED]
)
async def test_p9_a_final_task_is_not_cancelled_and_keeps_no_comment(
    creator_pool: asyncpg.Pool, processor_pool: asyncpg.Pool, state: TaskState
) -> None:
    me = await join(processor_pool)
    claimed = await run_task(creator_pool, processor_pool, me)
    await reports.report(processor_pool, me, [outcome(claimed, state)])
    before = await everything(processor_pool, claimed.task_id)

    assert await cancel(processor_pool, claimed.task_id, comment="late") is None

    assert await everything(processor_pool, claimed.task_id) == before


async def test_a_processor_finds_the_requests_for_what_it_runs(
    creator_pool: asyncpg.Pool, processor_pool: asyncpg.Pool
) -> None:
    me, other = await join(processor_pool), await join(processor_pool)
    mine, left = [await run_task(creator_pool, processor_pool, me) for _ in range(2)]
    theirs = await run_task(creator_pool, processor_pool, other)
    ids = [mine.task_id, left.task_id, theirs.task_id]
    await cancel(processor_pool, mine.task_id)
    await cancel(processor_pool, theirs.task_id)

    assert await read_requests(processor_pool, me, ids) == {mine.task_id: mine.claim}


async def test_p8_of_a_cancel_and_a_claim_at_once_neither_is_lost(
    creator_pool: asyncpg.Pool, processor_pool: asyncpg.Pool
) -> None:
    """Cancelled before it ever ran, or running and asked: nothing in between."""
    me = await join(processor_pool)
    task_ids = await create_many(creator_pool, 200)

    async with asyncio.timeout(LIMIT):
        claims, told = await _both(
            [claim(processor_pool, me, *part) for part in _parts(task_ids, 20)],
            [cancel(processor_pool, task_id) for task_id in task_ids],
        )

    claimed = {each.task_id for part in claims for each in part}
    for task_id, answer in zip(task_ids, told, strict=True):
        row = await status(processor_pool, task_id)
        if task_id in claimed:
            assert answer == Cancelled(1, "RUNNING")
            assert row["cancel_request_time"] is not None
        else:
            assert answer == Cancelled(0, "CANCELLED")
            assert (row["state"], row["claim"]) == ("CANCELLED", 0)


@pytest.mark.parametrize(
    "told", [TaskState.PENDING, TaskState.FAILED, TaskState.SUCCEEDED]
)
async def test_p8_of_a_cancel_and_a_report_at_once_one_decides(
    creator_pool: asyncpg.Pool, processor_pool: asyncpg.Pool, told: TaskState
) -> None:
    me = await join(processor_pool)
    task_ids = await create_many(creator_pool, 200)
    running = await claim(processor_pool, me, *task_ids)

    async with asyncio.timeout(LIMIT):
        verdicts, cancels = await _both(
            [
                reports.report(
                    processor_pool, me, [outcome(each, told) for each in ten]
                )
                for ten in _parts(running, 20)
            ],
            [cancel(processor_pool, each.task_id) for each in running],
        )

    assert {each for part in verdicts for each in part.values()} == {None}
    for each, asked in zip(running, cancels, strict=True):
        state = (await status(processor_pool, each.task_id))["state"]
        if told is TaskState.SUCCEEDED or asked is None:
            assert state == told
        else:
            assert state == "CANCELLED"
    assert told is not TaskState.PENDING or None not in cancels


async def _both(left: Calls, right: Calls) -> tuple[list[Any], list[Any]]:
    """Everything at once and in a mixed order; the answers of each side."""
    begun: dict[int, asyncio.Task[Any]] = {}
    calls = list(enumerate([*left, *right]))
    Random(1).shuffle(calls)
    for place, call in calls:
        begun[place] = asyncio.create_task(call)
    answers = [await begun[place] for place in sorted(begun)]
    return answers[: len(left)], answers[len(left) :]


def _parts(items: list[Any], size: int) -> list[list[Any]]:
    return [items[at : at + size] for at in range(0, len(items), size)]
