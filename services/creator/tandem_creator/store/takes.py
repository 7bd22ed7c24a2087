"""Ids that were taken and not yet confirmed."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Final
from uuid import UUID

import asyncpg

from tandem_creator.store.places import Lane, Reader

RETAKE: Final = """
WITH lost AS (
    SELECT k.take_id, k.lane_id, k.from_position, k.to_position, k.types, l.queue, l.priority
    FROM tandem.takes AS k
    JOIN tandem.lanes AS l ON l.lane_id = k.lane_id
    CROSS JOIN set_config('synchronous_commit', 'off', true) AS hurry
    WHERE k.group_name = $1
      AND l.queue = ANY ($3::text[])
      AND ($4::text[] IS NULL OR k.types && $4::text[])
      AND (k.member_id IS NULL OR k.take_time < now() - $5::interval)
      AND k.take_id <> ALL ($6::bigint[])
      AND NOT (
        $7
        AND EXISTS (SELECT FROM tandem.queues AS q WHERE q.queue = l.queue AND q.paused)
      )
    ORDER BY l.priority, k.take_id
    LIMIT 1
    FOR NO KEY UPDATE OF k SKIP LOCKED
),
shares AS (
    SELECT $4::text[] IS NULL OR n.type = ANY ($4::text[]) AS is_ours, array_agg(n.type) AS types
    FROM lost
    CROSS JOIN unnest(lost.types) AS n (type)
    GROUP BY 1
),
mine AS (
    UPDATE tandem.takes AS k
    SET member_id = $2,
        take_time = now(),
        types = (SELECT h.types FROM shares AS h WHERE h.is_ours)
    FROM lost
    WHERE k.take_id = lost.take_id
    RETURNING k.take_id, k.lane_id, k.from_position, k.to_position, k.types
),
theirs AS (
    INSERT INTO tandem.takes
        (group_name, lane_id, from_position, to_position, types)
    SELECT $1, lost.lane_id, lost.from_position, lost.to_position, h.types
    FROM lost
    CROSS JOIN shares AS h
    WHERE NOT h.is_ours
)
SELECT m.take_id, m.lane_id, lost.queue, lost.priority, still.task_id, still.type
FROM mine AS m
JOIN lost ON lost.take_id = m.take_id
LEFT JOIN LATERAL (
    SELECT s.task_id, s.position, t.type
    FROM tandem.task_status AS s
    CROSS JOIN LATERAL (
        SELECT a.type
        FROM tandem.tasks AS a
        WHERE a.task_id = s.task_id
        OFFSET 0
    ) AS t
    WHERE s.lane_id = m.lane_id
      AND s.position > m.from_position
      AND s.position <= m.to_position
      AND t.type = ANY (m.types)
      AND (NOT $7 OR (s.state = 'PENDING' AND s.due_time IS NULL))
) AS still ON true
ORDER BY still.position
"""

REFRESH: Final = """
UPDATE tandem.takes AS k
SET take_time = now()
FROM set_config('synchronous_commit', 'off', true) AS hurry
WHERE k.take_id = ANY ($1::bigint[])
  AND k.member_id = $2
RETURNING k.take_id
"""

RELEASE: Final = """
UPDATE tandem.takes AS k
SET member_id = NULL
FROM set_config('synchronous_commit', 'off', true) AS hurry
WHERE k.take_id = ANY ($1::bigint[])
  AND k.member_id = $2
"""

STRIKE: Final = """
DELETE FROM tandem.takes AS k
USING set_config('synchronous_commit', 'off', true) AS hurry
WHERE k.take_id = ANY ($1::bigint[])
  AND k.member_id = $2
"""


@dataclass(frozen=True, slots=True)
class Retaken:
    """A take that was lost, and those of its ids that are still to be announced."""

    take_id: int
    lane: Lane
    ids: Sequence[tuple[UUID, str]]


async def retake(
    pool: asyncpg.Pool,
    reader: Reader,
    queues: Collection[str],
    *,
    types: Collection[str] | None,
    silent_for: float,
    but_not: Collection[int],
) -> Retaken | None:
    """Take over one take that nobody answers for, or not for so many seconds.

    Of a take with ids of several types only these types are taken over; the rest
    becomes a take of its own. None: there is none.
    """
    records = await pool.fetch(
        RETAKE,
        reader.group,
        reader.name,
        list(queues),
        None if types is None else list(types),
        timedelta(seconds=silent_for),
        list(but_not),
        reader.works,
    )
    if not records:
        return None
    first = records[0]
    lane = Lane(first["lane_id"], first["queue"], first["priority"])
    ids = [
        (record["task_id"], record["type"])
        for record in records
        if record["task_id"] is not None
    ]
    return Retaken(first["take_id"], lane, ids)


async def refresh(
    pool: asyncpg.Pool, reader: Reader, take_ids: Collection[int]
) -> set[int]:
    """Say that these are still answered for; answers those that really are."""
    records = await pool.fetch(REFRESH, list(take_ids), reader.name)
    return {record["take_id"] for record in records}


async def release(
    pool: asyncpg.Pool, reader: Reader, take_ids: Collection[int]
) -> None:
    """Leave these to any creator with a member for them."""
    await pool.execute(RELEASE, list(take_ids), reader.name)


async def strike(pool: asyncpg.Pool, reader: Reader, take_ids: Collection[int]) -> None:
    """These are confirmed, every id."""
    await pool.execute(STRIKE, list(take_ids), reader.name)
