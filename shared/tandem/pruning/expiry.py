"""What is deleted once its time is over: ids of stripped tasks, content windows."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from datetime import UTC, datetime, timedelta
from typing import Final
from uuid import UUID

import asyncpg

from tandem import limits

BEGINNING: Final = (datetime(1, 1, 1, tzinfo=UTC), UUID(int=0))

FIND_EXPIRED: Final = """
SELECT t.task_id, t.finish_time
FROM tandem.tasks AS t
WHERE t.prune_time IS NOT NULL
  AND t.finish_time < now() - $1::interval
  AND (t.finish_time, t.task_id) > ($3::timestamptz, $4::uuid)
ORDER BY t.finish_time, t.task_id
LIMIT $2
"""

DELETE_TASKS: Final = """
DELETE FROM tandem.tasks AS t
WHERE t.task_id = ANY (ARRAY(
    SELECT k.task_id
    FROM tandem.tasks AS k
    WHERE k.task_id = ANY ($1::uuid[])
      AND k.prune_time IS NOT NULL
      AND k.finish_time < now() - $2::interval
    ORDER BY k.task_id
    FOR UPDATE OF k SKIP LOCKED
  ))
  AND t.prune_time IS NOT NULL
RETURNING t.task_id
"""

# All of it, in the order of its keys: it holds little more than a day's contents,
# and an index by age would cost every create.
FIND_WINDOWS: Final = """
SELECT w.content_key, w.create_time < now() - $1::interval AS is_over
FROM tandem.content_windows AS w
WHERE w.content_key > $3
ORDER BY w.content_key
LIMIT $2
"""

# A create may take the content over meanwhile: then the row is young again.
DELETE_WINDOWS: Final = """
DELETE FROM tandem.content_windows AS w
WHERE w.content_key = ANY ($1::bytea[])
  AND w.create_time < now() - $2::interval
RETURNING w.content_key
"""


async def expired_tasks(
    pool: asyncpg.Pool, *, delete_after: timedelta, batch: int
) -> AsyncIterator[Sequence[UUID]]:
    """Stripped tasks whose ids are kept no longer, oldest first."""
    place = BEGINNING
    while found := await pool.fetch(FIND_EXPIRED, delete_after, batch, *place):
        yield [record["task_id"] for record in found]
        place = (found[-1]["finish_time"], found[-1]["task_id"])


async def delete_tasks(
    pool: asyncpg.Pool, task_ids: Sequence[UUID], *, delete_after: timedelta
) -> int:
    """Free their ids. Only what is stripped is deleted. Answers how many were."""
    return len(await pool.fetch(DELETE_TASKS, task_ids, delete_after))


async def expired_windows(
    pool: asyncpg.Pool, *, batch: int
) -> AsyncIterator[Sequence[bytes]]:
    """Contents that no window can reach any more."""
    place = b""
    while found := await pool.fetch(
        FIND_WINDOWS, limits.MAX_CONTENT_WINDOW, batch, place
    ):
        if over := [record["content_key"] for record in found if record["is_over"]]:
            yield over
        place = found[-1]["content_key"]


async def delete_windows(pool: asyncpg.Pool, content_keys: Sequence[bytes]) -> int:
    """Forget these contents, unless they were claimed anew. Answers how many."""
    return len(
        await pool.fetch(DELETE_WINDOWS, content_keys, limits.MAX_CONTENT_WINDOW)
    )
