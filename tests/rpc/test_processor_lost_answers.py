"""A processor whose report was kept, and which does not hear of it."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from datetime import timedelta
from typing import Any
from uuid import UUID

import asyncpg
import pytest

from tandem.handlers import Context, Handlers, RetryPolicy
from tandem.outcomes import Outcome
from tandem.v1 import task_pb2
from tandem_processor import reports
from tandem_processor.reports import Verdicts
from tandem_processor.rounds import Rounds
from tests.factories import create_task
from tests.support.cluster import Database
from tests.support.processor import working

SOON = timedelta(milliseconds=1)

AT_ONCE = RetryPolicy(initial_backoff=timedelta(0), max_backoff=timedelta(0))

LIMIT = 20.0


class LostAnswer:
    """The first report is kept; its answer is lost once the task runs again."""

    def __init__(self) -> None:
        self.runs_again = asyncio.Event()
        self.is_over = asyncio.Event()
        self._report = reports.report
        self._calls = 0

    async def report(
        self, pool: asyncpg.Pool, processor_id: UUID, outcomes: Sequence[Outcome]
    ) -> Verdicts:
        self._calls += 1
        call = self._calls
        verdicts = await self._report(pool, processor_id, outcomes)
        if call == 1:
            await self.runs_again.wait()
            raise ConnectionResetError
        self.is_over.set()
        return verdicts


async def test_p6_a_task_that_runs_again_here_is_not_taken_for_its_last_attempt(
    database: Database, creator_pool: asyncpg.Pool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The end of the first attempt, learned late, leaves the second one held."""
    lost, rounds = LostAnswer(), asyncio.Semaphore(0)
    run_once = Rounds.run_once

    async def count(self: Rounds) -> None:
        await run_once(self)
        rounds.release()

    async def rounds_have_looked() -> None:
        await lost.is_over.wait()
        while not rounds.locked():
            await rounds.acquire()
        for _ in range(2):
            await rounds.acquire()

    monkeypatch.setattr(reports, "report", lost.report)
    monkeypatch.setattr(Rounds, "run_once", count)
    loop = asyncio.get_running_loop()
    handlers = Handlers()

    @handlers.register("echo", retry=AT_ONCE)
    async def echo(ctx: Context) -> dict[str, Any]:
        if ctx.claim == 1:
            raise RuntimeError("once more")
        loop.call_soon_threadsafe(lost.runs_again.set)
        looked = asyncio.run_coroutine_threadsafe(rounds_have_looked(), loop)
        async with asyncio.timeout(LIMIT):
            await asyncio.wrap_future(looked)
        return {"claim": ctx.claim}

    task_id = await create_task(creator_pool, start_delay=SOON)
    async with working(database.processor_url, handlers) as processor:
        task = await processor.finished(task_id)

    assert task.status.state == task_pb2.TaskStatus.STATE_SUCCEEDED
    assert (task.status.attempt, task.status.claim) == (2, 2)
    assert dict(task.status.result) == {"claim": 2}
