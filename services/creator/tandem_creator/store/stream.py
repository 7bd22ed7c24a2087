"""Reading the stream of created ids."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final
from uuid import UUID

from tandem.postgres.logins import Connection

# The floor is read under the same snapshot: if an id is missing because it was
# stripped, the floor that says so is seen, too. So there is always a first row.
#
# Each lane has its own ordered run in the index, so the first rows of all lanes
# are among the first rows of each. The project is a subquery of its own: as a
# join, a plan made for any LIMIT would read all tasks for each page.
READ_STREAM: Final = """
SELECT f.position AS floor, p.task_id, p.position
FROM tandem.stream_floor AS f
LEFT JOIN LATERAL (
    SELECT s.task_id, s.position
    FROM tandem.lanes AS l
    CROSS JOIN LATERAL (
        SELECT c.task_id, c.position
        FROM tandem.task_status AS c
        WHERE c.lane_id = l.lane_id
          AND c.position > $1
          AND c.position <= $2
        ORDER BY c.position
        LIMIT $3
    ) AS s
    WHERE $4::text[] IS NULL OR l.queue = ANY ($4::text[])
    ORDER BY s.position
    LIMIT $3
) AS p ON true
ORDER BY p.position
"""

# Looking up the projects takes longer than all the rest.
READ_PROJECTS: Final = """
SELECT t.task_id, t.project
FROM tandem.tasks AS t
WHERE t.task_id = ANY ($1::uuid[])
"""


@dataclass(frozen=True, slots=True)
class Page:
    """Some created ids in the stream's order."""

    ids: Sequence[UUID]
    end: int
    """Everything up to here was read."""

    floor: int = 0
    """Ids at or under it may be missing: they are kept no longer."""


async def read_stream(
    connection: Connection,
    after: int,
    *,
    settled: int,
    queues: Sequence[str] | None,
    limit: int,
) -> Page:
    """The next ids after a position, at most `limit`, none past the settled one."""
    records = await connection.fetch(READ_STREAM, after, settled, limit, queues)
    found = [record for record in records if record["task_id"] is not None]
    end = found[-1]["position"] if len(found) == limit else settled
    return Page([record["task_id"] for record in found], end, records[0]["floor"])


async def read_projects(
    connection: Connection, task_ids: Sequence[UUID]
) -> dict[UUID, str]:
    """The projects of these tasks."""
    records = await connection.fetch(READ_PROJECTS, task_ids)
    return {record["task_id"]: record["project"] for record in records}
