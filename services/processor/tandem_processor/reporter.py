"""Outcomes of attempts, written in micro-batches until the database has them."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from functools import partial
from typing import Final, TypeAlias
from uuid import UUID

import asyncpg

from tandem.calls import STORE_REFUSED
from tandem.errors import StoreRefused, TandemError
from tandem.outcomes import Outcome
from tandem_processor import reports
from tandem_processor.patience import patiently
from tandem_processor.reports import Verdicts
from tandem_processor.worked import Worked

MOST_AT_ONCE: Final = 500
"""Outcomes in one statement: enough that the commit is shared, few enough to be quick."""

OnMoved: TypeAlias = Callable[[Sequence[UUID]], None]

Then: TypeAlias = Callable[[TandemError | None], None]
"""What follows a report: it is kept, or this is why it is not."""


class Reporter:
    """The first outcome is written at once; others join while a batch is under way."""

    def __init__(
        self,
        pool: asyncpg.Pool,
        processor_id: UUID,
        *,
        on_moved: OnMoved,
        worked: Worked | None = None,
    ) -> None:
        self._loop = asyncio.get_running_loop()
        self._pool = pool
        self._processor_id = processor_id
        self._on_moved = on_moved
        self._worked = worked or Worked()
        self._waiting: list[tuple[Outcome, Then]] = []
        self._news = asyncio.Event()

    def report(self, outcome: Outcome) -> asyncio.Future[None]:
        """Done once the outcome is kept, for as long as the database is away.

        Raises:
            LeaseLost: the claim is held no longer; nothing was written.
            ResultConflict: another outcome of this claim is kept.
            StoreRefused: the database refused the values.
        """
        kept: asyncio.Future[None] = self._loop.create_future()
        self.post(outcome, partial(_settle, kept))
        return kept

    def post(self, outcome: Outcome, then: Then) -> None:
        """As `report`, for whoever need not wait: `then` is called with what came of it."""
        self._waiting.append((outcome, then))
        self._news.set()

    async def run(self) -> None:
        while True:
            await self._news.wait()
            await self.run_once()

    async def run_once(self) -> int:
        """Write one batch. Answers how many outcomes it had."""
        batch = self._waiting[:MOST_AT_ONCE]
        del self._waiting[: len(batch)]
        if not self._waiting:
            self._news.clear()
        if batch:
            self._worked.reports.add(len(batch))
            verdicts = await self._write([outcome for outcome, _ in batch])
            self._on_moved([outcome.task_id for outcome, _ in batch])
            # In the loop's next turn: the next batch is sent before.
            self._loop.call_soon(self._tell, batch, verdicts)
        return len(batch)

    def _tell(self, batch: Sequence[tuple[Outcome, Then]], verdicts: Verdicts) -> None:
        for outcome, then in batch:
            try:
                then(verdicts[outcome.task_id])
            except Exception as error:  # noqa: BLE001 - those behind it are others'
                self._loop.call_exception_handler(
                    {"message": f"a call of {then!r} failed", "exception": error}
                )

    async def _write(self, outcomes: Sequence[Outcome]) -> Verdicts:
        try:
            return await patiently(
                lambda: reports.report(self._pool, self._processor_id, outcomes)
            )
        except STORE_REFUSED as error:
            if len(outcomes) == 1:
                refusal = StoreRefused(type(error).__name__)
                return {outcomes[0].task_id: refusal}
        # One value that the database refuses must not cost its neighbours.
        verdicts: Verdicts = {}
        for outcome in outcomes:
            verdicts = {**verdicts, **await self._write([outcome])}
        return verdicts


def _settle(kept: asyncio.Future[None], verdict: TandemError | None) -> None:
    if kept.done():
        return
    if verdict is None:
        kept.set_result(None)
    else:
        kept.set_exception(verdict)
