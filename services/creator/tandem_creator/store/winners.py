"""Tasks that hold an id already: found by a statement of their own, under a fresh snapshot."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Final
from uuid import UUID

import asyncpg

from tandem.tasks import TaskRow, read_tasks
from tandem_creator.drafts import Draft

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


class Match(StrEnum):
    """Which id of a draft named a task that was there before."""

    REQUEST_ID = "REQUEST_ID"
    EXTERNAL_ID = "EXTERNAL_ID"


@dataclass(frozen=True, slots=True)
class Winner:
    """A task that was there first, as it is now."""

    row: TaskRow
    match: Match


async def find_by_request_ids(
    pool: asyncpg.Pool, keys: Sequence[tuple[str, UUID]]
) -> dict[int, UUID]:
    """Task ids by the index of their (project, request id)."""
    projects, request_ids = [k[0] for k in keys], [k[1] for k in keys]
    records = await pool.fetch(FIND_BY_REQUEST_ID, projects, request_ids)
    return {record["ordinal"] - 1: record["task_id"] for record in records}


async def find_by_external_ids(
    pool: asyncpg.Pool, keys: Sequence[tuple[str, str]]
) -> dict[int, UUID]:
    """Task ids by the index of their (project, external id)."""
    projects, external_ids = [k[0] for k in keys], [k[1] for k in keys]
    records = await pool.fetch(FIND_BY_EXTERNAL_ID, projects, external_ids)
    return {record["ordinal"] - 1: record["task_id"] for record in records}


async def find_winners(
    pool: asyncpg.Pool, drafts: Sequence[Draft]
) -> dict[UUID, Winner]:
    """The tasks that hold the drafts' ids, by the drafts' task ids."""
    by_request = await _holders_of_request_ids(pool, drafts)
    rest = [draft for draft in drafts if draft.task_id not in by_request]
    by_external = await _holders_of_external_ids(pool, rest)
    # A create with the same request id may have committed since the first look,
    # and the request id decides.
    doubtful = [draft for draft in rest if draft.task_id in by_external]
    by_request |= await _holders_of_request_ids(pool, doubtful)
    held = {d: (t, Match.EXTERNAL_ID) for d, t in by_external.items()}
    held |= {d: (t, Match.REQUEST_ID) for d, t in by_request.items()}
    return await _read_winners(pool, held)


async def _holders_of_request_ids(
    pool: asyncpg.Pool, drafts: Sequence[Draft]
) -> dict[UUID, UUID]:
    if not drafts:
        return {}
    keys = [(draft.project, draft.request_id) for draft in drafts]
    return _by_draft(drafts, await find_by_request_ids(pool, keys))


async def _holders_of_external_ids(
    pool: asyncpg.Pool, drafts: Iterable[Draft]
) -> dict[UUID, UUID]:
    named = [draft for draft in drafts if draft.external_id is not None]
    if not named:
        return {}
    keys = [(draft.project, draft.external_id or "") for draft in named]
    return _by_draft(named, await find_by_external_ids(pool, keys))


def _by_draft(drafts: Sequence[Draft], found: Mapping[int, UUID]) -> dict[UUID, UUID]:
    return {drafts[index].task_id: task_id for index, task_id in found.items()}


async def _read_winners(
    pool: asyncpg.Pool, held: Mapping[UUID, tuple[UUID, Match]]
) -> dict[UUID, Winner]:
    if not held:
        return {}
    task_ids = list({task_id for task_id, _ in held.values()})
    rows = await read_tasks(pool, task_ids, full=True)
    return {
        draft_id: Winner(rows[task_id], match)
        for draft_id, (task_id, match) in held.items()
        if task_id in rows
    }
