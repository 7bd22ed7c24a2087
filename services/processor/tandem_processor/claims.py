"""Claims: the compare-and-set that makes PENDING tasks RUNNING under this processor."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Final
from uuid import UUID

import asyncpg

from tandem.outcomes import Claimed

# The own row is locked before any task: a claim cannot commit behind the sweep
# of a reconciler, which takes FOR UPDATE on that row first. The last SELECT
# answers one row without a task where the row is LIVE and nothing was claimed.
CLAIM: Final = """
WITH me AS (
    SELECT p.processor_id
    FROM tandem.processors AS p
    WHERE p.processor_id = $1
      AND p.state = 'LIVE'
    FOR KEY SHARE
),
wanted AS (
    SELECT s.task_id
    FROM tandem.task_status AS s
    JOIN tandem.tasks AS t ON t.task_id = s.task_id
    LEFT JOIN tandem.queues AS q ON q.queue = t.queue
    WHERE s.task_id = ANY ($2::uuid[])
      AND s.state = 'PENDING'
      AND (s.due_time IS NULL OR s.due_time <= now())
      AND (s.crashes > 1) = $5
      AND t.type = ANY ($3::text[])
      AND q.paused IS NOT TRUE
    ORDER BY s.task_id
    LIMIT $4
    FOR NO KEY UPDATE OF s SKIP LOCKED
),
claimed AS (
    UPDATE tandem.task_status AS s
    SET state = 'RUNNING',
        claim = s.claim + 1,
        attempt = s.attempt + 1,
        processor_id = me.processor_id,
        due_time = NULL,
        progress = NULL,
        start_time = coalesce(s.start_time, now()),
        update_time = now()
    FROM wanted, me
    WHERE s.task_id = wanted.task_id
      AND s.state = 'PENDING'
    RETURNING s.task_id, s.attempt, s.claim, s.crashes > 1 AS is_suspect
),
noted AS (
    INSERT INTO tandem.claim_batches (processor_id, task_ids)
    SELECT $1, array_agg(c.task_id)
    FROM claimed AS c
    HAVING count(c.task_id) > 0
)
SELECT
    c.task_id, t.request_id, t.project, t.type,
    t.payload::text AS payload, t.labels::text AS labels, t.title, t.external_id,
    c.attempt, c.claim,
    t.max_attempts, t.initial_backoff, t.max_backoff, t.attempt_timeout,
    c.is_suspect, t.queue, t.trace_context,
    extract(epoch FROM now() - t.create_time)::float8 AS age
FROM me
LEFT JOIN claimed AS c ON true
LEFT JOIN tandem.tasks AS t ON t.task_id = c.task_id
"""

# Without a due time nothing but the stream leads to a task.
READ_UNCLAIMED: Final = """
SELECT s.task_id, s.state = 'PENDING' AND s.due_time IS NULL AS still_open
FROM tandem.task_status AS s
WHERE s.task_id = ANY ($1::uuid[])
"""

# The few that are longest due in each lane, and of these the most urgent, or the
# longest due of all.
READ_DUE: Final = """
SELECT d.task_id, d.type, d.is_suspect, d.wait
FROM tandem.lanes AS l
LEFT JOIN tandem.queues AS q ON q.queue = l.queue
CROSS JOIN LATERAL (
    SELECT
        s.task_id, t.type, s.crashes > 1 AS is_suspect, s.due_time,
        greatest(extract(epoch FROM s.due_time - now()), 0)::float8 AS wait
    FROM tandem.task_status AS s
    JOIN tandem.tasks AS t ON t.task_id = s.task_id
    WHERE s.lane_id = l.lane_id
      AND s.due_time <= now() + $5::interval
      AND t.type = ANY ($2::text[])
      AND (s.crashes <= 1 OR $3)
    ORDER BY s.due_time
    LIMIT $4
) AS d
WHERE l.queue = ANY ($1::text[])
  AND q.paused IS NOT TRUE
ORDER BY d.wait > 0, CASE WHEN $6 THEN l.priority END, d.due_time
LIMIT $4
"""


class DeclaredDead(Exception):
    """This processor's row is not LIVE any more: its claims belong to others."""


@dataclass(frozen=True, slots=True)
class Unclaimed:
    """Ids that a claim left; the others of them are claimed, done, or due later."""

    still_open: frozenset[UUID]
    """PENDING, and led to by the stream alone: they must be announced again."""

    unknown: frozenset[UUID]
    """No task has these ids."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Due:
    """A task that may be claimed by now, or soon."""

    task_id: UUID
    type: str
    is_suspect: bool
    wait: float
    """Seconds until it is due, by the database's clock; 0: it is."""


async def claim(
    pool: asyncpg.Pool,
    processor_id: UUID,
    *,
    task_ids: Sequence[UUID],
    types: Sequence[str],
    limit: int,
    suspects: bool = False,
) -> list[Claimed]:
    """Claim what can be claimed among these ids, at most `limit`.

    Either suspects alone, which were running in two crashes in a row, or others.

    Raises:
        DeclaredDead: the processor is not LIVE, so nothing was claimed.
    """
    rows = await pool.fetch(CLAIM, processor_id, task_ids, types, limit, suspects)
    if not rows:
        raise DeclaredDead
    # The one row without a task has no id, which comes first.
    return [Claimed(*row) for row in rows if row[0] is not None]


async def read_unclaimed(pool: asyncpg.Pool, task_ids: Collection[UUID]) -> Unclaimed:
    """Why these ids, which were announced, could not be claimed."""
    if not task_ids:
        return Unclaimed(frozenset(), frozenset())
    rows = await pool.fetch(READ_UNCLAIMED, list(task_ids))
    known = {row["task_id"] for row in rows}
    return Unclaimed(
        still_open=frozenset(row["task_id"] for row in rows if row["still_open"]),
        unknown=frozenset(task_ids) - known,
    )


async def read_due(
    pool: asyncpg.Pool,
    *,
    queues: Sequence[str],
    types: Sequence[str],
    suspects: bool,
    limit: int,
    ahead: float = 0,
    urgent_first: bool = False,
) -> list[Due]:
    """Of the longest due in each lane those that this processor may run; suspects if they may.

    The most urgent come first, or else the longest due. After them come those that
    will be due within `ahead` seconds.
    """
    span = timedelta(seconds=ahead)
    rows = await pool.fetch(
        READ_DUE, queues, types, suspects, limit, span, urgent_first
    )
    return [Due(**dict(row)) for row in rows]
