from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from uuid import UUID

import asyncpg
import pytest

from tandem.errors import LeaseLost, StoreRefused, TandemError
from tandem.outcomes import given_back
from tandem_processor.reporter import Reporter
from tests.support.cluster import Database
from tests.support.processors import claim, join, outcome, run_task, status
from tests.support.until import until


@asynccontextmanager
async def reporting(
    pool: asyncpg.Pool, me: UUID, heard: Callable[[list[UUID]], None] = print
) -> AsyncIterator[Reporter]:
    reporter = Reporter(pool, me, on_moved=lambda ids: heard(list(ids)))
    running = asyncio.create_task(reporter.run())
    yield reporter
    running.cancel()


async def test_many_outcomes_are_kept_and_each_is_told(
    creator_pool: asyncpg.Pool, processor_pool: asyncpg.Pool
) -> None:
    me = await join(processor_pool)
    tasks = [await run_task(creator_pool, processor_pool, me) for _ in range(20)]
    gone = await run_task(creator_pool, processor_pool, me)
    heard: list[UUID] = []
    async with reporting(processor_pool, me, heard.extend) as reporter:
        await reporter.report(given_back(gone.task_id, gone.claim))
        async with asyncio.timeout(10):
            await asyncio.gather(
                *(reporter.report(outcome(each, result="{}")) for each in tasks)
            )
        with pytest.raises(LeaseLost):
            await reporter.report(outcome(gone, result="{}"))

    assert {claimed.task_id for claimed in tasks} <= set(heard)
    states = await processor_pool.fetch("SELECT state FROM tandem.task_status")
    assert sorted(row["state"] for row in states) == ["PENDING"] + ["SUCCEEDED"] * 20


async def test_p10_a_value_that_the_database_refuses_costs_no_neighbour(
    creator_pool: asyncpg.Pool, processor_pool: asyncpg.Pool
) -> None:
    me = await join(processor_pool)
    good = await run_task(creator_pool, processor_pool, me)
    bad = await run_task(creator_pool, processor_pool, me)
    reporter = Reporter(processor_pool, me, on_moved=lambda _: None)
    reports = [
        reporter.report(outcome(good, result="{}")),
        reporter.report(outcome(bad, result="{no json")),
    ]

    assert await reporter.run_once() == 2

    kept, refused = await asyncio.gather(*reports, return_exceptions=True)
    assert kept is None
    assert isinstance(refused, StoreRefused)
    assert (await status(processor_pool, good.task_id))["state"] == "SUCCEEDED"
    assert (await status(processor_pool, bad.task_id))["state"] == "RUNNING"


async def test_what_fails_in_hearing_of_a_report_costs_no_neighbour(
    creator_pool: asyncpg.Pool, processor_pool: asyncpg.Pool
) -> None:
    me = await join(processor_pool)
    deaf = await run_task(creator_pool, processor_pool, me)
    other = await run_task(creator_pool, processor_pool, me)
    loop, defects = asyncio.get_running_loop(), list[str]()
    loop.set_exception_handler(lambda _, told: defects.append(told["message"]))
    reporter = Reporter(processor_pool, me, on_moved=lambda _: None)

    def fail(refusal: TandemError | None) -> None:
        raise RuntimeError(refusal)

    reporter.post(outcome(deaf, result="{}"), fail)
    kept = reporter.report(outcome(other, result="{}"))
    assert await reporter.run_once() == 2

    async with asyncio.timeout(10):
        await kept
    assert len(defects) == 1
    assert (await status(processor_pool, deaf.task_id))["state"] == "SUCCEEDED"


async def test_an_outcome_is_kept_once_the_connection_is_back(
    database: Database, creator_pool: asyncpg.Pool, processor_pool: asyncpg.Pool
) -> None:
    """The statement waits for a lock when its session is ended."""
    me = await join(processor_pool)
    claimed = await run_task(creator_pool, processor_pool, me)
    async with reporting(processor_pool, me) as reporter, database.admin() as admin:
        async with admin.transaction():
            await admin.fetchval("SELECT 1 FROM tandem.task_status FOR UPDATE")
            report = reporter.report(outcome(claimed, result="{}"))
            await until(lambda: _end_the_waiting_session(admin))
        async with asyncio.timeout(10):
            await report

    assert (await status(processor_pool, claimed.task_id))["state"] == "SUCCEEDED"


async def _end_the_waiting_session(admin: asyncpg.Connection) -> bool:
    ended = await admin.fetchval(
        """
        SELECT pg_terminate_backend(a.pid)
        FROM pg_stat_activity AS a
        WHERE a.datname = current_database() AND a.wait_event_type = 'Lock'
        """
    )
    return bool(ended)


async def test_reports_and_claims_of_the_same_tasks_do_not_deadlock(
    creator_pool: asyncpg.Pool, processor_pool: asyncpg.Pool
) -> None:
    """Given back by one and claimed by another, over and over, in crossed orders."""
    members = [await join(processor_pool) for _ in range(4)]
    tasks = [await run_task(creator_pool, processor_pool, members[0]) for _ in range(9)]
    ids = [claimed.task_id for claimed in tasks]
    async with (
        reporting(processor_pool, members[0]) as reporter,
        asyncio.timeout(10),
        asyncio.TaskGroup() as group,
    ):
        reports = [
            reporter.report(given_back(each.task_id, each.claim)) for each in tasks
        ]
        for member in members[1:]:
            group.create_task(claim(processor_pool, member, *ids[::-1]))
        await asyncio.gather(*reports)

    rows = await processor_pool.fetch("SELECT claim FROM tandem.task_status")
    assert all(row["claim"] in {1, 2} for row in rows)
