"""The stream and its lanes: whether every task is still on its way to somebody."""

from __future__ import annotations

from typing import Final

import asyncpg

from tandem.doctor.findings import Finding

READ_EPOCH: Final = """
SELECT EXISTS (
    SELECT
    FROM tandem.epochs AS e
    WHERE e.system_identifier = (SELECT c.system_identifier FROM pg_control_system() AS c)
      AND e.timeline
        = ('x' || left(pg_walfile_name(pg_current_wal_insert_lsn()), 8))::bit(32)::integer
)
"""

# The sequence is read by no snapshot, so it may only be found too high.
READ_POSITIONS: Final = """
SELECT p.last_value AS given, greatest(used.position, placed.position) AS used
FROM tandem.positions AS p
CROSS JOIN (
    SELECT max(s.position) AS position
    FROM tandem.lanes AS l
    CROSS JOIN LATERAL (
        SELECT max(c.position) AS position
        FROM tandem.task_status AS c
        WHERE c.lane_id = l.lane_id
    ) AS s
) AS used
CROSS JOIN (SELECT max(g.position) AS position FROM tandem.group_places AS g) AS placed
"""

# The group has passed them, nobody answers for them, and no due time leads to them.
READ_LOST: Final = """
SELECT
    l.queue, l.priority, count(*) AS count,
    min(s.position) AS first, max(s.position) AS last,
    (array_agg(s.task_id ORDER BY s.position))[1] AS task_id
FROM tandem.group_places AS p
JOIN tandem.lanes AS l ON l.lane_id = p.lane_id
JOIN tandem.task_status AS s
    ON s.lane_id = p.lane_id
    AND s.position <= p.position
JOIN tandem.tasks AS t ON t.task_id = s.task_id
WHERE p.group_name = 'processors'
  AND s.state = 'PENDING'
  AND s.due_time IS NULL
  AND NOT EXISTS (
    SELECT
    FROM tandem.takes AS k
    WHERE k.group_name = p.group_name
      AND k.lane_id = s.lane_id
      AND s.position > k.from_position
      AND s.position <= k.to_position
      AND t.type = ANY (k.types)
      AND (k.task_projects IS NULL OR t.project = ANY (k.task_projects))
  )
GROUP BY l.queue, l.priority
ORDER BY l.queue, l.priority
"""

READ_UNSERVED: Final = """
SELECT t.queue, t.type, count(*) AS count
FROM tandem.task_status AS s
JOIN tandem.tasks AS t ON t.task_id = s.task_id
WHERE s.state = 'PENDING'
  AND NOT EXISTS (
    SELECT
    FROM tandem.processors AS p
    WHERE p.state = 'LIVE'
      AND t.queue = ANY (p.queues)
      AND t.type = ANY (p.types)
  )
GROUP BY t.queue, t.type
ORDER BY t.queue, t.type
"""


READ_DEAF: Final = """
SELECT g.group_name, sum(g.deaf) AS deaf, sum(g.members) AS members
FROM tandem.group_members AS g
WHERE g.update_time > now() - interval '30 seconds'
GROUP BY g.group_name
HAVING sum(g.deaf) > 0
ORDER BY g.group_name
"""


async def epoch(connection: asyncpg.Connection) -> list[Finding]:
    """Whether positions are given under the history that this server has."""
    if await connection.fetchval(READ_EPOCH):
        return []
    return [
        Finding(
            "no creator has served since this server became the primary",
            "start one: it moves positions past those that were lost",
        )
    ]


async def positions(connection: asyncpg.Connection) -> list[Finding]:
    """Whether the next position is above every one that is in use."""
    row = await connection.fetchrow(READ_POSITIONS)
    assert row is not None
    if row["used"] is None or row["used"] <= row["given"]:
        return []
    return [
        Finding(
            f"positions go on from {row['given']:,}, and {row['used']:,} is in use:"
            " readers would miss new tasks",
            "stop the creators, and as tandem_owner"
            f" SELECT setval('tandem.positions', {row['used'] + 1_000_000_000})",
        )
    ]


async def lost(connection: asyncpg.Connection) -> list[Finding]:
    """Tasks that nothing would ever announce again."""
    return [
        Finding(
            f"pending in queue {row['queue']}, priority {row['priority']}, and never to"
            f" be announced again: {row['count']:,}, from {row['task_id']} on, at"
            f" positions {row['first']} to {row['last']}",
            "`tandem task cancel` and then `tandem task retry` each, which gives it a due"
            " time; and please report it",
        )
        for row in await connection.fetch(READ_LOST)
    ]


async def lanes(connection: asyncpg.Connection) -> list[Finding]:
    """Pending tasks that no processor would take."""
    return [
        Finding(
            f"pending in queue {row['queue']} with type {row['type']}, which no living"
            f" processor takes: {row['count']:,}",
            f"start one with {row['queue']} in TANDEM_QUEUES and a handler for"
            f" {row['type']}",
        )
        for row in await connection.fetch(READ_UNSERVED)
    ]


async def members(connection: asyncpg.Connection) -> list[Finding]:
    """Members that have credit and take nothing, or answer for nothing."""
    return [
        Finding(
            f"group {row['group_name']} has deaf members: {row['deaf']} of"
            f" {row['members']}",
            "look at their processes, which the creators' logs name, and start them anew",
        )
        for row in await connection.fetch(READ_DEAF)
    ]
