"""Processors for tests of their statements: a joined row, a claim, a running task."""

from __future__ import annotations

from typing import Any
from uuid import UUID, uuid4

import asyncpg

from tandem.outcomes import Claimed, Outcome, Reason
from tandem.states import TaskState
from tandem_processor import cancels, claims, members, retries
from tandem_processor.cancels import Cancelled, CancelRequest
from tandem_processor.retries import RetryRequest
from tandem_processor.steps import Hold
from tests.factories import create_task

TYPES = ["echo", "email"]

FALL_SILENT = """
UPDATE tandem.processors
SET heartbeat_time = now() - interval '1 minute'
WHERE processor_id = $1
"""


async def join(pool: asyncpg.Pool) -> UUID:
    processor_id = uuid4()
    await members.join(pool, processor_id, queues=["default"], types=TYPES)
    return processor_id


async def claim(
    pool: asyncpg.Pool,
    processor_id: UUID,
    *task_ids: UUID,
    types: list[str] = TYPES,
    suspects: bool = False,
) -> list[Claimed]:
    return await claims.claim(
        pool,
        processor_id,
        task_ids=task_ids,
        types=types,
        limit=len(task_ids),
        suspects=suspects,
    )


async def run_task(
    creator_pool: asyncpg.Pool, pool: asyncpg.Pool, processor_id: UUID, **wanted: Any
) -> Claimed:
    """A new task that the processor has claimed."""
    task_id = await create_task(creator_pool, **wanted)
    (claimed,) = await claim(pool, processor_id, task_id)
    return claimed


async def cancel(
    pool: asyncpg.Pool,
    task_id: UUID,
    *,
    attempt: int | None = None,
    comment: str | None = None,
) -> Cancelled | None:
    request = CancelRequest(task_id=task_id, expected_attempt=attempt, comment=comment)
    return await cancels.cancel(pool, request)


async def retry(pool: asyncpg.Pool, task_id: UUID, *, attempt: int) -> bool:
    request = RetryRequest(task_id=task_id, expected_attempt=attempt)
    return await retries.retry(pool, request)


async def fall_silent(pool: asyncpg.Pool, processor_id: UUID) -> None:
    """As a processor looks that was killed a while ago."""
    await pool.execute(FALL_SILENT, processor_id)


def hold(claimed: Claimed, processor_id: UUID) -> Hold:
    return Hold(task_id=claimed.task_id, claim=claimed.claim, processor_id=processor_id)


def outcome(
    claimed: Claimed, state: TaskState = TaskState.SUCCEEDED, **fields: Any
) -> Outcome:
    return Outcome(task_id=claimed.task_id, claim=claimed.claim, state=state, **fields)


def failure(claimed: Claimed, message: str = "boom", **fields: Any) -> Outcome:
    fields = {"state": TaskState.PENDING, "reason": Reason.HANDLER_ERROR, **fields}
    return outcome(claimed, message=message, **fields)


async def status(pool: asyncpg.Pool, task_id: UUID) -> asyncpg.Record:
    row = await pool.fetchrow(
        """
        SELECT s.*, o.result::text AS result, o.errors::text AS errors,
            o.annotations::text AS annotations, o.cancel_comment
        FROM tandem.task_status AS s
        LEFT JOIN tandem.task_outputs AS o ON o.task_id = s.task_id
        WHERE s.task_id = $1
        """,
        task_id,
    )
    assert row is not None
    return row


async def everything(pool: asyncpg.Pool, task_id: UUID) -> list[Any]:
    """All that is stored of a task's status, to see that nothing changed."""
    stages = await pool.fetch(
        "SELECT g.*, g.result::text FROM tandem.task_stages AS g WHERE task_id = $1",
        task_id,
    )
    return [tuple(await status(pool, task_id)), *(tuple(stage) for stage in stages)]
