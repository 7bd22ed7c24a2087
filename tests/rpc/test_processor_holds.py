"""What a processor holds, and what becomes of it when it is lost."""

from __future__ import annotations

import asyncio
import threading
from typing import Any
from uuid import uuid4

import asyncpg
import pytest

from tandem import attempts
from tandem.handlers import (
    AttemptStopped,
    BlockingContext,
    Context,
)
from tandem.outcomes import Outcome
from tandem.states import TaskState
from tandem.v1 import task_pb2
from tandem_processor import runner
from tandem_processor.reporter import Reporter, Then
from tests.factories import create_task
from tests.support.cluster import Database
from tests.support.fake_creator import fake_creator
from tests.support.handled import AT_ONCE, SOON, answer, only, quick
from tests.support.processor import LIMIT, working
from tests.support.processors import status
from tests.support.until import until

State = task_pb2.TaskStatus

CLAIM_ALL = """
WITH claimed AS (
    UPDATE tandem.task_status
    SET state = 'RUNNING', claim = 1, attempt = 1, processor_id = $1,
        start_time = now()
    RETURNING task_id
)
INSERT INTO tandem.claim_batches (processor_id, task_ids)
SELECT $1, array_agg(task_id) FROM claimed
"""


async def test_p7_a_handler_whose_lease_is_lost_is_stopped(
    database: Database, creator_pool: asyncpg.Pool, processor_pool: asyncpg.Pool
) -> None:
    """The next word that it says is refused, and what it returns is not kept."""
    handlers, register = only()
    started, go_on = asyncio.Event(), threading.Event()
    loop = asyncio.get_running_loop()
    stopped: list[bool] = []

    @register
    def echo(ctx: BlockingContext) -> dict[str, Any]:
        loop.call_soon_threadsafe(started.set)
        go_on.wait(LIMIT)
        try:
            ctx.progress(0.5)
        except AttemptStopped:
            stopped.append(True)
            raise
        return {"stale": True}

    task_id = await create_task(creator_pool, start_delay=SOON)
    async with working(database.processor_url, handlers):
        async with asyncio.timeout(LIMIT):
            await started.wait()
        await _take_over(processor_pool)
        go_on.set()
        await until(lambda: answer(stopped))

    row = await status(processor_pool, task_id)
    assert (row["state"], row["claim"], row["progress"]) == ("RUNNING", 2, None)
    assert row["result"] is None


async def _take_over(pool: asyncpg.Pool) -> None:
    await pool.execute(
        "UPDATE tandem.task_status SET claim = claim + 1, processor_id = $1", uuid4()
    )


async def test_ids_of_the_stream_are_claimed_and_confirmed_known_or_not(
    database: Database, creator_pool: asyncpg.Pool
) -> None:
    task_id, nobody = await create_task(creator_pool), uuid4()
    async with (
        fake_creator([str(task_id), str(nobody)]) as (creator, address),
        working(
            database.processor_url, quick(), creator_address=(address,)
        ) as processor,
    ):
        task = await processor.finished(task_id)
        assert await creator.confirmed() == {str(task_id), str(nobody)}

    assert task.status.state == State.STATE_SUCCEEDED


async def test_p8_a_processor_taken_for_dead_joins_again_under_a_new_id(
    database: Database, creator_pool: asyncpg.Pool, processor_pool: asyncpg.Pool
) -> None:
    async with working(database.processor_url, quick()) as processor:
        (old,) = await until(lambda: _live(processor_pool))
        await processor_pool.execute("UPDATE tandem.processors SET state = 'DEAD'")
        (new,) = await until(lambda: _live(processor_pool))
        task_id = await create_task(creator_pool, start_delay=SOON)
        task = await processor.finished(task_id)

    assert new != old
    assert task.status.processor_id == str(new)


async def test_p8_a_claim_whose_answer_was_lost_is_given_back(
    database: Database, creator_pool: asyncpg.Pool, processor_pool: asyncpg.Pool
) -> None:
    """The row runs under a living processor that knows nothing of it."""
    task_id = await create_task(creator_pool)
    async with working(database.processor_url, quick()) as processor:
        (me,) = await until(lambda: _live(processor_pool))
        await processor_pool.execute(
            CLAIM_ALL,
            me,
        )
        task = await processor.finished(task_id)

    assert task.status.state == State.STATE_SUCCEEDED
    assert (task.status.claim, task.status.attempt) == (2, 1)


@pytest.mark.parametrize("part", ["judge", "report", "launch"])
async def test_a_defect_beside_the_handler_spends_the_attempt(
    database: Database,
    creator_pool: asyncpg.Pool,
    monkeypatch: pytest.MonkeyPatch,
    part: str,
) -> None:
    """Given back unspent, the handler would run again and again without limit."""
    handlers, register = only(retry=AT_ONCE)
    runs: list[int] = []

    @register
    async def echo(ctx: Context) -> None:
        runs.append(ctx.attempt)

    _break(part, monkeypatch)
    task_id = await create_task(creator_pool, start_delay=SOON, max_attempts=2)
    async with working(database.processor_url, handlers) as processor:
        task = await processor.finished(task_id)

    assert len(runs) <= 2
    assert task.status.state == State.STATE_FAILED
    assert (task.status.attempt, task.status.error.reason) == (2, "CRASHED")


async def test_p8_the_tasks_of_a_silent_processor_are_run_by_another(
    database: Database, creator_pool: asyncpg.Pool, processor_pool: asyncpg.Pool
) -> None:
    task_id = await create_task(creator_pool)
    await _die_holding(processor_pool)
    async with working(database.processor_url, quick()) as processor:
        task = await processor.finished(task_id)

    assert task.status.state == State.STATE_SUCCEEDED
    assert (task.status.claim, task.status.attempt) == (2, 2)
    assert task.status.error.reason == "CRASHED"


async def _die_holding(pool: asyncpg.Pool) -> None:
    dead = uuid4()
    await pool.execute(
        """
        INSERT INTO tandem.processors (processor_id, host, process_id, queues, types)
        VALUES ($1, 'gone', 1, '{default}', '{echo}')
        """,
        dead,
    )
    await pool.execute(
        CLAIM_ALL,
        dead,
    )
    await pool.execute(
        "UPDATE tandem.processors SET heartbeat_time = now() - interval '1 minute'"
    )


async def _live(pool: asyncpg.Pool) -> list[Any]:
    rows = await pool.fetch(
        "SELECT processor_id FROM tandem.processors WHERE state = 'LIVE'"
    )
    return [row["processor_id"] for row in rows]


def _break(part: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """One of the parts between a handler's end and its kept report has a defect."""

    def fails(*_: Any, **__: Any) -> Any:
        raise RuntimeError("a defect")

    post = Reporter.post

    def posts_no_success(self: Reporter, outcome: Outcome, then: Then) -> None:
        if outcome.state is TaskState.SUCCEEDED:
            fails()
        post(self, outcome, then)

    if part == "report":
        monkeypatch.setattr(Reporter, "post", posts_no_success)
    else:
        where = {"judge": (runner, "judge"), "launch": (attempts, "timeout_of")}
        monkeypatch.setattr(*where[part], fails)
