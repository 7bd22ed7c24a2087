"""Cancels: PENDING and SUSPENDED tasks end at once, RUNNING ones are asked to stop."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final
from uuid import UUID

import asyncpg

# One UPDATE for every state: a claim or a report that is under way is waited for,
# and what it left is what the guard and the CASE look at. A first request stands.
# `claim` of a new row of outputs is never taken for a result's: it has none.
CANCEL: Final = """
WITH asked AS (
    UPDATE tandem.task_status AS s
    SET state = CASE s.state
            WHEN 'RUNNING' THEN 'RUNNING'
            ELSE 'CANCELLED'
        END::tandem.task_state,
        cancel_request_time = CASE s.state WHEN 'RUNNING' THEN now() END,
        finish_time = CASE s.state WHEN 'RUNNING' THEN NULL ELSE now() END,
        due_time = NULL,
        update_time = now()
    WHERE s.task_id = $1
      AND ($2::integer IS NULL OR s.attempt = $2)
      AND s.state IN ('PENDING', 'RUNNING', 'SUSPENDED')
      AND s.cancel_request_time IS NULL
    RETURNING s.task_id, s.claim, s.state
),
kept AS (
    INSERT INTO tandem.task_outputs AS o (task_id, claim, cancel_comment)
    SELECT a.task_id, a.claim, $3::text
    FROM asked AS a
    WHERE $3::text IS NOT NULL
    ON CONFLICT (task_id) DO UPDATE
    SET cancel_comment = excluded.cancel_comment
)
SELECT a.claim, a.state::text AS state
FROM asked AS a
"""

READ_REQUESTS: Final = """
SELECT s.task_id, s.claim
FROM tandem.task_status AS s
WHERE s.task_id = ANY ($1::uuid[])
  AND s.processor_id = $2
  AND s.state = 'RUNNING'
  AND s.cancel_request_time IS NOT NULL
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class CancelRequest:
    """Which task, at which attempt (None: at any), and what the caller says about it."""

    task_id: UUID
    expected_attempt: int | None
    comment: str | None


@dataclass(frozen=True, slots=True)
class Cancelled:
    """What a cancel changed: the task is CANCELLED, or its handler is to be stopped."""

    claim: int
    state: str


async def cancel(pool: asyncpg.Pool, request: CancelRequest) -> Cancelled | None:
    """Cancel the task or ask for it; None where nothing was left to change."""
    row = await pool.fetchrow(
        CANCEL, request.task_id, request.expected_attempt, request.comment
    )
    return None if row is None else Cancelled(**dict(row))


async def read_requests(
    pool: asyncpg.Pool, processor_id: UUID, task_ids: Sequence[UUID]
) -> Mapping[UUID, int]:
    """The claim of each of these that runs under the processor, and is to be stopped."""
    rows = await pool.fetch(READ_REQUESTS, task_ids, processor_id)
    return {row["task_id"]: row["claim"] for row in rows}
