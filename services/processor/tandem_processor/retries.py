"""Retries that somebody asks for: the one way out of a final state."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final
from uuid import UUID

import asyncpg

from tandem.errors import TransitionRefused
from tandem.states import FINAL_STATES, TaskState, predecessors
from tandem.tasks import TaskRow

# The due time is what leads to the task: its position in the stream is behind
# every reader. A start that the spec delays still holds. The comment is cleared
# by an upsert, which sees the row as it is and not as the statement began.
RETRY: Final = """
WITH moved AS (
    UPDATE tandem.task_status AS s
    SET state = 'PENDING',
        crashes = 0,
        due_time = greatest(now(), t.not_before_time, t.create_time + t.start_delay),
        finish_time = NULL,
        cancel_request_time = NULL,
        update_time = now()
    FROM tandem.tasks AS t
    WHERE s.task_id = $1
      AND t.task_id = s.task_id
      AND s.attempt = $2
      AND s.state IN ('FAILED', 'CANCELLED')
    RETURNING s.task_id, s.claim
),
cleared AS (
    INSERT INTO tandem.task_outputs AS o (task_id, claim)
    SELECT m.task_id, m.claim
    FROM moved AS m
    ON CONFLICT (task_id) DO UPDATE
    SET cancel_comment = NULL
    WHERE o.cancel_comment IS NOT NULL
)
SELECT m.task_id
FROM moved AS m
"""

RETRIED: Final = FINAL_STATES & predecessors(TaskState.PENDING)


@dataclass(frozen=True, slots=True, kw_only=True)
class RetryRequest:
    """Which task, and the attempt that the caller saw end."""

    task_id: UUID
    expected_attempt: int


async def retry(pool: asyncpg.Pool, request: RetryRequest) -> bool:
    """Put the task back to PENDING. Answers whether it was where the caller saw it."""
    found = await pool.fetchval(RETRY, request.task_id, request.expected_attempt)
    return found is not None


def is_asked_for(row: TaskRow, request: RetryRequest) -> bool:
    """Whether the task is to be put back; else it is answered as it is.

    It is at any other attempt, and where it is PENDING: a repeat finds it so.

    Raises:
        TransitionRefused: nothing leads back from there.
    """
    if row.prune_time is not None:
        raise _refused(row, "was pruned, and its payload is gone: create a new task")
    if row.attempt != request.expected_attempt or row.state is TaskState.PENDING:
        return False
    if row.state not in RETRIED:
        raise _refused(row, f"is {row.state}: only FAILED or CANCELLED is retried")
    return True


def _refused(row: TaskRow, why: str) -> TransitionRefused:
    return TransitionRefused(
        f"the task {why}", task_id=str(row.task_id), state=str(row.state)
    )
