"""Finding one task by an id of its caller's."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from tandem.errors import TaskNotFound
from tandem.postgres.logins import Connection
from tandem.tasks import TaskRow, read_tasks
from tandem.v1 import creator_pb2 as pb
from tandem.validation import Violations
from tandem_creator.parsing import parse_view
from tandem_creator.store.holders import find_by_external_ids, find_by_request_ids
from tandem_creator.store.retention import read_delete_after


@dataclass(frozen=True, slots=True, kw_only=True)
class Lookup:
    """Which task: one of the two ids is set."""

    project: str
    request_id: UUID | None
    external_id: str
    full: bool


def parse_lookup(request: pb.LookupTaskRequest) -> Lookup:
    """The request, checked.

    Raises:
        InvalidRequest: names every field at fault.
    """
    found = Violations()
    project = found.name("project", request.project)
    request_id = found.uuid("request_id", request.request_id, required=False)
    external_id = found.text("external_id", request.external_id)
    if request.request_id and request.external_id:
        found.add("external_id", "must not come with request_id")
    if not request.request_id and not request.external_id:
        found.add("request_id", "is required, or external_id")
    full = parse_view(request.view, found)
    found.refuse()
    return Lookup(
        project=project, request_id=request_id, external_id=external_id, full=full
    )


@dataclass(frozen=True, slots=True)
class Found:
    """The task, and until when its ids are kept, which counts from its finish."""

    row: TaskRow
    ids_expire_time: datetime | None


async def look_up(connection: Connection, lookup: Lookup) -> Found:
    """The task with this id.

    Raises:
        TaskNotFound: there is none.
    """
    task_ids = await _find(connection, lookup)
    rows = await read_tasks(connection, list(task_ids.values()), full=lookup.full)
    if not rows:
        raise TaskNotFound("no such task")
    row = next(iter(rows.values()))
    if row.finish_time is None:
        return Found(row, None)
    return Found(row, row.finish_time + await read_delete_after(connection))


async def _find(connection: Connection, lookup: Lookup) -> dict[int, UUID]:
    if lookup.request_id is not None:
        keys = [(lookup.project, lookup.request_id)]
        return await find_by_request_ids(connection, keys)
    names = [(lookup.project, lookup.external_id)]
    return await find_by_external_ids(connection, names)
