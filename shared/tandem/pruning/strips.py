"""Stripping: a finished task keeps its ids, its state and its times, and no more."""

from __future__ import annotations

from datetime import timedelta
from typing import Final

import asyncpg

from tandem.pruning.walk import Ripe

# Readers are sent what has a status. Whoever has yet to read a stripped task is told
# so by this, instead of passing over it without a word.
RAISE_FLOOR: Final = """
UPDATE tandem.stream_floor AS f
SET position = $1
WHERE f.position < $1
"""

# The status goes first, guarded by its state: a task that is retried meanwhile keeps
# everything. Two janitors share the rows out by the lock on the spec.
STRIP: Final = """
WITH held AS (
    SELECT t.task_id
    FROM tandem.tasks AS t
    WHERE t.task_id = ANY ($1::uuid[])
      AND t.prune_time IS NULL
    ORDER BY t.task_id
    FOR NO KEY UPDATE OF t SKIP LOCKED
),
gone AS (
    DELETE FROM tandem.task_status AS s
    USING held AS h
    WHERE s.task_id = h.task_id
      AND s.state IN ('SUCCEEDED', 'FAILED', 'CANCELLED')
      AND s.finish_time < now() - $2::interval
    RETURNING s.task_id, s.state, s.finish_time
),
stages AS (
    DELETE FROM tandem.task_stages AS g
    USING gone
    WHERE g.task_id = gone.task_id
),
outputs AS (
    DELETE FROM tandem.task_outputs AS o
    USING gone
    WHERE o.task_id = gone.task_id
)
UPDATE tandem.tasks AS t
SET payload = NULL,
    title = NULL,
    labels = NULL,
    final_state = gone.state,
    finish_time = gone.finish_time,
    prune_time = now()
FROM gone
WHERE t.task_id = gone.task_id
  AND t.prune_time IS NULL
RETURNING t.task_id
"""


async def strip(pool: asyncpg.Pool, ripe: Ripe, *, strip_after: timedelta) -> int:
    """Strip those that are still final and past the retention. Answers how many.

    The floor of the stream rises in the same transaction, so that no reader sees the
    one without the other.
    """
    async with pool.acquire() as connection, connection.transaction():
        await connection.execute(RAISE_FLOOR, ripe.ripe_to)
        return len(await connection.fetch(STRIP, ripe.task_ids, strip_after))
