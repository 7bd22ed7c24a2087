"""The read model both services share: task rows, and how they are rendered."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final, Self
from uuid import UUID

import asyncpg

from tandem import wire
from tandem.access import Caller
from tandem.postgres.logins import Connection
from tandem.states import TaskState
from tandem.v1 import task_pb2

# Payload and result are not fetched for a view that leaves them out: they are
# the wide columns, and lie out of line where they are long.
COLUMNS: Final = """
    v.task_id, v.project, v.request_id, v.external_id, v.type, v.queue, v.priority,
    v.title, v.labels::text AS labels, v.not_before_time, v.start_delay,
    v.max_attempts, v.initial_backoff, v.max_backoff, v.attempt_timeout, v.defaulted,
    v.create_time, v.created_by, v.trace_context, v.prune_time, v.state::text AS state,
    v.attempt, v.claim, v.processor_id, v.progress, v.due_time, v.start_time,
    v.update_time, v.finish_time, v.cancel_request_time, v.cancel_comment,
    v.errors::text AS errors, v.annotations::text AS annotations,
    CASE WHEN $2 THEN v.payload::text END AS payload,
    CASE WHEN $2 THEN v.result::text END AS result
"""

READ_TASKS: Final = f"""
SELECT {COLUMNS}
FROM tandem.task_view AS v
WHERE v.task_id = ANY ($1::uuid[])
"""  # noqa: S608 - of constants

READ_TASKS_BY_REQUEST_ID: Final = f"""
SELECT {COLUMNS}
FROM unnest($1::text[], $3::uuid[]) AS w (project, request_id)
JOIN tandem.task_view AS v ON v.project = w.project AND v.request_id = w.request_id
"""  # noqa: S608 - of constants

READ_STAGES: Final = """
SELECT
    g.task_id, g.name, g.state, g.attempt, g.start_time, g.finish_time,
    CASE WHEN $2 THEN g.result::text END AS result
FROM tandem.task_stages AS g
WHERE g.task_id = ANY ($1::uuid[])
ORDER BY g.task_id, g.start_time, g.name
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class StageRow:
    """One kept step."""

    name: str
    state: str
    attempt: int
    start_time: datetime
    finish_time: datetime | None
    result: str | None


# Not frozen, although nothing ever changes it: setting so many fields of a frozen
# one takes four times as long, and every task that is read does.
@dataclass(slots=True, kw_only=True)
class TaskRow:
    """One task as the database has it; JSON columns stay text until rendered."""

    task_id: UUID
    project: str
    request_id: UUID
    external_id: str | None
    type: str
    queue: str
    priority: int
    title: str | None
    labels: str | None
    not_before_time: datetime | None
    start_delay: timedelta | None
    max_attempts: int | None
    initial_backoff: timedelta | None
    max_backoff: timedelta | None
    attempt_timeout: timedelta | None
    defaulted: int
    create_time: datetime
    created_by: str | None
    trace_context: str | None
    prune_time: datetime | None
    state: TaskState
    attempt: int
    claim: int
    processor_id: UUID | None
    progress: float | None
    due_time: datetime | None
    start_time: datetime | None
    update_time: datetime | None
    finish_time: datetime | None
    cancel_request_time: datetime | None
    cancel_comment: str | None
    errors: str | None
    annotations: str | None
    payload: str | None
    result: str | None
    stages: tuple[StageRow, ...] = ()

    @classmethod
    def from_record(cls, record: asyncpg.Record, stages: Sequence[StageRow]) -> Self:
        fields: dict[str, Any] = dict(record)
        fields["state"] = TaskState(fields["state"])
        return cls(**fields, stages=tuple(stages))


async def read_tasks(
    connection: Connection, task_ids: Sequence[UUID], *, full: bool
) -> dict[UUID, TaskRow]:
    """The tasks that exist among these ids; payload and results only if `full`."""
    records = await connection.fetch(READ_TASKS, task_ids, full)
    rows = await _with_stages(connection, records, full=full)
    return {row.task_id: row for row in rows}


async def read_tasks_by_request_ids(
    connection: Connection, keys: Sequence[tuple[str, UUID]], *, full: bool
) -> dict[tuple[str, UUID], TaskRow]:
    """The tasks that exist among these (project, request id), in one round trip."""
    projects, request_ids = zip(*keys, strict=True) if keys else ((), ())
    records = await connection.fetch(
        READ_TASKS_BY_REQUEST_ID, projects, full, request_ids
    )
    rows = await _with_stages(connection, records, full=full)
    return {(row.project, row.request_id): row for row in rows}


async def _with_stages(
    connection: Connection, records: Iterable[asyncpg.Record], *, full: bool
) -> list[TaskRow]:
    # Only a claim can have begun a stage, so fresh tasks cost one statement.
    claimed = [record["task_id"] for record in records if record["claim"]]
    stages = await _read_stages(connection, claimed, full=full)
    return [
        TaskRow.from_record(record, stages.get(record["task_id"], ()))
        for record in records
    ]


async def _read_stages(
    connection: Connection, task_ids: Sequence[UUID], *, full: bool
) -> Mapping[UUID, Sequence[StageRow]]:
    stages: dict[UUID, list[StageRow]] = {}
    if not task_ids:
        return stages
    for record in await connection.fetch(READ_STAGES, task_ids, full):
        fields = dict(record)
        stages.setdefault(fields.pop("task_id"), []).append(StageRow(**fields))
    return stages


def visible(caller: Caller, rows: Iterable[TaskRow]) -> list[TaskRow]:
    """The rows that the caller may see, in the order given. Every answer passes here."""
    return [row for row in rows if caller.may_read(row.project)]


def render_task(
    row: TaskRow, *, spec: task_pb2.TaskSpec | None = None
) -> task_pb2.Task:
    """The row in the words of the contract; what was not fetched stays unset.

    `spec`, where somebody has it already, saves most of the work.
    """
    task = task_pb2.Task()
    fill_task(task, row, spec=spec)
    return task


def fill_task(
    task: task_pb2.Task, row: TaskRow, *, spec: task_pb2.TaskSpec | None = None
) -> None:
    """The same into an empty message: one that is handed over is copied once more."""
    task.task_id = str(row.task_id)
    task.spec.MergeFrom(_render_spec(row) if spec is None else spec)
    task.status.MergeFrom(_render_status(row))
    wire.fill_timestamp(task.create_time, row.create_time)
    task.request_id = str(row.request_id)
    task.created_by = row.created_by or ""
    if row.prune_time is not None:
        wire.fill_timestamp(task.prune_time, row.prune_time)


def _render_spec(row: TaskRow) -> task_pb2.TaskSpec:
    return task_pb2.TaskSpec(
        project=row.project,
        type=row.type,
        payload=None
        if row.payload is None
        else wire.to_struct(json.loads(row.payload)),
        queue=row.queue,
        priority=task_pb2.Priority.ValueType(row.priority),
        not_before_time=wire.timestamp(row.not_before_time),
        start_delay=wire.duration(row.start_delay),
        retry_policy=_render_retry_policy(row),
        external_id=row.external_id or "",
        labels=json.loads(row.labels) if row.labels else {},
        title=row.title or "",
    )


def _render_retry_policy(row: TaskRow) -> task_pb2.RetryPolicy | None:
    given = (
        row.max_attempts,
        row.initial_backoff,
        row.max_backoff,
        row.attempt_timeout,
    )
    if given == (None, None, None, None):
        return None
    return task_pb2.RetryPolicy(
        max_attempts=row.max_attempts or 0,
        initial_backoff=wire.duration(row.initial_backoff),
        max_backoff=wire.duration(row.max_backoff),
        attempt_timeout=wire.duration(row.attempt_timeout),
    )


def _render_status(row: TaskRow) -> task_pb2.TaskStatus:
    told = json.loads(row.errors) if row.errors else ()
    errors = [_render_error(error) for error in told]
    return task_pb2.TaskStatus(
        state=wire.STATES[row.state],
        attempt=row.attempt,
        stages=[_render_stage(stage) for stage in row.stages],
        progress=row.progress or 0.0,
        result=None if row.result is None else wire.to_struct(json.loads(row.result)),
        error=errors[0] if errors else None,
        earlier_errors=errors[1:],
        due_time=wire.timestamp(row.due_time),
        start_time=wire.timestamp(row.start_time),
        update_time=wire.timestamp(row.update_time),
        finish_time=wire.timestamp(row.finish_time),
        cancel_request_time=wire.timestamp(row.cancel_request_time),
        annotations=json.loads(row.annotations) if row.annotations else {},
        processor_id=str(row.processor_id) if row.processor_id else "",
        claim=row.claim,
        cancel_comment=row.cancel_comment or "",
    )


def _render_stage(stage: StageRow) -> task_pb2.Stage:
    return task_pb2.Stage(
        name=stage.name,
        state=task_pb2.Stage.State.Value(f"STATE_{stage.state}"),
        result=None
        if stage.result is None
        else wire.to_value(json.loads(stage.result)),
        attempt=stage.attempt,
        start_time=wire.timestamp(stage.start_time),
        finish_time=wire.timestamp(stage.finish_time),
    )


def _render_error(error: Mapping[str, Any]) -> task_pb2.AttemptError:
    return task_pb2.AttemptError(
        reason=error["reason"],
        message=error["message"],
        attempt=error["attempt"],
        error_time=wire.timestamp(datetime.fromisoformat(error["error_time"])),
    )
