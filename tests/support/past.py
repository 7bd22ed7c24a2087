"""Tasks of long ago: nobody waits a week for a test."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from typing import Final
from uuid import UUID

import asyncpg

from tandem.pruning.janitor import Janitor, Pruned
from tandem.pruning.retention import Retention

WEEK: Final = timedelta(days=7)
MONTH: Final = timedelta(days=30)
KEPT: Final = Retention(WEEK, MONTH)

AGE_TASKS: Final = """
UPDATE tandem.tasks
SET create_time = now() - $2::interval
WHERE task_id = ANY ($1::uuid[])
"""

AGE_STATUSES: Final = """
UPDATE tandem.task_status
SET state = $3::text::tandem.task_state,
    finish_time = CASE WHEN $3::text IN ('SUCCEEDED', 'FAILED', 'CANCELLED')
                       THEN now() - $2::interval END,
    start_time = now() - $2::interval,
    processor_id = gen_random_uuid(),
    attempt = 1,
    claim = 1,
    due_time = NULL
WHERE task_id = ANY ($1::uuid[])
"""

AGE_TOMBSTONES: Final = """
UPDATE tandem.tasks
SET finish_time = now() - $2::interval
WHERE task_id = ANY ($1::uuid[])
"""


async def age(
    owner: asyncpg.Pool,
    task_ids: Sequence[UUID],
    *,
    days: float,
    state: str = "SUCCEEDED",
) -> None:
    """Created, and finished where the state is final, so many days ago."""
    long = timedelta(days=days)
    await owner.execute(AGE_TASKS, task_ids, long)
    await owner.execute(AGE_STATUSES, task_ids, long, state)


async def age_tombstones(
    owner: asyncpg.Pool, task_ids: Sequence[UUID], *, days: float
) -> None:
    """Stripped tasks: finished so many days ago."""
    await owner.execute(AGE_TOMBSTONES, task_ids, timedelta(days=days))


async def prune(
    janitor: asyncpg.Pool, *, batch: int = 1000, dry_run: bool = False
) -> Pruned:
    """One round by the usual retention."""
    return await Janitor(janitor, KEPT, batch=batch, dry_run=dry_run).run_once()
