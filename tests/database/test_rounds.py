"""What a round finds: claims that nobody runs, and why."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Any
from uuid import UUID

import asyncpg
import pytest
import structlog

from tandem import attempts
from tandem.desk import TaskDesk
from tandem.handlers import Handlers
from tandem.outcomes import Claimed, Outcome
from tandem_processor import reports
from tandem_processor.book import TaskBook
from tandem_processor.claimer import Claimer
from tandem_processor.reporter import Reporter
from tandem_processor.reports import Verdicts
from tandem_processor.rounds import Rounds
from tandem_processor.runner import Runner, Workshop
from tandem_processor.slots import Slots
from tests.factories import create_many
from tests.support.handled import answer, quick
from tests.support.processors import hold, join, status
from tests.support.until import until


class Parts:
    """Those of a processor with one slot that rounds concern."""

    def __init__(self, pool: asyncpg.Pool, me: UUID, handlers: Handlers) -> None:
        self.slots = Slots(handlers, concurrency=1)
        self.reporter = Reporter(pool, me, on_moved=lambda _: None)
        self.runner = Runner(self._make_workshop(pool, me, handlers), self.slots)
        self.claimer = Claimer(pool, me, slots=self.slots, runner=self.runner)
        self.rounds = Rounds(
            pool,
            me,
            claimer=self.claimer,
            runner=self.runner,
            reporter=self.reporter,
            interval=1.0,
        )

    def _make_workshop(
        self, pool: asyncpg.Pool, me: UUID, handlers: Handlers
    ) -> Workshop:
        def make_desk(claimed: Claimed, on_lost: Callable[[], None]) -> TaskDesk:
            book = TaskBook(pool, hold(claimed, me))
            return TaskDesk(book, log=structlog.get_logger(), on_lost=on_lost)

        return Workshop(
            handlers=handlers,
            handler_loop=asyncio.get_running_loop(),
            make_desk=make_desk,
            reporter=self.reporter,
        )

    async def claim(self, *task_ids: UUID) -> Sequence[UUID]:
        """Answers those for which there was no room."""
        (share,) = self.slots.shares
        return (await self.claimer.claim(task_ids, share)).left


async def test_a_launch_that_fails_keeps_its_slot_until_a_round_has_told_of_it(
    creator_pool: asyncpg.Pool,
    processor_pool: asyncpg.Pool,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """What keeps handlers from starting must not use up task after task."""
    me = await join(processor_pool)
    parts = Parts(processor_pool, me, quick())
    free_when_told: list[int] = []
    report = reports.report

    def fails(*_: Any) -> Any:
        raise RuntimeError("a defect")

    async def telling(
        pool: asyncpg.Pool, processor_id: UUID, outcomes: Sequence[Outcome]
    ) -> Verdicts:
        verdicts = await report(pool, processor_id, outcomes)
        free_when_told.append(parts.slots.free)
        return verdicts

    monkeypatch.setattr(attempts, "timeout_of", fails)
    monkeypatch.setattr(reports, "report", telling)
    task_id, next_ = await create_many(creator_pool, 2)
    reporting = asyncio.create_task(parts.reporter.run())
    await parts.claim(task_id)
    await until(lambda: answer(parts.runner.lost))
    left = await parts.claim(next_)
    await parts.rounds.run_once()
    reporting.cancel()
    with suppress(asyncio.CancelledError):
        await reporting

    assert (list(left), free_when_told) == ([next_], [0])
    assert (await status(processor_pool, task_id))["attempt"] == 1
    assert (parts.slots.free, dict(parts.runner.lost)) == (1, {})
