"""Rounds: a look, now and then, at whether claims and handlers still agree."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from uuid import UUID

import asyncpg
import structlog

from tandem.attempts import Attempt
from tandem.calls import STORE_AWAY
from tandem.errors import LeaseLost, ResultConflict
from tandem.judging import broken_down
from tandem.outcomes import StopCause, given_back
from tandem_processor import members
from tandem_processor.claimer import Claimer
from tandem_processor.members import Held
from tandem_processor.reporter import Reporter
from tandem_processor.runner import Runner

log = structlog.get_logger()


class Rounds:
    """Compares what the database says runs here with what does."""

    def __init__(
        self,
        pool: asyncpg.Pool,
        processor_id: UUID,
        *,
        claimer: Claimer,
        runner: Runner,
        reporter: Reporter,
        interval: float,
    ) -> None:
        self._pool = pool
        self._processor_id = processor_id
        self._claimer = claimer
        self._runner = runner
        self._reporter = reporter
        self._interval = interval
        self._dropped_at: int | None = None

    async def run(self) -> None:
        while True:
            try:
                await self.run_once()
            except STORE_AWAY as error:
                log.warning("round failed", error=type(error).__name__)
            await asyncio.sleep(self._interval)

    async def run_once(self) -> None:
        """Stop what is lost; put back what nobody runs."""
        await self._drop_finished()
        # No claim is under way, so every claimed task is in one of the two.
        async with self._claimer.lock:
            held, running = self._runner.held, self._runner.running
            lost = self._runner.lost
            rows = await members.read_held(self._pool, self._processor_id)
        self._stop_lost(running, rows)
        for row in rows:
            if (row.task_id, row.claim) not in held:
                await self._put_back(row, lost.get((row.task_id, row.claim)))
        self._runner.forget(lost)
        if rows:
            self._dropped_at = None

    async def _drop_finished(self) -> None:
        """Drop the batches that are over, unless nothing was claimed since all were.

        Done before the look, which keeps claims waiting for as long as it reads.
        """
        async with self._claimer.lock:
            begun, busy = self._claimer.begun, bool(self._runner.held)
        if begun != self._dropped_at:
            await members.drop_finished_batches(self._pool, self._processor_id)
        self._dropped_at = None if busy else begun

    def _stop_lost(
        self, running: frozenset[tuple[UUID, int]], rows: Sequence[Held]
    ) -> None:
        present = {(row.task_id, row.claim) for row in rows}
        for task_id, claim in running - present:
            self._runner.stop(task_id, StopCause.LEASE_LOST, claim=claim)

    async def _put_back(self, orphan: Held, attempt: Attempt | None) -> None:
        """Report a claim that nobody would ever run or report."""
        line = log.bind(task_id=str(orphan.task_id), request_id=str(orphan.request_id))
        if attempt is None:
            line.warning("claim given back", why="its answer was lost or late")
            outcome = given_back(orphan.task_id, orphan.claim)
        else:
            line.warning("attempt reported as failed", why="its report was lost")
            outcome = broken_down(attempt.claimed, attempt.handler)
        try:
            await self._reporter.report(outcome)
        except (LeaseLost, ResultConflict) as error:
            line.info("claim was gone", reason=error.reason)
