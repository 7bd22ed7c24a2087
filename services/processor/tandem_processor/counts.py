"""Counts of tasks, for people who watch over them: scans, of which none takes a lock."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final, TypeAlias
from uuid import UUID

from tandem.postgres.logins import Connection
from tandem.states import TaskState

Projects: TypeAlias = Sequence[str] | None
"""Those that are counted; None for all."""

Midnights: TypeAlias = Sequence[datetime]
"""With which the days begin that are counted, the earliest first."""

NEIGHBOURS: Final = 100
"""Tasks among which the oldest of a lane is looked for: creates under way together."""

# One pass over the narrow table for all that stands in it. It is planned for its
# values: without projects the join with the specs falls away. A band tells how many
# groups have their place in the lane before the task. A day is the number of the
# midnight before it: told by comparing alone, in a third of the time.
COUNT_STATUSES: Final = """
SELECT
    s.lane_id, s.state::text AS state,
    CASE WHEN s.state = 'RUNNING' THEN s.processor_id END AS processor_id,
    coalesce(width_bucket(s.finish_time, $2::timestamptz[]), 0) AS day,
    s.due_time IS NULL AS is_streamed,
    coalesce(width_bucket(s.position, p.bounds), 0) AS band,
    count(*) AS count,
    min(s.position) AS first_position,
    min(s.due_time) FILTER (WHERE s.due_time <= now()) AS due_since,
    count(*) FILTER (WHERE s.due_time < now() - interval '5 minutes') AS overdue
FROM tandem.task_status AS s
LEFT JOIN (
    SELECT g.lane_id, array_agg(g.position + 1 ORDER BY g.position) AS bounds
    FROM tandem.group_places AS g
    GROUP BY g.lane_id
) AS p ON p.lane_id = s.lane_id
LEFT JOIN tandem.tasks AS t ON t.task_id = s.task_id
WHERE $1::text[] IS NULL OR t.project = ANY ($1)
GROUP BY 1, s.state, 3, 4, 5, 6
"""

# Without a due time a task is due since its creation. Positions follow the creates,
# but for those that were under way together: so a few are looked at, and no more.
READ_OLDEST: Final = """
SELECT w.lane_id, min(t.create_time) AS due_since
FROM unnest($2::integer[], $3::bigint[]) AS w (lane_id, position)
CROSS JOIN LATERAL (
    SELECT c.task_id, c.state, c.due_time
    FROM tandem.task_status AS c
    WHERE c.lane_id = w.lane_id
      AND c.position >= w.position
    ORDER BY c.position
    LIMIT $4
) AS s
JOIN tandem.tasks AS t ON t.task_id = s.task_id
WHERE s.state = 'PENDING'
  AND s.due_time IS NULL
  AND ($1::text[] IS NULL OR t.project = ANY ($1))
GROUP BY w.lane_id
"""

# Those that are not yet overdue, since they are few where the others are many.
COUNT_FRESH: Final = """
SELECT s.lane_id, count(*) AS count
FROM tandem.tasks AS t
JOIN tandem.task_status AS s ON s.task_id = t.task_id
WHERE t.create_time >= now() - interval '5 minutes'
  AND s.lane_id = ANY ($2::integer[])
  AND s.state = 'PENDING'
  AND s.due_time IS NULL
  AND ($1::text[] IS NULL OR t.project = ANY ($1))
GROUP BY s.lane_id
"""

COUNT_CREATED: Final = """
SELECT width_bucket(t.create_time, $2::timestamptz[]) AS day, count(*) AS count
FROM tandem.tasks AS t
WHERE t.create_time >= ($2::timestamptz[])[1]
  AND ($1::text[] IS NULL OR t.project = ANY ($1))
GROUP BY 1
"""

COUNT_STRIPPED: Final = """
SELECT
    width_bucket(t.finish_time, $2::timestamptz[]) AS day,
    t.final_state::text AS state,
    count(*) AS count
FROM tandem.tasks AS t
WHERE t.prune_time IS NOT NULL
  AND t.finish_time >= ($2::timestamptz[])[1]
  AND ($1::text[] IS NULL OR t.project = ANY ($1))
GROUP BY 1, t.final_state
"""

# A step from each project to the next: they are few, and their tasks many.
READ_PROJECTS: Final = """
WITH RECURSIVE found AS (
    SELECT (SELECT min(t.project) FROM tandem.tasks AS t) AS project
    UNION ALL
    SELECT (SELECT min(t.project) FROM tandem.tasks AS t WHERE t.project > f.project)
    FROM found AS f
    WHERE f.project IS NOT NULL
)
SELECT f.project
FROM found AS f
WHERE f.project IS NOT NULL
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Alike:
    """Tasks of one lane that do not differ in anything that is counted."""

    lane_id: int
    state: TaskState
    processor_id: UUID | None
    """Which runs them."""

    day: int
    """The number, from 1, of the day on which they ended; 0: none of those asked for."""

    is_streamed: bool
    """They have no due time."""

    band: int
    count: int
    first_position: int
    due_since: datetime | None
    overdue: int
    """Those whose due time was over five minutes ago."""

    @property
    def is_open(self) -> bool:
        """Whether nothing but the stream leads to them."""
        return self.state is TaskState.PENDING and self.is_streamed


async def count_statuses(
    connection: Connection, projects: Projects, midnights: Midnights
) -> list[Alike]:
    """All tasks that have a status."""
    rows = await connection.fetch(COUNT_STATUSES, projects, midnights)
    return [Alike(**{**row, "state": TaskState(row["state"])}) for row in rows]


async def read_oldest(
    connection: Connection, projects: Projects, first: dict[int, int]
) -> dict[int, datetime]:
    """When the oldest open task of each lane was created; `first`: its first position."""
    lanes, positions = list(first), list(first.values())
    rows = await connection.fetch(READ_OLDEST, projects, lanes, positions, NEIGHBOURS)
    return {row["lane_id"]: row["due_since"] for row in rows}


async def count_fresh(
    connection: Connection, projects: Projects, lanes: Collection[int]
) -> dict[int, int]:
    """The open tasks of each lane that were created in the last five minutes."""
    rows = await connection.fetch(COUNT_FRESH, projects, list(lanes))
    return {row["lane_id"]: row["count"] for row in rows}


async def count_created(
    connection: Connection, projects: Projects, midnights: Midnights
) -> dict[int, int]:
    """By the number of the day, from 1."""
    rows = await connection.fetch(COUNT_CREATED, projects, midnights)
    return {row["day"]: row["count"] for row in rows}


async def count_stripped(
    connection: Connection, projects: Projects, midnights: Midnights
) -> dict[tuple[int, TaskState], int]:
    """By the number of the day on which they ended, and by how they did."""
    rows = await connection.fetch(COUNT_STRIPPED, projects, midnights)
    return {(row["day"], TaskState(row["state"])): row["count"] for row in rows}


async def read_projects(connection: Connection) -> list[str]:
    """Every project that has tasks."""
    return [row["project"] for row in await connection.fetch(READ_PROJECTS)]
