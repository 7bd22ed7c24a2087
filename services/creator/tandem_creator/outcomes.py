"""What a caller is told of a create: made by it, made earlier, or refused."""

from __future__ import annotations

from dataclasses import replace
from types import MappingProxyType
from typing import Final

from tandem import access, tasks, wire
from tandem.errors import (
    ExternalIdTaken,
    RequestIdReused,
    TandemError,
    Violation,
)
from tandem.tasks import TaskRow
from tandem.v1 import creator_pb2, task_pb2
from tandem_creator.content import differing_fields
from tandem_creator.drafts import Draft
from tandem_creator.flush import Answer
from tandem_creator.fresh import fill_fresh, is_kept_as_given, spec_as_kept
from tandem_creator.rows import NOT_WRITTEN, row_of
from tandem_creator.store.creates import Created
from tandem_creator.store.winners import Match, Winner

Response = creator_pb2.CreateTaskResponse

REJECT: Final = creator_pb2.CreateTaskRequest.EXTERNAL_ID_POLICY_REJECT

EXISTING_REASONS: Final = MappingProxyType(
    {
        Match.EXTERNAL_ID: creator_pb2.EXISTING_REASON_EXTERNAL_ID,
        Match.CONTENT: creator_pb2.EXISTING_REASON_CONTENT_WINDOW,
    }
)


def respond(draft: Draft, answer: Answer | None, *, full: bool) -> Response:
    """The answer to a create. None stands for a task that would be created.

    Raises:
        RequestIdReused: its request id made a task of other content.
        ExternalIdTaken: another request has its external id, and it asked for this.
        TaskNotFound: the caller may not see the task.
    """
    if isinstance(answer, Winner) and (refused := refusal(draft, answer)):
        raise refused
    response = Response()
    fill(response, draft, answer, full=full)
    return response


def fill(
    response: Response, draft: Draft, answer: Answer | None, *, full: bool
) -> None:
    """The same into an empty response, where nothing is refused or was asked for already.

    Raises:
        TaskNotFound: the caller may not see the task.
    """
    response.request_id = str(draft.request_id)
    if not isinstance(answer, Winner):
        _fill_created(response, draft, answer, full=full)
    elif answer.match is Match.REQUEST_ID:
        _fill_replayed(response, draft, answer.row, full=full)
    else:
        _fill_existing(response, draft, answer, full=full)


def refusal(draft: Draft, winner: Winner) -> TandemError | None:
    """What the caller is told where the task that was there first is no answer."""
    may_read = access.current_caller.get().may_read(winner.row.project)
    if winner.match is Match.REQUEST_ID:
        differing = differing_fields(draft, winner.row)
        if differing and not may_read:
            return RequestIdReused("request_id made a task of other content")
        return _reused(winner.row, differing) if differing else None
    if winner.match is Match.EXTERNAL_ID and draft.policy == REJECT:
        if not may_read:
            return ExternalIdTaken("external_id is that of another task")
        return _taken(winner.row)
    return None


def render(
    task: task_pb2.Task,
    row: TaskRow,
    *,
    full: bool,
    spec: task_pb2.TaskSpec | None = None,
) -> None:
    """The task, as much of it as was asked for; its id alone to a caller who may only create.

    Args:
        task: an empty message, to be filled.
        row: the task.
        full: whether payload and results are told.
        spec: the row's in the words of the contract, where somebody has it already.
    """
    if not tasks.visible(access.current_caller.get(), [row]):
        if row.create_time != NOT_WRITTEN:
            task.task_id = str(row.task_id)
        return
    tasks.fill_task(task, row if full else _basic(row), spec=spec)
    if row.create_time == NOT_WRITTEN:
        task.ClearField("task_id")
        task.ClearField("create_time")


def _basic(row: TaskRow) -> TaskRow:
    stages = tuple(replace(stage, result=None) for stage in row.stages)
    return replace(row, payload=None, result=None, stages=stages)


def _fill_created(
    response: Response, draft: Draft, created: Created | None, *, full: bool
) -> None:
    """The task as it was just written, without reading it back."""
    response.outcome = Response.OUTCOME_CREATED
    if created is None or draft.given is None:
        render(response.task, row_of(draft, created), full=full)
        return
    if not access.current_caller.get().may_read(draft.project):
        response.task.task_id = str(draft.task_id)
        return
    fill_fresh(response.task, draft, draft.given, created.create_time, full=full)


def _fill_replayed(
    response: Response, draft: Draft, row: TaskRow, *, full: bool
) -> None:
    response.outcome = Response.OUTCOME_REPLAYED
    spec = None
    if draft.given is not None and is_kept_as_given(draft, row):
        spec = spec_as_kept(draft.given, row.queue, row.priority, full=full)
    render(response.task, row, full=full, spec=spec)


def _fill_existing(
    response: Response, draft: Draft, winner: Winner, *, full: bool
) -> None:
    response.outcome = Response.OUTCOME_EXISTING
    render(response.task, winner.row, full=full)
    if access.current_caller.get().may_read(draft.project):
        response.differing_fields.extend(differing_fields(draft, winner.row))
    response.existing_reason = EXISTING_REASONS[winner.match]


def _reused(row: TaskRow, differing: list[str]) -> RequestIdReused:
    return RequestIdReused(
        f"request_id made {_first_call(row)} of which these fields differ: {', '.join(differing)}",
        violations=[
            Violation(path, "differs from what this request_id created")
            for path in differing
        ],
        differing_fields=",".join(differing),
        **_first_call_metadata(row),
    )


def _first_call(row: TaskRow) -> str:
    """The task that was there first: whose it is, and since when."""
    by = f" by {row.created_by}" if row.created_by else ""
    return f"task {row.task_id}, created {_when(row)}{by},"


def _first_call_metadata(row: TaskRow) -> dict[str, str]:
    return {
        "task_id": str(row.task_id),
        "request_id": str(row.request_id),
        "create_time": _when(row),
        "created_by": row.created_by or "",
    }


def _when(row: TaskRow) -> str:
    created = wire.timestamp(row.create_time)
    return created.ToJsonString() if created else ""


def _taken(row: TaskRow) -> ExternalIdTaken:
    return ExternalIdTaken(
        f"{_first_call(row)} holds this external id",
        violations=[Violation("spec.external_id", "is taken")],
        **_first_call_metadata(row),
    )
