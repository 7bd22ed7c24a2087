"""What the janitor does to finished tasks, through its own login, one task at a time."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final
from uuid import UUID

import asyncpg

FINISH: Final = """
UPDATE tandem.task_status
SET state = 'SUCCEEDED', finish_time = now(), due_time = NULL
WHERE task_id = $1
  AND state = 'PENDING'
"""

FORGET_STATUS: Final = """
DELETE FROM tandem.task_status
WHERE task_id = $1
  AND state IN ('SUCCEEDED', 'FAILED', 'CANCELLED')
RETURNING state, finish_time
"""

STRIP: Final = """
UPDATE tandem.tasks
SET payload = NULL, title = NULL, labels = NULL,
    final_state = $2, finish_time = $3, prune_time = now()
WHERE task_id = $1
  AND prune_time IS NULL
"""

DELETE: Final = """
DELETE FROM tandem.tasks
WHERE task_id = $1
  AND prune_time IS NOT NULL
"""


async def finish(owner: asyncpg.Pool, task_id: UUID) -> None:
    """The task succeeded. Nothing happens to one that did already."""
    await owner.execute(FINISH, task_id)


@dataclass(frozen=True, slots=True)
class Janitor:
    """Strips finished tasks to their ids, and deletes stripped ones."""

    pool: asyncpg.Pool

    async def strip(self, task_id: UUID) -> None:
        """Status first, guarded by its state; both rows in one transaction."""
        async with self.pool.acquire() as connection, connection.transaction():
            if last := await connection.fetchrow(FORGET_STATUS, task_id):
                await connection.execute(STRIP, task_id, *last.values())

    async def delete(self, task_id: UUID) -> None:
        """The ids of a stripped task are free again."""
        await self.pool.execute(DELETE, task_id)
