"""How many members a group has at this process, for whoever tells statistics."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import Final

import asyncpg

from tandem_creator.store.places import Reader

LIFETIME: Final = timedelta(seconds=30)
"""A row that was not written for so long is of a process that is gone."""

TELL: Final = """
WITH gone AS (
    DELETE FROM tandem.group_members AS g
    WHERE g.update_time < now() - $5::interval
      AND g.creator_name <> $2
)
INSERT INTO tandem.group_members AS g (group_name, creator_name, members, deaf)
SELECT $1, $2, $3, $4
FROM set_config('synchronous_commit', 'off', true) AS hurry
ON CONFLICT (group_name, creator_name) DO UPDATE
SET members = excluded.members,
    deaf = excluded.deaf,
    update_time = now()
WHERE g.update_time < now()
"""

FORGET: Final = """
DELETE FROM tandem.group_members AS g
USING set_config('synchronous_commit', 'off', true) AS hurry
WHERE g.group_name = $1
  AND g.creator_name = $2
"""


@dataclass(frozen=True, slots=True)
class Count:
    """Members of one group at one process."""

    members: int = 0
    deaf: int = 0


async def tell(pool: asyncpg.Pool, reader: Reader, count: Count) -> None:
    """Write how many there are; none leaves no row. Rows of the dead go, too."""
    if count.members:
        await pool.execute(
            TELL, reader.group, reader.name, count.members, count.deaf, LIFETIME
        )
    else:
        await pool.execute(FORGET, reader.group, reader.name)
