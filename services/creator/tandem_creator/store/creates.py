"""The only statement that brings tasks into existence."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final
from uuid import UUID

from tandem.postgres.columns import sparse
from tandem.postgres.logins import Connection
from tandem_creator.drafts import Draft
from tandem_creator.store.lanes import Lanes

CREATE_TASKS: Final = """
SELECT c.new_task_id, c.new_position, c.new_create_time, c.new_due_time
FROM tandem.create_tasks_v1(
    $1, $2, $3, $4, $5, $6, $7, $8, $9, $10,
    $11, $12, $13, $14, $15, $16, $17, $18, $19, $20
) AS c
"""

CREATE_IN_WINDOWS: Final = """
SELECT c.new_task_id, c.new_position, c.new_create_time, c.new_due_time
FROM tandem.create_in_windows_v1(
    $1, $2, $3, $4, $5, $6, $7, $8, $9, $10,
    $11, $12, $13, $14, $15, $16, $17, $18, $19, $20,
    $21, $22, $23
) AS c
"""


@dataclass(frozen=True, slots=True)
class Created:
    """What the database added to a draft."""

    task_id: UUID
    position: int
    create_time: datetime
    due_time: datetime | None


async def create_tasks(
    connection: Connection,
    drafts: Sequence[Draft],
    *,
    lanes: Lanes,
    gone: Collection[UUID] = (),
) -> dict[UUID, Created]:
    """Insert what is free, in one transaction; answer the new ones by task id.

    A draft without an answer lost to another task with its request id, its
    external id or its content, which is for a later statement to read. `gone` are
    tasks that hold a content and exist no more.
    """
    drafts = sorted(drafts, key=lambda draft: draft.insert_order)
    lane_ids = await lanes.ids(connection, [(d.queue, d.priority) for d in drafts])
    columns = _columns(drafts, lane_ids)
    if any(draft.window for draft in drafts):
        windows = _window_columns(drafts)
        records = await connection.fetch(
            CREATE_IN_WINDOWS, *columns, *windows, list(gone)
        )
    else:
        records = await connection.fetch(CREATE_TASKS, *columns)
    return {record["new_task_id"]: Created(*record.values()) for record in records}


def _window_columns(drafts: Sequence[Draft]) -> list[Sequence[object]]:
    return [
        [d.window.content_key if d.window else None for d in drafts],
        [d.window.length if d.window else None for d in drafts],
    ]


def _columns(
    drafts: Sequence[Draft], lane_ids: Sequence[int]
) -> list[Sequence[object]]:
    return [
        [d.task_id for d in drafts],
        [d.project for d in drafts],
        [d.request_id for d in drafts],
        sparse([d.external_id for d in drafts]),
        [d.type for d in drafts],
        [d.queue for d in drafts],
        [d.priority for d in drafts],
        lane_ids,
        sparse([d.payload for d in drafts]),
        sparse([d.labels for d in drafts]),
        sparse([d.title for d in drafts]),
        sparse([d.not_before_time for d in drafts]),
        sparse([d.start_delay for d in drafts]),
        sparse([d.max_attempts for d in drafts]),
        sparse([d.initial_backoff for d in drafts]),
        sparse([d.max_backoff for d in drafts]),
        sparse([d.attempt_timeout for d in drafts]),
        # A flag is iterable: it would be sent as an array of its bits.
        [int(d.defaulted) for d in drafts],
        sparse([d.created_by for d in drafts]),
        sparse([d.trace_context for d in drafts]),
    ]
