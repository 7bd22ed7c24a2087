"""Who reads the stream and works the tasks, as the database knows them."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Final
from uuid import UUID

from tandem.postgres.logins import Connection

READ_LANES: Final = """
SELECT l.lane_id, l.queue, q.paused IS TRUE AS paused
FROM tandem.lanes AS l
LEFT JOIN tandem.queues AS q ON q.queue = l.queue
"""

# The running count takes in all places that are not after the group's own.
READ_BANDS: Final = """
SELECT
    p.group_name, p.lane_id,
    count(*) OVER (PARTITION BY p.lane_id ORDER BY p.position) AS band
FROM tandem.group_places AS p
"""

# Creators write at least every ten seconds.
COUNT_MEMBERS: Final = """
SELECT g.group_name, sum(g.members)::integer AS members, sum(g.deaf)::integer AS deaf
FROM tandem.group_members AS g
WHERE g.update_time > now() - interval '30 seconds'
GROUP BY g.group_name
"""

READ_PROCESSORS: Final = """
SELECT p.processor_id, p.heartbeat_time, p.types, p.state = 'DEAD' AS dead
FROM tandem.processors AS p
WHERE p.state = 'LIVE'
   OR p.heartbeat_time > now() - interval '1 hour'
ORDER BY p.start_time, p.processor_id
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class LaneRow:
    """One lane, and whether claims from its queue are stopped."""

    lane_id: int
    queue: str
    paused: bool


@dataclass(frozen=True, slots=True)
class MemberCount:
    """Members of one group."""

    members: int = 0
    deaf: int = 0
    """Of them, those that take nothing, or answer for nothing."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ProcessorRow:
    """One processor process, alive or lately dead."""

    processor_id: UUID
    heartbeat_time: datetime
    types: list[str]
    dead: bool


async def read_lanes(connection: Connection) -> dict[int, LaneRow]:
    """All lanes, by their number."""
    rows = await connection.fetch(READ_LANES)
    return {row["lane_id"]: LaneRow(**row) for row in rows}


async def read_bands(connection: Connection) -> dict[str, dict[int, int]]:
    """Of each group, by lane, the lowest band that lies after its place."""
    bands: dict[str, dict[int, int]] = {}
    for row in await connection.fetch(READ_BANDS):
        bands.setdefault(row["group_name"], {})[row["lane_id"]] = row["band"]
    return bands


async def count_members(connection: Connection) -> dict[str, MemberCount]:
    """The members of each group that has any, over all creators."""
    rows = await connection.fetch(COUNT_MEMBERS)
    return {row["group_name"]: MemberCount(row["members"], row["deaf"]) for row in rows}


async def read_processors(connection: Connection) -> list[ProcessorRow]:
    """Those alive, and those that died within the hour, the oldest first."""
    return [ProcessorRow(**row) for row in await connection.fetch(READ_PROCESSORS)]
