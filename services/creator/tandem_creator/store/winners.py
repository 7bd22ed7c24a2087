"""Tasks that hold what a draft asks for: found by statements of their own, under fresh snapshots."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from uuid import UUID

from tandem.postgres.logins import Connection
from tandem.tasks import TaskRow, read_tasks, read_tasks_by_request_ids
from tandem_creator.drafts import Draft
from tandem_creator.store.holders import find_by_contents, find_by_external_ids


class Match(StrEnum):
    """What of a draft named a task that was there before."""

    REQUEST_ID = "REQUEST_ID"
    EXTERNAL_ID = "EXTERNAL_ID"
    CONTENT = "CONTENT"


@dataclass(frozen=True, slots=True)
class Winner:
    """A task that was there first, as it is now."""

    row: TaskRow
    match: Match


@dataclass(frozen=True, slots=True)
class Findings:
    """What was found for some drafts."""

    winners: Mapping[UUID, Winner]
    """By the drafts' task ids."""

    gone: frozenset[UUID]
    """Deleted tasks that a content is still claimed for."""


async def find_winners(connection: Connection, drafts: Sequence[Draft]) -> Findings:
    """The tasks that hold the drafts' ids or contents."""
    by_request = await _by_request_ids(connection, drafts)
    rest = [draft for draft in drafts if draft.task_id not in by_request]
    if not rest:
        return Findings(by_request, frozenset())
    by_external = await _holders_of_external_ids(connection, rest)
    by_content = await _holders_of_contents(connection, rest)
    # A create with the same request id may have committed since the first look,
    # and the request id decides.
    found = by_external | by_content
    doubtful = [draft for draft in rest if draft.task_id in found]
    by_request |= await _by_request_ids(connection, doubtful)
    held = {d: (t, Match.CONTENT) for d, t in by_content.items()}
    held |= {d: (t, Match.EXTERNAL_ID) for d, t in by_external.items()}
    rest_held = {d: holder for d, holder in held.items() if d not in by_request}
    read = await _read(connection, rest_held)
    return Findings({**by_request, **read.winners}, read.gone)


async def _by_request_ids(
    connection: Connection, drafts: Sequence[Draft]
) -> dict[UUID, Winner]:
    if not drafts:
        return {}
    keys = {draft.task_id: (draft.project, draft.request_id) for draft in drafts}
    rows = await read_tasks_by_request_ids(connection, list(keys.values()), full=True)
    return {
        draft_id: Winner(rows[key], Match.REQUEST_ID)
        for draft_id, key in keys.items()
        if key in rows
    }


async def _holders_of_external_ids(
    connection: Connection, drafts: Iterable[Draft]
) -> dict[UUID, UUID]:
    named = [draft for draft in drafts if draft.external_id is not None]
    keys = [(draft.project, draft.external_id or "") for draft in named]
    return _by_draft(named, await find_by_external_ids(connection, keys))


async def _holders_of_contents(
    connection: Connection, drafts: Iterable[Draft]
) -> dict[UUID, UUID]:
    named = [(draft, draft.window) for draft in drafts if draft.window]
    keys = [(window.content_key, window.length) for _, window in named]
    found = await find_by_contents(connection, keys)
    return _by_draft([draft for draft, _ in named], found)


def _by_draft(drafts: Sequence[Draft], found: Mapping[int, UUID]) -> dict[UUID, UUID]:
    return {drafts[index].task_id: task_id for index, task_id in found.items()}


async def _read(
    connection: Connection, held: Mapping[UUID, tuple[UUID, Match]]
) -> Findings:
    if not held:
        return Findings({}, frozenset())
    task_ids = list({task_id for task_id, _ in held.values()})
    rows = await read_tasks(connection, task_ids, full=True)
    winners = {
        draft_id: Winner(rows[task_id], match)
        for draft_id, (task_id, match) in held.items()
        if task_id in rows
    }
    claimed = {task_id for task_id, match in held.values() if match is Match.CONTENT}
    return Findings(winners, frozenset(claimed - rows.keys()))
