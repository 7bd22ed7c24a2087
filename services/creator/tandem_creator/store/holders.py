"""Which task holds a request id, an external id or a content."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from typing import Final
from uuid import UUID

from tandem.postgres.logins import Connection

FIND_BY_REQUEST_ID: Final = """
SELECT w.ordinal, t.task_id
FROM unnest($1::text[], $2::uuid[]) WITH ORDINALITY AS w (project, request_id, ordinal)
JOIN tandem.tasks AS t ON t.project = w.project AND t.request_id = w.request_id
"""

FIND_BY_EXTERNAL_ID: Final = """
SELECT w.ordinal, t.task_id
FROM unnest($1::text[], $2::text[]) WITH ORDINALITY AS w (project, external_id, ordinal)
JOIN tandem.tasks AS t ON t.project = w.project AND t.external_id = w.external_id
"""

FIND_BY_CONTENT: Final = """
SELECT w.ordinal, c.task_id
FROM unnest($1::bytea[], $2::interval[]) WITH ORDINALITY AS w (content_key, window_length, ordinal)
JOIN tandem.content_windows AS c ON c.content_key = w.content_key
WHERE c.create_time > statement_timestamp() - w.window_length
"""


async def find_by_request_ids(
    connection: Connection, keys: Sequence[tuple[str, UUID]]
) -> dict[int, UUID]:
    """Task ids by the index of their (project, request id)."""
    return await _find(connection, FIND_BY_REQUEST_ID, keys)


async def find_by_external_ids(
    connection: Connection, keys: Sequence[tuple[str, str]]
) -> dict[int, UUID]:
    """Task ids by the index of their (project, external id)."""
    return await _find(connection, FIND_BY_EXTERNAL_ID, keys)


async def find_by_contents(
    connection: Connection, keys: Sequence[tuple[bytes, timedelta]]
) -> dict[int, UUID]:
    """Task ids by the index of their (content key, window). The task may be deleted."""
    return await _find(connection, FIND_BY_CONTENT, keys)


async def _find(
    connection: Connection, sql: str, keys: Sequence[tuple[object, object]]
) -> dict[int, UUID]:
    if not keys:
        return {}
    records = await connection.fetch(sql, [k[0] for k in keys], [k[1] for k in keys])
    return {record["ordinal"] - 1: record["task_id"] for record in records}
