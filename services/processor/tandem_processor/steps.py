"""What a handler says while it runs: stages, progress, annotations.

Each statement moves the status row under the guard of the claim, so that a
holder that was fenced off writes nothing: a plain read would not see the fence.
"""

from __future__ import annotations

from typing import Final, NamedTuple
from uuid import UUID

import asyncpg

from tandem import limits
from tandem.desk import Begun, too_many_annotations
from tandem.errors import LeaseLost

BEGIN_STAGE: Final = """
WITH held AS (
    UPDATE tandem.task_status AS s
    SET update_time = now()
    WHERE s.task_id = $1
      AND s.claim = $2
      AND s.processor_id = $3
      AND s.state = 'RUNNING'
    RETURNING s.task_id, s.attempt, s.claim
),
begun AS (
    INSERT INTO tandem.task_stages AS g (task_id, name, state, attempt, claim, start_time)
    SELECT h.task_id, $4, 'RUNNING', h.attempt, h.claim, now()
    FROM held AS h
    ON CONFLICT (task_id, name) DO UPDATE
    SET state = excluded.state,
        attempt = excluded.attempt,
        claim = excluded.claim,
        start_time = excluded.start_time,
        finish_time = NULL,
        result = NULL
    WHERE g.state <> 'SUCCEEDED'
    RETURNING g.task_id
)
SELECT
    EXISTS (SELECT FROM begun) AS begun,
    (
        SELECT g.result::text
        FROM tandem.task_stages AS g
        WHERE g.task_id = h.task_id
          AND g.name = $4
          AND g.state = 'SUCCEEDED'
    ) AS result,
    (
        SELECT coalesce(sum(octet_length(g.result::text)), 0)
        FROM tandem.task_stages AS g
        WHERE g.task_id = h.task_id
          AND g.state = 'SUCCEEDED'
    ) AS kept_bytes
FROM held AS h
"""

END_STAGE: Final = """
WITH held AS (
    UPDATE tandem.task_status AS s
    SET update_time = now()
    WHERE s.task_id = $1
      AND s.claim = $2
      AND s.processor_id = $3
      AND s.state = 'RUNNING'
    RETURNING s.task_id, s.claim
)
UPDATE tandem.task_stages AS g
SET state = $5,
    result = $6::json,
    finish_time = now()
FROM held AS h
WHERE g.task_id = h.task_id
  AND g.name = $4
  AND g.claim = h.claim
RETURNING g.task_id
"""

SET_PROGRESS: Final = """
UPDATE tandem.task_status AS s
SET progress = $4,
    update_time = now()
WHERE s.task_id = $1
  AND s.claim = $2
  AND s.processor_id = $3
  AND s.state = 'RUNNING'
RETURNING s.task_id
"""

ANNOTATE: Final = """
WITH held AS (
    UPDATE tandem.task_status AS s
    SET update_time = now()
    WHERE s.task_id = $1
      AND s.claim = $2
      AND s.processor_id = $3
      AND s.state = 'RUNNING'
    RETURNING s.task_id, s.claim
),
kept AS (
    INSERT INTO tandem.task_outputs AS o (task_id, claim, annotations)
    SELECT h.task_id, h.claim, $4::json
    FROM held AS h
    ON CONFLICT (task_id) DO UPDATE
    SET annotations = (
            coalesce(o.annotations::jsonb, '{}') || excluded.annotations::jsonb
        )::json
    WHERE (
        SELECT count(*)
        FROM jsonb_object_keys(
            coalesce(o.annotations::jsonb, '{}') || excluded.annotations::jsonb
        )
    ) <= $5
    RETURNING o.task_id
)
SELECT EXISTS (SELECT FROM kept) AS kept
FROM held AS h
"""


class Hold(NamedTuple):
    """By what a write proves that it may change the task."""

    task_id: UUID
    claim: int
    processor_id: UUID

    def lost(self) -> LeaseLost:
        return LeaseLost("the claim is held no longer", task_id=str(self.task_id))


async def begin_stage(pool: asyncpg.Pool, hold: Hold, name: str) -> Begun:
    """Note that the step begins, or find what it returned earlier.

    Raises:
        LeaseLost: the claim is not held; nothing was written.
    """
    row = await pool.fetchrow(BEGIN_STAGE, *hold, name)
    if row is None:
        raise hold.lost()
    return Begun(None if row["begun"] else row["result"], row["kept_bytes"])


async def end_stage(
    pool: asyncpg.Pool, hold: Hold, name: str, *, result: str | None
) -> None:
    """Keep what the step returned, or with None that it failed.

    Raises:
        LeaseLost: the claim is not held; nothing was written.
    """
    state = "FAILED" if result is None else "SUCCEEDED"
    found = await pool.fetchval(END_STAGE, *hold, name, state, result)
    if found is None:
        raise hold.lost()


async def set_progress(pool: asyncpg.Pool, hold: Hold, fraction: float) -> None:
    """Say how far the attempt is.

    Raises:
        LeaseLost: the claim is not held; nothing was written.
    """
    if await pool.fetchval(SET_PROGRESS, *hold, fraction) is None:
        raise hold.lost()


async def annotate(pool: asyncpg.Pool, hold: Hold, texts: str) -> None:
    """Add texts, as a JSON object, to those noted earlier.

    Raises:
        LeaseLost: the claim is not held; nothing was written.
        ValueError: the task would have too many; nothing was added.
    """
    kept = await pool.fetchval(ANNOTATE, *hold, texts, limits.MAX_ANNOTATIONS)
    if kept is None:
        raise hold.lost()
    if not kept:
        raise too_many_annotations()
