"""How far a group has taken each lane, and taking more."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Final, NamedTuple
from uuid import UUID

import asyncpg

from tandem import limits

WINDOW: Final = 1000
"""Positions that one take looks at, whatever it finds there; more where more are wanted."""

# One look for both: an idle creator asks so little that each statement counts. The next
# position is looked up for each lane: as an EXISTS it could become a join, for which a
# planner that knew nothing yet of the lanes read all that is settled.
READ_NEWS: Final = """
SELECT look.any_lost, n.lane_id, n.queue, n.priority, n.has_place
FROM (
    SELECT $5::interval IS NOT NULL AND EXISTS (
        SELECT
        FROM tandem.takes AS k
        WHERE k.group_name = $1
          AND (k.member_id IS NULL OR k.take_time < now() - $5::interval)
    ) AS any_lost
) AS look
LEFT JOIN LATERAL (
    SELECT l.lane_id, l.queue, l.priority, p.position IS NOT NULL AS has_place
    FROM tandem.lanes AS l
    LEFT JOIN tandem.group_places AS p
        ON p.group_name = $1
        AND p.lane_id = l.lane_id
    WHERE l.queue = ANY ($2::text[])
      AND NOT (
        $4
        AND EXISTS (SELECT FROM tandem.queues AS q WHERE q.queue = l.queue AND q.paused)
      )
      AND (
        SELECT s.position
        FROM tandem.task_status AS s
        WHERE s.lane_id = l.lane_id
          AND s.position > coalesce(p.position, 0)
        ORDER BY s.position
        LIMIT 1
      ) <= $3
) AS n ON true
"""

INSERT_PLACE: Final = """
INSERT INTO tandem.group_places (group_name, lane_id, position)
VALUES ($1, $2, 0)
ON CONFLICT DO NOTHING
"""

# For readers who may not see everything: what they are about to come to.
READ_PROJECTS_AHEAD: Final = """
SELECT DISTINCT
    (SELECT t.project FROM tandem.tasks AS t WHERE t.task_id = s.task_id) AS project
FROM tandem.group_places AS p
CROSS JOIN LATERAL (
    SELECT c.task_id
    FROM tandem.task_status AS c
    WHERE c.lane_id = p.lane_id
      AND c.position > p.position
      AND c.position <= $3
    ORDER BY c.position
    LIMIT $4
) AS s
WHERE p.group_name = $1
  AND p.lane_id = $2
"""

# One statement, so that the place and the take move together or not at all. A
# take that a crash forgets is taken again: its commit need not wait for the disk.
TAKE: Final = """
WITH place AS (
    SELECT p.position
    FROM tandem.group_places AS p
    CROSS JOIN set_config('synchronous_commit', 'off', true) AS hurry
    WHERE p.group_name = $1
      AND p.lane_id = $2
      AND NOT (
        $7
        AND EXISTS (
            SELECT
            FROM tandem.lanes AS l
            JOIN tandem.queues AS q ON q.queue = l.queue
            WHERE l.lane_id = $2
              AND q.paused
        )
      )
    FOR NO KEY UPDATE OF p SKIP LOCKED
),
scanned AS (
    SELECT
        s.task_id, s.position, t.type, t.project,
        NOT $7 OR (s.state = 'PENDING' AND s.due_time IS NULL) AS is_open,
        $9::text[] IS NULL OR t.project = ANY ($9::text[]) AS is_readable,
        $6::text[] IS NULL OR t.type = ANY ($6::text[]) AS is_run
    FROM place
    CROSS JOIN LATERAL (
        SELECT c.task_id, c.position, c.state, c.due_time
        FROM tandem.task_status AS c
        WHERE c.lane_id = $2
          AND c.position > place.position
          AND c.position <= $3
        ORDER BY c.position
        LIMIT $5
    ) AS s
    LEFT JOIN LATERAL (
        SELECT a.type, a.project
        FROM tandem.tasks AS a
        WHERE a.task_id = s.task_id
        OFFSET 0
    ) AS t ON true
),
counted AS (
    SELECT
        n.task_id, n.position, n.type, n.project, n.is_open, n.is_readable,
        n.is_readable AND n.is_run AS is_ours,
        count(*) FILTER (WHERE n.is_open AND n.is_readable AND n.is_run)
            OVER (ORDER BY n.position) AS nth
    FROM scanned AS n
),
seen AS (
    SELECT c.task_id, c.position, c.type, c.project, c.is_readable, c.is_ours
    FROM counted AS c
    WHERE c.nth <= $4
      AND c.is_open
),
reach AS (
    SELECT max(c.position) AS position, count(*) AS positions
    FROM counted AS c
    WHERE c.nth <= $4
),
moved AS (
    UPDATE tandem.group_places AS p
    SET position = reach.position
    FROM place, reach
    WHERE p.group_name = $1
      AND p.lane_id = $2
      AND p.position = place.position
      AND reach.position > place.position
    RETURNING place.position AS from_position, p.position AS to_position
),
taken AS (
    INSERT INTO tandem.takes
        (group_name, lane_id, from_position, to_position, types, task_projects, member_id)
    SELECT
        $1, $2, m.from_position, m.to_position,
        array_agg(DISTINCT s.type),
        array_agg(DISTINCT s.project),
        CASE WHEN s.is_ours THEN $8 END
    FROM moved AS m
    CROSS JOIN seen AS s
    GROUP BY m.from_position, m.to_position, s.is_readable, s.is_ours
    RETURNING take_id, member_id
)
SELECT
    (SELECT k.take_id FROM taken AS k WHERE k.member_id IS NOT NULL) AS take_id,
    (SELECT count(*) FROM scanned) = reach.positions
        AND reach.positions < $5 AS is_exhausted,
    ARRAY(SELECT s.task_id FROM seen AS s WHERE s.is_ours ORDER BY s.position) AS task_ids,
    ARRAY(SELECT s.type FROM seen AS s WHERE s.is_ours ORDER BY s.position) AS types,
    ARRAY(SELECT s.project FROM seen AS s WHERE s.is_ours ORDER BY s.position) AS projects
FROM place
CROSS JOIN reach
"""


@dataclass(frozen=True, slots=True)
class Lane:
    """One lane that a group reads."""

    lane_id: int
    queue: str
    priority: int


@dataclass(frozen=True, slots=True)
class News:
    """What a group may take."""

    lanes: Sequence[Lane]
    """Those with settled positions that the group has not taken."""

    any_lost: bool
    """Whether there are takes that nobody answers for."""


class Kind(NamedTuple):
    """What decides who may be sent a task's id."""

    type: str
    project: str


@dataclass(frozen=True, slots=True)
class Taken:
    """Ids to announce, each with its kind, and the record that answers for them."""

    take_id: int | None
    ids: Sequence[tuple[UUID, Kind]]
    is_exhausted: bool
    """Nothing settled is left in the lane for now."""


@dataclass(frozen=True, slots=True)
class Reader:
    """Who takes: a group, in the name of one creator process."""

    group: str
    name: str

    @property
    def works(self) -> bool:
        """Whether it runs the tasks: then it is told only of those that may run now."""
        return self.group == limits.WORKERS


async def read_news(
    pool: asyncpg.Pool,
    reader: Reader,
    queues: Collection[str],
    *,
    settled: int,
    silent_for: float | None = None,
) -> News:
    """What has settled and is not taken yet; each lane has a place.

    With `silent_for` also whether takes are lost: nobody answers for them, or not for so
    many seconds.
    """
    records = await pool.fetch(
        READ_NEWS,
        reader.group,
        list(queues),
        settled,
        reader.works,
        None if silent_for is None else timedelta(seconds=silent_for),
    )
    found = [record for record in records if record["lane_id"] is not None]
    for record in found:
        if not record["has_place"]:
            await pool.execute(INSERT_PLACE, reader.group, record["lane_id"])
    lanes = [Lane(r["lane_id"], r["queue"], r["priority"]) for r in found]
    return News(lanes, any_lost=records[0]["any_lost"])


async def read_projects_ahead(
    pool: asyncpg.Pool, reader: Reader, lane: Lane, *, settled: int, most: int
) -> list[str]:
    """The projects of what the group's next take may look at, if it is of so many ids."""
    records = await pool.fetch(
        READ_PROJECTS_AHEAD, reader.group, lane.lane_id, settled, max(most, WINDOW)
    )
    return [record["project"] for record in records if record["project"] is not None]


async def take(
    pool: asyncpg.Pool,
    reader: Reader,
    lane: Lane,
    *,
    settled: int,
    most: int,
    types: Collection[str] | None,
    projects: Collection[str] | None = None,
) -> Taken | None:
    """Move the group's place on, over at most `most` ids of these types and projects.

    Other ids that are passed over go into takes without a member.
    None: another creator is taking from this lane at this moment.
    """
    record = await pool.fetchrow(
        TAKE,
        reader.group,
        lane.lane_id,
        settled,
        most,
        max(most, WINDOW),
        None if types is None else list(types),
        reader.works,
        reader.name,
        None if projects is None else list(projects),
    )
    if record is None:
        return None
    kinds = map(Kind, record["types"], record["projects"])
    ids = list(zip(record["task_ids"], kinds, strict=True))
    take_id = record["take_id"]
    exhausted = record["is_exhausted"]
    return Taken(take_id, ids if take_id is not None else [], exhausted)
