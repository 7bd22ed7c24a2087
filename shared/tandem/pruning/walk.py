"""Finding what is past its retention: lane by lane, from the oldest position on.

No index tells finished tasks from others, so a walk passes whatever is older than
the retention and still has its status. It ends at the first batch that was created
within the retention: what finished before that was created before it, too.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Final
from uuid import UUID

import asyncpg

from tandem import limits

READ_SETTLED: Final = "SELECT tandem.settled_position_v1()"

# A group that only reads has yet to be sent what is past its place in a lane, and
# what it has not confirmed. It reads whole queues: in a lane of one that it has not
# been sent anything from, its place is the beginning.
READ_LANES: Final = """
WITH readers AS (
    SELECT DISTINCT p.group_name, l.queue
    FROM tandem.group_places AS p
    JOIN tandem.lanes AS l ON l.lane_id = p.lane_id
    WHERE p.group_name <> $2
),
unconfirmed AS (
    SELECT k.group_name, k.lane_id, min(k.from_position) AS position
    FROM tandem.takes AS k
    WHERE k.group_name <> $2
    GROUP BY k.group_name, k.lane_id
),
places AS (
    SELECT
        l.lane_id, r.group_name,
        least(coalesce(p.position, 0), u.position) AS position
    FROM tandem.lanes AS l
    JOIN readers AS r ON r.queue = l.queue
    LEFT JOIN tandem.group_places AS p
        ON p.group_name = r.group_name
        AND p.lane_id = l.lane_id
    LEFT JOIN unconfirmed AS u
        ON u.group_name = r.group_name
        AND u.lane_id = l.lane_id
),
reaches AS (
    SELECT
        l.lane_id,
        least($1::bigint, min(p.position)) AS reach,
        (array_agg(p.group_name ORDER BY p.position)
            FILTER (WHERE p.position < $1::bigint))[1] AS slowest
    FROM tandem.lanes AS l
    LEFT JOIN places AS p ON p.lane_id = l.lane_id
    GROUP BY l.lane_id
)
SELECT
    r.lane_id, r.reach,
    CASE WHEN (
        SELECT t.create_time < now() - $3::interval
        FROM tandem.task_status AS s
        JOIN tandem.tasks AS t ON t.task_id = s.task_id
        WHERE s.lane_id = r.lane_id
          AND s.position > r.reach
        ORDER BY s.position
        LIMIT 1
    ) THEN r.slowest END AS held_by
FROM reaches AS r
ORDER BY r.lane_id
"""

WALK: Final = """
WITH walked AS (
    SELECT
        s.task_id, s.position,
        s.state IN ('SUCCEEDED', 'FAILED', 'CANCELLED')
            AND s.finish_time < now() - $5::interval AS is_ripe
    FROM tandem.task_status AS s
    WHERE s.lane_id = $1
      AND s.position > $2
      AND s.position <= $3
    ORDER BY s.position
    LIMIT $4
),
last AS (
    SELECT w.task_id, w.position
    FROM walked AS w
    ORDER BY w.position DESC
    LIMIT 1
)
SELECT
    last.position AS place,
    ARRAY(SELECT w.task_id FROM walked AS w WHERE w.is_ripe) AS task_ids,
    (SELECT max(w.position) FROM walked AS w WHERE w.is_ripe) AS ripe_to,
    coalesce((
        SELECT t.create_time >= now() - $5::interval
        FROM tandem.tasks AS t
        WHERE t.task_id = last.task_id
    ), false) AS is_over
FROM last
"""


@dataclass(frozen=True, slots=True)
class Lane:
    """One lane, as far as it may be stripped."""

    lane_id: int
    reach: int
    """Every group that reads it has taken it up to here, and everything is settled."""

    held_by: str | None
    """The group for which ids past the retention are kept; None: there is none."""


@dataclass(frozen=True, slots=True)
class Ripe:
    """Tasks that were found final and past the retention."""

    task_ids: Sequence[UUID]
    ripe_to: int
    """The highest position among them."""


async def read_lanes(pool: asyncpg.Pool, *, strip_after: timedelta) -> list[Lane]:
    """Every lane. What is settled is read first: nothing lands under it later."""
    settled = await pool.fetchval(READ_SETTLED)
    records = await pool.fetch(READ_LANES, settled, limits.WORKERS, strip_after)
    return [Lane(*record.values()) for record in records]


async def ripe_in(
    pool: asyncpg.Pool, lane: Lane, *, strip_after: timedelta, batch: int
) -> AsyncIterator[Ripe]:
    """The lane's tasks to strip, from at most `batch` rows at a time."""
    place = 0
    while found := await pool.fetchrow(
        WALK, lane.lane_id, place, lane.reach, batch, strip_after
    ):
        place = found["place"]
        if found["task_ids"]:
            yield Ripe(found["task_ids"], found["ripe_to"])
        if found["is_over"]:
            return
