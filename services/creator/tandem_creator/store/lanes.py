"""The numbers of lanes. They never change, so each is read once."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Final

from tandem.postgres.logins import Connection

PRIORITIES: Final = (1, 2, 3, 4)

READ_LANES: Final = """
SELECT l.lane_id, l.queue, l.priority
FROM tandem.lanes AS l
WHERE l.queue = ANY ($1::text[])
"""

INSERT_LANES: Final = """
INSERT INTO tandem.lanes (queue, priority)
SELECT q.queue, p.priority
FROM unnest($1::text[]) AS q (queue)
CROSS JOIN unnest($2::smallint[]) AS p (priority)
ORDER BY q.queue, p.priority
ON CONFLICT DO NOTHING
"""


class Lanes:
    """What is known of the lanes so far."""

    def __init__(self, ids: Mapping[tuple[str, int], int] | None = None) -> None:
        self._ids = dict(ids or {})

    def forget(self) -> None:
        """Read them anew: another history may have numbered them otherwise."""
        self._ids.clear()

    async def known(
        self, connection: Connection, wanted: Sequence[tuple[str, int]]
    ) -> Lanes:
        """What is known once these are, kept apart: for a transaction that may be undone.

        A lane that it made would be undone with it, and still be remembered.
        """
        await self.ids(connection, wanted)
        return Lanes(self._ids)

    async def ids(
        self, connection: Connection, wanted: Sequence[tuple[str, int]]
    ) -> list[int]:
        """The number of each (queue, priority); lanes not there yet are made."""
        missing = sorted({queue for queue, _ in wanted if (queue, 1) not in self._ids})
        if missing:
            await self._learn(connection, missing)
        return [self._ids[lane] for lane in wanted]

    async def _learn(self, connection: Connection, queues: Iterable[str]) -> None:
        unread = set(queues) - await self._read(connection, queues)
        if unread:
            await connection.execute(INSERT_LANES, sorted(unread), PRIORITIES)
            await self._read(connection, unread)

    async def _read(self, connection: Connection, queues: Iterable[str]) -> set[str]:
        records = await connection.fetch(READ_LANES, list(queues))
        for record in records:
            self._ids[record["queue"], record["priority"]] = record["lane_id"]
        return {record["queue"] for record in records}
