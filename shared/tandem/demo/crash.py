"""One processor dies in the middle of its work, by SIGKILL."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import asyncpg

from tandem.processes import ServiceProcess

LOOK_AGAIN: Final = 0.05
"""Seconds."""

FIND_HALF_DONE: Final = """
SELECT p.process_id, array_agg(s.task_id::text) AS task_ids
FROM tandem.processors AS p
JOIN tandem.task_status AS s ON s.processor_id = p.processor_id
WHERE s.state = 'RUNNING'
  AND p.process_id = ANY ($1::integer[])
  AND (
      SELECT count(*)
      FROM tandem.task_stages AS g
      WHERE g.task_id = s.task_id
        AND g.state = 'SUCCEEDED'
  ) BETWEEN $2 AND $3
GROUP BY p.process_id
ORDER BY count(*) DESC, p.process_id
LIMIT 1
"""

LEAST_KEPT: Final = 2
MOST_KEPT: Final = 5
"""Stages of a task that counts as half done: of six."""


@dataclass(frozen=True, slots=True)
class Crash:
    """Which processor died, and which tasks it held."""

    label: str
    task_ids: tuple[str, ...]


async def crash_one(pool: asyncpg.Pool, processors: Sequence[ServiceProcess]) -> Crash:
    """Wait until a processor holds half-done tasks, and kill it. Bound it yourself."""
    while True:
        for pid, _ in await _half_done(pool, [process.pid for process in processors]):
            victim = next(process for process in processors if process.pid == pid)
            if crash := await _kill_while_frozen(pool, victim):
                return crash
        await asyncio.sleep(LOOK_AGAIN)


async def _kill_while_frozen(
    pool: asyncpg.Pool, victim: ServiceProcess
) -> Crash | None:
    # Stopped first: what is seen next is what it leaves behind.
    os.kill(victim.pid, signal.SIGSTOP)
    for _, task_ids in await _half_done(pool, [victim.pid]):
        await victim.kill()
        return Crash(victim.label, task_ids)
    os.kill(victim.pid, signal.SIGCONT)
    return None


async def _half_done(
    pool: asyncpg.Pool, pids: Sequence[int]
) -> list[tuple[int, tuple[str, ...]]]:
    rows = await pool.fetch(FIND_HALF_DONE, pids, LEAST_KEPT, MOST_KEPT)
    return [(row["process_id"], tuple(row["task_ids"])) for row in rows]
