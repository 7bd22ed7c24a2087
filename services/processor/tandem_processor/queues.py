"""Queues, paused and resumed: rows that every claim looks at."""

from __future__ import annotations

from typing import Final

import asyncpg

PAUSE: Final = """
INSERT INTO tandem.queues AS q (queue, paused)
VALUES ($1, true)
ON CONFLICT (queue) DO UPDATE
SET paused = true
WHERE NOT q.paused
"""

RESUME: Final = """
UPDATE tandem.queues AS q
SET paused = false
WHERE q.queue = $1
  AND q.paused
"""


async def pause(pool: asyncpg.Pool, queue: str) -> None:
    """No claim that begins from here on takes from the queue, in any process."""
    await pool.execute(PAUSE, queue)


async def resume(pool: asyncpg.Pool, queue: str) -> None:
    """Claims take from the queue again."""
    await pool.execute(RESUME, queue)
