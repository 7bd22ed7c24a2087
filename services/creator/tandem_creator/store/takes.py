"""Ids that were taken and not yet confirmed."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Final
from uuid import UUID

import asyncpg

from tandem_creator.store.places import Kind, Lane, Reader

# Before a take named its projects, it was about all that its range holds.
READ_LOST_PROJECTS: Final = """
SELECT DISTINCT n.project
FROM tandem.takes AS k
CROSS JOIN LATERAL unnest(coalesce(
    k.task_projects,
    ARRAY(
        SELECT (SELECT t.project FROM tandem.tasks AS t WHERE t.task_id = s.task_id)
        FROM tandem.task_status AS s
        WHERE s.lane_id = k.lane_id
          AND s.position > k.from_position
          AND s.position <= k.to_position
    )
)) AS n (project)
WHERE k.group_name = $1
  AND (k.member_id IS NULL OR k.take_time < now() - $2::interval)
"""

RETAKE: Final = """
WITH lost AS (
    SELECT
        k.take_id, k.lane_id, k.from_position, k.to_position, l.queue, l.priority,
        k.types, told.projects
    FROM tandem.takes AS k
    JOIN tandem.lanes AS l ON l.lane_id = k.lane_id
    CROSS JOIN LATERAL (
        SELECT coalesce(
            k.task_projects,
            ARRAY(
                SELECT DISTINCT
                    (SELECT t.project FROM tandem.tasks AS t WHERE t.task_id = s.task_id)
                FROM tandem.task_status AS s
                WHERE s.lane_id = k.lane_id
                  AND s.position > k.from_position
                  AND s.position <= k.to_position
            )
        ) AS projects
    ) AS told
    CROSS JOIN set_config('synchronous_commit', 'off', true) AS hurry
    WHERE k.group_name = $1
      AND l.queue = ANY ($3::text[])
      AND ($4::text[] IS NULL OR k.types && $4::text[])
      AND ($8::text[] IS NULL OR told.projects && $8::text[])
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
    SELECT
        lost.take_id, lost.lane_id, lost.from_position, lost.to_position, lost.types,
        ARRAY(
            SELECT n.type FROM unnest(lost.types) AS n (type)
            WHERE $4::text[] IS NULL OR n.type = ANY ($4::text[])
        ) AS our_types,
        ARRAY(
            SELECT n.type FROM unnest(lost.types) AS n (type)
            WHERE NOT ($4::text[] IS NULL OR n.type = ANY ($4::text[]))
        ) AS their_types,
        ARRAY(
            SELECT n.project FROM unnest(lost.projects) AS n (project)
            WHERE $8::text[] IS NULL OR n.project = ANY ($8::text[])
        ) AS our_projects,
        ARRAY(
            SELECT n.project FROM unnest(lost.projects) AS n (project)
            WHERE NOT ($8::text[] IS NULL OR n.project = ANY ($8::text[]))
        ) AS their_projects
    FROM lost
),
mine AS (
    UPDATE tandem.takes AS k
    SET member_id = $2,
        take_time = now(),
        types = h.our_types,
        task_projects = h.our_projects
    FROM shares AS h
    WHERE k.take_id = h.take_id
    RETURNING k.take_id, k.lane_id, k.from_position, k.to_position, k.types, k.task_projects
),
theirs AS (
    INSERT INTO tandem.takes
        (group_name, lane_id, from_position, to_position, types, task_projects)
    SELECT $1, h.lane_id, h.from_position, h.to_position, r.types, r.projects
    FROM shares AS h
    CROSS JOIN LATERAL (
        VALUES (h.their_types, h.our_projects), (h.types, h.their_projects)
    ) AS r (types, projects)
    WHERE r.types <> '{}'
      AND r.projects <> '{}'
)
SELECT
    m.take_id, m.lane_id, lost.queue, lost.priority, still.task_id, still.type, still.project
FROM mine AS m
JOIN lost ON lost.take_id = m.take_id
LEFT JOIN LATERAL (
    SELECT s.task_id, s.position, t.type, t.project
    FROM tandem.task_status AS s
    CROSS JOIN LATERAL (
        SELECT a.type, a.project
        FROM tandem.tasks AS a
        WHERE a.task_id = s.task_id
        OFFSET 0
    ) AS t
    WHERE s.lane_id = m.lane_id
      AND s.position > m.from_position
      AND s.position <= m.to_position
      AND t.type = ANY (m.types)
      AND t.project = ANY (m.task_projects)
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
    ids: Sequence[tuple[UUID, Kind]]


async def retake(
    pool: asyncpg.Pool,
    reader: Reader,
    queues: Collection[str],
    *,
    types: Collection[str] | None,
    silent_for: float,
    but_not: Collection[int],
    projects: Collection[str] | None = None,
) -> Retaken | None:
    """Take over one take that nobody answers for, or not for so many seconds.

    Of a take with other types or projects, too, only these are taken over; the rest
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
        None if projects is None else list(projects),
    )
    if not records:
        return None
    first = records[0]
    lane = Lane(first["lane_id"], first["queue"], first["priority"])
    ids = [
        (record["task_id"], Kind(record["type"], record["project"]))
        for record in records
        if record["task_id"] is not None
    ]
    return Retaken(first["take_id"], lane, ids)


async def read_lost_projects(
    pool: asyncpg.Pool, reader: Reader, *, silent_for: float
) -> list[str]:
    """The projects that takes are about for which nobody answers."""
    limit = timedelta(seconds=silent_for)
    records = await pool.fetch(READ_LOST_PROJECTS, reader.group, limit)
    return [record["project"] for record in records if record["project"] is not None]


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
