"""What the janitor goes by."""

from __future__ import annotations

from datetime import timedelta
from typing import Final

from tandem.postgres.logins import Connection

READ_DELETE_AFTER: Final = "SELECT r.delete_after FROM tandem.retention AS r"


async def read_delete_after(connection: Connection) -> timedelta:
    """For how long after its finish a task's ids are kept."""
    delete_after: timedelta = await connection.fetchval(READ_DELETE_AFTER)
    return delete_after
