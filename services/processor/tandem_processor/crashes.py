"""The tasks of dead processors: found through their claim batches, and returned."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Final
from uuid import UUID

import asyncpg

from tandem import limits
from tandem.judging import MAX_CRASHES

# Almost always there is neither: one statement says so, without a transaction of its own.
LOOK: Final = """
SELECT
    EXISTS (
        SELECT
        FROM tandem.processors AS p
        WHERE p.state = 'LIVE'
          AND p.heartbeat_time < now() - $1::interval
          AND p.processor_id <> $2
    ) AS any_late,
    EXISTS (
        SELECT
        FROM tandem.processors AS p
        WHERE p.state = 'DEAD'
          AND p.heartbeat_time < now() - interval '1 hour'
    ) AS any_forgotten
"""

# FOR UPDATE waits out, or skips, every claim that is under way: each of them
# holds FOR KEY SHARE on this row.
LOCK_DEAD: Final = """
SELECT p.processor_id
FROM tandem.processors AS p
WHERE p.state = 'LIVE'
  AND p.heartbeat_time < now() - $1::interval
  AND p.processor_id <> $2
ORDER BY p.heartbeat_time
LIMIT 1
FOR UPDATE SKIP LOCKED
"""

MARK_DEAD: Final = """
UPDATE tandem.processors AS p
SET state = 'DEAD'
WHERE p.processor_id = $1
  AND p.state = 'LIVE'
RETURNING p.processor_id
"""

RETURN_TASKS: Final = """
WITH mine AS (
    SELECT DISTINCT unnest(b.task_ids) AS task_id
    FROM tandem.claim_batches AS b
    WHERE b.processor_id = $1
),
held AS (
    SELECT
        s.task_id, s.claim,
        CASE
            WHEN s.cancel_request_time IS NOT NULL THEN 'CANCELLED'
            WHEN s.crashes + 1 >= $4 THEN 'FAILED'
            WHEN s.attempt >= coalesce(t.max_attempts, h.max_attempts, $5) THEN 'FAILED'
            ELSE 'PENDING'
        END::tandem.task_state AS state
    FROM tandem.task_status AS s
    JOIN mine ON mine.task_id = s.task_id
    JOIN tandem.tasks AS t ON t.task_id = s.task_id
    LEFT JOIN unnest($2::text[], $3::integer[]) AS h (type, max_attempts)
        ON h.type = t.type
    WHERE s.processor_id = $1
      AND s.state = 'RUNNING'
    ORDER BY s.task_id
    FOR NO KEY UPDATE OF s
),
moved AS (
    UPDATE tandem.task_status AS s
    SET state = h.state,
        crashes = s.crashes + 1,
        due_time = CASE WHEN h.state = 'PENDING' THEN now() END,
        finish_time = CASE WHEN h.state <> 'PENDING' THEN now() END,
        update_time = now()
    FROM held AS h
    WHERE s.task_id = h.task_id
      AND s.claim = h.claim
      AND s.processor_id = $1
      AND s.state = 'RUNNING'
    RETURNING s.task_id, s.claim, s.attempt, s.state, s.crashes
),
kept AS (
    INSERT INTO tandem.task_outputs AS o (task_id, claim, errors)
    SELECT
        m.task_id, m.claim,
        json_build_array(json_build_object(
            'reason', 'CRASHED',
            'message', 'its processor died while it ran' || CASE
                WHEN m.state <> 'FAILED' THEN ''
                WHEN m.crashes < $4 THEN ', and no attempt is left'
                ELSE format(', %s times in a row: it is taken for the cause', m.crashes)
            END,
            'attempt', m.attempt, 'error_time', now()
        ))
    FROM moved AS m
    ON CONFLICT (task_id) DO UPDATE
    SET claim = excluded.claim,
        result = NULL,
        errors = jsonb_path_query_array(
            excluded.errors::jsonb || coalesce(o.errors::jsonb, '[]'), '$[0 to 5]'
        )::json
)
SELECT m.task_id, m.state::text AS state
FROM moved AS m
"""

DROP_BATCHES: Final = """
DELETE FROM tandem.claim_batches AS b
WHERE b.processor_id = $1
"""

# Kept for an hour, for whoever asks what died lately.
FORGET_DEAD: Final = """
DELETE FROM tandem.processors AS p
WHERE p.state = 'DEAD'
  AND p.heartbeat_time < now() - interval '1 hour'
"""


@dataclass(frozen=True, slots=True)
class Burial:
    """A processor that was found dead, and where its tasks went."""

    processor_id: UUID
    tasks: Mapping[UUID, str]


@dataclass(frozen=True, slots=True)
class Outlook:
    """Whether a round has anything to do."""

    any_late: bool
    """A processor's heartbeat is too old."""

    any_forgotten: bool
    """One died over an hour ago, and its row is still there."""


async def look(pool: asyncpg.Pool, judge_id: UUID, *, dead_after: timedelta) -> Outlook:
    """What there is to bury, and to forget."""
    (row,) = await pool.fetch(LOOK, dead_after, judge_id)
    return Outlook(**row)


async def bury_one(
    pool: asyncpg.Pool,
    judge_id: UUID,
    *,
    dead_after: timedelta,
    types: Sequence[str],
    max_attempts: Sequence[int],
) -> Burial | None:
    """Return the tasks of one dead processor, in one transaction; None if all live.

    Args:
        pool: whose sessions may take locks.
        judge_id: the own id, which is never judged.
        dead_after: how old a heartbeat may be, by the database's clock.
        types: task types that have their own number of attempts,
        max_attempts: and that number for each.
    """
    async with pool.acquire() as connection, connection.transaction():
        dead = await connection.fetchval(LOCK_DEAD, dead_after, judge_id)
        if dead is None:
            return None
        await connection.fetchval(MARK_DEAD, dead)
        rows = await connection.fetch(
            RETURN_TASKS,
            dead,
            types,
            max_attempts,
            MAX_CRASHES,
            limits.DEFAULT_MAX_ATTEMPTS,
        )
        await connection.execute(DROP_BATCHES, dead)
    return Burial(dead, {row["task_id"]: row["state"] for row in rows})


async def forget_dead(pool: asyncpg.Pool) -> None:
    """Delete the rows of those that died over an hour ago."""
    await pool.execute(FORGET_DEAD)
