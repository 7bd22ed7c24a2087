"""The own row among the processors: joining, the heartbeat, leaving."""

from __future__ import annotations

import os
import socket
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final
from uuid import UUID

import asyncpg

from tandem_processor.claims import DeclaredDead

JOIN: Final = """
INSERT INTO tandem.processors (processor_id, host, process_id, queues, types)
VALUES ($1, $2, $3, $4, $5)
ON CONFLICT DO NOTHING
"""

BEAT: Final = """
UPDATE tandem.processors AS p
SET heartbeat_time = now()
WHERE p.processor_id = $1
  AND p.state = 'LIVE'
RETURNING p.heartbeat_time
"""

# Waits out a claim that is under way: it holds FOR KEY SHARE on this row. Only a
# statement that begins after it sees what it has noted.
LOCK_OWN: Final = """
SELECT p.processor_id
FROM tandem.processors AS p
WHERE p.processor_id = $1
  AND p.state = 'LIVE'
FOR UPDATE
"""

# A row under which tasks still run stays, to be found by a reconciler.
LEAVE: Final = """
DELETE FROM tandem.processors AS p
WHERE p.processor_id = $1
  AND p.state = 'LIVE'
  AND NOT EXISTS (
      SELECT FROM tandem.claim_batches AS b
      WHERE b.processor_id = p.processor_id
  )
RETURNING p.processor_id
"""

READ_HELD: Final = """
SELECT s.task_id, t.request_id, s.claim
FROM (
    SELECT DISTINCT unnest(b.task_ids) AS task_id
    FROM tandem.claim_batches AS b
    WHERE b.processor_id = $1
) AS mine
JOIN tandem.task_status AS s ON s.task_id = mine.task_id
JOIN tandem.tasks AS t ON t.task_id = s.task_id
WHERE s.processor_id = $1
  AND s.state = 'RUNNING'
"""

DROP_FINISHED_BATCHES: Final = """
DELETE FROM tandem.claim_batches AS b
WHERE b.processor_id = $1
  AND NOT EXISTS (
      SELECT FROM tandem.task_status AS s
      WHERE s.task_id = ANY (b.task_ids)
        AND s.processor_id = $1
        AND s.state = 'RUNNING'
  )
"""


@dataclass(frozen=True, slots=True)
class Held:
    """A task that the database has as running under this processor."""

    task_id: UUID
    request_id: UUID
    claim: int


async def join(
    pool: asyncpg.Pool,
    processor_id: UUID,
    *,
    queues: Sequence[str],
    types: Sequence[str],
) -> None:
    """Become one of the processors, LIVE from this moment. Safe to repeat."""
    host = socket.gethostname()
    await pool.execute(JOIN, processor_id, host, os.getpid(), queues, types)


async def beat(pool: asyncpg.Pool, processor_id: UUID) -> datetime:
    """Renew the lease on every claimed task. Answers when, by the database's clock.

    Raises:
        DeclaredDead: the row is not LIVE any more.
    """
    moment: datetime | None = await pool.fetchval(BEAT, processor_id)
    if moment is None:
        raise DeclaredDead
    return moment


async def leave(pool: asyncpg.Pool, processor_id: UUID) -> bool:
    """Delete the own row; not if tasks still run under it."""
    async with pool.acquire() as connection, connection.transaction():
        await connection.execute(LOCK_OWN, processor_id)
        await connection.execute(DROP_FINISHED_BATCHES, processor_id)
        return await connection.fetchval(LEAVE, processor_id) is not None


async def read_held(pool: asyncpg.Pool, processor_id: UUID) -> list[Held]:
    """What runs under this processor, as the database has it."""
    rows = await pool.fetch(READ_HELD, processor_id)
    return [Held(**dict(row)) for row in rows]


async def drop_finished_batches(pool: asyncpg.Pool, processor_id: UUID) -> None:
    """Forget the claim batches of which nothing runs any more."""
    await pool.execute(DROP_FINISHED_BATCHES, processor_id)
