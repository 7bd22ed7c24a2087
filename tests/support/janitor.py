"""What the janitor does to finished tasks, through its own login, one task at a time."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import Final
from uuid import UUID

import asyncpg

from tandem.pruning.expiry import delete_tasks
from tandem.pruning.strips import strip
from tandem.pruning.walk import Ripe

AT_ONCE: Final = timedelta(0)

FINISH: Final = """
UPDATE tandem.task_status
SET state = 'SUCCEEDED', finish_time = now(), due_time = NULL
WHERE task_id = $1
  AND state = 'PENDING'
"""

POSITION: Final = """
SELECT s.position
FROM tandem.task_status AS s
WHERE s.task_id = $1
"""


async def finish(owner: asyncpg.Pool, task_id: UUID) -> None:
    """The task succeeded. Nothing happens to one that did already."""
    await owner.execute(FINISH, task_id)


@dataclass(frozen=True, slots=True)
class Janitor:
    """Strips finished tasks to their ids, and deletes stripped ones, at once."""

    pool: asyncpg.Pool

    async def strip(self, task_id: UUID) -> None:
        position = await self.pool.fetchval(POSITION, task_id)
        if position is not None:
            await strip(self.pool, Ripe([task_id], position), strip_after=AT_ONCE)

    async def delete(self, task_id: UUID) -> None:
        """The ids of a stripped task are free again."""
        await delete_tasks(self.pool, [task_id], delete_after=AT_ONCE)
