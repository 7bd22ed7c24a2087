"""The same steps at the statements of a processor, one or several at a time."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Coroutine, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import timedelta
from functools import singledispatchmethod
from typing import Any, Final, TypeVar
from uuid import UUID

import asyncpg

from tandem.errors import LeaseLost, TandemError
from tandem.outcomes import Outcome, Reason, given_back
from tandem.states import TaskState
from tandem_processor import crashes, members, reports, steps
from tandem_processor.claims import DeclaredDead
from tandem_processor.steps import Hold
from tests.factories import create_task
from tests.support.janitor import Janitor
from tests.support.processing_model import (
    FAILED,
    GIVEN_BACK,
    SUCCEEDED,
    BeginStage,
    Bury,
    Cancel,
    Claim,
    EndStage,
    Leave,
    Report,
    Retry,
    Shown,
    Strip,
)
from tests.support.processors import cancel, claim, fall_silent, join, retry
from tests.support.until import until

LIMIT: Final = 60.0

STAGE: Final = "only"

DEAD_AFTER: Final = timedelta(seconds=15)

READ: Final = """
SELECT
    t.task_id, s.state::text, s.attempt, s.claim, s.crashes, s.processor_id,
    s.cancel_request_time IS NOT NULL AS is_cancel_asked,
    o.result::text AS result, g.state AS stage, g.claim AS stage_claim
FROM tandem.tasks AS t
LEFT JOIN tandem.task_status AS s ON s.task_id = t.task_id
LEFT JOIN tandem.task_outputs AS o ON o.task_id = t.task_id
LEFT JOIN tandem.task_stages AS g ON g.task_id = t.task_id
WHERE t.task_id = ANY ($1::uuid[])
"""

READ_LIVING: Final = """
SELECT p.processor_id
FROM tandem.processors AS p
WHERE p.processor_id = ANY ($1::uuid[])
  AND p.state = 'LIVE'
"""

Answer = TypeVar("Answer")


@dataclass(frozen=True, slots=True)
class World:
    """What a state machine acts upon. Its methods run on the loop."""

    loop: asyncio.AbstractEventLoop
    creator: asyncpg.Pool
    processor: asyncpg.Pool
    janitor: Janitor

    def run(self, doing: Coroutine[Any, Any, Answer]) -> Answer:
        """From another thread: do it on the loop."""
        return asyncio.run_coroutine_threadsafe(doing, self.loop).result(LIMIT)

    async def create(self, max_attempts: int) -> UUID:
        return await create_task(self.creator, max_attempts=max_attempts)

    async def join(self) -> UUID:
        return await join(self.processor)

    async def race(self, racing: Sequence[Any]) -> list[TandemError | None]:
        """All of them at once. Answers why each report was refused."""
        return list(await asyncio.gather(*(self.do(step) for step in racing)))

    async def shown(self, task_ids: Sequence[UUID], among: Sequence[UUID]) -> Shown:
        """The tasks, and who of these processors lives."""
        rows = await self.processor.fetch(READ, task_ids)
        living = await self.processor.fetch(READ_LIVING, among)
        tasks = {row["task_id"]: _shown(row) for row in rows}
        return tasks, frozenset(row["processor_id"] for row in living)

    @singledispatchmethod
    async def do(self, step: Any) -> TandemError | None:
        raise NotImplementedError

    @do.register
    async def _claim(self, step: Claim) -> None:
        with suppress(DeclaredDead):
            await claim(self.processor, step.by, step.task, suspects=step.suspects)

    @do.register
    async def _report(self, step: Report) -> TandemError | None:
        verdicts = await reports.report(self.processor, step.by, [_outcome(step)])
        return verdicts[step.task]

    @do.register
    async def _begin(self, step: BeginStage) -> None:
        with suppress(LeaseLost):
            await steps.begin_stage(self.processor, _hold(step), STAGE)

    @do.register
    async def _end(self, step: EndStage) -> None:
        with suppress(LeaseLost):
            await steps.end_stage(self.processor, _hold(step), STAGE, result="1")

    @do.register
    async def _bury(self, step: Bury) -> None:
        await fall_silent(self.processor, step.dead)
        # A claim of its own that is under way is passed over once.
        await until(lambda: self._find_dead(step.judge))

    async def _find_dead(self, judge: UUID) -> bool:
        burial = await crashes.bury_one(
            self.processor, judge, dead_after=DEAD_AFTER, types=[], max_attempts=[]
        )
        return burial is not None

    @do.register
    async def _leave(self, step: Leave) -> None:
        await members.leave(self.processor, step.by)

    @do.register
    async def _cancel(self, step: Cancel) -> None:
        await cancel(self.processor, step.task, attempt=step.attempt)

    @do.register
    async def _retry(self, step: Retry) -> None:
        await retry(self.processor, step.task, attempt=step.attempt)

    @do.register
    async def _strip(self, step: Strip) -> None:
        await self.janitor.strip(step.task)


def _shown(row: asyncpg.Record) -> tuple[Any, ...] | None:
    if row["state"] is None:
        return None
    result = None if row["result"] is None else json.loads(row["result"])["claim"]
    stage = None if row["stage"] is None else (row["stage"], row["stage_claim"])
    counts = (row["attempt"], row["claim"], row["crashes"])
    kept = (row["is_cancel_asked"], result, stage)
    return (row["state"], *counts, row["processor_id"], *kept)


def _hold(step: BeginStage | EndStage) -> Hold:
    return Hold(task_id=step.task, claim=step.claim, processor_id=step.by)


def _outcome(step: Report) -> Outcome:
    if step.says == GIVEN_BACK:
        return given_back(step.task, step.claim)
    if step.says == SUCCEEDED:
        result = json.dumps({"claim": step.claim})
        return Outcome(
            task_id=step.task,
            claim=step.claim,
            state=TaskState.SUCCEEDED,
            result=result,
        )
    reason = Reason.DO_NOT_RETRY if step.says == FAILED else Reason.HANDLER_ERROR
    return Outcome(
        task_id=step.task,
        claim=step.claim,
        state=TaskState(step.says),
        reason=reason,
        message=f"claim {step.claim}",
    )
