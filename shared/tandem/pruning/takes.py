"""What groups leave behind: takes of which nothing is open, and groups given up."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from datetime import timedelta
from typing import Final

import asyncpg

from tandem import limits

UNTOUCHED: Final = timedelta(hours=1)
"""A creator that answers for a take touches it every few seconds."""

# What is neither pending nor without a due time is led to by other ways, and never
# becomes so again: such a take stays empty.
FIND_TAKES: Final = """
SELECT k.take_id
FROM tandem.takes AS k
WHERE k.group_name = $1
  AND k.take_time < now() - $2::interval
  AND k.take_id > $4
  AND NOT EXISTS (
      SELECT
      FROM tandem.task_status AS s
      WHERE s.lane_id = k.lane_id
        AND s.position > k.from_position
        AND s.position <= k.to_position
        AND s.state = 'PENDING'
        AND s.due_time IS NULL
        AND (SELECT t.type FROM tandem.tasks AS t WHERE t.task_id = s.task_id) = ANY (k.types)
  )
ORDER BY k.take_id
LIMIT $3
"""

STRIKE_TAKES: Final = """
DELETE FROM tandem.takes AS k
WHERE k.take_id = ANY ($1::bigint[])
  AND k.group_name = $2
  AND k.take_time < now() - $3::interval
RETURNING k.take_id
"""

FORGET_TAKES: Final = """
DELETE FROM tandem.takes AS k
WHERE k.group_name = $1
  AND k.group_name <> $2
"""

FORGET_PLACES: Final = """
DELETE FROM tandem.group_places AS p
WHERE p.group_name = $1
  AND p.group_name <> $2
RETURNING p.lane_id
"""


async def empty_takes(
    pool: asyncpg.Pool, *, batch: int
) -> AsyncIterator[Sequence[int]]:
    """The workers' takes of which nothing is left to be claimed.

    They stay where no processor runs their types, since nobody confirms them.
    """
    place = 0
    while found := await pool.fetch(
        FIND_TAKES, limits.WORKERS, UNTOUCHED, batch, place
    ):
        yield [record["take_id"] for record in found]
        place = found[-1]["take_id"]


async def strike_takes(pool: asyncpg.Pool, take_ids: Sequence[int]) -> int:
    """Strike these off, unless a creator took them over. Answers how many."""
    return len(await pool.fetch(STRIKE_TAKES, take_ids, limits.WORKERS, UNTOUCHED))


async def forget_group(pool: asyncpg.Pool, group: str) -> int:
    """Give up a group that only reads. Answers in how many lanes it had a place.

    Should it come back, it begins with the oldest task that is kept.
    """
    async with pool.acquire() as connection, connection.transaction():
        await connection.execute(FORGET_TAKES, group, limits.WORKERS)
        return len(await connection.fetch(FORGET_PLACES, group, limits.WORKERS))
