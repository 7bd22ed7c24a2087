"""Types of which tasks wait, and which no living processor runs."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import asyncpg
import structlog

from tandem import limits
from tandem.calls import STORE_AWAY

log = structlog.get_logger()

LOOK_SECONDS: Final = 30.0
"""Between two looks at what waits."""

TELL_SECONDS: Final = 600.0
"""Between two lines about one type in one queue."""

# Ids that were taken from the stream and that no member takes, and what is due
# for longer than any processor with room would leave it. Both are looked at from
# their oldest end alone: this must stay cheap however much waits.
READ_UNSERVED: Final = """
WITH waiting AS (
    SELECT k.lane_id, unnest(k.types) AS type
    FROM (
        SELECT k.lane_id, k.types
        FROM tandem.takes AS k
        WHERE k.group_name = $1
          AND k.member_id IS NULL
        ORDER BY k.take_id
        LIMIT 1000
    ) AS k
    UNION
    SELECT d.lane_id, t.type
    FROM (
        SELECT s.lane_id, s.task_id
        FROM tandem.task_status AS s
        WHERE s.due_time < now() - interval '30 seconds'
        ORDER BY s.due_time
        LIMIT 1000
    ) AS d
    JOIN tandem.tasks AS t ON t.task_id = d.task_id
)
SELECT DISTINCT l.queue, w.type
FROM waiting AS w
JOIN tandem.lanes AS l ON l.lane_id = w.lane_id
WHERE l.queue = ANY ($2::text[])
  AND NOT EXISTS (
      SELECT
      FROM tandem.processors AS p
      WHERE p.state = 'LIVE'
        AND l.queue = ANY (p.queues)
        AND w.type = ANY (p.types)
  )
ORDER BY l.queue, w.type
"""


@dataclass(frozen=True, slots=True)
class Unserved:
    """Tasks of this type wait in this queue, and nobody runs them."""

    queue: str
    type: str


async def read_unserved(pool: asyncpg.Pool, queues: Sequence[str]) -> list[Unserved]:
    """What waits in these queues for a handler that no living processor has."""
    rows = await pool.fetch(READ_UNSERVED, limits.WORKERS, queues)
    return [Unserved(**dict(row)) for row in rows]


class Lookout:
    """Tells now and then what waits in vain. Such tasks stay PENDING and never fail."""

    def __init__(self, pool: asyncpg.Pool, *, queues: Sequence[str]) -> None:
        self._pool = pool
        self._queues = queues
        self._told: dict[Unserved, float] = {}

    async def run(self) -> None:
        while True:
            # Whoever was started together with this one needs its time to join.
            await asyncio.sleep(LOOK_SECONDS)
            try:
                await self.run_once()
            except STORE_AWAY as error:
                log.warning("look at what waits failed", error=type(error).__name__)

    async def run_once(self) -> None:
        """Log what was not told lately."""
        now = time.monotonic()
        self._told = {u: at for u, at in self._told.items() if at > now - TELL_SECONDS}
        for unserved in await read_unserved(self._pool, self._queues):
            if unserved not in self._told:
                self._told[unserved] = now
                log.warning(
                    "no processor runs this type",
                    type=unserved.type,
                    queue=unserved.queue,
                )
