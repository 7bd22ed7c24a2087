"""Tasks added to an answer until it is full."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, Protocol
from uuid import UUID

import asyncpg

from tandem import tasks
from tandem.access import current_caller
from tandem.v1 import task_pb2

CHUNK: Final = 100
CHUNK_FULL: Final = 16
"""Tasks read at once: with payload and results each may be over 300 KiB."""

FRAMING: Final = 8
"""Bytes around each task in a message, at most."""


class Tasks(Protocol):
    """The repeated field that is filled."""

    def append(self, value: task_pb2.Task, /) -> None: ...


async def add_tasks(
    pool: asyncpg.Pool,
    task_ids: Sequence[UUID],
    *,
    full: bool,
    to: Tasks,
    most_bytes: int,
) -> tuple[set[UUID], bool]:
    """Append the tasks in the order of the ids, while they fit.

    Answers the ids that were appended, and whether all that exist did fit. The
    first task always fits: one alone is far under any limit.
    """
    chunk = CHUNK_FULL if full else CHUNK
    found: set[UUID] = set()
    size = 0
    for start in range(0, len(task_ids), chunk):
        wanted = task_ids[start : start + chunk]
        rows = await tasks.read_tasks(pool, wanted, full=full)
        ordered = (rows[task_id] for task_id in wanted if task_id in rows)
        for row in tasks.visible(current_caller.get(), ordered):
            task = tasks.render_task(row)
            size += task.ByteSize() + FRAMING
            if size > most_bytes and found:
                return found, False
            to.append(task)
            found.add(row.task_id)
    return found, True
